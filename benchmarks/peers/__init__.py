"""What our figures stand beside: plain Celery and plain FastAPI, as their manuals show them."""

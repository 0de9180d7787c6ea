"""The worker: Celery's processes around one drain each. Nothing is imported here: see `app`."""

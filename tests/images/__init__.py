"""The images: built from the Dockerfiles as they are, run as Kubernetes would run them."""

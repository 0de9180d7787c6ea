"""The HTTP API: accepts events, shows what became of them. It never works on one.

`create_app` is the ASGI application, `serve` runs it with a graceful end.
"""

from eventstream.api.app import create_app
from eventstream.api.server import serve

__all__ = ["create_app", "serve"]

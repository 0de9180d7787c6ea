"""AI-EventStream's data plane: an event in, an answer out, nothing lost."""

from importlib.metadata import version

__version__ = version("ai-eventstream")
__all__ = ["__version__"]

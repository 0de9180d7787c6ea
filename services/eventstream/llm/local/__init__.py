"""The model that needs no key: see `model` for what it answers, `minilm` for its vectors.

Callers import from here; the other modules are its parts.
"""

from eventstream.llm.local.errors import (
    LocalModelCannot,
    LocalModelError,
    LocalModelMissing,
    LocalModelUnsupported,
)
from eventstream.llm.local.model import LocalAnswer, LocalModel, LocalRequest

__all__ = [
    "LocalAnswer",
    "LocalModel",
    "LocalModelCannot",
    "LocalModelError",
    "LocalModelMissing",
    "LocalModelUnsupported",
    "LocalRequest",
]

"""What can be wrong with the local model, in words that say what to do next.

Nothing here is raised for a text: every text gets an answer. These errors are
about the model's files and about requests that this small model can't fulfil.
"""

from eventstream.errors import EventStreamError


class LocalModelError(EventStreamError):
    """The common base: catch it to catch all three."""


class LocalModelMissing(LocalModelError):
    """The weights, or a file beside them, are not on this machine."""


class LocalModelUnsupported(LocalModelError):
    """The folder holds a model, but not one that this code can run."""


class LocalModelCannot(LocalModelError):
    """The request asks for something that only a language model can do."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the local model can't answer this: {reason}; "
            "name a model provider for this stream, or ask for less"
        )
        self.reason = reason

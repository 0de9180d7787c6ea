"""The one exception of the image tools: its message says what to do."""


class ImagesError(RuntimeError):
    """An image can't be made, built or run."""

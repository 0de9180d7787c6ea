"""A stream's advice as panels and the operator find it in Redis: a sentence, and when it was drawn.

The operator may import this module, and so it knows nothing of how advice comes about.
"""

from pydantic import BaseModel, ConfigDict, ValidationError


class PublishedAdvice(BaseModel):
    """What stands at `CacheKeys.advice`. `drawn_at`: unix seconds, by the worker's clock."""

    model_config = ConfigDict(frozen=True)

    line: str
    drawn_at: float

    def encode(self) -> bytes:
        """As it is kept."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, kept: bytes | None) -> "PublishedAdvice | None":
        """None where nothing stands there, or nothing that this version can read."""
        if kept is None:
            return None
        try:
            return cls.model_validate_json(kept)
        except ValidationError:
            return None

"""How long a benchmark may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")
Size = Literal["full", "quick", "tiny"]


@dataclass(frozen=True, slots=True)
class Options:
    """`size`: full for the published figures, quick for a look, tiny to see that it works."""

    size: Size = "full"
    profiles: bool = True

    def pick(self, full: T, quick: T, tiny: T) -> T:
        """The value for this size."""
        return {"full": full, "quick": quick, "tiny": tiny}[self.size]

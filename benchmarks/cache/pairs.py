"""The labelled pairs: may the answer to one text be given for the other?"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

FOLDER: Final = Path(__file__).parent / "pairs"
HALVES: Final = ("development", "held_out")

Label = Literal["hit", "refuse"]


class PairsError(Exception):
    """A file of pairs is missing or holds something else; the message says where and what."""


@dataclass(frozen=True)
class Pair:
    """`difficulty` is "easy" or "hard" for hits, and empty for look-alikes."""

    a: str
    b: str
    label: Label
    lang: str
    category: str
    difficulty: str


def read_half(half: str) -> list[Pair]:
    """The pairs of one half, in the order of the file.

    Raises PairsError.
    """
    path = FOLDER / f"{half}.jsonl"
    if not path.exists():
        raise PairsError(f"{path.name}: not in {path.parent}; choose another half with --half")
    pairs = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            pair = Pair(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise PairsError(f"{path.name}, line {number}: {error}") from error
        if pair.label not in ("hit", "refuse") or pair.lang not in ("en", "es"):
            raise PairsError(
                f"{path.name}, line {number}: label {pair.label!r}, lang {pair.lang!r};"
                " expected hit or refuse, en or es"
            )
        pairs.append(pair)
    return pairs

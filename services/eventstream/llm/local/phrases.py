"""A table of words and phrases, where a star stands for any ending.

All lexicons are such tables. The longest phrase wins, and a word written out wins
over a star. Spanish superlatives (-ísimo) are looked up as their plain forms too.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from eventstream.llm.local.words import words_of

Value = TypeVar("Value")

_SUPERLATIVE = re.compile(r"^(.{2,})isim[oa]s?$")
_SHORTEST_STEM = 2


class PhraseTable(Generic[Value]):
    """Phrases to values."""

    def __init__(self, entries: Iterable[tuple[str, Value]]) -> None:
        """Take (phrase, value) pairs: an underscore is a space, a final star any ending."""
        self._exact: dict[tuple[str, ...], Value] = {}
        self._stems: dict[tuple[str, ...], Value] = {}
        self._lengths: dict[str, int] = {}
        self._longest_stem = 0
        for phrase, value in entries:
            words = tuple(words_of(phrase.rstrip("*").replace("_", " ")))
            if not words:
                continue
            if phrase.endswith("*"):
                self._stems[words] = value
                self._longest_stem = max(self._longest_stem, len(words[-1]))
            else:
                self._exact[words] = value
            if len(words) > 1:
                self._lengths[words[0]] = max(self._lengths.get(words[0], 1), len(words))

    def match(self, words: Sequence[str], start: int) -> tuple[int, Value] | None:
        """Return (words matched, value) for the longest phrase that begins at `start`."""
        longest = min(self._lengths.get(words[start], 1), len(words) - start)
        for length in range(longest, 0, -1):
            phrase = tuple(words[start : start + length])
            if phrase in self._exact:
                return length, self._exact[phrase]
            before, last = phrase[:-1], phrase[-1]
            for end in range(min(len(last), self._longest_stem), _SHORTEST_STEM - 1, -1):
                stem = (*before, last[:end])
                if stem in self._stems:
                    return length, self._stems[stem]
        for plain in plain_forms(words[start]):
            if (plain,) in self._exact:
                return 1, self._exact[(plain,)]
        return None

    def matches(self, words: Sequence[str]) -> Iterator[tuple[int, int, Value]]:
        """Yield (start, words matched, value) from left to right, without overlaps."""
        start = 0
        while start < len(words):
            found = self.match(words, start)
            if found is None:
                start += 1
                continue
            yield start, *found
            start += found[0]


def is_superlative(word: str) -> bool:
    return _SUPERLATIVE.match(word) is not None


def plain_forms(word: str) -> list[str]:
    """Return what a Spanish superlative may come from: riquisimo, rico; larguisimo, largo."""
    found = _SUPERLATIVE.match(word)
    if found is None:
        return []
    stem = found[1]
    if stem.endswith("qu"):
        stem = f"{stem[:-2]}c"
    elif stem.endswith("gu"):
        stem = stem[:-1]
    return [f"{stem}o", f"{stem}a", f"{stem}e", stem]

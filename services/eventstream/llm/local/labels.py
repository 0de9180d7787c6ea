"""What labels mean: a book of common ones, and a reading of any other from its own words.

A stream's labels are a user's words ("billing", "facturación", "late_delivery"). For those in the
book there are sentences and keywords in both languages; for the rest the label itself
is the sentence and the keywords. Which text gets which label is `classify`'s business.
"""

import tomllib
from dataclasses import dataclass
from typing import Literal

from eventstream.llm.local.phrases import PhraseTable
from eventstream.llm.local.words import is_function_word, lexicon_text, words_of

Signal = Literal["positive", "negative", "neutral", "question", "wish", "rest"]
"""What beside words and meaning makes a text belong; "rest" takes what no other label wants."""

_REST = frozenset({"other", "others", "rest", "none", "misc", "general", "otro", "otros", "otra"})
_SHORTEST_STEM = 5


@dataclass(frozen=True)
class LabelMeaning:
    """One label. `sentences` are English where the book has them, else the label's own words."""

    label: str
    sentences: tuple[str, ...]
    keywords: PhraseTable[None]
    signal: Signal | None


@dataclass(frozen=True)
class _Entry:
    sentences: tuple[str, ...]
    words: tuple[str, ...]
    signal: Signal | None


class LabelBook:
    """Finds what a label means."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, ...], _Entry] = {}
        for section in tomllib.loads(lexicon_text("labels.toml")).values():
            signal: Signal | None = None
            if "sentiment" in section:
                signal = "positive" if section["sentiment"] > 0 else "negative"
            elif section.get("neutral"):
                signal = "neutral"
            elif section.get("question"):
                signal = "question"
            elif section.get("wish"):
                signal = "wish"
            entry = _Entry(tuple(section["sentences"]), tuple(section["words"].split()), signal)
            for name in section["names"]:
                self._entries[tuple(words_of(name))] = entry

    def knows(self, label: str) -> bool:
        """Return whether the label is in the book."""
        return tuple(_name_words(label)) in self._entries

    def signal(self, label: str) -> Signal | None:
        """Return what else decides about the label, if anything does."""
        entry = self._entries.get(tuple(_name_words(label)))
        if entry is not None:
            return entry.signal
        return "rest" if set(_name_words(label)) <= _REST else None

    def meaning(self, label: str) -> LabelMeaning:
        """Return what to compare texts with."""
        words = _name_words(label)
        name = " ".join(words)
        entry = self._entries.get(tuple(words))
        own = [(_stem(word), None) for word in words if not is_function_word(word)]
        if entry is None:
            return LabelMeaning(label, (name,), PhraseTable(own), self.signal(label))
        known = [(word, None) for word in entry.words]
        return LabelMeaning(
            label, entry.sentences or (name,), PhraseTable([*own, *known]), entry.signal
        )


def _name_words(label: str) -> list[str]:
    return words_of(label.replace("_", " "))


def _stem(word: str) -> str:
    """Return a pattern that takes in the plural and near forms of a long enough word."""
    return f"{word[:-1].rstrip('aeo')}*" if len(word) > _SHORTEST_STEM else word

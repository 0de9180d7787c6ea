"""The kinds of difference between two texts, and which of them are harmless.

This is an allow-list: a difference that no rule recognises is a `word_*`, `symbol` or `order`
difference, and none of these is on it. The kinds are names in a histogram too, so their values
are short, stable and without spaces.
"""

from dataclasses import dataclass
from enum import StrEnum

MAX_CHARACTERS = 1500
"""Longer texts match exactly only."""


class Kind(StrEnum):
    """One kind of difference; `Kind.harmless` says whether an answer survives it."""

    # Harmless
    CASING = "casing"
    ACCENT = "accent"
    PUNCTUATION = "punctuation"
    GREETING = "greeting"
    COURTESY = "courtesy"
    REQUEST = "request"
    FILLER = "filler"
    CONTRACTION = "contraction"
    FUNCTION_WORD = "function_word"
    INFLECTION = "inflection"
    SPELLING = "spelling"
    SYNONYM = "synonym"
    NUMBER_FORMAT = "number_format"
    CLAUSE_ORDER = "clause_order"
    VOICE = "voice"
    TYPING = "typing"
    # Not harmless
    NUMBER = "number"
    UNIT = "unit"
    CURRENCY = "currency"
    DATE_TIME = "date_time"
    NEGATION = "negation"
    QUANTIFIER = "quantifier"
    MODALITY = "modality"
    PERSON = "person"
    TENSE = "tense"
    RELATION = "relation"
    NAME = "name"
    CODE = "code"
    WORD_REPLACED = "word_replaced"
    WORD_ADDED = "word_added"
    WORD_REMOVED = "word_removed"
    OPPOSITE = "opposite"
    ORDER = "order"
    QUESTION = "question"
    SYMBOL = "symbol"
    EMOJI = "emoji"
    LANGUAGE = "language"
    LENGTH = "length"

    @property
    def harmless(self) -> bool:
        return self in HARMLESS


HARMLESS = frozenset(
    {
        Kind.CASING,
        Kind.ACCENT,
        Kind.PUNCTUATION,
        Kind.GREETING,
        Kind.COURTESY,
        Kind.REQUEST,
        Kind.FILLER,
        Kind.CONTRACTION,
        Kind.FUNCTION_WORD,
        Kind.INFLECTION,
        Kind.SPELLING,
        Kind.SYNONYM,
        Kind.NUMBER_FORMAT,
        Kind.CLAUSE_ORDER,
        Kind.VOICE,
        Kind.TYPING,
    }
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two texts, as kinds; `accepted` when every kind is harmless."""

    kinds: frozenset[Kind]

    @property
    def accepted(self) -> bool:
        return self.kinds <= HARMLESS

    @property
    def refused_kinds(self) -> tuple[Kind, ...]:
        """The kinds that speak against a match, in a stable order; empty when accepted."""
        return tuple(sorted(self.kinds - HARMLESS))

"""What a text is reduced to before two of them are compared."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from eventstream.cache.guard import quantities
from eventstream.cache.guard.kinds import Kind

if TYPE_CHECKING:
    from eventstream.cache.guard.items import Item

MONTH_KEY = "month:"
"""What the key of a month begins with; its number follows."""


class Term(NamedTuple):
    """One element of meaning: equal keys mean the same; `kind` is what a change of it is called.

    `forms` are the words that may stand for it; `open` says that synonyms and forms may be used.
    `noun`: an article or the like stood before it. `gender`: of that article, "m", "f" or "".
    `after_copula`: "is", "es" or "está" stood right before it.
    """

    key: str
    kind: Kind
    surface: str
    forms: frozenset[str] = frozenset()
    open: bool = False
    proper: bool = False
    after_pause: bool = False
    after_light: bool = False
    noun: bool = False
    gender: str = ""
    after_copula: bool = False


@dataclass(slots=True)
class Analysis:
    """The terms of a text; `questions`: whether each sentence asks; `notes`: what was left out.

    `items`: what the terms were made of, for rewording; empty where that is not done. `unshaped`:
    the items and moods before a template gave a sentence another shape; None where none did.
    """

    terms: list[Term] = field(default_factory=list)
    questions: list[bool] = field(default_factory=list)
    notes: dict[Kind, list[str]] = field(default_factory=dict)
    copulas: set[str] = field(default_factory=set)
    demonstratives: set[str] = field(default_factory=set)
    items: list["Item"] = field(default_factory=list)
    unshaped: tuple[list["Item"], dict[int, bool]] | None = None

    def note(self, kind: Kind, words: str) -> None:
        self.notes.setdefault(kind, []).append(words)


def join_dates(terms: list[Term]) -> list[Term]:
    """`terms` with "12 May 2024", "May 12th" and their Spanish sisters as one term each."""
    if not any(_month_of(term) is not None for term in terms):
        return terms
    joined: list[Term] = []
    position = 0
    while position < len(terms):
        date, used = _date_at(terms, position)
        term = terms[position]
        joined.append(term if date is None else term._replace(key=date, kind=Kind.DATE_TIME))
        position += used
    return joined


def _month_of(term: Term) -> int | None:
    """The month that a term names."""
    if term.kind is not Kind.DATE_TIME or not term.key.startswith(MONTH_KEY):
        return None
    return int(term.key.removeprefix(MONTH_KEY))


def _date_at(terms: list[Term], position: int) -> tuple[str | None, int]:
    """The date that begins at `position`, as its key and number of terms; (None, 1): none does."""

    def day(term: Term) -> int | None:
        digits = term.key.lstrip("#")
        if term.kind is Kind.NUMBER and digits.isdecimal() and 1 <= int(digits) <= 31:
            return int(digits)
        return None

    def without_of(start: int) -> int:
        return start + 1 if start < len(terms) and terms[start].key in ("of", "de") else start

    first = terms[position]
    named = _month_of(first)
    if named is not None and position + 1 < len(terms):
        month, number, end = named, day(terms[position + 1]), position + 2
    elif day(first) is not None:
        after = without_of(position + 1)
        following = _month_of(terms[after]) if after < len(terms) else None
        if following is None:
            return None, 1
        month, number, end = following, day(first), after + 1
    else:
        return None, 1
    if number is None:
        return None, 1
    year_at = without_of(end)
    year = None
    if year_at < len(terms):
        key = terms[year_at].key
        if terms[year_at].kind is Kind.NUMBER and key.isdecimal() and len(key) == 4:
            year, end = int(key), year_at + 1
    return quantities.date_of(number, month, year), end - position

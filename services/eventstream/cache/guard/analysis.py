"""Turns a text into the terms that carry its meaning, and notes what was left out on the way.

Greetings, courtesies, articles, contractions and the like end up in `notes`; everything else,
known or unknown, becomes a `Term`, in the order of the text.
"""

from collections.abc import Iterator, Set

from eventstream.cache.guard.building import Builder
from eventstream.cache.guard.emoji import without_echoes
from eventstream.cache.guard.items import Item, items_of
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon
from eventstream.cache.guard.orders import order_at_start
from eventstream.cache.guard.shortening import shorten
from eventstream.cache.guard.spanish_writing import spelt_out
from eventstream.cache.guard.templates import templates_of
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import Token, TokenType
from eventstream.cache.guard.voice import active_forms

_MAX_UNSHAPED = 60  # longer texts are compared once only: it bounds the time


def analyse(tokens: list[Token], lexicon: Lexicon | None) -> Analysis:
    """The analysis of a text; without a lexicon every word is a term as it stands."""
    analysis = Analysis()
    items = items_of(tokens, lexicon, analysis)
    if lexicon is None:
        return Builder(items, None, analysis, {}).build()
    spoken, peeled = _peeled(items, lexicon, analysis)
    if peeled.terms and not _speaks_of_courtesies(items, lexicon):
        return peeled
    # Nothing but courtesies, or a task on them: then they are what the text says.
    return Builder(spoken, lexicon, analysis, {}).build()


def _speaks_of_courtesies(items: list[Item], lexicon: Lexicon) -> bool:
    """Whether only courtesies stand behind the last colon ("Translate to French: good night")."""
    colon = max((at for at, item in enumerate(items) if item.text == ":"), default=len(items))
    behind = items[colon + 1 :]
    if not any(item.type is TokenType.WORD for item in behind):
        return False
    return not _peeled(behind, lexicon, Analysis())[1].terms


def courtesies_in(tokens: list[Token], lexicon: Lexicon) -> Analysis | None:
    """The analysis of a text, without terms, that is nothing but courtesies; None for others."""
    analysis = Analysis()
    _, peeled = _peeled(items_of(tokens, lexicon, analysis), lexicon, analysis)
    return None if peeled.terms else peeled


def _peeled(items: list[Item], lexicon: Lexicon, noted: Analysis) -> tuple[list[Item], Analysis]:
    """The items without echoes, and the analysis of what they say beside courtesies."""
    peeled = Analysis(notes={kind: list(words) for kind, words in noted.notes.items()})
    if lexicon.code == "es":
        items = spelt_out(items, peeled)
    spoken = without_echoes(items, lexicon, peeled)
    shortened, moods = shorten(list(spoken), lexicon, peeled)
    order = order_at_start(shortened) if lexicon.code == "es" and not moods else None
    if order is not None:
        peeled.note(Kind.REQUEST, " ".join(item.word for item in shortened[:4]))
        shortened, moods = order[0], {order[1]: False}
    shaped, shaped_moods = templates_of(lexicon).apply(shortened, moods, peeled)
    result = Builder(shaped, lexicon, peeled, shaped_moods).build()
    if result.terms:
        result.items = shaped
        if len(shortened) <= _MAX_UNSHAPED and shaped != shortened:
            result.unshaped = shortened, moods
    return spoken, result


def as_written(analysis: Analysis, lexicon: Lexicon) -> Analysis:
    """The analysis of a text whose sentences keep their shape."""
    if analysis.unshaped is None:
        return analysis
    items, moods = analysis.unshaped
    notes = {kind: list(words) for kind, words in analysis.notes.items()}
    plain = Builder(items, lexicon, Analysis(notes=notes), moods).build()
    plain.items = items
    return plain


def reworded(analysis: Analysis, lexicon: Lexicon, said: Set[str]) -> Iterator[Analysis]:
    """The analyses of what a text says in other voices, where they may come out as a text of the
    words `said`: none for most texts."""
    for items in active_forms(analysis.items, lexicon, said):
        notes = {kind: list(words) for kind, words in analysis.notes.items()}
        yield Builder(items, lexicon, Analysis(notes=notes), {}).build()

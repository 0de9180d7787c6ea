"""Guesses whether a text is English or Spanish, from the words that hold sentences together."""

from collections.abc import Sequence

from eventstream.cache.guard.english import ENGLISH
from eventstream.cache.guard.lexicon import Lexicon
from eventstream.cache.guard.spanish import SPANISH

_SPANISH_LETTERS = frozenset("ñ¿¡áéíóú")


def guess_language(text: str, words: Sequence[str]) -> Lexicon | None:
    """The lexicon of the language that `words` (lower-case) point to; None when they do not say.

    A text in a third language may look like Spanish for a moment: the lists still only ever let
    known words through, so that makes no answer wrong.
    """
    english = sum(map(ENGLISH.markers.__contains__, words))
    spanish = sum(map(SPANISH.markers.__contains__, words))
    if not _SPANISH_LETTERS.isdisjoint(text):
        spanish += 1
    if english > spanish:
        return ENGLISH
    if spanish > english:
        return SPANISH
    return None

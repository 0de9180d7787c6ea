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
    return _more(english, spanish)


def guess_by_vocabulary(words: Sequence[str]) -> Lexicon | None:
    """The same for texts too short for words that hold sentences together ("great service")."""
    english = sum(word in ENGLISH.vocabulary or word in ENGLISH.slip_words for word in words)
    spanish = sum(map(SPANISH.vocabulary.__contains__, words))
    return _more(english, spanish) if 2 * max(english, spanish) > len(words) else None


def _more(english: int, spanish: int) -> Lexicon | None:
    if english == spanish:
        return None
    return ENGLISH if english > spanish else SPANISH

"""Tells what the signs of a sentence mean: whether it asks, with or without a question mark, and
which quotes belong together."""

from collections.abc import Sequence

from eventstream.cache.guard.items import Item
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.tokens import TokenType

# "When I open it, it crashes": with a comma these join clauses rather than ask.
_ALSO_CONJUNCTIONS = words("when where cuando como donde quien que")
COPULAS = words("am is are es son esta estan")
_SPANISH_PREPOSITIONS = words("a de en por con para desde hasta")


def opens_question(items: Sequence[Item], position: int, lexicon: Lexicon) -> bool:
    """Whether the word at `position`, the first of a sentence, makes a question of it."""
    word = items[position].word
    next_word = items[position + 1].word if position + 1 < len(items) else ""
    if lexicon.code == "es" and word in _SPANISH_PREPOSITIONS:
        return next_word in lexicon.questions
    if word not in lexicon.questions or _exclaims(items, position):
        return False
    if word in _ALSO_CONJUNCTIONS and pause_in_sentence(items, position):
        return False
    if word in lexicon.question_words:
        return word != "what" or next_word not in ("a", "an")
    if word == "do":  # "do it" and "do the dishes" are orders
        return next_word in lexicon.persons and next_word != "it"
    return word in ("is", "are") or next_word in lexicon.subjects


def pause_in_sentence(items: Sequence[Item], position: int) -> bool:
    """Whether a comma or the like comes before the sentence at `position` ends."""
    for item in items[position:]:
        if item.type is TokenType.PAUSE:
            return True
        if item.type in (TokenType.STOP, TokenType.QUESTION):
            return False
    return False


def closes_quote(items: Sequence[Item], position: int) -> bool:
    """Whether the quote at `position` was opened before, so that it is no sign for inches."""
    sign = items[position].text
    return sum(item.text == sign for item in items[:position]) % 2 == 1


def _exclaims(items: Sequence[Item], position: int) -> bool:
    for item in items[position:]:
        if item.type is TokenType.STOP:
            return item.text == "!"
        if item.type is TokenType.QUESTION:
            return False
    return False

"""Puts the clauses of a Spanish sentence into one order.

"X, así que Y" is "Y porque X", and "para renovarlo, ¿qué necesito?" asks what "¿qué necesito para
renovarlo?" asks. Only in texts of one sentence, so that nothing else can belong to either clause.
"""

from eventstream.cache.guard.inflection import is_infinitive
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import words
from eventstream.cache.guard.spanish_address import addressed
from eventstream.cache.guard.spanish_senses import entered, in_their_sense
from eventstream.cache.guard.spanish_voice import without_se
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType

_ENDS = frozenset({TokenType.STOP, TokenType.QUESTION})
_ASKS = words("que como cuando donde cual cuales quien cuanto cuanta cuantos cuantas a en")
_MAX_WORDS = 40
_CONTENT = frozenset({TokenType.WORD, TokenType.NUMBER})
_NOBODY = words("nadie nunca jamás")
_DENYING = words("no nadie nada nunca jamás ningún ninguno ninguna ni tampoco sin que")
_JOINS = words("y e o u pero si cuando mientras porque aunque")


def in_spanish_order(items: list[Item], analysis: Analysis) -> list[Item]:
    """The items with pronouns, forms of address, senses and "se" in one form each."""
    addressed_items = entered(addressed(items, analysis))
    return without_se(in_their_sense(addressed_items, analysis), analysis)


def in_one_order(items: list[Item], analysis: Analysis) -> list[Item]:
    """The items with a purpose behind its question and a consequence before its cause."""
    if not 3 <= len(items) <= _MAX_WORDS:
        return items
    items = _nobody_first(_time_since_behind(items, analysis), analysis)
    if len(items) < 6:
        return items
    return _purpose_behind(items, analysis) or _cause_behind(items, analysis) or items


def _one_clause(items: list[Item]) -> int:
    """Where the only clause of a text ends; 0 where there are several."""
    end = len(items)
    while end and items[end - 1].type in _ENDS:
        end -= 1
    words_only = all(item.type in _CONTENT for item in items[:end])
    return end if words_only and not any(item.plain in _JOINS for item in items[:end]) else 0


def _time_since_behind(items: list[Item], analysis: Analysis) -> list[Item]:
    """ "Hace dos horas que espero" as "espero hace dos horas"."""
    end = _one_clause(items)
    if not end or items[0].plain not in ("hace", "hacia"):
        return items
    at = next((at for at, item in enumerate(items[:5]) if item.word == "que"), 0)
    if not 3 <= at < end - 1 or any(item.word == "que" for item in items[at + 1 : end]):
        return items
    analysis.note(Kind.FUNCTION_WORD, "que")
    return [*items[at + 1 : end], *items[:at], *items[end:]]


def _nobody_first(items: list[Item], analysis: Analysis) -> list[Item]:
    """ "No ha llamado nadie" as "nadie ha llamado"."""
    end = _one_clause(items)
    if end < 3 or items[0].word != "no":
        return items
    denying = [at for at in range(1, end) if items[at].word in _DENYING]
    if len(denying) != 1:
        return items
    at = denying[0]
    if items[at].word not in _NOBODY or (items[at].word == "nadie" and at != end - 1):
        return items
    analysis.note(Kind.FUNCTION_WORD, "no")
    return [items[at], *items[1:at], *items[at + 1 :]]


def _purpose_behind(items: list[Item], analysis: Analysis) -> list[Item] | None:
    if items[0].plain != "para" or not is_infinitive(items[1].word) or items[-1].text != "?":
        return None
    at = next((at for at, item in enumerate(items) if item.type is TokenType.PAUSE), None)
    asked = next((at for at, item in enumerate(items) if item.text == "¿"), None)
    if at is None:
        return None
    start = at + 1
    if asked is not None and asked == start:
        start += 1
    rest, purpose = items[start:-1], items[:at]
    if not rest or rest[0].plain not in _ASKS or any(item.type in _ENDS for item in rest):
        return None
    if any(item.type is not TokenType.WORD for item in rest + purpose):
        return None
    analysis.note(Kind.PUNCTUATION, ",")
    return [*items[at + 1 : start], *rest, *purpose, items[-1]]


def _cause_behind(items: list[Item], analysis: Analysis) -> list[Item] | None:
    end = len(items) - (items[-1].type is TokenType.STOP)
    body = items[:end]
    if any(item.type in _ENDS for item in body):
        return None
    at = next(
        (at for at in range(2, end - 2) if body[at].plain == "por" and body[at + 1].plain == "eso"),
        None,
    )
    if at is None:
        return None
    cause, result = body[:at], body[at + 2 :]
    if cause[-1].plain == "y":
        cause = cause[:-1]
    while cause and cause[-1].type is TokenType.PAUSE:
        cause = cause[:-1]
    if result[0].type is TokenType.PAUSE:
        result = result[1:]
    if not cause or any(item.plain in _JOINS for item in cause + result):
        return None
    analysis.note(Kind.PUNCTUATION, ",")
    because = Item(TokenType.WORD, "porque", "porque", False, "porque")
    return [*result, because, *cause, *items[end:]]

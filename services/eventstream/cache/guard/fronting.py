"""Tells whether what a sentence begins with stands at its end in another, and all else is the same.

"If it rains, the match is off" and "the match is off if it rains". What may say something of the
word behind it, or belong to either of two verbs, has to stay where it is.
"""

from collections.abc import Sequence

from eventstream.cache.guard import moves
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.terms import Term

_GROUNDS = words(
    "if because because_of although unless unfortunately luckily fortunately si porque como aunque"
    " desgraciadamente lamentablemente afortunadamente"
)
"""What holds for a whole sentence, however many verbs there are in it."""
_DAYS = words("today tomorrow yesterday tonight hoy mañana ayer anoche el los")
_REASONS = words("because because_of for porque por para")
_NOT_YET = words("ya aún todavía")
_OPERATORS = (Kind.NEGATION, Kind.QUANTIFIER)
_TIMES = (Kind.RELATION, Kind.DATE_TIME, Kind.NUMBER, Kind.UNIT)
_WHICH_TIME = words("every each last next")
_MAX_FRONTINGS = 6
_MAX_MOVED_TERMS = 8
_MAX_LEADING = 4


def fronted(
    front: Sequence[Term], back: Sequence[Term], same: moves.Same, lexicon: Lexicon
) -> bool:
    """Whether what stands first in `front` stands last in `back`, and all else is the same."""
    if len(front) != len(back) or not front:
        return False
    first = front[0]
    if (
        first.key not in lexicon.fronting
        and first.kind is not Kind.DATE_TIME
        and not _begins_time(front)
    ):
        verb = _leading_verb(front, lexicon)
        return (
            0 < verb < len(front)
            and not any(term.kind in _OPERATORS for term in front[verb:])
            and moves.equal(front[verb:], back[: len(front) - verb], same)
            and moves.equal(front[:verb], back[len(front) - verb :], same)
        )
    if first.kind is back[0].kind is Kind.DATE_TIME:
        return False  # "9:00 17:00" is no "17:00 9:00"
    if _belongs_to_what_follows(front, lexicon):
        return False
    if first.key not in _GROUNDS and moves.second_verb(front, lexicon):
        return False
    tried = 0
    for at in range(1, len(front)):
        if tried == _MAX_FRONTINGS:
            return False
        if not front[at].after_pause and (at > _MAX_MOVED_TERMS or _reports(front[at:], lexicon)):
            continue
        if not same(front[at], back[0]):
            continue
        tried += 1
        if first.key not in _GROUNDS and (
            moves.joins_clauses(front[1:at]) or moves.joins_clauses(front[at:])
        ):
            continue
        if moves.equal(front[at:], back[: len(front) - at], same) and moves.equal(
            front[:at], back[len(front) - at :], same
        ):
            return True
        if lexicon.code == "en" and _before_times(front, back, at, same):
            return True
    return False


def _begins_time(terms: Sequence[Term]) -> bool:
    """Whether terms begin with "every Monday" or "3 weeks ago"."""
    first, *others = terms[:3]
    if first.key in _WHICH_TIME:
        return bool(others) and others[0].kind is Kind.DATE_TIME
    return (
        first.kind is Kind.NUMBER
        and len(others) > 1
        and others[0].kind in (Kind.UNIT, Kind.DATE_TIME)
        and others[1].key == "ago"
    )


def _before_times(front: Sequence[Term], back: Sequence[Term], at: int, same: moves.Same) -> bool:
    """Whether what `front` begins with stands in `back` before a time that ends both ("In the bar
    it is full at noon", "it is full in the bar at noon")."""
    end = len(front)
    while end > at and front[end - 1].kind in _TIMES:
        end -= 1
    if end == len(front) or not any(term.kind is Kind.DATE_TIME for term in front[end:]):
        return False
    middle = end - at
    return (
        moves.equal(front[at:end], back[:middle], same)
        and moves.equal(front[:at], back[middle:end], same)
        and moves.equal(front[end:], back[end:], same)
    )


def _belongs_to_what_follows(terms: Sequence[Term], lexicon: Lexicon) -> bool:
    """Whether the first term may say something of the second ("Monday deliveries stopped") or of
    one of two verbs ("on Monday I want to cancel"), so that it has to stay where it is."""
    first = terms[0]
    alone = first.after_light and not first.noun and not first.after_copula  # "on Monday"
    return (
        (first.kind is Kind.DATE_TIME and first.key not in _DAYS and not alone)
        # "I did not go because it rained": perhaps something else was the reason.
        or (
            first.key in _REASONS
            and len(terms) > 1
            and not (first.key == "for" and terms[1].kind in (Kind.NUMBER, Kind.DATE_TIME))
            and any(term.kind is Kind.NEGATION for term in terms)
        )
        or (len(terms) > 1 and moves.describes(first, None, terms[1]))
    )


def _leading_verb(terms: Sequence[Term], lexicon: Lexicon) -> int:
    """How many terms a verb takes whose subject may stand on either side; 0 when none leads."""
    for at, term in enumerate(terms[:_MAX_LEADING]):
        if term.key in lexicon.movable_verbs:
            return at + 1
        if term.kind not in (Kind.PERSON, Kind.NEGATION, Kind.TENSE) and term.key not in _NOT_YET:
            return 0
    return 0


def _reports(terms: Sequence[Term], lexicon: Lexicon) -> bool:
    """Whether somebody says or thinks something: then a time may belong to either of two verbs."""
    return any(term.key in lexicon.reports for term in terms)

"""Changes of order that keep who does what: adverbs on the move, subjects behind their verbs.

Each rule asks for the same terms in both texts and says which of them may stand elsewhere. A time
may belong to either of two verbs, so nothing moves where clauses are joined or a second verb hangs
on the first. Nothing moves across a negation or a quantifier, nor away from the participle that it
describes.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from eventstream.cache.guard.inflection import is_infinitive
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.terms import Term

Same = Callable[[Term, Term], bool]

_MOVING = {
    "en": words(
        "today tomorrow yesterday tonight now already suddenly recently finally eventually"
        " immediately constantly repeatedly regularly automatically quickly slowly permanently"
        " temporarily unfortunately again lately currently accidentally unexpectedly gradually"
        " overnight nowadays occasionally usually often sometimes generally normally"
    ),
    "es": words(
        "hoy mañana ayer anoche ahora ya todavía repentinamente recientemente finalmente"
        " inmediatamente constantemente repetidamente continuamente automáticamente rápidamente"
        " lentamente desgraciadamente lamentablemente a_menudo a_veces últimamente"
    ),
}
_JOINS = words(
    "and or but if when while because that who which before after until since than whether although"
    " y e o u pero si cuando mientras porque que quien antes después hasta desde aunque"
)
_SUBJECTS = words("i you he she it we they")
_MAKES_ANOTHER = words(
    "let lets letting make makes made making see sees saw hear hears heard watch watched help helps"
    " helped have had get got"
)
_MAX_MOVED = 2
_MAX_SUBJECT = 5
_PARTICIPLES = ("ed", "en", "ado", "ada", "ados", "adas", "ido", "ida", "idos", "idas")
_BESIDE_VERB = (Kind.NEGATION, Kind.PERSON, Kind.TENSE, Kind.MODALITY)


def adverb_moved(a: Sequence[Term], b: Sequence[Term], same: Same, lexicon: Lexicon) -> bool:
    """Whether the same words of time or manner stand elsewhere in one clause, and all else is the
    same ("the app constantly crashes", "no ha llegado todavía")."""
    moving = _MOVING[lexicon.code]
    moved_a = [term.key for term in a if term.key in moving]
    if not 1 <= len(moved_a) <= _MAX_MOVED or moved_a != [t.key for t in b if t.key in moving]:
        return False
    if joins_clauses(a) or any(term.key in lexicon.reports for term in a):
        return False
    if second_verb(a, lexicon) or second_verb(b, lexicon):
        return False
    if _describes(a, moving) or _describes(b, moving) or _scopes(a, moving) != _scopes(b, moving):
        return False
    rest_a = [term for term in a if term.key not in moving]
    rest_b = [term for term in b if term.key not in moving]
    return bool(rest_a) and equal(rest_a, rest_b, same)


def common_clauses(a: Sequence[Term], b: Sequence[Term], same: Same) -> int:
    """How many terms two texts end with that are the same and begin behind a comma with a
    conjunction (", but he had no tools"); 0 when there are none."""
    used = length = 0
    while length < min(len(a), len(b)):
        length += 1
        one, other = a[-length], b[-length]
        if not same(one, other):
            break
        if one.key in _JOINS and (one.after_pause or other.after_pause):
            used = length
    return used


def joins_clauses(terms: Sequence[Term]) -> bool:
    """Whether there may be two clauses, so that a time belongs to either ("the car you sold me
    yesterday broke")."""
    return any(term.key in _JOINS for term in terms) or any(
        behind.key in _SUBJECTS and term.open and not behind.after_pause
        for term, behind in pairwise(terms)
    )


def second_verb(terms: Sequence[Term], lexicon: Lexicon) -> bool:
    """Whether a verb may hang on another one ("I want to cancel", "he denied stealing", "they let
    me leave")."""
    if lexicon.code == "en":
        return any(
            term.key.endswith("_to")
            or (term.key.strip("#") == "to" and not (behind.noun or behind.proper))
            or (term.key in _MAKES_ANOTHER and behind.kind is Kind.PERSON)
            or (
                behind.open
                and behind.surface.endswith("ing")
                and len(behind.forms) > 1  # "ring" is no "-ing" form
                and not (behind.noun or behind.after_copula)
                and term.kind not in _BESIDE_VERB
            )
            for term, behind in pairwise(terms)
        )
    return any(term.open and not term.noun and is_infinitive(term.surface) for term in terms)


def describes(term: Term, before: Term | None, behind: Term | None) -> bool:
    """Whether an adverb belongs to a participle or a noun: "(the) recently renovated (hotel)"."""
    if term.noun:
        return True
    if behind is None or not behind.surface.endswith(_PARTICIPLES):
        return False
    return before is None or before.kind not in _BESIDE_VERB


def _describes(terms: Sequence[Term], moving: frozenset[str]) -> bool:
    return any(
        describes(
            term,
            terms[at - 1] if at else None,
            terms[at + 1] if at + 1 < len(terms) else None,
        )
        for at, term in enumerate(terms)
        if term.key in moving
    )


def _scopes(terms: Sequence[Term], moving: frozenset[str]) -> list[int]:
    """How many negations and quantifiers stand before each of the words that may move."""
    operators = 0
    scopes = []
    for term in terms:
        if term.key in moving:
            scopes.append(operators)
        else:
            operators += term.kind in (Kind.NEGATION, Kind.QUANTIFIER)
    return scopes


def subject_moved(a: Sequence[Term], b: Sequence[Term], same: Same, lexicon: Lexicon) -> bool:
    """Whether a Spanish subject stands before its verb in one text and behind it in the other.

    `a` and `b` are without what both begin and end with. What stands there has an article and
    the verb has none, so an adjective and its noun never count. Only verbs without an object:
    "compró la empresa" is nothing that "la empresa compró" says.
    """
    return _behind_verb(a, b, same, lexicon) or _behind_verb(b, a, same, lexicon)


def complement_moved(a: Sequence[Term], b: Sequence[Term], same: Same) -> bool:
    """Whether subject and complement of one "ser" or "estar" changed places ("está roto el
    cargador", "el cargador está roto")."""
    if len(a) != len(b) or not 2 <= len(a) <= 2 * _MAX_SUBJECT:
        return False
    for first, second in ((a, b), (b, a)):
        if not first[0].after_copula:
            continue
        for at in range(1, len(first)):
            behind = second[len(first) - at]
            if (
                behind.after_copula
                and first[at].noun
                and second[0].noun
                and equal(first[at:], second[: len(first) - at], same)
                and equal(first[:at], second[len(first) - at :], same)
            ):
                return True
    return False


def _behind_verb(front: Sequence[Term], back: Sequence[Term], same: Same, lexicon: Lexicon) -> bool:
    if len(front) != len(back):
        return False
    verb = 0
    while verb < len(front) and front[verb].kind in _BESIDE_VERB:
        verb += 1
    verb += 1
    subject = len(front) - verb
    if not 1 <= subject <= _MAX_SUBJECT or front[verb - 1].key not in lexicon.movable_verbs:
        return False
    return (
        front[verb].noun
        and back[0].noun
        and not any(term.noun or term.proper for term in front[:verb])
        and not any(term.noun for term in back[subject:])
        and all(term.open or term.key == "de" for term in front[verb:])
        and equal(front[verb:], back[:subject], same)
        and equal(front[:verb], back[subject:], same)
    )


def equal(a: Sequence[Term], b: Sequence[Term], same: Same) -> bool:
    """Whether two runs of terms say the same, one by one."""
    return len(a) == len(b) and all(map(same, a, b))

"""Compares two texts: walks over their terms side by side and names every difference.

The walk is linear. It stops at the first pair of terms that do not mean the same; what is left
then is either a harmless change of order or the reason for a refusal.
"""

from collections import Counter

from eventstream.cache.guard import moves, quantities
from eventstream.cache.guard.analysis import analyse, as_written, reworded
from eventstream.cache.guard.edges import courtesy_around
from eventstream.cache.guard.fronting import fronted
from eventstream.cache.guard.inflection import accents_may_differ
from eventstream.cache.guard.items import words_of
from eventstream.cache.guard.kinds import MAX_CHARACTERS, Comparison, Kind
from eventstream.cache.guard.language import guess_by_vocabulary, guess_language
from eventstream.cache.guard.lexicon import Lexicon
from eventstream.cache.guard.spelling import american, sound_alike
from eventstream.cache.guard.terms import Analysis, Term
from eventstream.cache.guard.tokens import tokenise
from eventstream.cache.guard.typing_slips import is_slip
from eventstream.cache.normalise import clean_text, exact_key_text

MAX_TOKENS = 220
"""Longer texts match exactly only: this and `MAX_CHARACTERS` bound the time of one comparison."""

_NOTED = (
    Kind.GREETING,
    Kind.COURTESY,
    Kind.REQUEST,
    Kind.FILLER,
    Kind.CONTRACTION,
    Kind.FUNCTION_WORD,
    Kind.PUNCTUATION,
    Kind.SPELLING,
    Kind.TYPING,
)
_NO_SWAP = frozenset({"respectively", "respectivamente"})
_PREFIXES = frozenset({"re", "un", "in"})  # "re-sign" is not "resign"
_HELPERS = (Kind.MODALITY, Kind.TENSE)
_MAX_SWAPPED_TERMS = 3


def compare(a: str, b: str) -> Comparison:
    """The kinds of difference between two texts.

    Symmetric in what it accepts; never raises. A text above `MAX_CHARACTERS` or `MAX_TOKENS` is
    refused with `Kind.LENGTH`, unless both are the same.
    """
    if a == b:
        return Comparison(frozenset())
    if max(len(a), len(b)) > MAX_CHARACTERS:
        return Comparison(frozenset({Kind.LENGTH}))
    clean_a, clean_b = clean_text(a), clean_text(b)
    if _may_be_exact(clean_a, clean_b) and exact_key_text(a) == exact_key_text(b):
        return Comparison(frozenset({Kind.CASING}))
    courtesy = courtesy_around(clean_a, clean_b, MAX_TOKENS)
    if courtesy is not None:
        return Comparison(courtesy)
    tokens_a, tokens_b = tokenise(clean_a, MAX_TOKENS), tokenise(clean_b, MAX_TOKENS)
    if tokens_a is None or tokens_b is None:
        return Comparison(frozenset({Kind.LENGTH}))
    words_a, words_b = words_of(tokens_a), words_of(tokens_b)
    language_a = guess_language(clean_a.lower(), words_a)
    language_b = guess_language(clean_b.lower(), words_b)
    if language_a is not None and language_b is not None and language_a is not language_b:
        return Comparison(frozenset({Kind.LANGUAGE}))
    lexicon = language_a or language_b or guess_by_vocabulary(words_a + words_b)
    analysis_a, analysis_b = analyse(tokens_a, lexicon), analyse(tokens_b, lexicon)
    comparison = _compared(analysis_a, analysis_b, lexicon)
    if comparison.accepted or lexicon is None:
        return comparison
    if analysis_a.unshaped is not None or analysis_b.unshaped is not None:
        analysis_a, analysis_b = as_written(analysis_a, lexicon), as_written(analysis_b, lexicon)
        plain = _compared(analysis_a, analysis_b, lexicon)
        if plain.accepted:
            return plain
    for one, other in ((analysis_a, analysis_b), (analysis_b, analysis_a)):
        said = {term.surface for term in other.terms}
        for other_voice in reworded(one, lexicon, said):
            again = _compared(other_voice, other, lexicon)
            if again.accepted:
                return Comparison(again.kinds | {Kind.VOICE})
    return comparison


def _may_be_exact(a: str, b: str) -> bool:
    """Whether two clean texts may have one exact form; a cheap no for most pairs.

    Other letters' case, beyond Latin-1, may take more of them.
    """
    if abs(len(a) - len(b)) <= 1:
        return True
    return not (a.isascii() and b.isascii()) and max(max(a, default=""), max(b, default="")) >= "Ā"


def _compared(a: Analysis, b: Analysis, lexicon: Lexicon | None) -> Comparison:
    kinds = _noted_kinds(a, b) | _sentence_kinds(a, b) | _term_kinds(a, b, lexicon)
    return Comparison(frozenset(kinds or {Kind.CASING}))


def _noted_kinds(a: Analysis, b: Analysis) -> set[Kind]:
    return {kind for kind in _NOTED if a.notes.get(kind, []) != b.notes.get(kind, [])}


def _sentence_kinds(a: Analysis, b: Analysis) -> set[Kind]:
    kinds: set[Kind] = set()
    if len(a.questions) == len(b.questions):
        same = a.questions == b.questions
    else:
        same = sum(a.questions) == sum(b.questions)
    if not same:
        kinds.add(Kind.QUESTION)
    # "ser" and "estar" may each be left out, but one is not the other.
    if a.copulas != b.copulas and a.copulas and b.copulas:
        kinds.add(Kind.RELATION)
    # "This, not that": once a text uses both, which one stands where matters.
    if len(a.demonstratives | b.demonstratives) > 1 and (
        len(a.demonstratives) > 1 or len(b.demonstratives) > 1
    ):
        kinds.add(Kind.RELATION)
    return kinds


def _term_kinds(a: Analysis, b: Analysis, lexicon: Lexicon | None) -> set[Kind]:
    kinds: set[Kind] = set()
    terms_a, terms_b = a.terms, b.terms
    i = j = 0
    while i < len(terms_a) and j < len(terms_b):
        kind = _same(terms_a[i], terms_b[j], lexicon)
        if kind is not None:
            kinds |= kind
            i, j = i + 1, j + 1
        elif _same_quantity(terms_a[i : i + 2], terms_b[j : j + 2]):
            kinds.add(Kind.NUMBER_FORMAT)
            i, j = i + 2, j + 2
        elif _joined(terms_a, i, terms_b[j]):
            kinds.add(Kind.SPELLING)
            i, j = i + 2, j + 1
        elif _joined(terms_b, j, terms_a[i]):
            kinds.add(Kind.SPELLING)
            i, j = i + 1, j + 2
        else:
            break
    rest_a, rest_b = terms_a[i:], terms_b[j:]
    if not rest_a and not rest_b:
        return kinds
    if _moved(a, b, lexicon) or _reordered(a, b, lexicon):
        return kinds | {Kind.CLAUSE_ORDER}
    while rest_a and rest_b and _same(rest_a[-1], rest_b[-1], lexicon) is not None:
        rest_a.pop()
        rest_b.pop()
    if i > 0 and _swapped(rest_a, rest_b, a, lexicon):
        return kinds | {Kind.CLAUSE_ORDER}
    return kinds | _refusals(rest_a, rest_b, lexicon)


def _same(a: Term, b: Term, lexicon: Lexicon | None) -> frozenset[Kind] | None:
    """The harmless kinds by which two terms differ; None when they do not mean the same."""
    if a.key == b.key and a.kind is b.kind:
        if _genders_differ(a, b):
            return None
        if a.surface == b.surface:
            return frozenset()
        if a.kind in (Kind.NUMBER, Kind.UNIT, Kind.CURRENCY, Kind.DATE_TIME):
            return frozenset({Kind.NUMBER_FORMAT})
        return frozenset({Kind.CASING})
    if lexicon is None:
        return None
    if (
        lexicon.code == "es"
        and a.surface == a.key
        and b.surface == b.key
        and accents_may_differ(a.surface, b.surface)
    ):
        return frozenset({Kind.ACCENT})
    if not (a.open and b.open) or (a.proper and b.proper):
        return None
    if not a.forms.isdisjoint(b.forms):
        return None if _genders_differ(a, b) else frozenset({Kind.INFLECTION})
    verbs = not (a.noun or b.noun)
    groups = lexicon.synonyms.of(a.forms, verbs=verbs)
    if groups and not groups.isdisjoint(lexicon.synonyms.of(b.forms, verbs=verbs)):
        if a.surface[:-1] == b.surface[:-1] and (a.noun or b.noun):
            return None  # "el enfermo" and "la enferma" are two
        return frozenset({Kind.SYNONYM})
    one_known = (a.surface in lexicon.vocabulary) != (b.surface in lexicon.vocabulary)
    if lexicon.code == "es" and one_known and sound_alike(a.surface, b.surface):
        return frozenset({Kind.SPELLING})
    if american(a.surface) == american(b.surface):
        return frozenset({Kind.SPELLING})
    if is_slip(a.surface, b.surface, lexicon):
        return frozenset({Kind.TYPING})
    return None


def _same_quantity(a: list[Term], b: list[Term]) -> bool:
    """Whether two numbers with their units are as much: "two weeks" and "14 days"."""
    kinds = [Kind.NUMBER, Kind.UNIT]
    if [term.kind for term in a] != kinds or [term.kind for term in b] != kinds:
        return False
    one, other = (
        quantities.quantity(number.key, unit.key.removeprefix("unit:")) for number, unit in (a, b)
    )
    return one is not None and one == other


def _genders_differ(a: Term, b: Term) -> bool:
    """Whether the articles make two words of one: "el orden" and "la orden"."""
    return bool(a.gender and b.gender) and a.gender != b.gender


def _joined(terms: list[Term], position: int, other: Term) -> bool:
    """Whether two neighbouring words are `other` written apart ("e-mail", "email")."""
    if position + 1 >= len(terms) or not other.open:
        return False
    first, second = terms[position], terms[position + 1]
    return (
        second.open
        and (first.open or first.surface == "e")
        and first.surface not in _PREFIXES
        and first.surface + second.surface == other.surface
    )


def _equal(a: list[Term], b: list[Term], lexicon: Lexicon | None) -> bool:
    return len(a) == len(b) and all(
        _same(one, other, lexicon) is not None for one, other in zip(a, b, strict=True)
    )


def _moved(a: Analysis, b: Analysis, lexicon: Lexicon | None) -> bool:
    """Whether a part moved from one end to the other ("If X, Y"; "Y if X"; "yesterday I ...")."""
    if lexicon is None or len(a.questions) > 1 or len(b.questions) > 1:
        return False
    terms_a, terms_b = a.terms, b.terms
    if len(terms_a) != len(terms_b) or not terms_a:
        return False
    if terms_a[0].kind in _HELPERS and terms_a[0].key == terms_b[0].key:
        terms_a, terms_b = terms_a[1:], terms_b[1:]  # "can" leads either way

    def same(one: Term, other: Term) -> bool:
        return _same(one, other, lexicon) is not None

    tail = moves.common_clauses(terms_a, terms_b, same)
    if tail:
        terms_a, terms_b = terms_a[:-tail], terms_b[:-tail]
    return fronted(terms_a, terms_b, same, lexicon) or fronted(terms_b, terms_a, same, lexicon)


def _reordered(a: Analysis, b: Analysis, lexicon: Lexicon | None) -> bool:
    """Whether an adverb, a subject or a complement stands elsewhere."""
    if lexicon is None or len(a.terms) != len(b.terms) or len(a.questions) > 1:
        return False

    def same(one: Term, other: Term) -> bool:
        return _same(one, other, lexicon) is not None

    if moves.adverb_moved(a.terms, b.terms, same, lexicon):
        return True
    if lexicon.code != "es":
        return False
    start, end = 0, len(a.terms)
    while start < end and same(a.terms[start], b.terms[start]):
        start += 1
    while end > start and same(a.terms[end - 1], b.terms[end - 1]):
        end -= 1
    rest_a, rest_b = a.terms[start:end], b.terms[start:end]
    return len(rest_a) > 1 and (
        moves.subject_moved(rest_a, rest_b, same, lexicon)
        or moves.complement_moved(rest_a, rest_b, same)
    )


def _swapped(a: list[Term], b: list[Term], whole: Analysis, lexicon: Lexicon | None) -> bool:
    """Whether two short members of an "and" or "or" changed places ("of cats and dogs").

    Only behind an article, a helper verb or a preposition: in "red cats and dogs" the first word
    belongs to one of them, and orders ("copy and delete") are carried out one after the other.
    """
    if lexicon is None or len(a) != len(b) or len(a) > 2 * _MAX_SWAPPED_TERMS + 1 or not a:
        return False
    if not (a[0].after_light and b[0].after_light):
        return False
    if any(term.key in _NO_SWAP for term in whole.terms):
        return False
    for at, term in enumerate(a):
        if term.key in lexicon.conjunctions and 0 < at < len(a) - 1:
            left, right = a[:at], a[at + 1 :]
            return (
                b[len(right)].key == term.key
                and _equal(right, b[: len(right)], lexicon)
                and _equal(left, b[len(right) + 1 :], lexicon)
                and all(part.open for part in left + right)
            )
    return False


def _refusals(a: list[Term], b: list[Term], lexicon: Lexicon | None) -> set[Kind]:
    """The kinds of what is left on both sides; at least one of them is never harmless."""
    counts_a, counts_b = Counter(term.key for term in a), Counter(term.key for term in b)
    only_a = [term for term in a if counts_a[term.key] > counts_b[term.key]]
    only_b = [term for term in b if counts_b[term.key] > counts_a[term.key]]
    if not only_a and not only_b:
        return {Kind.ORDER}
    kinds: set[Kind] = set()
    for term in only_a + only_b:
        if term.kind is not Kind.WORD_REPLACED:
            kinds.add(term.kind)
        elif term.proper:
            kinds.add(Kind.NAME)
    words_a = [term for term in only_a if term.kind is Kind.WORD_REPLACED]
    words_b = [term for term in only_b if term.kind is Kind.WORD_REPLACED]
    if words_a and words_b:
        kinds.add(Kind.WORD_REPLACED)
        if lexicon is not None and _opposites(words_a, words_b, lexicon):
            kinds.add(Kind.OPPOSITE)
    elif words_a:
        kinds.add(Kind.WORD_REMOVED)
    elif words_b:
        kinds.add(Kind.WORD_ADDED)
    return kinds


def _opposites(a: list[Term], b: list[Term], lexicon: Lexicon) -> bool:
    pairs = {pair for term in b for pair in lexicon.opposites.get(term.surface, ())}
    return any(not pairs.isdisjoint(lexicon.opposites.get(term.surface, ())) for term in a)

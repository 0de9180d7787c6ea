"""Texts that differ only by sentences of courtesy before or behind: seen without reading the rest.

"Hello! My parcel is late. Thanks!" is its middle sentence. What both texts have in common says the
same in both, so only what one of them has beyond it is analysed, and that once: people greet alike.
"""

import re
from functools import cache, lru_cache
from typing import Final

from eventstream.cache.guard.analysis import courtesies_in
from eventstream.cache.guard.courtesies import words_of_courtesies
from eventstream.cache.guard.fillers import FILLERS
from eventstream.cache.guard.inflection import without_accents
from eventstream.cache.guard.items import ASKS_WHO
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.language import guess_by_vocabulary, guess_language
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.tokens import tokenise

_LONGEST_EDGES: Final = 200  # characters
_LONGEST_COURTESY: Final = 24
"""Tokens. A text up to that long may be nothing but courtesies; then they are what it says."""
_ENOUGH_WORDS: Final = 2
_PIECE = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\w+|[^\w\s]|[\n\t]")
_OF_EDGES: Final = frozenset(".,!?¡¿:;-\n")  # beside words; all else is left to the whole walk
_ABBREVIATED: Final = words("mr mrs ms dr prof st no sr sra srta dra ud uds vs etc approx dept inc")
_LAST_WORD = re.compile(r"([^\W\d_]+)\.\Z")
_ENDS_SENTENCE = re.compile(r"(?:[!?。؟？]|(?<!\.)(?<!\.[^\W\d_])\.)\Z")
_THANKFUL_SMILE = re.compile(r"(?<=\w[ !.]) ?(?::-?\)|[🙂😊🙏])\Z")
_NOTHING: Final = frozenset[Kind]()


def courtesy_around(a: str, b: str, most_tokens: int) -> frozenset[Kind] | None:
    """The kinds of courtesy that one text has before or behind the other; None for other pairs.

    `a`, `b`: clean texts. `most_tokens`: a text that may have more is no matter of this.
    """
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    if not shorter or not 0 < len(longer) - len(shorter) <= _LONGEST_EDGES:
        return None
    before = next(
        (at for at in (longer.find(shorter), longer.rfind(shorter)) if _is_at(shorter, longer, at)),
        None,
    )
    if before is None:
        return None
    behind = longer[before + len(shorter) :].strip()
    edges = longer[:before].strip(), _THANKFUL_SMILE.sub("", behind)
    pieces = _PIECE.findall(shorter)
    of_edges = [piece for edge in edges for piece in _PIECE.findall(edge)]
    if (
        "\t" in longer
        or not all(edge == "" or _may_be_courtesy(edge) for edge in edges)
        or _tokens_at_most(pieces) + _tokens_at_most(of_edges) > most_tokens
        or not ASKS_WHO.isdisjoint(piece.lower() for piece in pieces)
    ):
        return None
    lexicon = _language(shorter, pieces, longer, of_edges)
    if lexicon is None or (not _says_something(pieces, lexicon) and _is_courtesy(shorter, lexicon)):
        return None
    lead, close = (_courtesies_in(edge, lexicon) if edge else _NOTHING for edge in edges)
    # Behind a text a greeting may be what it speaks of: "Translate this. Good morning!"
    if lead is None or close is None or Kind.GREETING in close:
        return None
    return lead | close or None


def _is_at(part: str, text: str, at: int) -> bool:
    """Whether `part` is a row of whole sentences in `text`, from `at` on."""
    if at < 0:
        return False
    before, behind = text[:at], text[at + len(part) :]
    lead = before.rstrip()
    return (not behind or (behind[0].isspace() and _is_sentence(part))) and (
        not before or "\n" in before[len(lead) :] or (lead != before and _is_sentence(lead))
    )


def _is_sentence(text: str) -> bool:
    """Whether a text ends as a sentence does, and not with "p.m.", "Mrs." or dots."""
    end = text[-8:]  # no abbreviation is longer
    if _ENDS_SENTENCE.search(end) is None:
        return False
    last = _LAST_WORD.search(end)
    return last is None or last[1].lower() not in _ABBREVIATED


def _may_be_courtesy(edge: str) -> bool:
    """Whether an edge is made of words and plain signs: quotes, brackets and emoji say more."""
    pieces = _PIECE.findall(edge)
    return any(map(str.isalpha, pieces)) and all(
        piece in _OF_EDGES or piece.replace("'", "").isalpha() for piece in pieces
    )


def _tokens_at_most(pieces: list[str]) -> int:
    """A bound of the tokens in these pieces: a word is one, "8am" and the like are never four."""
    return 3 * len(pieces) - 2 * sum(map(str.isalpha, pieces))


def _language(shorter: str, pieces: list[str], longer: str, of_edges: list[str]) -> Lexicon | None:
    """The language of both; None where they are of two, or of none that is known."""
    said = [piece.lower() for piece in pieces]
    more = said + [piece.lower() for piece in of_edges]
    one, other = guess_language(shorter.lower(), said), guess_language(longer.lower(), more)
    if one is not None and other is not None and one is not other:
        return None
    return one or other or guess_by_vocabulary(said + more)


def _says_something(pieces: list[str], lexicon: Lexicon) -> bool:
    """Whether a text is certainly no courtesy, which its words mostly tell without analysing it.

    One known word that no courtesy is made of would do, but for a few Spanish orders ("ayúdeme").
    """
    vocabulary, courtesies = lexicon.vocabulary, _of_courtesies(lexicon)
    found = 0
    for word in pieces:  # one with a capital may be a name in a greeting
        if word in vocabulary and word not in courtesies:
            found += 1
            if found == _ENOUGH_WORDS:
                return True
    return False


@cache
def _of_courtesies(lexicon: Lexicon) -> frozenset[str]:
    """The words that courtesies are made of, and all that may be left out of a text."""
    plain = lexicon.omissible.union(
        words_of_courtesies(lexicon),
        FILLERS,
        lexicon.notable,
        lexicon.conjunctions,
        lexicon.possessives,
        lexicon.genders,
        lexicon.fronting,
        lexicon.reports,
    )
    # Those of phrases are written without the accents that the text may have.
    return plain.union(word for word in lexicon.vocabulary if without_accents(word) in plain)


def _is_courtesy(text: str, lexicon: Lexicon) -> bool:
    tokens = tokenise(text, _LONGEST_COURTESY)
    return tokens is not None and courtesies_in(tokens, lexicon) is not None


@lru_cache(maxsize=2_000)
def _courtesies_in(edge: str, lexicon: Lexicon) -> frozenset[Kind] | None:
    """The kinds of the courtesies that an edge is; None where it says anything else."""
    tokens = tokenise(edge, _LONGEST_EDGES)
    said = None if tokens is None else courtesies_in(tokens, lexicon)
    return None if said is None else frozenset(said.notes)

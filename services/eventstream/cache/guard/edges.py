"""Texts that differ only by sentences of courtesy before or behind: seen without reading the rest.

"Hello! My parcel is late. Thanks!" is its middle sentence. What both texts have in common says the
same in both, so only what one of them has beyond it is analysed, in a third of the time.
"""

from eventstream.cache.guard.analysis import courtesies_in
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon
from eventstream.cache.guard.tokens import Token, TokenType

_ENDS = (TokenType.STOP, TokenType.QUESTION)
_MOST_TOKENS = 40
_LONGEST_COURTESY = 24
"""A shorter text may be nothing but courtesies itself; then they are what it says."""


def courtesy_around(a: list[Token], b: list[Token], lexicon: Lexicon) -> frozenset[Kind] | None:
    """The kinds of courtesy that one text has before or behind the other; None for other pairs."""
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    more = len(longer) - len(shorter)
    if not shorter or not 0 < more <= _MOST_TOKENS:
        return None
    before = next((at for at in range(more + 1) if _is_at(shorter, longer, at)), None)
    if before is None:
        return None
    if len(shorter) <= _LONGEST_COURTESY and courtesies_in(shorter, lexicon) is not None:
        return None
    kinds: set[Kind] = set()
    for edge in (longer[:before], longer[before + len(shorter) :]):
        if edge:
            said = courtesies_in(edge, lexicon)
            if said is None:
                return None
            kinds |= said.notes.keys()
    return frozenset(kinds)


def _is_at(part: list[Token], tokens: list[Token], at: int) -> bool:
    """Whether `part` is a row of whole sentences in `tokens`, from `at` on."""
    end = at + len(part)
    return (
        # Before its first token there may be a space.
        tokens[at][:2] == part[0][:2]
        and tokens[at + 1 : end] == part[1:]
        and (not at or tokens[at - 1].type in _ENDS)
        and (end == len(tokens) or tokens[end - 1].type in _ENDS)
    )

"""Texts that differ only by sentences of courtesy before or behind: seen without reading the rest.

"Hello! My parcel is late. Thanks!" is its middle sentence. What both texts have in common says the
same in both, so only what one of them has beyond it is analysed, in a third of the time.
"""

from eventstream.cache.guard.analysis import courtesies_in
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon
from eventstream.cache.guard.tokens import Token, TokenType

_ENDS = (TokenType.STOP, TokenType.QUESTION)
_LONGEST_COURTESY = 24
"""A shorter text may be nothing but courtesies itself; then they are what it says."""


def courtesy_around(a: list[Token], b: list[Token], lexicon: Lexicon) -> frozenset[Kind] | None:
    """The kinds of courtesy that one text has before or behind the other; None for other pairs."""
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    if not shorter or len(longer) == len(shorter):
        return None
    behind = _behind(longer, shorter)
    before = len(longer) - len(shorter) - behind
    if before < 0 or not _same(longer[before : len(longer) - behind], shorter):
        return None
    if before and longer[before - 1].type not in _ENDS:
        return None
    if behind and longer[-behind - 1].type not in _ENDS:
        return None
    if len(shorter) <= _LONGEST_COURTESY and courtesies_in(shorter, lexicon) is not None:
        return None
    kinds: set[Kind] = set()
    for edge in (longer[:before], longer[len(longer) - behind :]):
        if edge:
            said = courtesies_in(edge, lexicon)
            if said is None:
                return None
            kinds |= said.notes.keys()
    return frozenset(kinds)


def _behind(longer: list[Token], shorter: list[Token]) -> int:
    """How many tokens `longer` has behind the last place where `shorter` may end in it."""
    last = shorter[-1].text
    for behind in range(len(longer) - len(shorter) + 1):
        if longer[-behind - 1].text == last:
            return behind
    return len(longer)


def _same(a: list[Token], b: list[Token]) -> bool:
    """Whether two texts have the same tokens; before the first of them there may be a space."""
    return a[1:] == b[1:] and a[0][:2] == b[0][:2]

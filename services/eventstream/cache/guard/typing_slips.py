"""Tells a slip of the keyboard from another word: "recieved" is "received".

Only words on a list of long ones count, each of which was checked beforehand: no slip of one
letter inside it makes another word. "Contract" is not on it, because "contact" is one.
"""

from eventstream.cache.guard.inflection import without_accents

_SHORTEST = 6


def is_slip(one: str, other: str, long_words: frozenset[str]) -> bool:
    """Whether one of two words is on the list, and the other is it with one letter too many, one
    too few, a wrong one, or two neighbours exchanged, anywhere but at its ends."""
    if abs(len(one) - len(other)) > 1 or max(len(one), len(other)) < _SHORTEST:
        return False
    if one[0] != other[0] or one[-1] != other[-1]:
        return False
    one, other = without_accents(one), without_accents(other)
    if (one in long_words) == (other in long_words):
        return False
    return _one_edit(one, other)


def _one_edit(one: str, other: str) -> bool:
    start = 0
    shorter = min(len(one), len(other))
    while start < shorter and one[start] == other[start]:
        start += 1
    end = 0
    while end < shorter - start and one[-1 - end] == other[-1 - end]:
        end += 1
    middle_one, middle_other = one[start : len(one) - end], other[start : len(other) - end]
    if max(len(middle_one), len(middle_other)) <= 1:
        return True
    return len(middle_one) == 2 and middle_one == middle_other[::-1]

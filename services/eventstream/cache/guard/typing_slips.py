"""Tells a slip of the keyboard from another word: "recieved" is "received".

Only words on a list of long ones count, each of which was checked beforehand: no slip of one
letter inside it makes another word. "Contract" is not on it, because "contact" is one. Spanish
verbs have too many forms for that ("revisa", "revista"), and so has "re-" in English ("returned",
"retuned"): there only an exchange of two neighbours counts, and nowhere a word that is known.
"""

from collections.abc import Mapping, Set
from functools import cache
from string import ascii_lowercase

from eventstream.cache.guard.inflection import without_accents
from eventstream.cache.guard.lexicon import Lexicon

_SHORTEST = 5
_SHORTEST_MISSPELT = 7
_SHORTEST_WITHOUT = 8
_CONFUSED = (frozenset("aeiou"), frozenset("aeiouy"), frozenset("cs"), frozenset("sz"))
"""Letters that stand for one sound: "docter" is a doctor, "emergancy" an emergency."""
_MAX_KNOWN = 4096
_PREFIXES = ("re", "un", "de", "mis", "pre")
"""They make words that no dictionary has all of."""


def is_slip(one: str, other: str, lexicon: Lexicon) -> bool:
    """Whether one of two words is on the list, and the other is no word but that one with two
    neighbours exchanged or, in English and behind no prefix, one letter too many or too few,
    anywhere but at its ends.

    A wrong letter too often makes another word ("paintings" and "printings"), so in English only
    one that sounds alike counts, in words of seven letters or more.
    """
    return _is_slip(
        one, other, lexicon.long_words, lexicon.vocabulary, lexicon.code == "es"
    ) or slips_of(lexicon).are_one(one, other)


def _is_slip(
    one: str, other: str, long_words: Set[str], vocabulary: Set[str], exchanged_only: bool
) -> bool:
    if abs(len(one) - len(other)) > 1 or max(len(one), len(other)) < _SHORTEST:
        return False
    if one[0] != other[0] or one[-1] != other[-1]:
        return False
    plain_one, plain_other = without_accents(one), without_accents(other)
    if (plain_one in long_words) == (plain_other in long_words):
        return False
    unlisted = {other, plain_other} if plain_one in long_words else {one, plain_one}
    exchanged_only = exchanged_only or plain_one.startswith(_PREFIXES)
    return vocabulary.isdisjoint(unlisted) and _one_edit(plain_one, plain_other, exchanged_only)


class Slips:
    """Finds the listed word behind a slip, so that phrases which it is part of are found too."""

    def __init__(
        self,
        long_words: Set[str],
        vocabulary: Set[str],
        slip_words: Set[str] = frozenset(),
        *,
        exchanged_only: bool = False,
    ) -> None:
        self._slip_words = slip_words
        self._long_words = long_words
        self._vocabulary = vocabulary
        self._exchanged_only = exchanged_only
        # A longer word is no slip of any, and to look for one takes the square of its length.
        self._longest = max(map(len, (*long_words, *slip_words)), default=0)
        self._shortened: Mapping[str, frozenset[str]] | None = None
        self._known: dict[str, str] = {}

    def meant(self, word: str) -> str:
        """The one listed word that `word` (lower case) is a slip of; `word` when there is none."""
        if not _SHORTEST - 1 <= len(word) <= self._longest + 1:
            return word
        found = self._known.get(word)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[word] = self._search(word)
        return found

    def are_one(self, one: str, other: str) -> bool:
        """Whether one of two words is a slip of the other, by the list of slips that are told."""
        if abs(len(one) - len(other)) > 1 or one[0] != other[0] or not self._slip_words:
            return False
        return self.meant(one) == other or self.meant(other) == one

    def _search(self, word: str) -> str:
        plain = without_accents(word)
        if plain in self._long_words or plain in self._vocabulary or plain in self._slip_words:
            return word
        if self._slip_words and word.isalpha() and word.isascii():
            told = _before_slip(word) & self._slip_words
            if told:
                return told.pop() if len(told) == 1 else word
        if self._shortened is None:
            table: dict[str, set[str]] = {}
            for long_word in self._long_words:
                for short in _one_letter_less(long_word):
                    table.setdefault(short, set()).add(long_word)
            self._shortened = {short: frozenset(words) for short, words in table.items()}
        near = {
            candidate
            for short in _one_letter_less(plain)
            for candidate in self._shortened.get(short, ())
            if _is_slip(word, candidate, self._long_words, self._vocabulary, self._exchanged_only)
        }
        return near.pop() if len(near) == 1 else word


@cache
def slips_of(lexicon: Lexicon) -> Slips:
    """The slips of a language, indexed once."""
    return Slips(
        lexicon.long_words,
        lexicon.vocabulary,
        lexicon.slip_words,
        exchanged_only=lexicon.code == "es",
    )


def _before_slip(word: str) -> set[str]:
    """What may have been meant: two neighbours exchanged but for the first, a letter doubled or
    one of a double left out, and in long words any letter left out."""
    size = len(word)
    meant = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(1, size - 1)}
    meant |= {word[:at] + word[at] + word[at:] for at in range(size)}
    meant |= {word[:at] + word[at + 1 :] for at in range(size - 1) if word[at] == word[at + 1]}
    if size >= _SHORTEST_WITHOUT - 1:
        meant |= {
            word[:at] + letter + word[at:] for at in range(1, size) for letter in ascii_lowercase
        }
    return meant


def _one_letter_less(word: str) -> set[str]:
    return {word} | {word[:at] + word[at + 1 :] for at in range(1, len(word) - 1)}


def _one_edit(one: str, other: str, exchanged_only: bool) -> bool:
    start = 0
    shorter = min(len(one), len(other))
    while start < shorter and one[start] == other[start]:
        start += 1
    end = 0
    while end < shorter - start and one[-1 - end] == other[-1 - end]:
        end += 1
    middle_one, middle_other = one[start : len(one) - end], other[start : len(other) - end]
    if max(len(middle_one), len(middle_other)) <= 1:
        if exchanged_only or len(one) != len(other):
            return not exchanged_only
        changed = {middle_one, middle_other}
        return shorter >= _SHORTEST_MISSPELT and any(map(changed.issubset, _CONFUSED))
    return len(middle_one) == 2 and middle_one == middle_other[::-1]

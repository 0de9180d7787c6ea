"""Words that say the same only beside certain others: "flat" and "apartment" beside "rent".

`words/english_senses.txt` names for each word what it may stand for and the words that show it.
A word whose neighbours say nothing stays what it is.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from eventstream.cache.guard.inflection import english_forms
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.lexicon import words
from eventstream.cache.guard.tokens import TokenType
from eventstream.cache.guard.wordlists import read_lines


class _Sense(NamedTuple):
    meant: str
    near: frozenset[str]
    never: frozenset[str]


@cache
def _senses() -> Mapping[str, tuple[_Sense, ...]]:
    table: dict[str, list[_Sense]] = {}
    for line in read_lines("english_senses.txt"):
        pairs, _, neighbours = line.partition(" : ")
        near, _, never = neighbours.partition("!")
        for pair in pairs.split(","):
            word, meant = pair.split()
            table.setdefault(word, []).append(_Sense(meant, words(near), words(never)))
    return {word: tuple(senses) for word, senses in table.items()}


def with_senses(items: list[Item]) -> list[Item]:
    """The items, each word with the others that it stands for beside its neighbours."""
    table = _senses()
    if table.keys().isdisjoint([item.word for item in items]):
        return items
    said: set[str] = set()
    for item in items:
        if item.type is TokenType.WORD:
            for part in item.word.split("_"):
                said |= english_forms(part)
    result = []
    for item in items:
        meant = [
            sense.meant
            for sense in table.get(item.word, ())
            if not sense.near.isdisjoint(said) and sense.never.isdisjoint(said)
        ]
        if meant:
            forms = english_forms(item.word).union(*map(english_forms, meant))
            item = Item(item.type, item.word, item.text, item.attached, item.plain, forms)
        result.append(item)
    return result

"""Tells which of its senses a Spanish word has, where the words around it say so.

"El carro" is a car beside "aparcar" and may be a cart elsewhere; a list of synonyms cannot tell.
So each line of `words/spanish_senses.txt` names the evidence that it takes, and a text without
any keeps its word. Each text is read by itself.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from eventstream.cache.guard.conjugation import spanish_verb
from eventstream.cache.guard.inflection import without_accents
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType
from eventstream.cache.guard.wordlists import read_lines

_ORDINALS = frozenset(
    [
        "primer",
        "primero",
        "segundo",
        "tercer",
        "tercero",
        "cuarto",
        "quinto",
        "sexto",
        "séptimo",
        "octavo",
        "noveno",
        "décimo",
        "último",
    ]
)
_MAX_WORDS = 60


class _Sense(NamedTuple):
    meant: str
    words: frozenset[str]
    beginnings: tuple[str, ...]

    def shown_by(self, said: set[str]) -> bool:
        return not self.words.isdisjoint(said) or any(
            word.startswith(self.beginnings) for word in said if self.beginnings
        )


@cache
def _senses() -> Mapping[str, tuple[_Sense, ...]]:
    table: dict[str, tuple[_Sense, ...]] = {}
    for line in read_lines("spanish_senses.txt"):
        head, _, evidence = line.partition(":  " if ":  " in line else " : ")
        part, word, meant = head.split()
        listed = evidence.split()
        beginnings = tuple(each[:-1] for each in listed if each.endswith("*"))
        exact = frozenset(each for each in listed if not each.endswith("*"))
        for form, stands_for in _forms(part, word, meant):
            table[form] = (*table.get(form, ()), _Sense(stands_for, exact, beginnings))
    return table


def _forms(part: str, word: str, meant: str) -> list[tuple[str, str]]:
    if part == "v":
        forms = dict(spanish_verb(meant))
        return [
            (form, forms[tag]) for tag, form in spanish_verb(word) if tag in forms and tag[0] != "_"
        ]
    pairs = [(word, meant), (_plural(word), _plural(meant))]
    if part == "a" and word[-1] == "o":
        feminine = (word[:-1] + "a", meant[:-1] + "a" if meant[-1] == "o" else meant)
        pairs += [feminine, (_plural(feminine[0]), _plural(feminine[1]))]
    return pairs


def _plural(word: str) -> str:
    if word.endswith("ón"):
        return word[:-2] + "ones"
    return word + ("s" if word[-1] in "aeiouáéó" else "" if word[-1] == "s" else "es")


@cache
def _entering() -> frozenset[str]:
    return frozenset(
        form for verb in ("entrar", "acceder", "ingresar") for _, form in spanish_verb(verb)
    )


def entered(items: list[Item]) -> list[Item]:
    """The items with "entrar en" for "entrar a": both are said of a place or a page."""
    entering = _entering()
    return [
        Item(TokenType.WORD, "en", "en", item.attached, "en")
        if item.word == "a" and at and items[at - 1].word in entering
        else item
        for at, item in enumerate(items)
    ]


def in_their_sense(items: list[Item], analysis: Analysis) -> list[Item]:
    """The items with each word of several senses as the one that its text shows it to have."""
    table = _senses()
    if not any(item.word in table for item in items) or len(items) > _MAX_WORDS:
        return items
    said = {item.plain for item in items if item.plain}
    result = list(items)
    for at, item in enumerate(items):
        others = said - {item.plain}
        for sense in table.get(item.word, ()):
            if at and items[at - 1].word in _ORDINALS:
                break
            if sense.shown_by(others):
                analysis.note(Kind.SYNONYM, item.word)
                meant = sense.meant
                result[at] = Item(
                    TokenType.WORD, meant, meant, item.attached, without_accents(meant)
                )
                break
    return result

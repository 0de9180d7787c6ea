"""Brings sentences that are built differently into one shape ("how tall is X": "the height of X").

A template is a whole sentence with slots. It rewrites each text by itself, without looking at the
other, so two texts come out alike only when they fill the same slots of the same shape. Shapes of
two sides ("A is older than B") take plain names of things only: "only A" does not change sides.
"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import takewhile
from operator import contains

from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType
from eventstream.cache.guard.wordlists import read_lines

_MAX_ITEMS = 40
"""Longer sentences are left as they are: it bounds the time, and templates are for short ones."""

_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
_FIRST_OF_SLOT = {
    "ing": re.compile(r"\w{2,}ing(?:_\w+)?"),
    "inf": re.compile(r"\w+(?:[aei]r|ír)(?:me|te|se|nos)?"),
}
_ONE_OF_SLOT = {
    "est": re.compile(r"\w+est"),
    "one": re.compile(r"\w+"),
    "me": re.compile("me|us|him|her|them"),
}
_SHORT = 3
_ASKS_WITH_PREPOSITION = words("by from until a de en por con para desde hasta")
_ENGLISH_HELPERS = words("do does did is are was were has have can could will would")
_SIDES = frozenset({"a", "b"})
_DENYING = words("no not ya_no nunca never sin without")
_OPERATORS = (Kind.QUANTIFIER, Kind.NEGATION)
_NO_SIDES = (*_OPERATORS, Kind.MODALITY, Kind.TENSE)
_CHOOSING = words(
    "only just even each every both most any either neither none everyone everybody nobody anyone"
    " solo sólo solamente únicamente unicamente hasta cada ningun ningún ninguno ninguna todos"
    " todas"
)
"""They choose among others, and what they choose from stays on their side."""
_MAX_SIDE = 3
_ENDS = frozenset({TokenType.STOP, TokenType.QUESTION})


@dataclass(frozen=True)
class _Part:
    """One word of a shape, one of several, or a slot (then `name` says which)."""

    words: frozenset[str]
    optional: bool = False
    name: str = ""
    kind: str = ""

    @classmethod
    def read(cls, written: str) -> "_Part":
        """A part as the lists have it."""
        slot = _SLOT.fullmatch(written)
        if slot is not None:
            return cls(frozenset(), name=slot.group(1), kind=slot.group(2) or "")
        optional = written[-1] == "?"
        return cls(frozenset(written.removesuffix("?").split("/")), optional)

    @property
    def certain(self) -> bool:
        """Whether a sentence has one of these words, or does not fit."""
        return not self.name and not self.optional

    def lengths(self, words: Sequence[str], at: int) -> Iterable[int]:
        """How many of the words at `at` it may take, in the order in which to try."""
        if at == len(words):
            return (0,) if self.optional else ()
        word = words[at]
        if not self.name:
            taken = (1,) if word in self.words else ()
            return (*taken, 0) if self.optional else taken
        one = _ONE_OF_SLOT.get(self.kind)
        if one is not None:
            if one.fullmatch(word):
                return (1,)
            longer = self.kind == "est" and word == "most" and at + 1 < len(words)
            return (2,) if longer and _ONE_OF_SLOT["one"].fullmatch(words[at + 1]) else ()
        first = _FIRST_OF_SLOT.get(self.kind)
        return range(1, len(words) - at + 1) if first is None or first.fullmatch(word) else ()


@dataclass(frozen=True)
class _Template:
    number: int
    shape: tuple[_Part, ...]
    result: tuple[str, ...]
    asks: bool

    @cached_property
    def denies(self) -> bool:
        """Whether one of its own words is a negation."""
        own = {word for part in self.shape for word in part.words} | set(self.result)
        return not own.isdisjoint(_DENYING)

    @cached_property
    def _certain(self) -> tuple[frozenset[str], ...]:
        return tuple(part.words for part in self.shape if part.certain)

    @cached_property
    def _tail(self) -> tuple[frozenset[str], ...]:
        """The words that a sentence has to end with, the last first."""
        return tuple(part.words for part in takewhile(_is_certain, reversed(self.shape)))

    def match(self, words: Sequence[str], present: Set[str]) -> Mapping[str, slice] | None:
        """What the slots take of a whole sentence; None when it has another shape.

        `present` are its words. Slots take as little as they can, the first one first.
        """
        if any(map(present.isdisjoint, self._certain)):
            return None
        if not all(map(contains, self._tail, reversed(words))):
            return None
        return self._fit(words, 0, 0)

    def _fit(self, words: Sequence[str], position: int, at: int) -> dict[str, slice] | None:
        if position == len(self.shape):
            return {} if at == len(words) else None
        part = self.shape[position]
        for length in part.lengths(words, at):
            found = self._fit(words, position + 1, at + length)
            if found is not None:
                if part.name:
                    found[part.name] = slice(at, at + length)
                return found
        return None


def _is_certain(part: _Part) -> bool:
    return part.certain


def _number(template: _Template) -> int:
    return template.number


def _rarest(parts: Iterable[_Part]) -> Iterable[str]:
    """The words of which a sentence has to have one, those of the part that is least frequent (the
    longest); an empty one when all parts can be without."""
    certain = filter(_is_certain, parts)
    rarest = max(certain, key=lambda part: max(map(len, part.words)), default=None)
    return rarest.words if rarest is not None else ("",)


class Templates:
    """The templates of one language, found by words that they begin with and have to contain."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._determiners = (
            lexicon.articles
            | lexicon.possessives
            | lexicon.light
            | lexicon.near_demonstratives
            | lexicon.far_demonstratives
        )
        self._questions = lexicon.questions | _ASKS_WITH_PREPOSITION
        self._first: dict[str, dict[str, list[_Template]]] = {}
        self._inner: dict[str, list[_Template]] = {}
        result: tuple[str, ...] = ()
        asks = False
        for number, line in enumerate(read_lines(lexicon.templates)):
            if line.startswith("["):
                words = line.strip("[]").split()
                asks = words[0] == "?"
                result = tuple(words[1:] if asks else words)
                continue
            parts = [_Part.read(part) for part in line.split()]
            template = _Template(number, tuple(parts), result, asks)
            if parts[0].name:
                for key in _rarest(parts):
                    self._inner.setdefault(key, []).append(template)
                continue
            rarest = _rarest(parts[1:])
            for first in parts[0].words:
                for key in rarest:
                    self._first.setdefault(first, {}).setdefault(key, []).append(template)

    def apply(
        self, items: list[Item], moods: dict[int, bool], analysis: Analysis
    ) -> tuple[list[Item], dict[int, bool]]:
        """The items and moods with each sentence that fits a template in its shape."""
        result: list[Item] = []
        new_moods: dict[int, bool] = {}
        start = 0
        while start < len(items):
            end = start
            while end < len(items) and items[end].type not in _ENDS:
                end += 1
            asks = end < len(items) and items[end].type is TokenType.QUESTION
            asks = asks or (bool(moods) and any(moods.get(at, False) for at in range(start, end)))
            rewritten = self._rewritten(items[start:end], asks)
            if rewritten is not None:
                rewritten = self._rewritten(rewritten[0], rewritten[1]) or rewritten
            if rewritten is None:
                for position, mood in moods.items():
                    if start <= position < end:
                        new_moods[len(result) + position - start] = mood
                result += items[start:end]
            else:
                shaped, template_asks = rewritten
                analysis.note(Kind.REQUEST, " ".join(item.word for item in items[start:end]))
                said = next((moods[at] for at in range(start, end) if at in moods), None)
                if template_asks or said is not None:
                    new_moods[len(result)] = template_asks or bool(said)
                result += shaped
            result += items[end : end + 1]
            start = end + 1
        return result, new_moods

    def _rewritten(self, sentence: Sequence[Item], asks: bool) -> tuple[list[Item], bool] | None:
        skipped = 0
        while skipped < len(sentence) and sentence[skipped].type is TokenType.PAUSE:
            skipped += 1
        sentence = sentence[skipped:]
        if not 2 <= len(sentence) <= _MAX_ITEMS:
            return None
        words = [_written(item) for item in sentence]
        opens = words[0] in _ENGLISH_HELPERS
        asks = asks or words[0] in self._questions
        present = dict.fromkeys(words)
        candidates = self._candidates(words[0], present.keys())
        for template in candidates:
            if template.asks and not asks:
                continue
            if opens and template.shape[0].name and not template.asks:
                continue  # "does it have Wi-Fi" is not "it has Wi-Fi"
            slots = template.match(words, present.keys())
            if slots is not None and self._keeps_scope(template, slots, sentence):
                return _filled(template.result, slots, sentence), template.asks
        return None

    def _keeps_scope(
        self, template: _Template, slots: Mapping[str, slice], sentence: Sequence[Item]
    ) -> bool:
        """Whether nothing changes sides with a quantifier: in a comparison or the like no side has
        a part of its own sentence in it, and beside a negation no slot says how many."""
        if template.denies and any(
            self._lexicon.closed_classes.get(item.word) in _OPERATORS or item.word in _CHOOSING
            for slot in slots.values()
            for item in sentence[slot]
        ):
            return False
        if not slots.keys() >= _SIDES:
            return True
        return all(map(self._says_nothing_else, map(sentence.__getitem__, slots.values()))) and all(
            self._names(sentence[slots[side]]) for side in _SIDES
        )

    def _says_nothing_else(self, slot: Sequence[Item]) -> bool:
        """Whether a slot is without quantifiers, negations and verbs ("only Ana", "no phone")."""
        lexicon = self._lexicon
        for item in slot:
            kind = lexicon.closed_classes.get(item.word)
            verb = item.word in lexicon.synonyms.verbal and item is not slot[-1]
            if verb or kind in _NO_SIDES or item.word in _CHOOSING or item.word in lexicon.reports:
                return False
        return True

    def _names(self, side: Sequence[Item]) -> bool:
        """Whether `side` is a word, a name, or an article or the like with a word or two behind it:
        too short for a sentence of its own ("the boss noticed Ana")."""
        if len(side) == 1:
            return True
        shouted = all(item.text.isupper() for item in side)
        named = all(item.text[:1].isupper() or item.type is TokenType.NUMBER for item in side)
        determined = side[0].word in self._determiners
        return (named and not shouted) or (determined and len(side) <= _MAX_SIDE)

    def _candidates(self, first: str, present: Set[str]) -> list[_Template]:
        """The templates that a sentence may fit, those with its first word before the others."""
        begun = self._first.get(first, {})
        candidates = [template for word in begun.keys() & present for template in begun[word]]
        candidates += begun.get("", ())
        candidates.sort(key=_number)
        for word in present:
            candidates += self._inner.get(word, ())
        return candidates


@cache
def templates_of(lexicon: Lexicon) -> Templates:
    """The templates of a language, read once."""
    return Templates(lexicon)


def _written(item: Item) -> str:
    """What templates are matched on: no accents, but "llegó" is not "llego"."""
    if len(item.word) > _SHORT and item.word[-1] in "óéí":
        return item.word
    return item.plain or item.text.replace(" ", "_")


def _filled(
    result: tuple[str, ...], slots: Mapping[str, slice], sentence: Sequence[Item]
) -> list[Item]:
    shaped: list[Item] = []
    for part in result:
        slot = _SLOT.fullmatch(part)
        if slot is None:
            shaped.append(Item(TokenType.WORD, part, part, False, part))
        elif slot.group(1) in slots:  # some shapes are without this part
            shaped += sentence[slots[slot.group(1)]]
    return shaped

"""Brings sentences that are built differently into one shape ("how tall is X": "the height of X").

A template is a whole sentence with slots. It rewrites each text by itself, without looking at the
other, so two texts come out alike only when they fill the same slots of the same shape.
"""

import re
from collections.abc import Sequence, Set
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
_SLOT_PATTERNS = {
    "": r"(?:\S+ )+?",
    "ing": r"\w{2,}ing(?:_\w+)? (?:\S+ )*?",
    "inf": r"\w+(?:[aei]r|ír)(?:me|te|se|nos)? (?:\S+ )*?",
    "est": r"(?:\w+est|most \w+) ",
    "one": r"\w+ ",
    "me": r"(?:me|us|him|her|them) ",
}
_SHORT = 3
_ASKS_WITH_PREPOSITION = words("by from until a de en por con para desde hasta")
_ENDS = frozenset({TokenType.STOP, TokenType.QUESTION})


@dataclass(frozen=True)
class _Template:
    shape: tuple[str, ...]
    result: tuple[str, ...]
    asks: bool

    @cached_property
    def _literals(self) -> tuple[frozenset[str], ...]:
        return tuple(map(_alternatives, filter(_is_literal, self.shape)))

    @cached_property
    def _head(self) -> tuple[frozenset[str], ...]:
        return tuple(map(_alternatives, takewhile(_is_literal, self.shape)))

    @cached_property
    def _tail(self) -> tuple[frozenset[str], ...]:
        return tuple(map(_alternatives, takewhile(_is_literal, reversed(self.shape))))

    def may_fit(self, words: Sequence[str], present: Set[str]) -> bool:
        """Whether a sentence is worth the pattern, which costs far more: most are not."""
        return (
            all(map(contains, self._head, words))
            and all(map(contains, self._tail, reversed(words)))
            and not any(map(present.isdisjoint, self._literals))
        )

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Compiled when a sentence first comes close to it: most are never needed."""
        return re.compile("".join(map(_regex, self.shape)) + "$")


class Templates:
    """The templates of one language, found by a word that they begin with or have to contain."""

    def __init__(self, name: str, questions: frozenset[str]) -> None:
        self._questions = questions
        self._first: dict[str, list[_Template]] = {}
        self._inner: dict[str, list[_Template]] = {}
        result: tuple[str, ...] = ()
        asks = False
        for line in read_lines(name):
            if line.startswith("["):
                words = line.strip("[]").split()
                asks = words[0] == "?"
                result = tuple(words[1:] if asks else words)
                continue
            parts = line.split()
            template = _Template(tuple(parts), result, asks)
            if parts[0].startswith("{"):
                keys = max(filter(_is_literal, parts), key=len)
                index = self._inner
            else:
                keys, index = parts[0], self._first
            for key in keys.split("/"):
                index.setdefault(key, []).append(template)

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
            asks = any(moods.get(at, False) for at in range(start, end)) or (
                end < len(items) and items[end].type is TokenType.QUESTION
            )
            rewritten = self._rewritten(items[start:end], asks)
            if rewritten is not None:
                rewritten = self._rewritten(rewritten[0], rewritten[1]) or rewritten
            if rewritten is None:
                for position in range(start, end):
                    if position in moods:
                        new_moods[len(result) + position - start] = moods[position]
                result += items[start:end]
            else:
                shaped, template_asks = rewritten
                analysis.note(Kind.REQUEST, " ".join(item.word for item in items[start:end]))
                mood = next((moods[at] for at in range(start, end) if at in moods), None)
                if template_asks or mood is not None:
                    new_moods[len(result)] = template_asks or bool(mood)
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
        written = " ".join(words) + " "
        asks = asks or words[0] in self._questions
        candidates = list(self._first.get(words[0], ()))
        present = dict.fromkeys(words)
        for word in present:
            candidates += self._inner.get(word, ())
        for template in candidates:
            if (template.asks and not asks) or not template.may_fit(words, present.keys()):
                continue
            match = template.pattern.match(written)
            if match is not None:
                return _filled(template.result, match, written, sentence), template.asks
        return None


def templates_of(lexicon: Lexicon) -> Templates:
    """The templates of a language, read once."""
    return _read(lexicon.templates, lexicon.questions | _ASKS_WITH_PREPOSITION)


@cache
def _read(name: str, questions: frozenset[str]) -> Templates:
    return Templates(name, questions)


def _written(item: Item) -> str:
    """What templates are matched on: no accents, but "llegó" is not "llego"."""
    if len(item.word) > _SHORT and item.word[-1] in "óéí":
        return item.word
    return item.plain or item.text.replace(" ", "_")


def _is_literal(part: str) -> bool:
    """Whether a sentence must have this word, or one of these; else it is a slot or optional."""
    return part[0] != "{" and part[-1] != "?"


def _alternatives(part: str) -> frozenset[str]:
    return frozenset(part.split("/"))


def _regex(part: str) -> str:
    slot = _SLOT.fullmatch(part)
    if slot is not None:
        return f"(?P<{slot.group(1)}>{_SLOT_PATTERNS[slot.group(2) or '']})"
    optional = not _is_literal(part)
    words = "|".join(map(re.escape, part.removesuffix("?").split("/")))
    return f"(?:(?:{words}) )" + ("?" if optional else "")


def _filled(
    result: tuple[str, ...], match: re.Match[str], written: str, sentence: Sequence[Item]
) -> list[Item]:
    shaped: list[Item] = []
    for part in result:
        slot = _SLOT.fullmatch(part)
        if slot is None:
            shaped.append(Item(TokenType.WORD, part, part, False, part))
            continue
        if slot.group(1) not in match.re.groupindex:
            continue  # a shape without this part
        start, end = match.span(slot.group(1))
        shaped += sentence[written.count(" ", 0, start) : written.count(" ", 0, end)]
    return shaped

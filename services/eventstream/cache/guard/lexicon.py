"""The shape of a language's closed word classes, and how their tables are written down."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.quantities import CURRENCIES

_NONE: frozenset[int] = frozenset()


class Position(Enum):
    """Where a fixed phrase counts as one."""

    ANY = "any"
    START = "start"  # at the start of the text
    EDGE = "edge"  # a sentence or clause of its own, at either end of the text
    BEFORE_QUESTION = "before_question"  # a question word follows
    LEAD = "lead"  # at the start of the text, with at least two words behind it
    BEFORE_ORDER = "before_order"  # a verb from `order_verbs` follows
    BEFORE_INFINITIVE = "before_infinitive"  # a Spanish infinitive follows
    BEFORE_NUMBER = "before_number"  # a number follows
    CLOSING = "closing"  # ends a letter: nothing but a name may follow


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand for `replacement`; an empty one is left out and noted as `kind`."""

    words: tuple[str, ...]
    replacement: tuple[str, ...]
    kind: Kind
    position: Position


PhraseIndex = Mapping[str, Mapping[str, tuple[Phrase, ...]]]


class Synonyms(NamedTuple):
    """The groups that each word belongs to; two words with a group in common say the same.

    `verbal` are the groups of verb forms, which do not count behind an article.
    """

    words: Mapping[str, frozenset[int]]
    verbal: Mapping[str, frozenset[int]]

    def of(self, forms: Iterable[str], *, verbs: bool) -> set[int]:
        """The groups of a word that has these forms."""
        found: set[int] = set()
        for form in forms:
            found |= self.words.get(form, _NONE)
            if verbs:
                found |= self.verbal.get(form, _NONE)
        return found


@dataclass(frozen=True, eq=False)
class Lexicon:
    """One language. Words are lower-case; those of Spanish phrases carry no accents."""

    code: str
    markers: frozenset[str]
    articles: frozenset[str]
    light: frozenset[str]
    near_demonstratives: frozenset[str]
    far_demonstratives: frozenset[str]
    copulas: Mapping[str, str]
    helpers: frozenset[str]
    negations: frozenset[str]
    quantifiers: frozenset[str]
    modals: frozenset[str]
    persons: frozenset[str]
    tenses: frozenset[str]
    relations: frozenset[str]
    questions: frozenset[str]
    order_verbs: frozenset[str]
    possessives: frozenset[str]
    genders: Mapping[str, str]
    conjunctions: frozenset[str]
    fronting: frozenset[str]
    movable_verbs: frozenset[str]
    reports: frozenset[str]
    numbers: Mapping[str, int]
    ordinals: Mapping[str, int]
    months: Mapping[str, int]
    weekdays: Mapping[str, int]
    times: frozenset[str]
    synonyms: Synonyms
    opposites: Mapping[str, frozenset[int]]
    phrases: PhraseIndex
    templates: str
    long_words: frozenset[str]
    slip_words: frozenset[str] = frozenset()
    other_words: frozenset[str] = frozenset()  # right spellings that no other list has

    @cached_property
    def closed_classes(self) -> Mapping[str, Kind]:
        """Each word of a closed class with the kind of difference that a change of it makes."""
        classes = (
            (self.times, Kind.DATE_TIME),
            (self.relations, Kind.RELATION),
            (self.tenses, Kind.TENSE),
            (self.persons, Kind.PERSON),
            (self.modals, Kind.MODALITY),
            (self.quantifiers, Kind.QUANTIFIER),
            (self.negations, Kind.NEGATION),
        )
        return {word: kind for members, kind in classes for word in members}

    @cached_property
    def light_verbs(self) -> frozenset[str]:
        """The verbs that may be left out."""
        return self.helpers | self.copulas.keys()

    @cached_property
    def courtesies(self) -> PhraseIndex:
        """Of the phrases those that may stand inside others ("please")."""
        return self._chosen({Kind.COURTESY})

    @cached_property
    def shorthand(self) -> PhraseIndex:
        """Of the phrases those that only spell others out ("u": "you"), anywhere in a text."""
        return self._chosen({Kind.SPELLING, Kind.CONTRACTION})

    def _chosen(self, kinds: set[Kind]) -> PhraseIndex:
        return phrase_index(
            phrase
            for phrase in self._all_phrases
            if phrase.kind in kinds and phrase.position is Position.ANY
        )

    @cached_property
    def _all_phrases(self) -> Iterable[Phrase]:
        everything = (
            phrase
            for seconds in self.phrases.values()
            for entries in seconds.values()
            for phrase in entries
        )
        return tuple(dict.fromkeys(everything))

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """All words that are known of the language."""
        listed = self.synonyms.words.keys() | self.synonyms.verbal.keys()
        written = {word for phrase in self._all_phrases for word in phrase.words}
        return self.notable | self.long_words | self.other_words | listed | written

    @cached_property
    def omissible(self) -> frozenset[str]:
        """The words of phrases that may be left out, or be spelt or said in quite other words."""
        return frozenset(
            word
            for phrase in self._all_phrases
            if not phrase.replacement or phrase.kind is not Kind.SYNONYM
            for word in phrase.words
        )

    @cached_property
    def quantity_words(self) -> frozenset[str]:
        """The words that may be a number, a date or a currency."""
        dates = frozenset({*self.weekdays, *self.months})
        return dates | {*self.numbers, *self.ordinals, *CURRENCIES, "%"}

    @cached_property
    def amount_words(self) -> frozenset[str]:
        """The words that an amount may begin with: those and the parts of the clock."""
        return self.quantity_words | words("half quarter media cuarto")

    @cached_property
    def notable(self) -> frozenset[str]:
        """The words that may be more than content; all others are nothing else, wherever they
        stand (but behind a number, where they may be units)."""
        return (
            self.subjects
            | self.helpers
            | self.questions
            | self.amount_words
            | {*self.closed_classes, *self.copulas}
            | words("esta estan estas")  # without their accents
        )

    @cached_property
    def question_words(self) -> frozenset[str]:
        """The words that ask by themselves, unlike helper verbs."""
        return self.questions & self.relations

    @cached_property
    def subjects(self) -> frozenset[str]:
        """The words that turn a helper verb before them into the start of a question."""
        return (
            self.persons
            | self.articles
            | self.light
            | self.near_demonstratives
            | self.far_demonstratives
        )


def phrase_index(table: Iterable[Phrase]) -> PhraseIndex:
    """The phrases under their first word and their second, longest first.

    One of a single word stands under each second word, and under "" for all others.
    """
    by_words: dict[str, dict[str, list[Phrase]]] = {}
    for phrase in table:
        second = phrase.words[1] if len(phrase.words) > 1 else ""
        by_words.setdefault(phrase.words[0], {}).setdefault(second, []).append(phrase)
    return {
        first: {
            second: tuple(
                sorted(
                    [*entries, *(seconds.get("", ()) if second else ())],
                    key=lambda phrase: -len(phrase.words),
                )
            )
            for second, entries in seconds.items()
        }
        for first, seconds in by_words.items()
    }


def phrases_at(index: PhraseIndex, first: str, second: str) -> tuple[Phrase, ...]:
    """The phrases that may begin with these two words, longest first."""
    seconds = index.get(first)
    if seconds is None:
        return ()
    return seconds.get(second) or seconds.get("", ())


def groups(table: str) -> dict[str, frozenset[int]]:
    """For each word of `table` the numbers of the `|`-separated groups that it belongs to."""
    members: dict[str, set[int]] = {}
    for number, group in enumerate(table.split("|")):
        for word in group.split():
            members.setdefault(word, set()).add(number)
    return {word: frozenset(numbers) for word, numbers in members.items()}


def numbered(table: str, start: int = 0) -> dict[str, int]:
    """Each word of `table` with the number of its `|`-separated place."""
    return {
        word: number
        for number, words in enumerate(table.split("|"), start=start)
        for word in words.split()
    }


def words(table: str) -> frozenset[str]:
    """The words of `table`."""
    return frozenset(table.split())

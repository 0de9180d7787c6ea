"""Reads the lists of synonyms and fixed phrases in `words/`, once, when the guard is imported.

The lists are written for people: one line of synonyms names infinitives and singulars, and the
forms are made here. A phrase among synonyms ("get rid of") becomes one word wherever it stands.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files

from eventstream.cache.guard.conjugation import english_verb, spanish_verb
from eventstream.cache.guard.inflection import without_accents
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Phrase, Position, Synonyms

_HEADER = re.compile(r"\[(\w+) (\w+)\]\s*(.*)")
_SAME = "="
"""The tag of words that have no forms: nouns and the like, whose plurals `inflection` knows."""

Forms = Callable[[str], Iterator[tuple[str, str]]]


def read_lines(name: str) -> list[str]:
    """The lines of a list that are neither empty nor comments ("# ..."; "#there" is a word)."""
    text = (files(__package__) / "words" / name).read_text("utf-8")
    lines = map(str.strip, text.splitlines())
    return [line for line in lines if line and not line.startswith("# ")]


def read_phrases(name: str) -> tuple[Phrase, ...]:
    """The fixed phrases of a list: `[kind position] replacement`, then phrases between `|`.

    A line may go on below; a phrase may not.
    """
    blocks: list[tuple[str, list[str]]] = []
    for line in read_lines(name):
        if line.startswith("["):
            blocks.append((line, []))
        else:
            blocks[-1][1].append(line)
    table = []
    for header, lines in blocks:
        match = _HEADER.fullmatch(header)
        assert match is not None, header
        kind, position = Kind(match.group(1)), Position(match.group(2))
        replacement = tuple(match.group(3).split())
        for entry in " ".join(lines).split("|"):
            if entry.strip():
                table.append(Phrase(tuple(entry.split()), replacement, kind, position))
    return tuple(table)


def read_synonyms(name: str, language: str, *further: str) -> tuple[Synonyms, tuple[Phrase, ...]]:
    """The synonyms of one or more lists, and the phrases that have to become one word first."""
    numbers: dict[tuple[int, str], int] = {}
    members: dict[str, set[int]] = {}
    verbal: dict[str, set[int]] = {}
    phrases: dict[tuple[str, ...], str] = {}
    lines = [line for each in (name, *further) for line in read_lines(each)]
    for group, line in enumerate(lines):
        part, _, entries = line.partition(":")
        for entry in entries.split():
            for tag, form in _forms(entry, part, language):
                number = numbers.setdefault((group, tag), len(numbers))
                base = part == "v" and not tag.startswith("pp")
                (verbal if base else members).setdefault(form, set()).add(number)
                if "_" in form:
                    words = form.split("_")
                    if language == "es":
                        words = [without_accents(word) for word in words]
                    phrases[tuple(words)] = form
    table = tuple(
        Phrase(words, (form,), Kind.SYNONYM, Position.ANY) for words, form in phrases.items()
    )
    return Synonyms(_frozen(members), _frozen(verbal)), table


def _frozen(table: Mapping[str, set[int]]) -> dict[str, frozenset[int]]:
    return {word: frozenset(numbers) for word, numbers in table.items()}


def _forms(entry: str, part: str, language: str) -> Iterator[tuple[str, str]]:
    if part == "v":
        first, separator, rest = entry.partition("_")
        make: Forms = english_verb if language == "en" else spanish_verb
        behind = separator + re.sub(r":\w+", "", rest)
        for tag, form in make(first):
            yield tag, form + behind
        return
    yield _SAME, entry
    if part == "n" and "_" in entry:
        yield _SAME, entry + ("s" if entry[-1] not in "szx" else "")
    elif (
        part == "a"
        and language == "es"
        and entry.endswith("o")
        and ("_" not in entry or entry.startswith("muy_"))
    ):
        yield _SAME, entry[:-1] + "a"  # agreement: it says nothing that its noun does not

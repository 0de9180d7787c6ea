"""Filling a stream's output schema, as far as a model that can't write may.

A property is filled by what its name and its type say together: an enumeration is a
choice of labels, `sentiment`, `summary`, `language`, `topics`, `answer`, `confidence`,
`rating`, `word_count` and their Spanish names are what they say, a boolean is asked of
a known label (`is_complaint`, `urgente`). Optional properties that nothing fits are left out; a
required one is LocalModelCannot, never a guess. The whole is validated before it leaves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from eventstream.llm.local.classify import Classifier
from eventstream.llm.local.errors import LocalModelCannot
from eventstream.llm.local.general import Analyst
from eventstream.llm.local.reading import Reading
from eventstream.llm.local.sentiment import Sentiment
from eventstream.llm.local.words import lexicon_lines, words_of

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

_LIKELY = 0.5
_FIVE_STARS = 5


@dataclass(frozen=True)
class SchemaTask:
    """What there is to fill a schema with. `answer` gives the task's own answer as prose."""

    reading: Reading
    labels: tuple[str, ...]
    answer: Callable[[], str]


class _Unfillable(Exception):
    """A part of the schema that nothing here fits; the text says which."""


class SchemaFiller:
    """Fills schemas with what the other parts find out."""

    def __init__(self, classifier: Classifier, analyst: Analyst) -> None:
        self._classifier = classifier
        self._analyst = analyst

    def fill(self, schema: Mapping[str, object], task: SchemaTask) -> Json:
        """Return a value that the schema accepts; raises LocalModelCannot otherwise."""
        try:
            Draft202012Validator.check_schema(schema)
            value = self._value("", schema, task)
            problems = list(Draft202012Validator(schema, registry=Registry()).iter_errors(value))
        except SchemaError as error:
            raise LocalModelCannot(f"the output schema is not valid: {error.message}") from error
        except Unresolvable as error:
            raise LocalModelCannot(f"the output schema refers to {error.ref!r}") from error
        except _Unfillable as error:
            raise LocalModelCannot(str(error)) from error
        if problems:
            at = ".".join(str(part) for part in problems[0].absolute_path) or "the answer"
            raise LocalModelCannot(
                f"the output schema asks more of {at} than it can give: {problems[0].message}"
            )
        return value

    def _value(self, name: str, schema: object, task: SchemaTask) -> Json:
        if not isinstance(schema, Mapping):
            raise _Unfillable(f"the schema of {name or 'the answer'} says nothing about it")
        if "$ref" in schema:
            raise _Unfillable(f"it does not follow the reference in {name or 'the schema'}")
        if "const" in schema:
            return schema["const"]  # type: ignore[no-any-return]
        kinds = _kinds(schema)
        for kind in kinds:
            try:
                return self._of_kind(kind, name, schema, task)
            except _Unfillable:
                if kind == kinds[-1] and "null" not in kinds:
                    raise
        return None

    def _of_kind(
        self, kind: str, name: str, schema: Mapping[str, object], task: SchemaTask
    ) -> Json:
        if kind == "object":
            return self._object(schema, task)
        if kind == "array":
            return self._array(name, schema, task)
        if isinstance(schema.get("enum"), list):
            return self._choice(name, schema["enum"], task)
        if kind == "string":
            return self._string(name, schema, task)
        if kind == "boolean":
            return self._boolean(name, task)
        if kind in ("number", "integer"):
            number = self._number(name, schema, task)
            return round(number) if kind == "integer" else round(number, 4)
        raise _Unfillable(f"it does not know what to put into {name or 'the answer'}")

    def _object(self, schema: Mapping[str, object], task: SchemaTask) -> Json:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise _Unfillable("the output schema has no properties")
        filled: dict[str, Json] = {}
        for name, part in properties.items():
            try:
                filled[str(name)] = self._value(str(name), part, task)
            except _Unfillable:
                if name in required:
                    raise
        return filled

    def _array(self, name: str, schema: Mapping[str, object], task: SchemaTask) -> Json:
        items = schema.get("items")
        choices = items.get("enum") if isinstance(items, Mapping) else None
        most = schema.get("maxItems")
        found: list[str]
        if isinstance(choices, list) and choices:
            found = self._likely(task, [str(one) for one in choices])
        elif _means(name, "label") and task.labels:
            found = self._likely(task, task.labels)
        elif _means(name, "topics"):
            found = self._analyst.topics(task.reading)
        else:
            raise _Unfillable(f"it does not know what to put into the list {name or 'asked for'}")
        return [*(found[:most] if isinstance(most, int) else found)]

    def _likely(self, task: SchemaTask, labels: Sequence[str]) -> list[str]:
        choice = self._classifier.classify(task.reading, labels)
        likely = [one for one, share in choice.probabilities.items() if share >= _LIKELY]
        return likely or [choice.label]

    def _choice(self, name: str, choices: object, task: SchemaTask) -> Json:
        labels = (
            [one for one in choices if isinstance(one, str)] if isinstance(choices, list) else []
        )
        if not labels:
            raise _Unfillable(f"it can't choose {name or 'the answer'} among values without words")
        if _means(name, "language") and task.reading.language in labels:
            return task.reading.language
        return self._classifier.classify(task.reading, labels).label

    def _string(self, name: str, schema: Mapping[str, object], task: SchemaTask) -> str:
        if _means(name, "sentiment"):
            value = self._sentiment(task).label
        elif _means(name, "language"):
            value = task.reading.language
        elif _means(name, "summary"):
            value = self._analyst.analyse(task.reading).summary
        elif _means(name, "topics"):
            value = ", ".join(self._analyst.topics(task.reading))
        elif _means(name, "label") and task.labels:
            value = self._classifier.classify(task.reading, task.labels).label
        elif _means(name, "answer") or not name:
            value = task.answer()
        else:
            raise _Unfillable(f"it does not know what to write into {name!r}")
        most = schema.get("maxLength")
        return _cut(value, most) if isinstance(most, int) else value

    def _boolean(self, name: str, task: SchemaTask) -> bool:
        label = " ".join(
            word for word in words_of(name.replace("_", " ")) if word not in _NAMES["auxiliary"]
        )
        if not self._classifier.book.knows(label):
            raise _Unfillable(f"it can't tell whether {name!r} is true")
        return self._classifier.fits(task.reading, label)

    def _number(self, name: str, schema: Mapping[str, object], task: SchemaTask) -> float:
        analysis = self._analyst.analyse(task.reading)
        if _means(name, "confidence"):
            if task.labels:
                return self._classifier.classify(task.reading, task.labels).confidence
            return analysis.sentiment.confidence
        if _means(name, "rating"):
            lowest, highest = schema.get("minimum", 1), schema.get("maximum", _FIVE_STARS)
            if not isinstance(lowest, int | float) or not isinstance(highest, int | float):
                raise _Unfillable(f"it does not know the scale of {name!r}")
            share = (1 + analysis.sentiment.positive - analysis.sentiment.negative) / 2
            return lowest + (highest - lowest) * share
        if _means(name, "sentiment", "polarity"):
            return analysis.sentiment.positive - analysis.sentiment.negative
        if _means(name, "words"):
            return analysis.word_count
        if _means(name, "sentences"):
            return analysis.sentence_count
        raise _Unfillable(f"it does not know the number {name!r}")

    def _sentiment(self, task: SchemaTask) -> Sentiment:
        return self._analyst.analyse(task.reading).sentiment


def _property_names() -> dict[str, frozenset[str]]:
    names: dict[str, set[str]] = {}
    for line in lexicon_lines("properties.txt"):
        meaning, _, words = line.partition(":")
        names.setdefault(meaning, set()).update(words.split())
    return {meaning: frozenset(words) for meaning, words in names.items()}


_NAMES = _property_names()


def _means(name: str, *meanings: str) -> bool:
    """Return whether a word of the property's name has one of the meanings."""
    words = words_of(name.replace("_", " "))
    return any(word in _NAMES[meaning] for word in words for meaning in meanings)


def _kinds(schema: Mapping[str, object]) -> list[str]:
    """Return the JSON types that the schema allows, "null" last, guessed where it names none."""
    stated = schema.get("type")
    if isinstance(stated, str):
        return [stated]
    if isinstance(stated, list):
        return sorted((str(kind) for kind in stated), key=lambda kind: kind == "null")
    if "properties" in schema:
        return ["object"]
    return ["array"] if "items" in schema else ["string"]


def _cut(text: str, most: int) -> str:
    """Return the text's first words within `most` characters."""
    if len(text) <= most:
        return text
    cut = text[: most + 1].rsplit(" ", 1)[0] if " " in text[: most + 1] else text
    return cut[:most].rstrip()

"""Answers in the form that was asked for, and problems in words."""

from __future__ import annotations

from typing import Any

import pytest

from eventstream.errors import ConfigurationError
from eventstream.llm.prompts import TaskForm, form_of
from eventstream.llm.structured import OutputProblem, check
from eventstream.spec import StreamSpec, Task


def labels(*names: str) -> TaskForm:
    return form_of("classification", StreamSpec(task=Task(type="classification", labels=names)))


def schema(**content: Any) -> TaskForm:
    return form_of(
        "classification", StreamSpec(task=Task(type="classification", output_schema=content))
    )


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Praise", "Praise"),
        ("praise", "Praise"),
        ("  PRAISE.\n", "Praise"),
        ('"praise"', "Praise"),
        ("**Praise**", "Praise"),
        ("«Praise»", "Praise"),
        ("Label: praise", "Praise"),
        ("The category is: **Praise**.", "Praise"),
        ("bug report!", "Bug report"),
        ("¿queja?", "Queja"),
    ],
)
def test_a_label_is_given_as_the_stream_writes_it(answer: str, label: str) -> None:
    assert check(answer, labels("Praise", "Bug report", "Queja")).response == label


@pytest.mark.parametrize("answer", ["not praise", "praise or complaint", "", "  ", "unpraise", "."])
def test_what_is_no_label_is_a_problem(answer: str) -> None:
    with pytest.raises(OutputProblem):
        check(answer, labels("praise", "complaint"))


def test_the_problem_names_the_labels_and_not_a_whole_text() -> None:
    with pytest.raises(OutputProblem, match="not one of the labels: a, b") as problem:
        check("x" * 5000, labels("a", "b"))
    assert len(str(problem.value)) < 200


STARS = {"type": "object", "properties": {"stars": {"type": "integer"}}, "required": ["stars"]}


@pytest.mark.parametrize("answer", ['{"stars": 3}', '```json\n{"stars": 3}\n```',
                                    ' \n{"stars":3}\n', '```\n{"stars": 3}```'])  # fmt: skip
def test_json_comes_back_compact_and_parsed(answer: str) -> None:
    checked = check(answer, schema(**STARS))
    assert checked.response == '{"stars":3}'
    assert checked.parsed == {"stars": 3}


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("three stars", "is not JSON"),
        ('{"stars": 3', "is not JSON"),
        ('{"stars": "3"}', r"\['stars'\]: '3' is not of type 'integer'"),
        ("{}", "'stars' is a required property"),
        ("[]", "is not of type 'object'"),
        ('{"stars": ' + "[" * 250 + "]" * 250 + "}", "nested more than 100 levels"),
    ],
)
def test_what_is_wrong_with_json_is_said(answer: str, says: str) -> None:
    with pytest.raises(OutputProblem, match=says):
        check(answer, schema(**STARS))


@pytest.mark.parametrize(
    "content",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "#"},
        {"pattern": "("},
        {"pattern": "a{9999999999}"},
    ],
)
def test_a_schema_that_checks_nothing_says_so_and_nothing_is_fetched(content: Any) -> None:
    task = Task.model_construct(type="classification", output_schema=content)
    with pytest.raises(ConfigurationError, match=r"task\.outputSchema"):
        check('"{}"', form_of("classification", StreamSpec(task=task)))


def test_prose_is_stripped_and_must_not_be_empty() -> None:
    form = form_of("summarization", StreamSpec())
    assert check(" A summary.\n", form).response == "A summary."
    with pytest.raises(OutputProblem, match="empty"):
        check(" \n", form)

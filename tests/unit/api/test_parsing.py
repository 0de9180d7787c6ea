"""Bad JSON and bad fields: the answer names the place and the reason."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from eventstream.api.parsing import EXPLAINED_BYTES, parse_json, read_model
from eventstream.api.problems import Problem
from eventstream.events import ProcessRequest


def refusal(body: bytes) -> Problem:
    with pytest.raises(Problem) as problem:
        parse_json(body)
    return problem.value


@pytest.mark.parametrize(
    ("body", "reason", "said"),
    [
        (b"", "invalid_json", "empty"),
        (b"   ", "invalid_json", "empty"),
        (b"{'text': 1}", "invalid_json", "Line 1, column 2"),
        (b'{"text": "a"} x', "invalid_json", "after document"),
        (b'{"text": "a\x01b"}', "invalid_json", "control character"),
        (b'{"text": "caf\xe9"}', "not_utf8", "Byte 13"),
        (b"[" * 100_000, "invalid_json", "depth"),
        (b"[NaN" + b",0" * EXPLAINED_BYTES + b"]", "invalid_json", "Line 1, column 2"),
    ],
)
def test_what_is_not_json(body: bytes, reason: str, said: str) -> None:
    problem = refusal(body)
    assert problem.reason == reason
    assert said in problem.detail


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b'{"text": "a", "temperature": NaN}', "temperature", "NaN"),
        (b'{"temperature": [0, {"x": -Infinity}]}', "temperature.1.x", "finite"),
        (b'{"temperature": 1e999}', "temperature", "finite"),
        (b'{"text": "\\ud83d"}', "text", "surrogate"),
        (b'{"a": {"\\udc00": 1}}', "a", "half a character"),
        (b'[{"a": [1, [2]], "b": 3}, [], NaN]', "2", "finite"),
        (b"NaN", "", "the body"),
    ],
)
def test_what_only_python_would_take_is_named_by_field(body: bytes, field: str, said: str) -> None:
    problem = refusal(body)
    assert problem.reason == "invalid_field"
    assert problem.errors[0].field == field
    assert said in problem.detail


@pytest.mark.parametrize(
    ("document", "reason", "fields"),
    [
        ([], "not_an_object", []),
        ("text", "not_an_object", []),
        (None, "not_an_object", []),
        ({}, "missing_text", ["text"]),
        ({"text": 7}, "invalid_field", ["text"]),
        ({"text": " \n"}, "invalid_field", ["text"]),
        ({"text": "a\x00b"}, "invalid_field", ["text"]),
        ({"text": "x" * 200_001}, "invalid_field", ["text"]),
        ({"text": "a", "temperature": "0"}, "invalid_field", ["temperature"]),
        ({"text": "a", "temperature": 2.1}, "invalid_field", ["temperature"]),
        ({"text": "a", "max_tokens": 1.5}, "invalid_field", ["max_tokens"]),
        ({"text": "a", "use_cache": 1}, "invalid_field", ["use_cache"]),
        ({"text": "a", "stream": "a\x07b"}, "invalid_field", ["stream"]),
        ({"text": "a", "txt": "b", "max_tokens": 0}, "invalid_field", ["max_tokens", "txt"]),
    ],
)
def test_every_wrong_field_is_named(document: Any, reason: str, fields: list[str]) -> None:
    with pytest.raises(Problem) as problem:
        read_model(ProcessRequest, document)
    assert problem.value.reason == reason
    assert [error.field for error in problem.value.errors] == fields


@pytest.mark.parametrize(
    "body",
    [
        b'{"' + b"a" * 100 + b'":' + (b'{"' + b"a" * 100 + b'":') * 299
        + b"[" + b"1," * 15_000 + b"NaN]" + b"}" * 300,
        b"{" + b",".join(b'"%d": 1' % number for number in range(40_000)) + b"}",
    ],
    ids=["a wrong value deep down among many", "many fields that nobody knows"],
)  # fmt: skip
def test_saying_what_is_wrong_takes_little_memory(body: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(Problem) as problem:
        read_model(ProcessRequest, parse_json(body))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 15_000_000
    assert problem.value.reason == "invalid_field"


def test_many_fields_that_nobody_knows_are_told_by_their_number() -> None:
    with pytest.raises(Problem) as problem:
        read_model(ProcessRequest, {"text": "a"} | {f"x{number}": 1 for number in range(30)})
    assert "has 31 fields; it takes text, task_type" in problem.value.detail


def test_the_refused_value_is_not_repeated() -> None:
    with pytest.raises(Problem) as problem:
        read_model(ProcessRequest, {"text": "a", "max_tokens": "a secret"})
    assert "a secret" not in problem.value.detail


def test_a_whole_number_is_an_integer_however_it_is_written() -> None:
    asked = read_model(ProcessRequest, {"text": "a", "max_tokens": 4.0, "temperature": 1.0})
    assert (asked.max_tokens, asked.temperature) == (4, 1.0)


def test_fields_of_a_batch_carry_their_place() -> None:
    with pytest.raises(Problem) as problem:
        read_model(ProcessRequest, {"text": ""}, "events.3")
    assert problem.value.errors[0].field == "events.3.text"

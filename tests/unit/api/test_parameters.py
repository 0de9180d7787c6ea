"""Query parameters and headers are parsed as strictly as bodies."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from eventstream.api.access import ANONYMOUS, Principal
from eventstream.api.parameters import (
    idempotent_id,
    name_parameter,
    refuse_unknown,
    wait_seconds,
)
from eventstream.api.problems import Problem


def request(query: str = "", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw, "query_string": query.encode()})


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("", 0), ("wait=0", 0), ("wait=60", 60), ("wait=2.5", 2.5), ("a=1&wait=1e1", 10)],
)
def test_wait(query: str, seconds: float) -> None:
    assert wait_seconds(request(query)) == seconds


@pytest.mark.parametrize(
    "value", ["", "-1", "60.1", "NaN", "inf", "ten", "1_0", "0x5", "%C2%B2", "1&wait=2", "+ 5"]
)
def test_a_wait_that_is_not_0_to_60(value: str) -> None:
    with pytest.raises(Problem) as problem:
        wait_seconds(request(f"wait={value}"))
    assert problem.value.reason == "invalid_parameter"
    assert problem.value.errors[0].field == "wait"


@pytest.mark.parametrize(
    ("known", "rest"),
    [
        (
            {"task_type", "stream"},
            "it takes stream, task_type",
        ),
        (set(), "it takes none"),
    ],
)
def test_a_parameter_that_is_not_known_is_named_with_those_that_are(
    known: set[str], rest: str
) -> None:
    with pytest.raises(Problem) as problem:
        refuse_unknown(request("strem=default"), known)
    assert problem.value.reason == "invalid_parameter"
    assert problem.value.detail == f"strem is not a parameter of this operation; {rest}"


def test_a_name() -> None:
    assert name_parameter(request("task_type=summarization"), "task_type") == "summarization"
    assert name_parameter(request("other=x"), "task_type") is None


@pytest.mark.parametrize("value", ["", "%00", "x" * 129, "a&task_type=b"])
def test_a_name_that_is_none(value: str) -> None:
    with pytest.raises(Problem):
        name_parameter(request(f"task_type={value}"), "task_type")


def test_an_idempotency_key_stands_for_one_id_of_one_principal() -> None:
    keyed = request(idempotency_key="order-7")
    own = idempotent_id(keyed, ANONYMOUS)
    assert own is not None
    assert own == idempotent_id(request(idempotency_key="order-7"), ANONYMOUS)
    assert own.startswith("idem-")
    assert len(own) == 37
    others = {
        idempotent_id(request(idempotency_key="order-8"), ANONYMOUS),
        idempotent_id(keyed, Principal("another", read_only=False)),
        idempotent_id(keyed, ANONYMOUS, "1"),
    }
    assert len(others - {own}) == 3


def test_without_the_header_there_is_no_such_id() -> None:
    assert idempotent_id(request(), ANONYMOUS) is None


@pytest.mark.parametrize("value", ["", "x" * 256, "tab\there"])
def test_an_idempotency_key_that_is_none(value: str) -> None:
    with pytest.raises(Problem) as problem:
        idempotent_id(request(idempotency_key=value), ANONYMOUS)
    assert problem.value.errors[0].field == "Idempotency-Key"

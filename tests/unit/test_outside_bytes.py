"""Every parser of bytes from outside reads them or says in words why not; it never breaks.

Kafka records and dead letters have theirs in `kafka/`, HTTP requests as a whole in the API's tests.
"""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from eventstream.api.access import ANONYMOUS
from eventstream.api.parameters import idempotent_id, name_parameter, wait_seconds
from eventstream.api.parsing import read_model
from eventstream.api.problems import Problem
from eventstream.cache.entries import read_candidate, read_exact
from eventstream.claims import Held
from eventstream.cli.texts import Format, Line, parse_line
from eventstream.errors import ConfigurationError, EventRefused
from eventstream.events import Event, ProcessRequest
from eventstream.kafka_lag import read_figures, total_lag
from eventstream.llm.cost import Tokens
from eventstream.llm.failures import ProviderError, status_error
from eventstream.llm.reply import Reply, advertised, retry_after
from eventstream.llm.wire import chat_answer, vectors_of
from eventstream.stream_files import read_stream_file
from eventstream.worker.kept import unpack
from tests.support.events import an_event

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


def objects(*names: str) -> st.SearchStrategy[Any]:
    """Objects that have some of these fields, with anything in them."""
    fields = st.sampled_from(names) | st.text(max_size=8)
    return st.dictionaries(fields, json_values, max_size=6)


def written(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """As JSON, cut off somewhere or not, or anything at all."""

    def dump(value: Any) -> bytes:
        try:
            return orjson.dumps(value)
        except (TypeError, ValueError):
            return repr(value).encode("utf-8", "replace")  # beyond JSON's numbers or texts

    whole = values.map(dump)
    cut = st.tuples(whole, st.integers(0, 60)).map(lambda pair: pair[0][: pair[1]])
    return whole | cut | st.binary(max_size=60)


message = objects("content", "refusal", "role")
choice = objects("finish_reason") | message.map(lambda found: {"message": found})
completion = st.lists(choice, max_size=2).map(lambda found: {"choices": found}) | objects(
    "choices", "usage"
)
usage = objects("prompt_tokens", "completion_tokens").map(
    lambda found: {"choices": [{"message": {"content": "a"}}], "usage": found}
)
vector = objects("index", "embedding") | st.lists(json_values, max_size=3).map(
    lambda found: {"embedding": found}
)
vectors = st.lists(vector, max_size=3).map(lambda found: {"data": found}) | objects("data", "usage")


@given(written(completion | usage))
def test_a_providers_completion(body: bytes) -> None:
    try:
        answer = chat_answer(Reply(200, {}, body), 3)
    except ProviderError:
        return
    assert isinstance(answer.content, str)
    assert answer.tokens.total >= 0


@given(written(vectors))
def test_a_providers_vectors(body: bytes) -> None:
    try:
        found = vectors_of(Reply(200, {}, body), (1, 3), Tokens(1))
    except ProviderError:
        return
    assert found.rows.shape == (1, 3)


@given(written(objects("error", "message", "code", "details")), st.integers(300, 599))
def test_a_providers_error(body: bytes, status: int) -> None:
    assert status_error(Reply(status, {}, body), formatted=True).message.startswith(f"{status}: ")


@given(
    st.dictionaries(
        st.sampled_from(
            ["retry-after", "retry-after-ms", "x-ratelimit-limit-requests",
             "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]
        ),
        st.text(max_size=20) | st.floats().map(str) | st.integers().map(str),
    )
)  # fmt: skip
def test_a_providers_headers(headers: dict[str, str]) -> None:
    seconds = retry_after(headers)
    assert seconds is None or 0 <= seconds <= 86_400
    advertised(headers)


@given(
    written(objects("apiVersion", "kind", "metadata", "spec"))
    | st.text(max_size=80).map(str.encode)
)
def test_a_file_of_streams(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"streams\.yaml"):
        read_stream_file(content.decode("utf-8", "replace"), "streams.yaml")


@given(objects("source", "sink", "task", "model", "cache", "limits", "scaling", "deadLetter"))
def test_a_streams_spec(spec: dict[str, Any]) -> None:
    document = {
        "apiVersion": "ai-eventstream.io/v1alpha1",
        "kind": "EventStream",
        "metadata": {"name": "a"},
        "spec": spec,
    }
    try:
        text = orjson.dumps(document).decode()
    except (TypeError, ValueError):
        return
    with contextlib.suppress(ConfigurationError):
        assert set(read_stream_file(text, "streams.yaml")) == {"a"}


@given(written(objects("text", "event_id", "task_type", "metadata")), st.sampled_from(Format))
def test_a_line_of_a_file_to_send(content: bytes, form: Format) -> None:
    with contextlib.suppress(EventRefused):
        assert parse_line(Line(1, content), form).message.text.strip()


@given(objects("text", "task_type", "use_cache", "model", "temperature", "max_tokens", "stream"))
def test_the_body_of_a_request(document: dict[str, Any]) -> None:
    with contextlib.suppress(Problem):
        assert read_model(ProcessRequest, document).text


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_parameters_and_headers_of_a_request(query: bytes, key: bytes) -> None:
    headers = [(b"idempotency-key", key)]
    request = Request({"type": "http", "headers": headers, "query_string": query})
    for read in (
        wait_seconds,
        lambda asked: name_parameter(asked, "task_type"),
        lambda asked: idempotent_id(asked, ANONYMOUS),
    ):
        with contextlib.suppress(Problem):
            read(request)


@given(written(objects("id", "stream", "via", "text", "task_type", "schema_number")))
def test_an_entry_of_the_inbox(stored: bytes) -> None:
    with contextlib.suppress(EventRefused):
        assert Event.from_json(stored).id


@given(written(objects("answer", "failure")))
def test_an_ending_that_is_kept_with_its_event(stored: bytes) -> None:
    held = Held("q", "1-0", an_event("e"), 1, 0, ending=stored)
    unpack(held)


@given(
    st.dictionaries(
        st.binary(max_size=8) | st.binary(max_size=4).map(b"t:".__add__),
        written(objects("lag", "measured_at")),
        max_size=3,
    )
)
def test_a_lag_that_a_consumer_wrote(fields: dict[bytes, bytes]) -> None:
    lag = total_lag(fields, "t", now=0.0)
    assert lag is None or isinstance(lag, int)
    assert read_figures(fields).keys() <= {name.decode("utf-8", "replace") for name in fields}


redis_replies: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.binary(max_size=12),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=10,
)


@settings(max_examples=200)
@given(redis_replies)
@example([1, b"key", [[], None]])  # a document whose field names are no strings
def test_replies_of_the_caches_redis(reply: Any) -> None:
    read_exact(reply)
    read_candidate(reply)

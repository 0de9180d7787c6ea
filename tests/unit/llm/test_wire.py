"""Reading a provider's headers and vectors' batches: small pure parts."""

from __future__ import annotations

import orjson
import pytest

from eventstream.llm.cost import Tokens
from eventstream.llm.embeddings import MAX_TEXT_BYTES, batches
from eventstream.llm.failures import ErrorKind, ProviderError, error_in_answer, status_error
from eventstream.llm.limits import Advertised, Quantity
from eventstream.llm.reply import Reply, advertised, retry_after
from eventstream.llm.wire import chat_answer, vectors_of


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("2d", 172_800.0)],
)
def test_durations_as_openai_writes_them(reset: str, seconds: float) -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": reset,
    }
    assert advertised(headers) == Advertised(requests=Quantity(500, 499, seconds))


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", ""), ("limit", "0"), ("limit", "many"), ("remaining", "-1"), ("reset", "soon"),
     ("reset", ""), ("reset", "5"), ("reset", "1s?")],
)  # fmt: skip
def test_headers_that_say_nothing_usable_are_left_out(name: str, value: str) -> None:
    said = {"limit": "500", "remaining": "499", "reset": "1s", name: value}
    headers = {f"x-ratelimit-{key}-tokens": text for key, text in said.items()}
    assert advertised(headers) == Advertised()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}, Tokens(100, 5)),
        ({"prompt_tokens": 100, "completion_tokens": 5,
          "prompt_tokens_details": {"cached_tokens": 80}}, Tokens(100, 5, 80)),
        # Thinking that only the total counts.
        ({"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 405}, Tokens(100, 305)),
        ({"prompt_tokens": 100, "completion_tokens": None, "total_tokens": None}, Tokens(100)),
        # Nothing is said: the estimate.
        (None, Tokens(40, 5)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Tokens(40, 5)),
        # What can be no number of tokens says nothing either.
        ({"prompt_tokens": 2**64 - 1, "completion_tokens": 5}, Tokens(0, 5)),
        ({"prompt_tokens": 1e300}, Tokens(40, 5)),
        ({"prompt_tokens": -100_000, "completion_tokens": -5, "total_tokens": -100_005},
         Tokens(40, 5)),
        ({"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": -1}, Tokens(100, 5)),
        ({"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": -900}}, Tokens(100)),
        ({"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 900}},
         Tokens(100, 0, 100)),
    ],
)  # fmt: skip
def test_tokens_are_what_will_be_billed(usage: object, tokens: Tokens) -> None:
    body = {"choices": [{"message": {"content": "twelve chars"}}], "usage": usage}
    assert chat_answer(Reply(200, {}, orjson.dumps(body)), prompt_tokens=40).tokens == tokens


@pytest.mark.parametrize(
    "body", [[], {}, {"choices": []}, {"choices": [{"message": {"content": 7}}]}, "text", None]
)
def test_an_answer_of_another_shape_is_malformed(body: object) -> None:
    with pytest.raises(ProviderError) as error:
        chat_answer(Reply(200, {}, orjson.dumps(body)), prompt_tokens=1)
    assert error.value.kind is ErrorKind.MALFORMED


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([{"type": "text", "text": "Prai"}, {"type": "text", "text": "se"}], "Praise"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
          {"type": "text", "text": "Praise"}], "Praise"),
        ([{"type": "thinking", "thinking": []}], ""),
    ],
)  # fmt: skip
def test_of_an_answer_in_parts_the_text_is_taken(parts: object, text: str) -> None:
    body = {"choices": [{"message": {"content": parts}}]}
    assert chat_answer(Reply(200, {}, orjson.dumps(body)), prompt_tokens=1).content == text


@pytest.mark.parametrize("choices", [None, [], [{}], [{"message": {"content": [{}]}}]])
def test_an_answer_that_cant_be_read_is_paid_all_the_same(choices: object) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 5}
    body = orjson.dumps({"choices": choices, "usage": usage})
    with pytest.raises(ProviderError, match="holds no message") as error:
        chat_answer(Reply(200, {}, body), prompt_tokens=1)
    assert error.value.tokens == Tokens(100, 5)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "no vectors"),
        ([{"embedding": "AAAA"}], "no vectors"),
        ([], "VECTOR_DIMENSION"),
        ([{"embedding": [1, 2, 3]}], "VECTOR_DIMENSION"),
        ([{"embedding": [0, 0]}], "no direction"),
    ],
)
def test_vectors_that_cant_be_used_are_paid_all_the_same(data: object, says: str) -> None:
    body = orjson.dumps({"data": data, "usage": {"prompt_tokens": 100, "total_tokens": 100}})
    with pytest.raises(ProviderError, match=says) as error:
        vectors_of(Reply(200, {}, body), (1, 2), Tokens(7))
    assert error.value.tokens == Tokens(100)


@pytest.mark.parametrize(
    ("error", "alone", "begun", "says"),
    [
        (
            {"message": "slow down", "code": 429},
            ErrorKind.RATE_LIMITED,
            ErrorKind.RATE_LIMITED,
            "429: slow down",
        ),
        (
            {"message": "slow down", "code": "429"},
            ErrorKind.RATE_LIMITED,
            ErrorKind.RATE_LIMITED,
            "429: slow down",
        ),
        (
            {"message": "key sk-1 is spent", "code": "x"},
            *(ErrorKind.SERVER, ErrorKind.MALFORMED, "key *** is spent"),
        ),
        (
            {"message": "no", "code": "4290"},
            *(ErrorKind.SERVER, ErrorKind.MALFORMED, "an answer: no"),
        ),
        (
            "overloaded",
            *(ErrorKind.SERVER, ErrorKind.MALFORMED, "in place of an answer: overloaded"),
        ),
    ],
)
def test_an_error_in_place_of_an_answer_is_told(
    error: object, alone: ErrorKind, begun: ErrorKind, says: str
) -> None:
    choice = {"message": {"content": "Prai"}, "finish_reason": "error", "error": error}
    for body, kind in (({"error": error}, alone), ({"choices": [choice]}, begun)):
        reply = Reply(200, {}, orjson.dumps(body))
        with pytest.raises(ProviderError):
            chat_answer(reply, prompt_tokens=1)
        found = error_in_answer(reply, formatted=False, secret="sk-1")
        assert found is not None
        assert found.kind is kind
        assert found.message.endswith(says)
        assert found.begun is ("choices" in body)


@pytest.mark.parametrize(
    ("said", "reason", "whole"),
    [
        ("stop", "stop", True),
        ("STOP", "stop", True),
        ("eos", "eos", True),
        ("eos_token", "eos_token", True),
        ("end_turn", "end_turn", True),
        ("stop_sequence", "stop_sequence", True),
        (None, "stop", True),
        ("", "stop", True),
        ("length", "length", False),
        ("MAX_TOKENS", "length", False),
        ("content_filter", "content_filter", False),
        ("SAFETY", "content_filter", False),
        ("RECITATION", "content_filter", False),
        ("PROHIBITED_CONTENT", "content_filter", False),
        ("BLOCKLIST", "content_filter", False),
        ("SPII", "content_filter", False),
        ("error", "error", False),
        ("OTHER", "other", False),
        (["stop"], "['stop']", False),
    ],
)
def test_only_a_known_ending_is_whole(said: object, reason: str, whole: bool) -> None:
    body = {"choices": [{"message": {"content": "Prai"}, "finish_reason": said}]}
    answer = chat_answer(Reply(200, {}, orjson.dumps(body)), prompt_tokens=1)
    assert (answer.finish_reason, answer.whole) == (reason, whole)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'{"error": null, "choices": []}'])
def test_where_no_error_is_said_there_is_none(content: bytes) -> None:
    assert error_in_answer(Reply(200, {}, content), formatted=False, secret=None) is None


def test_batches_keep_the_order_and_the_size() -> None:
    texts = [f"text {number}" for number in range(250)]
    cut = list(batches(texts, 100))
    assert [len(batch) for batch in cut] == [100, 100, 50]
    assert [text for batch in cut for text in batch] == texts


def test_a_long_text_is_cut_between_characters() -> None:
    [[cut]] = batches(["ñ" * MAX_TEXT_BYTES], 100)
    assert cut == "ñ" * (MAX_TEXT_BYTES // 2)


def test_long_texts_share_no_batch_that_is_too_large() -> None:
    assert [len(batch) for batch in batches(["x" * MAX_TEXT_BYTES] * 50, 100)] == [24, 24, 2]


def refused(status: int, body: object, headers: dict[str, str] | None = None) -> ProviderError:
    return status_error(Reply(status, headers or {}, orjson.dumps(body)), formatted=True)


@pytest.mark.parametrize(
    ("story", "status", "body", "kind"),
    [
        ("OpenAI's limit", 429, {"message": "Rate limit reached"}, ErrorKind.RATE_LIMITED),
        ("one request above the limit", 429,
         {"message": "Request too large for gpt-4o on tokens per min (TPM): Limit 30000,"
                     " Requested 36278.", "code": "rate_limit_exceeded", "type": "tokens"},
         ErrorKind.REFUSED),
        ("the same in other words", 429, {"message": "TPM: Limit: 30,000, Requested: 36,278"},
         ErrorKind.REFUSED),
        ("a limit that others use", 429,
         {"message": "Rate limit reached: Limit 30000, Used 29000, Requested 2000."},
         ErrorKind.RATE_LIMITED),
        ("OpenAI's spent account", 429, {"message": "x", "code": "insufficient_quota"},
         ErrorKind.QUOTA),
        ("Hugging Face's spent credits", 402, {"error": "exceeded"}, ErrorKind.QUOTA),
        ("a wrong key", 401, {"message": "Incorrect API key"}, ErrorKind.AUTH),
        ("a key without the right", 403, None, ErrorKind.AUTH),
        ("a text that moderation refused", 403,
         {"error": {"message": "forbidden", "metadata": {"flagged_input": "…"}}},
         ErrorKind.REFUSED),
        ("the same with its reasons", 403,
         {"error": {"message": "forbidden", "metadata": {"reasons": ["violence"]}}},
         ErrorKind.REFUSED),
        ("the same in words", 403, {"message": "Your input was flagged"}, ErrorKind.REFUSED),
        ("a gateway's moderation", 403, {"message": "gpt-4o requires moderation"},
         ErrorKind.REFUSED),
        ("an account that was blocked", 403, {"message": "Your account has been flagged"},
         ErrorKind.AUTH),
        ("a key with other metadata", 403, {"error": {"message": "no", "metadata": {"a": 1}}},
         ErrorKind.AUTH),
        ("Gemini's wrong key", 400, [{"error": {"message": "API key not valid."}}],
         ErrorKind.AUTH),
        ("a schema it does not know", 400, {"message": "Invalid schema for response_format"},
         ErrorKind.FORMAT),
        ("Gemini on schemas", 400,
         [{"error": {"message": "Unknown name \"x\" at 'generation_config.response_schema'"}}],
         ErrorKind.FORMAT),
        ("too long", 400, {"message": "maximum context length is 8192"}, ErrorKind.REFUSED),
        ("no such model", 404, {"message": "does not exist"}, ErrorKind.REFUSED),
        ("a body of its own kind", 422, "what?", ErrorKind.REFUSED),
        ("overloaded", 503, None, ErrorKind.SERVER),
        ("too slow", 408, None, ErrorKind.SERVER),
    ],
)  # fmt: skip
def test_what_a_status_means(story: str, status: int, body: object, kind: ErrorKind) -> None:
    assert refused(status, body).kind is kind


def test_kinds_have_the_names_that_alerts_and_dashboards_ask_for() -> None:
    assert {kind.name: str(kind) for kind in ErrorKind} == {
        "RATE_LIMITED": "rate_limited",
        "QUOTA": "quota_exhausted",
        "AUTH": "key_refused",
        "FORMAT": "format_refused",
        "REFUSED": "refused",
        "SERVER": "server_error",
        "TIMEOUT": "timeout",
        "CONNECTION": "connection",
        "MALFORMED": "malformed_answer",
    }


def test_the_providers_own_words_are_given_in_part() -> None:
    assert refused(404, {"message": "No such model"}).message == "404: No such model"
    assert refused(404, {"detail": "Not Found"}).message == "404: Not Found"
    assert refused(400, {"error": "no such model"}).message == "400: no such model"
    assert refused(404, None).message == "404: no reason was given"
    assert len(refused(400, {"message": "x" * 9000}).message) < 400


def test_a_redirection_says_where_to_and_no_secret() -> None:
    leads_to = {"location": "https://new.example/\udce9?key=sk-secret"}
    error = status_error(Reply(301, leads_to, b""), formatted=False, secret="sk-secret")
    assert error.kind is ErrorKind.REFUSED
    assert r"it redirects to https://new.example/\udce9?key=***" in error.message
    assert "set the provider's address" in error.message
    assert refused(301, None).message == "301: no reason was given"


def test_a_gateways_page_is_no_reason() -> None:
    error = status_error(Reply(502, {}, b"<html>Bad gateway</html>"), formatted=False)
    assert (error.kind, error.message) == (ErrorKind.SERVER, "502: no reason was given")


def test_gemini_says_in_the_body_how_long_to_wait() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
    error = refused(429, [{"error": {"message": "quota", "details": [{}, info]}}])
    assert error.retry_after_seconds == 34
    assert refused(429, {"details": "none"}).retry_after_seconds is None
    assert refused(429, {}, {"retry-after": "2"}).retry_after_seconds == 2

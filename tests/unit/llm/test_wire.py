"""Reading a provider's headers and vectors' batches: small pure parts."""

from __future__ import annotations

import httpx2
import pytest

from eventstream.llm.client import ErrorKind, ProviderError, _chat_answer, _retry_after, advertised
from eventstream.llm.cost import Tokens
from eventstream.llm.embeddings import MAX_TEXT_BYTES, batches
from eventstream.llm.limits import Advertised, Quantity


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
    assert _retry_after(headers) == seconds


def test_cached_prompt_tokens_are_seen() -> None:
    answer = _chat_answer(
        httpx2.Response(
            200,
            json={
                "choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}],
                "usage": {
                    "prompt_tokens": 100,
                    "completion_tokens": 5,
                    "prompt_tokens_details": {"cached_tokens": 80},
                },
            },
        ),
        prompt_tokens=1,
    )
    assert answer.tokens == Tokens(100, 5, 80)


def test_a_provider_that_counts_nothing_is_counted_by_estimate() -> None:
    answer = _chat_answer(
        httpx2.Response(200, json={"choices": [{"message": {"content": "twelve chars"}}]}),
        prompt_tokens=40,
    )
    assert answer.tokens == Tokens(40, 5)


@pytest.mark.parametrize(
    "body", [[], {}, {"choices": []}, {"choices": [{"message": {"content": 7}}]}, "text", None]
)
def test_an_answer_of_another_shape_is_malformed(body: object) -> None:
    with pytest.raises(ProviderError) as error:
        _chat_answer(httpx2.Response(200, json=body), prompt_tokens=1)
    assert error.value.kind is ErrorKind.MALFORMED


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

"""The demonstration: its texts, how they are sent, and figures that add up."""

import asyncio
import io
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from eventstream.embedded.demo.feed import Feed
from eventstream.embedded.demo.figures import Figures, Spending, figures, quantile
from eventstream.embedded.demo.texts import DemoEvent, demo_stream_file, load_texts, make_events
from eventstream.embedded.demo.view import answer_of, in_words, live_panel, plain_line, summary
from eventstream.events import Result, State, TaskStatus
from eventstream.llm.cost import load_price_list
from eventstream.stream_files import read_stream_file

EXAMPLES = sorted(demo_stream_file().parent.glob("*.yaml"))
PRICES = load_price_list(None)


def answered(
    event_id: str,
    *,
    from_cache: bool,
    seconds: float = 0.2,
    similarity: float | None = None,
    saved_microdollars: int = 0,
) -> TaskStatus:
    return TaskStatus(
        task_id=event_id,
        status=State.SUCCESS,
        result=Result(
            response="praise",
            task_type="classification",
            model="local/minilm",
            processing_time=0.01,
            from_cache=from_cache,
            similarity=similarity,
            metadata=(
                {"tokens_used": 0, "tokens_saved": 120, "saved_microdollars": saved_microdollars}
                if from_cache
                else {"tokens_used": 120, "cost_microdollars": 0}
            ),
        ),
        progress={"accepted_at": 1000.0, "finished_at": 1000.0 + seconds},
    )


def failed(event_id: str) -> TaskStatus:
    return TaskStatus(task_id=event_id, status=State.FAILURE, error="the model is away")


def test_there_are_a_few_hundred_texts_in_both_languages_and_of_both_kinds() -> None:
    texts = load_texts()
    assert len(texts) >= 320
    assert {text.lang for text in texts} == {"en", "es"}
    assert {text.key[0] for text in texts} == {"r", "t"}
    assert len({text.key for text in texts}) == len(texts)


def test_many_of_them_resemble_another_one() -> None:
    texts = load_texts()
    known = {text.key for text in texts}
    alike = [text for text in texts if text.like is not None]
    assert len(alike) > len(texts) / 2
    assert {text.like for text in alike} <= known


def test_every_run_sends_the_same_texts_in_the_same_order_under_new_ids() -> None:
    texts = load_texts()
    first = make_events(texts, "one", with_kafka=True)
    second = make_events(texts, "two", with_kafka=True)
    assert [event.text for event in first] == [event.text for event in second]
    assert not {event.event_id for event in first} & {event.event_id for event in second}


def test_most_go_through_kafka_and_some_through_http() -> None:
    ways = [event.via for event in make_events(load_texts(), "run", with_kafka=True)]
    assert ways.count("http") >= len(ways) // 5
    assert ways.count("kafka") > ways.count("http")


def test_without_a_broker_everything_goes_through_http() -> None:
    assert {event.via for event in make_events(load_texts(), "run", with_kafka=False)} == {"http"}


def test_the_demonstrations_stream_has_a_topic() -> None:
    path = demo_stream_file()
    spec = read_stream_file(path.read_text(), str(path))["reviews"]
    assert spec.source is not None
    assert spec.task.labels == ("praise", "complaint", "question")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_every_example_is_a_valid_stream(path: Path) -> None:
    assert read_stream_file(path.read_text(), path.name)


async def test_the_feed_keeps_the_id_of_every_event_that_was_taken() -> None:
    produced: list[tuple[str, bytes, bytes]] = []

    async def produce(topic: str, key: bytes, value: bytes) -> None:
        produced.append((topic, key, value))

    async def post(body: dict[str, object], idempotency_key: str) -> str:
        assert body["stream"] == "reviews"
        return f"made-for-{idempotency_key}"

    text = load_texts()[0]
    feed = Feed("reviews", "reviews.raw", produce, post, sleep=lambda _: asyncio.sleep(0))
    await feed.send_all([DemoEvent("a", text, "kafka"), DemoEvent("b", text, "http")])
    assert set(feed.ids) == {"a", "made-for-b"}
    (topic, key, value) = produced[0]
    assert (topic, key) == ("reviews.raw", b"a")
    assert json.loads(value) == {
        "event_id": "a",
        "text": text.text,
        "metadata": {"lang": text.lang},
    }


async def test_the_feed_waits_while_too_many_are_unanswered() -> None:
    most_unanswered = 0

    async def produce(*_: object) -> None:
        nonlocal most_unanswered
        most_unanswered = max(most_unanswered, len(feed.ids) + 1 - feed.finished)

    waits = itertools.count(1)

    async def every_third_wait_brings_an_answer(_: float) -> None:
        await asyncio.sleep(0)
        if next(waits) % 3 == 0 and feed.finished < len(feed.ids):
            feed.finished += 1

    async def post(*_: object) -> str:
        raise AssertionError("nothing goes through HTTP here")

    answers = every_third_wait_brings_an_answer
    feed = Feed("reviews", "reviews.raw", produce, post, sleep=answers, max_backlog=2)
    text = load_texts()[0]
    await feed.send_all([DemoEvent(str(number), text, "kafka") for number in range(10)])
    assert len(feed.ids) == 10
    assert most_unanswered == 2


def test_an_empty_start_has_no_rate_and_no_latency() -> None:
    now = figures(10, 0, [])
    assert (now.finished, now.backlog, now.hit_rate, now.p50_seconds) == (0, 0, 0.0, None)
    assert not now.whole


def test_figures_add_up() -> None:
    statuses = [
        answered("a", from_cache=False, seconds=0.5),
        answered("b", from_cache=True, seconds=0.1),
        answered("c", from_cache=True, seconds=0.1),
        failed("d"),
        TaskStatus(task_id="e", status=State.STARTED),
    ]
    now = figures(5, 5, statuses)
    assert (now.answered, now.failed, now.finished, now.backlog) == (3, 1, 4, 1)
    assert now.hit_rate == pytest.approx(2 / 3)
    assert (now.used.calls, now.used.tokens, now.saved.tokens) == (1, 120, 240)
    assert now.p50_seconds == pytest.approx(0.1)
    assert now.p95_seconds == pytest.approx(0.5)
    assert now.models == ("local/minilm",)
    assert not now.whole


def test_it_is_whole_when_everything_sent_is_finished() -> None:
    assert figures(2, 2, [answered("a", from_cache=False), failed("b")]).whole
    assert not figures(3, 2, [answered("a", from_cache=False), failed("b")]).whole


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.25, 1.0), (0.5, 2.0), (0.95, 4.0), (1.0, 4.0)]
)
def test_a_quantile_is_a_value_that_occurred(share: float, value: float) -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], share) == value


def test_the_local_models_savings_are_stated_at_the_reference_models_price() -> None:
    now = figures(1, 1, [answered("a", from_cache=True)])
    assert dict(in_words(now, PRICES))["cost saved"] == ("$0 ($0.00002 with gpt-4o-mini)")
    assert Spending(calls=1, tokens=1_000_000).at_reference(PRICES) == 150_000


def test_what_was_really_saved_is_stated_as_it_is() -> None:
    now = figures(1, 1, [answered("a", from_cache=True, saved_microdollars=1_500)])
    assert dict(in_words(now, PRICES))["cost saved"] == "$0.00150 of $0.00150"


def test_the_live_panel_fits_a_terminal_and_shows_the_latest_answers() -> None:
    stream = io.StringIO()
    status = answered("a", from_cache=True)
    shown = live_panel(figures(2, 2, [status]), PRICES, [answer_of("a fine [lamp]", status)])
    Console(file=stream, width=100).print(shown)
    text = stream.getvalue()
    assert "hit rate 100%" in text
    assert "a fine [lamp]  praise  cache" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_on_a_narrow_terminal_the_text_gives_way_and_not_the_answer() -> None:
    stream = io.StringIO()
    near = answer_of("a fine lamp " * 9, answered("a", from_cache=True, similarity=0.987))
    now = replace(figures(347, 347, [answered("a", from_cache=True)]), p50_seconds=0.301)
    Console(file=stream, width=80).print(live_panel(now, PRICES, [near]))
    text = stream.getvalue()
    assert "…  praise  cache 0.987" in text
    assert "latency p50 301 ms" in text
    assert "cost saved $0 ($0.00002 with gpt-4o-mini)" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_plain_line_has_every_figure() -> None:
    line = plain_line(figures(2, 2, [answered("a", from_cache=True)]), PRICES)
    assert line.startswith(
        "demo: events 1/2, sent 2, answered 1, failed 0, backlog 1, hit rate 100%"
    )
    assert all(name in line for name, _ in in_words(figures(0, 0, []), PRICES))


def test_the_summary_states_the_sum() -> None:
    text = summary(
        figures(2, 2, [answered("a", from_cache=False), answered("b", from_cache=True)]), PRICES
    )
    assert "2 events sent, 2 answered + 0 failed = 2; every event has its answer" in text
    assert "1 answers came from the cache (50%), 1 from local/minilm" in text


def test_an_answer_says_where_it_came_from() -> None:
    assert answer_of("text", answered("a", from_cache=False)).origin == "model"
    assert answer_of("text", answered("a", from_cache=True, similarity=1.0)).origin == "cache"
    near = answer_of("text", answered("a", from_cache=True, similarity=0.987))
    assert near.origin == "cache 0.987"
    gone = answer_of("text", failed("a"))
    assert (gone.answer, gone.origin) == ("the model is away", "failed")


def test_a_long_text_is_shown_on_one_short_line() -> None:
    shown = answer_of("line\n" * 100, answered("a", from_cache=False)).text
    assert "\n" not in shown
    assert len(shown) <= 64


def test_figures_are_plain_values() -> None:
    assert figures(0, 0, []) == Figures(0, 0, 0, 0, 0, Spending(), Spending(), None, None)

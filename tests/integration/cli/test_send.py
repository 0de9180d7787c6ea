"""`eventstream send` and `eventstream result` against the real API.

The test plays the worker: it claims from the inbox and finishes what it claimed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstream.claims import Arrival
from eventstream.cli.client import ApiClient
from eventstream.cli.send import Tally, deliver
from eventstream.cli.texts import Format, Line
from eventstream.cli.transports import HttpTransport, Receipt
from eventstream.errors import Reason
from eventstream.events import Event
from eventstream.inbox import Inbox
from eventstream.keys import QUEUE_HTTP, Keys
from eventstream.redis_client import AsyncRedis
from tests.integration.cli.api_process import ApiProcess
from tests.integration.cli.command_line import run as run_now
from tests.integration.cli.command_line import run_meanwhile as run
from tests.integration.cli.conftest import Live
from tests.support.events import a_failure, an_answer, an_event
from tests.support.redis_server import RedisServer, free_port
from tests.support.shell import output_that_nobody_reads

WORKER = "worker-of-the-test"
STREAM = """
apiVersion: ai-eventstream.io/v1alpha1
kind: EventStream
metadata: {{name: {name}}}
"""


@pytest.fixture(scope="module")
def prefix() -> str:
    """One prefix for the module, because one API serves all of it; each test has a stream."""
    return f"t{uuid.uuid4().hex[:12]}:"


@pytest.fixture(scope="module")
def api_env(cache_url: str, prefix: str) -> dict[str, str]:
    return {"REDIS_URL": cache_url, "EVENTSTREAM_PREFIX": prefix}


@pytest.fixture(scope="module")
def streams(api_env: dict[str, str]) -> Iterator[str]:
    """Names of streams, one a test: there before the API starts, so that it knows them at once."""
    names = [f"s{number}" for number in range(60)]
    file = "\n---\n".join(STREAM.format(name=name) for name in names)
    assert run_now("streams", "apply", "-f", "-", stdin=file, env=api_env).code == 0
    return iter(names)


@pytest.fixture(scope="module")
def api(api_env: dict[str, str], streams: Iterator[str]) -> Iterator[ApiProcess]:
    with ApiProcess(api_env) as process:
        yield process


@pytest.fixture
def env(api: ApiProcess, api_env: dict[str, str]) -> dict[str, str]:
    return {**api_env, "EVENTSTREAM_URL": api.url}


@pytest.fixture
def stream(streams: Iterator[str]) -> str:
    """A stream of this test's own."""
    return next(streams)


async def events_of(inbox: Inbox, stream: str) -> list[Event]:
    """What has arrived in the stream's inbox, in order."""
    return [held.event for held in (await inbox.claim(stream, WORKER, 2000)).fresh]


async def work(inbox: Inbox, stream: str, wanted: int) -> None:
    """Answer `wanted` events with their text in capitals; a text about bombs fails."""
    while wanted:
        for held in (await inbox.claim(stream, WORKER, wanted)).fresh:
            text = held.event.text
            ending = a_failure(held) if "bomb" in text else an_answer(held, text.upper())
            await inbox.finish([ending])
            wanted -= 1
        await asyncio.sleep(0.01)


class TestSending:
    async def test_a_line_from_a_pipe_becomes_an_event_and_its_id_is_printed(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        ended = await run("send", "--stream", stream, stdin="I love it\n", env=env)

        (event,) = await events_of(inbox, stream)
        assert (ended.code, ended.out, ended.err) == (0, f"{event.id}\n", "")
        assert (event.text, event.task_type, event.via) == ("I love it", "general_analysis", "http")

    async def test_a_file_keeps_its_order_and_blank_lines_are_no_texts(
        self, env: dict[str, str], inbox: Inbox, stream: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "texts.txt"
        file.write_bytes("\ufefffirst\r\n\r\n  \nsegundo: ¿qué?\nlast".encode())

        ended = await run(
            "send", str(file), "--stream", stream, "--task-type", "sentiment", "--no-cache", env=env
        )

        events = await events_of(inbox, stream)
        assert [event.text for event in events] == ["first", "segundo: ¿qué?", "last"]
        assert ended.out.split() == [event.id for event in events]
        assert ended.err == "eventstream: 3 accepted\n"
        assert {(event.task_type, event.use_cache) for event in events} == {
            ("sentiment_analysis", False)
        }

    async def test_bad_lines_are_named_and_the_others_are_sent(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        lines = [
            b'{"text": "good", "task_type": "summarization"}',
            b"{oops",
            b"[1]",
            b'{"txt": "no text"}',
            b'{"text": "   "}',
            b'{"text": "\xff"}',
            b'{"text": "unknown type", "task_type": "astrology"}',
            b'{"text": "also good"}',
        ]

        ended = await run(
            *("send", "--stream", stream, "--format", "jsonl"), stdin=b"\n".join(lines), env=env
        )

        assert ended.code == 1
        assert [event.text for event in await events_of(inbox, stream)] == ["good", "also good"]
        assert [line.split(":")[0] for line in ended.err.splitlines()] == [
            *("line 2", "line 3", "line 4", "line 5", "line 6", "line 7", "eventstream")
        ]
        reasons = ("invalid_json", "not_an_object", "missing_text", "invalid_field", "not_utf8")
        for line, reason in zip(ended.err.splitlines(), reasons, strict=False):
            assert line.endswith(f"({reason})")
        assert "general_analysis" in ended.err  # What would have been right on line 7.
        assert ended.err.endswith("2 accepted, 6 refused\n")

    async def test_json_says_everything_a_line_at_a_time(
        self, env: dict[str, str], stream: str
    ) -> None:
        ended = await run(
            *("send", "--stream", stream, "--format", "jsonl", "--json"),
            stdin='{"text": "good"}\n{"text": 5}\n',
            env=env,
        )

        refused, accepted = ended.json_lines
        assert (refused["line"], refused["status"], refused["reason"]) == (
            *(2, "refused", "invalid_field"),
        )
        assert (accepted["line"], accepted["status"], accepted["duplicate"]) == (
            *(1, "pending", False),
        )

    async def test_the_same_id_and_text_is_taken_once_and_another_text_is_refused(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        command = ("send", "--stream", stream, "--format", "jsonl", "--id-field", "ticket")
        line = '{"ticket": 17, "text": "My parcel is late"}\n'

        first = await run(*command, stdin=line, env=env)
        again = await run(*command, "--json", stdin=line, env=env)
        other = await run(*command, stdin=line.replace("late", "early"), env=env)

        assert again.json["task_id"] == first.out.strip()
        assert (again.json["event_id"], again.json["duplicate"]) == ("17", True)
        assert other.code == 1
        assert other.err.startswith("line 1: event_id: '17' was used for other content; give")
        assert "(id_conflict)" in other.err
        assert len(await events_of(inbox, stream)) == 1

    async def test_lines_with_and_without_an_id_keep_their_order(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        lines = '{"text": "a"}\n{"text": "b", "event_id": "ключ"}\n{"text": "c"}\n'

        await run("send", "--stream", stream, "--format", "jsonl", stdin=lines, env=env)

        assert [event.text for event in await events_of(inbox, stream)] == ["a", "b", "c"]

    async def test_metadata_that_http_can_not_carry_is_left_out_and_said_to_be(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        line = '{"text": "good", "metadata": {"shop": "Lugo"}}\n'

        ended = await run("send", "--stream", stream, "--format", "jsonl", stdin=line * 2, env=env)

        assert len(await events_of(inbox, stream)) == 2
        assert ended.err.splitlines() == [
            "eventstream: metadata travels through Kafka only:"
            " it is left out here, the texts are sent",
            "eventstream: 2 accepted",
        ]

    async def test_a_line_without_the_named_id_is_refused(
        self, env: dict[str, str], stream: str
    ) -> None:
        ended = await run(
            *("send", "--stream", stream, "--format", "jsonl", "--id-field", "ticket"),
            stdin='{"text": "no ticket"}\n',
            env=env,
        )

        assert ended.code == 1
        assert "line 1: has no `ticket` (invalid_field)" in ended.err

    async def test_it_goes_on_from_the_line_it_is_told(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        await run("send", "--stream", stream, "--from-line", "3", stdin="a\nb\nc\nd\n", env=env)

        assert [event.text for event in await events_of(inbox, stream)] == ["c", "d"]

    async def test_more_lines_than_one_batch_holds(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        texts = [f"text {number}" for number in range(1203)]

        ended = await run("send", "--stream", stream, stdin="\n".join(texts), env=env)

        assert [event.text for event in await events_of(inbox, stream)] == texts
        assert ended.err == "eventstream: 1,203 accepted\n"

    async def test_a_line_without_end_is_refused_and_the_next_is_sent(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        ended = await run(
            *("send", "--stream", stream), stdin=b"x" * 3_000_000 + b"\nshort\n", env=env
        )

        assert "line 1: the line is longer than 1600000 bytes (too_large)" in ended.err
        assert [event.text for event in await events_of(inbox, stream)] == ["short"]

    @pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
    async def test_lines_are_sent_as_they_come_and_ctrl_c_says_how_to_go_on(
        self,
        env: dict[str, str],
        inbox: Inbox,
        stream: str,
        live: Live,
        ended_by: signal.Signals,
    ) -> None:
        send = await live("send", "--stream", stream, env=env)
        await send.write("first\nsecond\n")
        ids = [await send.line(), await send.line()]
        await send.write("third\n")
        ids.append(await send.line())

        code, err = await send.interrupt(ended_by)

        assert [event.id for event in await events_of(inbox, stream)] == ids
        assert code == 130
        assert err.strip() == (
            "eventstream: interrupted: 3 accepted; to go on, send the same input with --from-line 4"
        )

    async def test_who_stops_reading_is_told_how_to_go_on(
        self, env: dict[str, str], inbox: Inbox, stream: str, live: Live
    ) -> None:
        """As `eventstream send FILE | head -1` does."""
        send = await live("send", "--stream", stream, env=env)
        await send.write("first\n")
        await send.line()

        code, err = await send.end_unread("second\n")

        assert code == 1  # 0 says that everything was accepted
        assert len(await events_of(inbox, stream)) == 2
        assert err.strip() == (
            "eventstream: nobody reads the output any more: 2 accepted; to go on, send the same"
            " input with --from-line 3"
        )

    async def test_the_code_says_it_where_nobody_reads_the_sentence_either(
        self, env: dict[str, str], stream: str, tmp_path: Path
    ) -> None:
        """As `eventstream send FILE 2>&1 | head -1` does."""
        file = tmp_path / "one.txt"
        file.write_text("first\n")
        with output_that_nobody_reads() as unread:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "eventstream", "send", str(file), "--stream", stream),
                env={**os.environ, **env},
                stdout=unread,
                stderr=unread,
            )

        assert await process.wait() == 1

    async def test_a_file_that_is_rotated_away_meanwhile_ends_with_how_to_go_on(
        self, env: dict[str, str], stream: str, tmp_path: Path, live: Live
    ) -> None:
        """More lines than pipes take of its ids: it waits for us in the midst of them."""
        file = tmp_path / "app.log"
        file.write_text("".join(f"line {number}\n" for number in range(1, 40_001)))
        command = await live("send", str(file), "--stream", stream, env=env)
        await command.line()
        os.truncate(file, 0)

        code, err, out = await command.read_to_its_end()

        sent = 1 + len(out.splitlines())
        assert code == 1
        assert err.splitlines() == [
            f"eventstream: {sent:,} accepted; to go on, send {file} with --from-line {sent + 1}",
            f"eventstream: {file}: became shorter while it was read (rotated, or written anew)",
        ]

    def test_a_file_that_can_not_be_read_is_not_taken_for_the_output(
        self, env: dict[str, str], stream: str
    ) -> None:
        ended = run_now("send", "/proc/self/mem", "--stream", stream, env=env)

        assert (ended.code, ended.err) == (
            1,
            "eventstream: /proc/self/mem: can't be read any further: Input/output error\n",
        )

    async def test_lines_from_a_fifo_are_sent(
        self, env: dict[str, str], inbox: Inbox, stream: str, tmp_path: Path
    ) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        writing = asyncio.to_thread(fifo.write_bytes, b"one\r\n\0\ntwo")

        ended, _ = await asyncio.gather(
            run("send", str(fifo), "--stream", stream, env=env), writing
        )

        assert [event.text for event in await events_of(inbox, stream)] == ["one", "two"]
        assert ended.code == 1
        assert ended.err.startswith("line 2: text: must not hold the NUL character")

    async def test_nothing_to_send_is_no_mistake(self, env: dict[str, str], stream: str) -> None:
        ended = await run("send", "--stream", stream, stdin="\n\n", env=env)

        assert (ended.code, ended.out, ended.err) == (0, "", "eventstream: 0 accepted\n")


class TestWaiting:
    async def test_answers_are_printed_in_the_order_of_the_lines(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        ended, _ = await asyncio.gather(
            run("send", "--stream", stream, "--wait", stdin="good\nbetter\n", env=env),
            work(inbox, stream, 2),
        )

        assert ended.code == 0
        assert [line.split("  ")[1] for line in ended.out.splitlines()] == ["GOOD", "BETTER"]

    async def test_a_failed_event_is_told_apart(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        ended, _ = await asyncio.gather(
            run("send", "--stream", stream, "--wait", stdin="a bomb\nfine\n", env=env),
            work(inbox, stream, 2),
        )

        assert ended.code == 1
        assert ended.out.endswith("  FINE\n")
        assert "provider_refused: the provider said no" in ended.err
        assert ended.err.endswith("2 accepted, 1 answered, 1 failed\n")

    async def test_json_answers_carry_the_line_and_the_whole_status(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        ended, _ = await asyncio.gather(
            run("send", "--stream", stream, "--wait", "--json", stdin="good\n", env=env),
            work(inbox, stream, 1),
        )

        assert (ended.json["line"], ended.json["status"]) == (1, "SUCCESS")
        assert ended.json["result"]["response"] == "GOOD"

    async def test_ctrl_c_while_waiting_leaves_the_ids(
        self, env: dict[str, str], inbox: Inbox, stream: str, live: Live, tmp_path: Path
    ) -> None:
        file = tmp_path / "two.txt"
        file.write_text("one\ntwo\n")
        send = await live("send", str(file), "--stream", stream, "--wait", env=env)
        await work(inbox, stream, 1)
        assert (await send.line()).endswith("  ONE")

        code, err, out = await send.interrupt_and_read()

        (waiting,) = await events_of(inbox, stream)
        assert (code, out) == (130, f"{waiting.id}\n")
        assert "2 accepted, 1 answered; the ids above have no answer yet" in err

    async def test_answers_that_nobody_reads_are_said_to_be_left(
        self, env: dict[str, str], inbox: Inbox, stream: str, live: Live, tmp_path: Path
    ) -> None:
        file = tmp_path / "two.txt"
        file.write_text("one\na bomb\n")
        send = await live("send", str(file), "--stream", stream, "--wait", env=env)

        (code, err), _ = await asyncio.gather(send.end_unread(""), work(inbox, stream, 2))

        assert code == 1  # 0 says that every event was answered
        assert err == ("eventstream: nobody reads the output any more: 2 accepted, 1 answered\n")


class TestWhenTheApiIsNotAsHoped:
    async def test_nobody_there(self) -> None:
        ended = await run("send", "--url", f"http://127.0.0.1:{free_port()}", stdin="text\n")

        assert ended.code == 3
        assert "nothing listens there. Start it with `eventstream up`" in ended.err

    @pytest.mark.parametrize("url", ["localhost", "ftp://host", "http://", "http://host:port"])
    async def test_an_address_that_is_none(self, url: str) -> None:
        ended = await run("send", "--url", url, stdin="text\n")

        assert ended.code == 2
        assert ended.err.startswith(f"eventstream: --url: {url!r} is not an address")

    async def test_a_stream_that_does_not_exist_is_said_once(self, env: dict[str, str]) -> None:
        ended = await run("send", "--stream", "nowhere", stdin="a\nb\nc\n", env=env)

        assert ended.code == 2
        assert ended.err == (
            "eventstream: --stream: there is no stream 'nowhere'."
            " `eventstream streams` lists those that exist\n"
        )

    async def test_a_wrong_key_and_a_right_one(self, api_env: dict[str, str], stream: str) -> None:
        with ApiProcess({**api_env, "API_AUTH": "keys", "API_KEYS": "right"}) as guarded:
            command = ("send", "--stream", stream, "--url", guarded.url)

            none = await run(*command, stdin="text\n")
            wrong = await run(*command, "--api-key", "wrong", stdin="text\n")
            right = await run(*command, stdin="text\n", env={"EVENTSTREAM_API_KEY": "right"})

        assert (none.code, wrong.code, right.code) == (2, 2, 0)
        assert wrong.err.startswith("eventstream: EVENTSTREAM_API_KEY: ")

    async def test_a_small_body_limit_makes_smaller_batches(
        self, api_env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        texts = [letter * 300 for letter in "abcdef"] + ["g" * 2000]
        with ApiProcess({**api_env, "API_MAX_BODY_BYTES": "1024"}) as small:
            ended = await run(
                *("send", "--stream", stream, "--url", small.url), stdin="\n".join(texts)
            )

        assert [event.text for event in await events_of(inbox, stream)] == texts[:6]
        assert ended.err.splitlines()[0].startswith("line 7: ")
        assert "(too_large)" in ended.err

    async def test_while_the_backlog_is_full_it_waits_as_long_as_it_is_asked_to(
        self, cache_url: str, prefix: str, redis_client: AsyncRedis
    ) -> None:
        env = {
            "REDIS_URL": cache_url,
            "EVENTSTREAM_PREFIX": f"{prefix}full:",
            "API_MAX_BACKLOG": "2",
        }
        keys = Keys(env["EVENTSTREAM_PREFIX"])
        inbox = Inbox(redis_client, keys, result_ttl_seconds=60, lease_seconds=30)
        loop = asyncio.get_running_loop()
        asked: list[float] = []

        def meanwhile(seconds: float) -> None:
            """Instead of sleeping: a worker empties the inbox, and the API gets to see it."""
            asked.append(seconds)
            asyncio.run_coroutine_threadsafe(drained(), loop).result()

        async def drained() -> None:
            for held in (await inbox.claim(QUEUE_HTTP, WORKER, 100)).fresh:
                await inbox.finish([an_answer(held)])
            await asyncio.sleep(0.3)

        def send_all(url: str) -> list[Receipt]:
            with ApiClient(url) as client:
                transport = HttpTransport(client, stream="default", task_type=None, use_cache=True)
                batches = iter([[Line(1, b"a"), Line(2, b"b")], [Line(3, b"c")]])
                return list(
                    deliver(batches, Format.LINES, "event_id", transport, Tally(), meanwhile)
                )

        await inbox.accept([Arrival(an_event(str(number))) for number in range(3)])
        with ApiProcess(env) as full:
            receipts = await asyncio.to_thread(send_all, full.url)

        assert [receipt.line for receipt in receipts if receipt.task_id] == [1, 2, 3]
        assert asked
        assert set(asked) == {10.0}  # What the API's Retry-After says of a full backlog.

    async def test_a_restart_of_the_api_is_waited_for(
        self, api_env: dict[str, str], inbox: Inbox, stream: str, live: Live
    ) -> None:
        port = free_port()
        with ApiProcess(api_env, port) as first:
            send = await live("send", "--stream", stream, "--url", first.url, env=api_env)
            await send.write("before\n")
            ids = [await send.line()]
        await send.write("after\n")
        assert "nothing listens there" in await send.error_line()
        with ApiProcess(api_env, port):
            ids.append(await send.line())

        assert [event.id for event in await events_of(inbox, stream)] == ids

    async def test_something_else_at_the_address(self, redis_server: RedisServer) -> None:
        ended = await run("send", "--url", f"http://127.0.0.1:{redis_server.port}", stdin="text\n")

        assert ended.code == 3
        assert "can't be reached" in ended.err


class TestResult:
    async def test_an_answer_and_where_it_came_from(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        event_id = f"{stream}/1"
        await inbox.accept([Arrival(an_event(event_id, stream=stream))])
        await work(inbox, stream, 1)

        ended = await run("result", event_id, env=env)

        assert ended.code == 0
        assert ended.out.splitlines() == [
            f"SUCCESS  {event_id}",
            "THE PARCEL CAME LATE.",
            "test/model · general_analysis · 0.010 s",
        ]

    async def test_waiting_for_it(self, env: dict[str, str], inbox: Inbox, stream: str) -> None:
        await inbox.accept([Arrival(an_event(f"{stream}-1", stream=stream))])

        ended, _ = await asyncio.gather(
            run("result", f"{stream}-1", "--wait", "60", "--json", env=env), work(inbox, stream, 1)
        )

        assert ended.code == 0
        assert ended.json["result"]["response"] == "THE PARCEL CAME LATE."

    async def test_seconds_that_are_no_number(self) -> None:
        ended = await run("result", "a", "--wait", "nan")

        assert ended.code == 2
        assert "'nan' is not a number of seconds" in ended.err

    async def test_not_finished_yet(self, env: dict[str, str], inbox: Inbox, stream: str) -> None:
        await inbox.accept([Arrival(an_event(f"{stream}-1", stream=stream))])

        ended = await run("result", f"{stream}-1", "--wait", "0.1", env=env)

        assert ended.code == 1
        assert ended.out == f"PENDING  {stream}-1\nin queue {stream}, not finished yet\n"

    async def test_one_that_waits_says_what_for(
        self, env: dict[str, str], inbox: Inbox, stream: str
    ) -> None:
        await inbox.accept([Arrival(an_event(f"{stream}-1", stream=stream))])
        [held] = (await inbox.claim(stream, WORKER, 1)).fresh
        why = "OPENAI_API_KEY: is not set"
        await inbox.put_back(WORKER, [held.wait(3600, why="configuration", detail=why)])

        ended = await run("result", f"{stream}-1", env=env)

        assert ended.out.endswith(f"\nwaits for configuration: {why}\n")

    async def test_a_failure_says_why(self, env: dict[str, str], inbox: Inbox, stream: str) -> None:
        await inbox.accept([Arrival(an_event(f"{stream}-1", "a bomb", stream=stream))])
        await work(inbox, stream, 1)

        ended = await run("result", f"{stream}-1", env=env)

        assert ended.code == 1
        assert ended.out == (
            f"FAILURE  {stream}-1\n{Reason.PROVIDER_REFUSED}: the provider said no\n"
        )

    async def test_an_id_that_nobody_knows(self, env: dict[str, str]) -> None:
        ended = await run("result", "nobody/knows?me", env=env)

        assert ended.code == 1
        assert ended.err == (
            "eventstream: nobody/knows?me: never accepted, or its time to live is over\n"
        )

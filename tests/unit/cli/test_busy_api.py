"""What `send` does when the API says "later": on a small HTTP server that can be told to.

The real API is busy only while its Redis is away or its backlog full; here it is certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any

import orjson
import pytest

from eventstream.cli.arrivals import Arrived, Refusal
from eventstream.cli.client import ApiClient
from eventstream.cli.common import Unreachable
from eventstream.cli.display import Display
from eventstream.cli.send import Tally, deliver, show_receipts
from eventstream.cli.texts import Format, Line, read_lines
from eventstream.cli.transports import HttpTransport, Place, Receipt
from eventstream.cli.waiting import PATIENCE_SECONDS, answers
from eventstream.errors import ConfigurationError
from eventstream.events import State

Reply = tuple[int, dict[str, str], bytes]


def accepted(count: int) -> Reply:
    outcomes = [
        {"index": index, "status": "pending", "task_id": f"id-{index}", "duplicate": False}
        for index in range(count)
    ]
    return 202, {}, orjson.dumps({"outcomes": outcomes})


def busy(retry_after: str | None = None, status: int = 503) -> Reply:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return status, headers, b'{"detail": "Redis is away.", "reason": "store_unavailable"}'


def too_large() -> Reply:
    return 413, {}, b'{"detail": "The body is too large.", "reason": "too_large"}'


@dataclass
class Api:
    """Gives one reply after the other, the last one again and again, and keeps what was asked."""

    replies: list[Reply]
    url: str = ""
    keys: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)


@contextmanager
def an_api(*replies: Reply) -> Iterator[Api]:
    api = Api(list(replies))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            api.keys.append(self.headers["Idempotency-Key"])
            length = int(self.headers["Content-Length"])
            api.bodies.append(orjson.loads(self.rfile.read(length)))
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            status, headers, body = api.replies.pop(0) if api.replies[1:] else api.replies[0]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test says what it saw."""

    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send_lines(
    api: Api, count: int, tally: Tally, slept: list[float], contents: Sequence[bytes] = ()
) -> list[Receipt]:
    """Send `count` lines, all of them "text" where their contents are not given."""
    lines = list(map(Line, range(1, count + 1), contents or [b"text"] * count))
    with ApiClient(api.url) as client:
        transport = HttpTransport(client, stream="default", task_type=None, use_cache=True)
        delivered = deliver(iter([lines]), Format.LINES, "event_id", transport, tally, slept.append)
        return list(delivered)


def test_the_same_batch_is_sent_again_under_the_same_key_after_the_time_that_was_asked_for() -> (
    None
):
    slept: list[float] = []
    with an_api(busy("7"), busy(), busy("900"), accepted(2)) as api:
        receipts = send_lines(api, 2, Tally(), slept)

    assert [receipt.task_id for receipt in receipts] == ["id-0", "id-1"]
    assert slept == [7.0, 2.0, 60.0]  # As asked; not said; no longer than a minute at once.
    assert len(set(api.keys)) == 1
    assert api.bodies[0] == api.bodies[-1]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_every_answer_that_means_later_is_waited_for(status: int) -> None:
    slept: list[float] = []
    with an_api(busy("1", status), accepted(1)) as api:
        send_lines(api, 1, Tally(), slept)

    assert slept == [1.0]


def test_a_piece_of_a_batch_that_was_too_large_is_sent_again_as_it_was_under_its_own_key() -> None:
    """A busy API may have accepted it all the same: cut anew, its texts would count twice."""
    whole, half = "abcdefgh", "abcd"
    with an_api(
        too_large(),
        too_large(),
        accepted(2),
        busy(),
        accepted(2),
        busy(),
        accepted(4),
    ) as api:
        receipts = send_lines(api, 8, Tally(), [], [letter.encode() for letter in whole])

    sent = [
        ("".join(event["text"] for event in body["events"]), key)
        for body, key in zip(api.bodies, api.keys, strict=True)
    ]
    assert [texts for texts, _ in sent] == [whole, half, "ab", "cd", "cd", "efgh", "efgh"]
    assert len(set(sent)) == len(set(api.keys)) == 5
    assert [receipt.line for receipt in receipts] == list(range(1, 9))
    assert all(receipt.task_id for receipt in receipts)


def test_a_new_batch_has_a_new_key() -> None:
    with an_api(accepted(500), accepted(3)) as api:
        receipts = send_lines(api, 503, Tally(), [])

    assert len(receipts) == 503
    assert len(set(api.keys)) == 2


def test_patience_ends_and_what_is_certain_is_known() -> None:
    tally, slept = Tally(), list[float]()
    with (
        an_api(accepted(500), busy("60")) as api,
        pytest.raises(Unreachable, match="Redis is away"),
    ):
        send_lines(api, 600, tally, slept)

    assert sum(slept) == PATIENCE_SECONDS
    assert (tally.accepted, tally.next_line) == (500, 501)


def test_a_text_with_an_id_of_its_own_counts_as_soon_as_it_is_accepted() -> None:
    lines = [Line(number, b'{"text": "a", "event_id": "e%d"}' % number) for number in (1, 2)]
    tally = Tally()
    with an_api(accepted(1), busy("60")) as api, ApiClient(api.url) as client:
        transport = HttpTransport(client, stream="default", task_type=None, use_cache=True)
        delivered = deliver(
            iter([lines]), Format.JSONL, "event_id", transport, tally, lambda _: None
        )
        with pytest.raises(Unreachable):
            list(delivered)

    assert (tally.accepted, tally.next_line) == (1, 2)
    assert set(api.keys) == {"e1", "e2"}


def test_an_answer_that_is_no_json_is_no_api() -> None:
    with (
        an_api((200, {}, b"<html>")) as api,
        pytest.raises(Unreachable, match="is no EventStream API: check --url"),
    ):
        send_lines(api, 1, Tally(), [])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"hello": "world"}'),
        (202, b'{"outcomes": []}'),
        (202, b'{"outcomes": [{"index": 0}]}'),
        (202, b'{"accepted": 1}'),
        (401, b'{"detail": "no"}'),
        (404, b'{"detail": "Not Found"}'),
        (422, b'{"detail": [{"loc": ["body"], "msg": "x"}]}'),
        (422, b'{"errors": ["boo"]}'),
        (422, b'{"reason": "x", "detail": "x", "errors": ["boo"]}'),
    ],
)
def test_an_answer_that_the_api_does_not_give_is_no_api(status: int, body: bytes) -> None:
    with an_api((status, {}, body)) as api, pytest.raises(Unreachable, match="is no EventStream"):
        send_lines(api, 1, Tally(), [])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"detail": "Not Found"}'),
        (404, b'{"detail": "Nothing answers here", "reason": "path_not_found"}'),
        (200, b'{"hello": "world"}'),
    ],
)
def test_only_the_api_can_say_that_an_event_was_never_accepted(status: int, body: bytes) -> None:
    with (
        an_api((status, {}, body)) as api,
        ApiClient(api.url) as client,
        pytest.raises(Unreachable, match="is no EventStream API: check --url"),
    ):
        client.status("a")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://[::1", "'http://[::1' is not an address"),
        ("http://127.0.0.1:8000?x=1", "'http://127.0.0.1:8000?x=1' goes on behind its path"),
        ("http://127.0.0.1:8000/#x", "'http://127.0.0.1:8000/#x' goes on behind its path"),
        ("http://me:secret@127.0.0.1:8000", "names a user. Leave it out; a key goes into EVENTS"),
    ],
)
def test_an_address_that_can_not_be_used_is_said_in_words(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ApiClient(url)

    assert str(raised.value).startswith(f"--url: {says}")
    assert "secret" not in str(raised.value)


def test_an_error_of_the_api_itself_is_said_in_its_words() -> None:
    with (
        an_api((500, {}, b'{"detail": "The error is in the log"}')) as api,
        pytest.raises(Unreachable, match="failed: The error is in the log"),
    ):
        send_lines(api, 1, Tally(), [])


def test_a_host_that_the_api_does_not_know_is_about_the_address_and_not_the_key() -> None:
    refusal = b'{"detail": "The Host header is not a local name.", "reason": "host_not_allowed"}'
    with (
        an_api((403, {}, refusal)) as api,
        pytest.raises(ConfigurationError, match="--url: The Host header"),
    ):
        send_lines(api, 1, Tally(), [])


def test_refusals_beyond_those_that_the_answer_names_get_its_general_sentence() -> None:
    document = {
        "detail": "None of the 2 events was accepted",
        "reason": "nothing_accepted",
        "errors": [
            {"field": "events.0.text", "reason": "invalid_field", "message": "events.0.text: no"}
        ],
    }
    with an_api((422, {}, orjson.dumps(document))) as api:
        first, second = send_lines(api, 2, Tally(), [])

    assert (first.reason, first.message) == ("invalid_field", "text: no")
    assert (second.reason, second.message) == ("nothing_accepted", document["detail"])


def test_all_texts_of_an_answered_request_count_before_the_first_is_shown() -> None:
    """Ctrl-C or `| head` may come at any line that is shown: the others are accepted too."""
    lines = [Line(number, b"text") for number in (1, 2, 3)]
    tally = Tally()
    with an_api(accepted(3)) as api, ApiClient(api.url) as client:
        transport = HttpTransport(client, stream="default", task_type=None, use_cache=True)
        next(deliver(iter([lines]), Format.LINES, "event_id", transport, tally, lambda _: None))

    assert (tally.accepted, tally.next_line) == (3, 4)


def test_ctrl_c_leaves_the_ids_of_all_that_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    class Interrupted(Display):
        def show(self, receipt: Receipt, accepted: int) -> None:
            super().show(receipt, accepted)
            if receipt.line == 2:
                raise KeyboardInterrupt

    file = BytesIO(b"a\nb\nc\nd\n")
    tally = Tally()
    with an_api(accepted(4)) as api, ApiClient(api.url) as client:
        transport = HttpTransport(client, stream="default", task_type=None, use_cache=True)
        receipts = deliver(
            read_lines(file), Format.LINES, "event_id", transport, tally, lambda _: None
        )
        with pytest.raises(KeyboardInterrupt):
            show_receipts(
                receipts, Interrupted(file, as_json=False, wait=False), tally, file, keep=False
            )

    shown = capsys.readouterr()
    assert shown.out.split() == ["id-0", "id-1", "id-2", "id-3"]
    assert "interrupted: 4 accepted" in shown.err
    assert shown.err.endswith("--from-line 5\n")
    assert len(api.bodies) == 1


def test_ctrl_c_that_ended_the_reader_too_still_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The keyboard interrupts all of `eventstream send FILE | tee ids`."""

    class Interrupted(Display):
        def show(self, receipt: Receipt, accepted: int) -> None:
            raise KeyboardInterrupt if receipt.line == 1 else BrokenPipeError

    file = BytesIO(b"a\nb\n")
    tally = Tally(accepted=2, next_line=3)
    receipts = iter([Receipt(1, task_id="a"), Receipt(2, task_id="b")])
    with pytest.raises(KeyboardInterrupt):
        show_receipts(
            receipts, Interrupted(file, as_json=False, wait=False), tally, file, keep=False
        )

    assert capsys.readouterr().err.endswith(
        "interrupted: 2 accepted; to go on, send the same input with --from-line 3\n"
    )


def test_waiting_for_an_answer_outlasts_a_busy_api() -> None:
    done: Reply = (200, {}, b'{"task_id": "a", "status": "SUCCESS"}')
    slept: list[float] = []
    with an_api(busy("3"), done) as api, ApiClient(api.url) as client:
        ((_, status),) = answers(client, [Receipt(1, task_id="a")], slept.append, Arrived())

    assert status is not None
    assert status.status is State.SUCCESS
    assert slept == [3.0]


def test_what_events_wait_for_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    waiting: Reply = (
        200,
        {},
        b'{"task_id": "a", "status": "RETRY",'
        b' "progress": {"reason": "configuration", "detail": "OPENAI_API_KEY: is not set",'
        b' "due_at": 1796034429.0}}',
    )
    done: Reply = (200, {}, b'{"task_id": "a", "status": "SUCCESS"}')
    receipts = [Receipt(1, task_id="a"), Receipt(2, task_id="b")]
    with an_api(waiting, waiting, done, waiting, done) as api, ApiClient(api.url) as client:
        found = list(answers(client, receipts, lambda _: None, Arrived()))

    assert len(found) == 2
    assert capsys.readouterr().err == (
        "eventstream: a waits for configuration: OPENAI_API_KEY: is not set\n"
    )


def test_an_event_that_the_api_does_not_know_has_no_answer() -> None:
    unknown: Reply = (404, {}, b'{"detail": "No task", "reason": "task_not_found"}')
    with an_api(unknown) as api, ApiClient(api.url) as client:
        ((_, status),) = answers(client, [Receipt(1, task_id="a")], lambda _: None, Arrived())

    assert status is None


def test_a_record_that_was_refused_or_not_taken_does_not_get_another_text_s_answer() -> None:
    others: Reply = (200, {}, b'{"task_id": "a", "status": "SUCCESS"}')
    refused, not_taken = Place(0, 7), Place(0, 8)
    came = Arrived({refused: Refusal("id_conflict", "other text")}, frozenset({not_taken}))
    receipts = [Receipt(n, task_id="a", place=place) for n, place in enumerate(came_in(came), 1)]
    with an_api(others) as api, ApiClient(api.url) as client:
        found = [status for _, status in answers(client, receipts, lambda _: None, came)]

    assert found[0] is not None
    assert (found[0].status, found[0].progress) == (State.FAILURE, {"reason": "id_conflict"})
    assert found[1] is None


def came_in(came: Arrived) -> list[Place]:
    return [*came.refused, *came.not_taken]

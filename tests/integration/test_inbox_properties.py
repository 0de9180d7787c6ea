"""Whatever clients and workers do, and in whatever order, the inbox keeps its promise."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from eventstream.claims import Answered, Arrival, Cancellation, Failed, Held, Outcome
from eventstream.events import State
from eventstream.inbox import Inbox
from eventstream.keys import QUEUE_HTTP, Keys
from eventstream.redis_client import connect
from eventstream.results import Results
from tests.support.events import a_failure, an_answer, an_event

T = TypeVar("T")

NAMES = st.sampled_from(["a", "b", "c", "d"])
TEXTS = st.sampled_from(["one", "two"])
WORKERS = st.sampled_from(["w1", "w2", "w3"])


class InboxMachine(RuleBasedStateMachine):
    """A model of the promise beside the real inbox. Leases end at once, so crashes are cheap."""

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        keys = Keys(f"t{uuid.uuid4().hex[:12]}:")
        self.redis = connect(self.url, timeout_seconds=5)
        self.inbox = Inbox(self.redis, keys, result_ttl_seconds=3600, lease_seconds=0)
        self.results = Results(self.redis, keys)
        self.contents: dict[str, str] = {}
        self.first_answers: dict[str, str] = {}
        self.held: list[tuple[str, Held]] = []
        self.over: list[Answered | Failed] = []
        self.accepted = 0
        self.duplicates = 0
        self.forgotten = 0
        self.answers = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @rule(name=NAMES, text=TEXTS)
    def accept(self, name: str, text: str) -> None:
        [acceptance] = self.run(self.inbox.accept([Arrival(an_event(name, text))]))
        known = self.contents.get(name)
        expected = (
            Outcome.ACCEPTED
            if known is None
            else Outcome.DUPLICATE
            if known == text
            else Outcome.CONFLICT
        )
        assert acceptance.outcome is expected
        self.accepted += expected is not Outcome.CONFLICT
        self.duplicates += expected is Outcome.DUPLICATE
        self.contents.setdefault(name, text)

    @rule(worker=WORKERS, most=st.integers(1, 3))
    def claim(self, worker: str, most: int) -> None:
        claim = self.run(self.inbox.claim(QUEUE_HTTP, worker, most))
        self.held += [(worker, held) for held in claim.fresh]

    @rule(worker=WORKERS)
    def take_over(self, worker: str) -> None:
        """Also what a living worker still holds: its loop was blocked, say."""
        claim = self.run(self.inbox.claim(QUEUE_HTTP, worker, 0, suspects="take"))
        assert all(held.deliveries > 1 for held in claim.suspects)
        self.held += [(worker, held) for held in claim.suspects]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """The worker dies with what it held."""
        worker, _ = data.draw(st.sampled_from(self.held))
        self.held = [(name, held) for name, held in self.held if name != worker]

    @precondition(lambda self: self.held)
    @rule(data=st.data(), success=st.booleans())
    def finish(self, data: st.DataObject, success: bool) -> None:
        item = data.draw(st.sampled_from(self.held))
        self.held.remove(item)
        name = item[1].event.id
        self.answers += 1
        response = f"answer {self.answers}"
        ending = an_answer(item[1], response) if success else a_failure(item[1])
        [counted] = self.run(self.inbox.finish([ending]))
        self.over.append(ending)
        if counted:
            assert name not in self.first_answers
            self.first_answers[name] = response if success else "failure"

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def finish_once_more(self, data: st.DataObject) -> None:
        """The reply was lost, or whoever held it did not know that it is forgotten."""
        ending = data.draw(st.sampled_from(self.over))
        assert self.run(self.inbox.finish([ending])) == [False]

    @precondition(lambda self: self.held)
    @rule(data=st.data(), wait=st.sampled_from([0.0, 3600.0]))
    def put_back(self, data: st.DataObject, wait: float) -> None:
        item = data.draw(st.sampled_from(self.held))
        self.held.remove(item)
        held = item[1]
        self.run(self.inbox.put_back(item[0], [held.wait(wait)]))

    @rule(name=NAMES)
    def cancel_or_forget(self, name: str) -> None:
        outcome = self.run(self.inbox.cancel(name))
        if name not in self.contents:
            assert outcome is Cancellation.NOT_FOUND
        elif name in self.first_answers:
            assert outcome is Cancellation.FORGOTTEN
            del self.first_answers[name], self.contents[name]
            # What somebody still holds of it belongs to the past.
            past = [item for item in self.held if item[1].event.id == name]
            self.over += [an_answer(held, "of the past") for _, held in past]
            self.held = [item for item in self.held if item not in past]
        else:
            assert outcome is Cancellation.CANCELLED
            self.first_answers[name] = "failure"

    @invariant()
    def the_counts_add_up(self) -> None:
        counters = self.run(self.results.counters(["default"]))["default"]
        depth = self.run(self.inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP]
        unfinished = len(self.contents) - len(self.first_answers)
        assert counters.accepted == self.accepted
        assert counters.duplicates == self.duplicates
        assert counters.open == unfinished
        # An event may stand in the inbox beside its own answer only until somebody claims it.
        assert depth.unfinished >= unfinished

    @invariant()
    def the_first_answer_stays(self) -> None:
        for name, expected in self.first_answers.items():
            status = self.run(self.results.status(name))
            assert status is not None
            if expected == "failure":
                assert status.status is State.FAILURE
            else:
                assert status.result is not None
                assert status.result.response == expected

    def teardown(self) -> None:
        # Whatever happened: living workers finish everything that is left, and nothing stays.
        for name in list(self.contents):
            if name not in self.first_answers:
                self.run(self._undo_deferral(name))
        for _ in range(50):
            claim = self.run(self.inbox.claim(QUEUE_HTTP, "last", 10, suspects="take"))
            self.run(self.inbox.finish([an_answer(h) for h in (*claim.fresh, *claim.suspects)]))
        depth = self.run(self.inbox.depth([QUEUE_HTTP]))[QUEUE_HTTP]
        counters = self.run(self.results.counters(["default"]))["default"]
        assert (depth.unfinished, counters.open) == (0, 0)
        self.run(self.redis.aclose())
        self.runner.close()

    async def _undo_deferral(self, name: str) -> None:
        key = self.inbox._keys.deferred(QUEUE_HTTP)
        if await self.redis.zscore(key, name) is not None:
            await self.redis.zadd(key, {name: 0})


def test_the_promise_holds_in_any_order(state_url: str) -> None:
    InboxMachine.url = state_url
    run_state_machine_as_test(
        InboxMachine,
        settings=settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

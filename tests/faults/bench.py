"""What the fault tests share: events in, breaking things, and the sums at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import redis
import requests
import yaml

from eventstream.claims import Acceptance, Arrival
from eventstream.events import Event
from eventstream.inbox import Inbox
from eventstream.keys import Keys, queues_of
from eventstream.redis_client import connect
from eventstream.results import StreamCounters, read_counters
from eventstream.settings import Settings
from eventstream.wakeup import WakeUps
from tests.e2e.services import Deployment, Service, until
from tests.support.events import an_event


def good_events(count: int, name: str = "e", **changes: Any) -> list[Event]:
    """Events that the provider's one answer fits; no two have the same text."""
    return [
        an_event(f"{name}{n}", f"{name} {n} is lovely", task_type="sentiment_analysis", **changes)
        for n in range(count)
    ]


class Bench:
    """A deployment under test, reached from outside as its neighbours would."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.keys = Keys()
        self.state: redis.Redis = redis.Redis.from_url(deployment.state.url(2))
        settings = Settings(
            celery_broker_url=deployment.environment()["CELERY_BROKER_URL"],
            celery_result_backend=deployment.state.url(2),
        )
        self._wake_ups = WakeUps(settings)

    async def aclose(self) -> None:
        self._wake_ups.close()
        self.state.close()

    def start_worker(self, **environment: str) -> Service:
        """A worker that has said that it is there."""
        worker = self.deployment.run("worker", **environment)
        self.until_ready(worker)
        return worker

    def until_ready(self, worker: Service) -> None:
        until(
            lambda: not worker.running or self.state.zcard(self.keys.workers) > 0, 90, worker.tail
        )
        assert worker.running, worker.tail()

    def apply(self, file: Path, streams: Mapping[str, object]) -> None:
        """`eventstream streams apply -f FILE`, with these specs by name in it."""
        file.write_text(
            yaml.safe_dump_all(
                {
                    "apiVersion": "ai-eventstream.io/v1alpha1",
                    "kind": "EventStream",
                    "metadata": {"name": name},
                    "spec": spec,
                }
                for name, spec in streams.items()
            )
        )
        applied = self.deployment.run("streams", "apply", "-f", str(file))
        assert applied.wait() == 0, applied.tail()

    def accept(self, events: Iterable[Event]) -> list[Acceptance]:
        """Into the inbox, as API and consumer do it, with the wake-ups that are asked for."""
        acceptances = asyncio.run(self._accept(list(events)))
        self._wake_ups.send({each.queue for each in acceptances if each.wake})
        return acceptances

    async def _accept(self, events: list[Event]) -> list[Acceptance]:
        client = connect(self.deployment.state.url(2), timeout_seconds=10)
        inbox = Inbox(client, self.keys, result_ttl_seconds=3600, lease_seconds=30)
        try:
            return await inbox.accept([Arrival(event, raw=b"raw") for event in events])
        finally:
            await client.aclose()

    def post(self, text: str, key: str) -> requests.Response:
        """`POST /process`, under an Idempotency-Key, as a careful client does it."""
        return requests.post(
            f"{self.deployment.url}/process",
            json={"text": text, "task_type": "sentiment_analysis"},
            headers={"Idempotency-Key": key},
            timeout=30,
        )

    def heartbeat(self) -> object:
        """The one worker's last heartbeat; another value each time that it beats."""
        [name] = cast(list[bytes], self.state.zrange(self.keys.workers, 0, -1))
        return self.state.get(self.keys.worker(name.decode()))

    def counters(self, stream: str = "default") -> StreamCounters:
        stored = self.state.hgetall(self.keys.counters(stream))
        return read_counters(cast(dict[bytes, bytes], stored))

    def until_answered(self, count: int, seconds: float = 90) -> None:
        until(lambda: self.counters().answered >= count, seconds, lambda: str(self.counters()))

    def until_finished(self, accepted: int, stream: str = "default", seconds: float = 90) -> None:
        """Wait until all is finished, and add up: accepted = answered + failed + duplicates."""
        until(
            lambda: (now := self.counters(stream)).accepted >= accepted and now.open == 0,
            seconds,
            lambda: str(self.counters(stream)),
        )
        counters = self.counters(stream)
        assert counters.accepted == accepted
        assert counters.accepted == counters.answered + counters.failed + counters.duplicates
        for queue in queues_of(stream):
            assert self.state.xlen(self.keys.inbox(queue)) == 0
            assert self.state.zcard(self.keys.deferred(queue)) == 0

    def results_of(self, events: Iterable[Event]) -> int:
        """How many of the events have a result."""
        return sum(bool(self.state.exists(self.keys.result(event.id))) for event in events)

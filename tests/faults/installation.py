"""An installation whose every link can be spoiled: API, consumer and worker as real processes.

Redis runs three times (cache; Celery's broker; results and inbox), Apache Kafka once, and each of
them and the provider of models stands behind a proxy. A test sends events, does its worst, and
asks for the sums: accepted = answered + failed + duplicates, nothing left anywhere.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import cast

import orjson
import redis
import requests
from confluent_kafka import Producer

from eventstream.keys import DEFAULT_STREAM, Keys, queues_of
from eventstream.results import StreamCounters, read_counters
from tests.e2e.services import Deployment, Service, until, until_next_try
from tests.faults.provider import Provider
from tests.faults.records import records_of
from tests.support.proxied_kafka import ProxiedKafka
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, free_port

SECONDS = 240.0
"""How long anything here may take; a busy machine takes its time."""
DIFFERENT_TEXTS = 250


class Lines:
    """What a service has logged since this was made."""

    def __init__(self, *services: Service) -> None:
        self._from = {service: service.log.stat().st_size for service in services}

    def __iter__(self) -> Iterator[dict[str, object]]:
        for service, begin in self._from.items():
            with service.log.open("rb") as log:
                log.seek(begin)
                for line in log:
                    if line.startswith(b"{") and line.endswith(b"}\n"):
                        yield orjson.loads(line)

    def say(self, *events: str) -> bool:
        """Whether one of these was logged."""
        return any(line["event"] in events for line in self)


class Installation:
    """Everything, running; a context manager."""

    def __init__(self, folder: Path, kafka: ProxiedKafka, provider: Provider) -> None:
        self.folder = folder
        self.kafka = kafka
        self.provider = provider
        self._closing = ExitStack()
        (folder / "broker").mkdir(parents=True)
        self.broker = RedisServer(folder / "broker", search=False)
        self.deployment = Deployment(folder)
        self.links = {
            "results": Proxy(self.deployment.state.port),
            "broker": Proxy(self.broker.port),
            "cache": Proxy(self.deployment.cache.port),
            "provider": Proxy(provider.port),
            "kafka": kafka.proxy,
        }
        self.topic = f"raw-{uuid.uuid4().hex[:8]}"
        self.metrics_ports = {"worker": free_port(), "consumer": free_port()}
        self.keys = Keys()

    @property
    def environment(self) -> dict[str, str]:
        """What the services are told: every address is a proxy's."""
        return {
            "REDIS_URL": self.links["cache"].redis_url(0),
            "CELERY_BROKER_URL": self.links["broker"].redis_url(1),
            "CELERY_RESULT_BACKEND": self.links["results"].redis_url(2),
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_TOPIC_RAW_DATA": self.topic,
            "KAFKA_TOPIC_PROCESSED": f"{self.topic}-scored",
            "KAFKA_CONSUMER_GROUP": self.topic,
            # Most of what is sent stays in Kafka for a while: the consumer is in the middle, too.
            "KAFKA_MAX_BACKLOG": "400",
            "KAFKA_MAX_POLL_RECORDS": "100",
            "OPENAI_API_KEY": "sk-not-a-key",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.links['provider'].port}/v1",
            # A busy machine may hold up a process for half a minute: no event fails for it.
            "EVENT_DEADLINE_SECONDS": "60",
            "WORKER_CONCURRENCY": "2",
            "WORKER_LEASE_SECONDS": "12",
        }

    # -- the services ----------------------------------------------------------------------

    def run_worker(self, **environment: str) -> Service:
        """One more worker, that has said that it is there."""
        known = self._workers()
        worker = self.deployment.run("worker", **{**self.environment, **environment})
        until(lambda: not worker.running or bool(self._workers() - known), SECONDS, worker.tail)
        assert worker.running, worker.tail()
        return worker

    def run_consumer(self, **environment: str) -> Service:
        """One more consumer."""
        return self.deployment.run("consumer", **{**self.environment, **environment})

    def start_consumer(self, **environment: str) -> None:
        """The consumer of this installation; the one before it has ended."""
        port = str(self.metrics_ports["consumer"])
        self.consumer = self.run_consumer(METRICS_PORT=port, **environment)

    def start_worker(self, **environment: str) -> None:
        """The worker of this installation; the one before it has ended."""
        port = str(self.metrics_ports["worker"])
        self.worker = self.run_worker(METRICS_PORT=port, **environment)

    def start_api(self) -> None:
        """The API of this installation; the one before it has ended."""
        self.api = self.deployment.run("api", **self.environment)

    def start_services(self, **of_worker: str) -> None:
        """API, consumer and worker, one of each; returns when they are there."""
        self.start_api()
        self.start_consumer()
        self.start_worker(**of_worker)
        self.deployment.until_http_answers(f"{self.deployment.url}/readyz", self.api)

    def command(self, *arguments: str) -> str:
        """What `eventstream ARGUMENTS` prints; it must end with 0."""
        done = subprocess.run(
            [sys.executable, "-m", "eventstream", *arguments],
            env=self.deployment.environment(**self.environment),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _workers(self) -> set[bytes]:
        return set(cast(list[bytes], self.state.zrange(self.keys.workers, 0, -1)))

    def _start(self) -> None:
        for name, link in self.links.items():
            if name != "kafka":
                self._closing.enter_context(link)
        self._closing.enter_context(self.broker)
        self._closing.enter_context(self.deployment)
        self.state = redis.Redis(
            port=self.deployment.state.port,
            db=2,
            # A test that restarts this server asks it again.
            retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 100),
        )
        self._closing.callback(self.state.close)
        self.producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers})
        self.start_services()

    def mend(self) -> None:
        """All links as they should be, and a provider that answers."""
        for link in self.links.values():
            link.mend()
        self.provider.behave()

    # -- events ----------------------------------------------------------------------------

    def send(self, count: int, *, flush: bool = True) -> list[str]:
        """Write so many records to the source topic; their ids. `flush`: they are acknowledged."""
        name = uuid.uuid4().hex[:6]
        ids = []
        for number in range(count):
            event_id = f"{name}-{number}"
            text = f"{name} says number {number % DIFFERENT_TEXTS} is lovely"
            event = {"event_id": event_id, "text": text, "task_type": "sentiment_analysis"}
            self.producer.produce(self.topic, orjson.dumps(event))
            ids.append(event_id)
        if flush:
            assert self.producer.flush(SECONDS) == 0
        return ids

    def post(self, key: str) -> str:
        """One text over HTTP, as a careful client does it: again until it is accepted; its id."""
        give_up = time.monotonic() + SECONDS  # or a test that fails would never end
        while time.monotonic() < give_up:
            try:
                reply = requests.post(
                    f"{self.deployment.url}/process",
                    json={"text": f"{key} is lovely", "task_type": "sentiment_analysis"},
                    headers={"Idempotency-Key": key},
                    timeout=30,
                )
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                until_next_try()  # a stopped API is started again, or one killed in mid-answer
                continue
            if reply.status_code == 202:
                return str(reply.json()["task_id"])
            assert reply.status_code == 503, reply.text
            assert int(reply.headers["Retry-After"]) > 0
            until_next_try()
        raise AssertionError(f"{key!r} was not accepted within {SECONDS} s")

    def post_many(self, count: int, name: str = "") -> Callable[[], list[str]]:
        """Begin to post so many texts, a few at a time; call what is returned for their ids."""
        name = name or uuid.uuid4().hex[:6]
        pool = ThreadPoolExecutor(4)
        posting = [pool.submit(self.post, f"{name} {number}") for number in range(count)]

        def wait() -> list[str]:
            try:
                return [each.result(SECONDS) for each in posting]
            finally:
                pool.shutdown(cancel_futures=True)

        return wait

    # -- what became of them ---------------------------------------------------------------

    def counters(self) -> StreamCounters:
        """The counts of the default stream."""
        stored = self.state.hgetall(self.keys.counters(DEFAULT_STREAM))
        return read_counters(cast(dict[bytes, bytes], stored))

    def until_answered(self, more: int, than: StreamCounters) -> None:
        """Wait until so many more are answered than before."""
        until(
            lambda: self.counters().answered >= than.answered + more,
            SECONDS,
            lambda: f"{than} -> {self.counters()}\n{self.worker.tail()}",
        )

    def settle(
        self, before: StreamCounters, ids: Sequence[str], *, newest: int | None = None
    ) -> None:
        """Wait until all is finished, and add up.

        accepted = answered + failed + duplicates, one result an id (of the `newest` ones, where so
        many were sent that the first results have had their time), nothing left in the inbox.
        """

        def all_finished() -> bool:
            now = self.counters()
            new = now.accepted - now.duplicates - before.accepted + before.duplicates
            return new >= len(ids) and now.open == 0

        until(
            all_finished,
            SECONDS,
            lambda: (
                f"{len(ids)} sent; {before} -> {self.counters()}\n{self.worker.tail()}\n"
                f"{self.consumer.tail()}"
            ),
        )
        now = self.counters()
        new = now.accepted - now.duplicates - before.accepted + before.duplicates
        assert new == len(ids)
        assert now.accepted == now.answered + now.failed + now.duplicates
        assert now.failed == before.failed, self._failures(ids)
        asked = ids if newest is None else ids[-newest:]
        assert self.results_of(asked) == len(asked)
        for queue in queues_of(DEFAULT_STREAM):
            assert self.state.xlen(self.keys.inbox(queue)) == 0
            assert self.state.zcard(self.keys.deferred(queue)) == 0

    def _failures(self, ids: Sequence[str]) -> str:
        """What the store tells of those that failed."""
        pipe = self.state.pipeline(transaction=False)
        for event_id in ids:
            pipe.hgetall(self.keys.task_meta(event_id))
        metas = zip(ids, pipe.execute(), strict=True)
        return "\n".join(
            f"{each}: {meta}" for each, meta in metas if meta.get(b"status") == b"FAILURE"
        )

    def published(self, ids: Sequence[str]) -> None:
        """Wait until the answers of all these are in the sink."""
        missing = set(ids)

        def all_there(values: list[bytes]) -> bool:
            return {orjson.loads(value)["event_id"] for value in values} >= missing

        records_of(self.kafka, f"{self.topic}-scored", all_there)

    def works_as_ever(self) -> None:
        """Another few hundred go through, from both sides."""
        before = self.counters()
        posting = self.post_many(20)
        ids = self.send(200)
        self.settle(before, [*ids, *posting()])

    def results_of(self, ids: Sequence[str]) -> int:
        """How many of the events have a result."""
        pipe = self.state.pipeline(transaction=False)
        for event_id in ids:
            pipe.exists(self.keys.result(event_id))
        return sum(pipe.execute())

    def metric(self, service: str, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels, as a scraper reads them now."""
        if service == "api":
            url = f"{self.deployment.url}/metrics"
        else:
            url = f"http://127.0.0.1:{self.metrics_ports[service]}/metrics"
        asked = urllib.request.Request(url, headers={"Accept": "text/plain"})  # noqa: S310  # loopback
        with urllib.request.urlopen(asked, timeout=30) as reply:  # noqa: S310  # likewise
            text = reply.read().decode()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith((f"{name}{{", f"{name} ")) and all(each in line for each in wanted)
        )

    def __enter__(self) -> Installation:
        try:
            self._start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.mend()
        self.producer.flush(10)
        self._closing.close()

"""An asyncio producer: `await produce(...)` returns when Kafka has acknowledged the record.

Sits on confluent-kafka's Producer with a polling thread of its own. The client and its threads are
made by the first `produce`, so after the fork that a worker lives in. It does not retry beyond what
librdkafka does within its delivery time-out: only the caller knows what may be written twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventstream.kafka.config import Config
from eventstream.kafka.errors import (
    TOO_LARGE,
    TOPIC_IS_MISSING,
    KafkaUnavailable,
    RecordTooLarge,
    kafka_error,
    reason_of,
)
from eventstream.kafka.records import Headers
from eventstream.logs import get_logger

log = get_logger(__name__)

POLL_SECONDS: Final = 0.1
MAX_IN_FLIGHT: Final = 1000

# After a fatal error a client takes nothing more. After a time-out it may be that the broker has
# forgotten the client (a demo broker that restarted), and idempotent producing never recovers. Of a
# topic that was missing it goes on saying so for minutes after the topic is there.
_USE_A_NEW_CLIENT: Final = (KafkaError._FATAL, KafkaError._MSG_TIMED_OUT, *TOPIC_IS_MISSING)
_ONE_AT_A_TIME: Final[Config] = {"batch.num.messages": 1, "linger.ms": 0}

Delivery = asyncio.Future[None]


class AsyncProducer:
    """Produces records and waits for their acknowledgement; one event loop uses it.

    At most `max_in_flight` records are on their way; whoever wants more waits. After a time-out, a
    missing topic, or an error that librdkafka calls fatal, the next `produce` begins with a new
    client; what the old one has on its way may still arrive, unless the error was fatal.
    """

    def __init__(self, config: Config, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self._config = config
        self._room = asyncio.Semaphore(max_in_flight)
        self._in_flight: set[Delivery] = set()
        self._clients: dict[bool, _Client] = {}  # by whether it sends one record at a time
        self._leaving: list[_Client] = []
        self._closed = False

    async def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Return when all in-sync replicas have the record.

        Raises KafkaUnavailable (not acknowledged: it may be there all the same), RecordTooLarge.
        """
        record = topic, value, key, headers
        async with self._room:
            try:
                await self._produce(*record, alone=False)
            except RecordTooLarge:
                # What went together is refused together: only by itself it is known to be it.
                await self._produce(*record, alone=True)

    async def _produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        *,
        alone: bool,
    ) -> None:
        if self._closed:
            raise KafkaUnavailable("the producer is closed")
        client = self._clients.get(alone)
        if client is None:
            config = self._config | (_ONE_AT_A_TIME if alone else {})
            client = self._clients[alone] = _Client(config, asyncio.get_running_loop())
        delivery: Delivery = asyncio.get_running_loop().create_future()
        self._in_flight.add(delivery)
        try:
            client.produce(topic, value, key, headers, delivery)
            await delivery
        except KafkaException as error:
            raise self._explained(client, topic, error) from error
        except BufferError as error:
            raise KafkaUnavailable("Kafka takes records slower than they are made") from error
        finally:
            self._in_flight.discard(delivery)

    async def flush(self) -> None:
        """Return when everything produced so far is acknowledged or has failed."""
        if self._in_flight:
            await asyncio.wait(set(self._in_flight))

    async def aclose(self, timeout_seconds: float = 10.0) -> None:
        """Wait for what is on its way, no longer than `timeout_seconds`, and end the client."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.flush(), timeout_seconds)
        clients = [*self._clients.values(), *self._leaving]
        self._clients.clear()
        self._leaving.clear()
        for client in clients:
            client.stop()
        for client in clients:
            await asyncio.to_thread(client.close)
        for delivery in set(self._in_flight):
            if not delivery.done():
                delivery.set_exception(
                    KafkaException(
                        KafkaError(KafkaError._PURGE_INFLIGHT, "the producer was closed")
                    )
                )

    def _explained(
        self, client: _Client, topic: str, error: KafkaException
    ) -> KafkaUnavailable | RecordTooLarge:
        inner = kafka_error(error)
        if inner.code() in TOO_LARGE:
            return RecordTooLarge(f"topic {topic!r} does not take a record of this size")
        if inner.fatal() or inner.code() in _USE_A_NEW_CLIENT:
            self._replace(client, inner)
        why = reason_of(inner)
        if inner.code() in TOPIC_IS_MISSING:
            why = f"the topic is missing ({why})"
        return KafkaUnavailable(f"Kafka did not acknowledge a record for {topic!r}: {why}")

    def _replace(self, client: _Client, why: KafkaError) -> None:
        if client not in self._clients.values():
            return  # another record's error has done it
        log.warning("kafka_producer_replaced", problem=reason_of(why))
        self._clients = {alone: each for alone, each in self._clients.items() if each is not client}
        if why.fatal() or why.code() == KafkaError._FATAL:
            client.stop()
        else:
            client.leave()
        self._leaving = [*(each for each in self._leaving if each.works), client]


class _Client:
    """One librdkafka producer and the thread that serves its delivery reports."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._delivered: deque[tuple[Delivery, KafkaError | None]] = deque()
        self._under_way: set[Delivery] = set()
        self._stopping = threading.Event()
        self._leaves = threading.Event()
        self._producer = Producer(config | {"error_cb": self._on_error})
        self._thread = threading.Thread(target=self._serve, name="kafka-producer", daemon=True)
        self._thread.start()

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        delivery: Delivery,
    ) -> None:
        def report(error: KafkaError | None, _message: Message) -> None:
            self._delivered.append((delivery, error))

        self._producer.produce(topic, value, key, on_delivery=report, headers=list(headers or ()))
        self._under_way.add(delivery)
        delivery.add_done_callback(self._under_way.discard)

    def stop(self) -> None:
        """Ask the thread to end; records on their way are given up."""
        self._stopping.set()

    def leave(self) -> None:
        """Ask the thread to end when nothing is on its way: sooner or later librdkafka reports."""
        self._leaves.set()

    @property
    def works(self) -> bool:
        """Whether its thread has not ended yet."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Blocks until the thread has ended."""
        self.stop()
        self._thread.join()

    def _serve(self) -> None:
        # Delivery reports are gathered, so that a thousand of them cost the loop one call.
        while not self._stopping.is_set():
            self._producer.poll(POLL_SECONDS)
            self._hand_over()
            if self._leaves.is_set() and not self._under_way:
                break
        self._producer.purge()
        self._producer.poll(0)
        self._hand_over()
        # Of what was on its way librdkafka may report later, or never: nobody may wait for that.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._give_up)

    def _hand_over(self) -> None:
        if self._delivered:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and its waiters with it
                self._loop.call_soon_threadsafe(self._settle)

    def _give_up(self) -> None:
        given_up = KafkaError(KafkaError._PURGE_INFLIGHT, "its client was replaced or closed")
        for delivery in list(self._under_way):
            if not delivery.done():
                delivery.set_exception(KafkaException(given_up))

    def _settle(self) -> None:
        while self._delivered:
            delivery, error = self._delivered.popleft()
            if delivery.done():
                continue  # its waiter was cancelled
            if error is None:
                delivery.set_result(None)
            else:
                delivery.set_exception(KafkaException(error))

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            log.warning("kafka_producer_error", problem=reason_of(error))

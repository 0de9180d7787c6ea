"""The polling thread of one stream: the only place that calls its librdkafka consumer.

It reads, hands over, stores the offsets of what was acknowledged, pauses while there is no room,
and answers rebalances: what others will read is withdrawn, what is in hand is waited for and its
offsets committed before the partition is let go. It decides nothing about records.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from eventstream.consumer.handover import Handover, Polled
from eventstream.consumer.jumps import Jumps
from eventstream.consumer.offsets import Offsets
from eventstream.kafka.config import Config
from eventstream.kafka.errors import kafka_error, reason_of
from eventstream.kafka.records import record_from
from eventstream.kafka_gap import Progress
from eventstream.logs import get_logger
from eventstream.metrics import KAFKA_CONSUMED, KAFKA_PAUSED

POLL_SECONDS: Final = 0.1
PAUSE_AFTER_SECONDS: Final = 0.5
"""No room for so long: pause. Shorter waits happen at full speed, and a pause costs a new fetch."""
LET_GO_SECONDS: Final = 5.0
"""How long a rebalance or a stop waits for the batch in hand; beyond it, others read it again."""
LOOK_UP_SECONDS: Final = 2.0
LOOK_UP_AGAIN_SECONDS: Final = 5.0
SAY_AGAIN_SECONDS: Final = 30.0

# A broker that is away is said elsewhere, once (`stream`); librdkafka tries again by itself.
_CONNECTION_TROUBLE: Final = (
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._MSG_TIMED_OUT,
)


class Poller:
    """Polls `topic` in a group from a thread of its own, from `start` until `stop`.

    `offsets` is safe from any thread. `on_end` is called from the thread when it ends, with what
    ended it (None: `stop`). `from_beginning`: the topic is another one than the group's offsets
    tell of, so they do not count.
    """

    def __init__(
        self,
        stream: str,
        topic: str,
        config: Config,
        handover: Handover,
        *,
        on_end: Callable[[Exception | None], None],
        from_beginning: bool = False,
    ) -> None:
        self._stream = stream
        self._topic = topic
        self._config = config
        self._handover = handover
        self._on_end = on_end
        self._log = get_logger(__name__).bind(stream=stream, topic=topic)
        self._stopping = threading.Event()
        # What is bound to log lines outside (the service's name) stands on the thread's, too.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name=f"kafka-{stream}", daemon=True
        )
        self.offsets = Offsets(topic)
        # Only the thread touches what follows.
        self._assignments: dict[int, int] = {}
        self._assignment_count = 0
        self._from_beginning = from_beginning
        self._begun_anew: set[int] = set()
        self._paused = False
        self._look_up_at = 0.0
        self._jumps = Jumps()
        self._ask_at = 0.0
        self._said: dict[int, float] = {}

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end: it waits for the batch in hand, commits, and leaves the group."""
        self._stopping.set()

    def join(self) -> None:
        """Blocks until the thread has ended."""
        self._thread.join()

    # -- everything below runs in the thread -----------------------------------------------

    def _run(self) -> None:
        ended_by: Exception | None = None
        try:
            consumer = Consumer(self._config | {"error_cb": self._on_error})
            try:
                consumer.subscribe(
                    [self._topic],
                    on_assign=self._on_assign,
                    on_revoke=self._on_revoke,
                    on_lost=self._on_lost,
                )
                while not self._stopping.is_set():
                    self._turn(consumer)
            finally:
                self._leave(consumer)
        except Exception as error:  # noqa: BLE001  # handed to the loop, which decides
            ended_by = error
        except:  # noqa: E722  # out of close() the client raises a KafkaError, which is no exception
            ended_by = KafkaException(sys.exc_info()[1])
        self._on_end(ended_by)

    def _turn(self, consumer: Consumer) -> None:
        self._look_up_positions(consumer)
        self._look_into_jumps(consumer)
        self._store_acknowledged(consumer)
        self._tell_progress(consumer)
        room = self._handover.room()
        if room:
            self._resume(consumer)
        elif not self._paused:
            if self._handover.wait_for_room(PAUSE_AFTER_SECONDS) or self._stopping.is_set():
                return
            self._pause(consumer)
        first = consumer.poll(POLL_SECONDS)
        if first is None:
            return
        rest = consumer.consume(room - 1, timeout=0) if room > 1 else []
        self._hand_over([first, *rest])

    def _hand_over(self, messages: Sequence[Message]) -> None:
        polled: list[Polled] = []
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_error(error)
                continue
            # A partition that was taken away within this very call is not ours any more.
            assignment = self._assignments.get(message.partition() or 0)
            if assignment is not None:
                record = record_from(message)
                self._jumps.read(record.source.partition, record.source.offset)
                polled.append(Polled(record, assignment))
        if polled:
            KAFKA_CONSUMED.labels(self._stream, self._topic).inc(len(polled))
            self._handover.offer(polled)

    def _store_acknowledged(self, consumer: Consumer) -> None:
        places = self.offsets.to_store(self._handover.acknowledged(), self._assignments)
        if places:
            consumer.store_offsets(offsets=places)
            self.offsets.stored(places)

    def _tell_progress(self, consumer: Consumer) -> None:
        places = self.offsets.to_tell(time.monotonic())
        if places:
            try:
                # Stored too: what is stored is committed once more when the partition is let go.
                consumer.store_offsets(offsets=places)
                consumer.commit(offsets=places, asynchronous=True)
            except KafkaException as error:
                self._log.debug("kafka_progress_not_told", problem=reason_of(error))

    def _pause(self, consumer: Consumer) -> None:
        consumer.pause(self._held())
        self._paused = True
        KAFKA_PAUSED.labels(self._stream).set(len(self._assignments))
        self._log.info("kafka_paused", partitions=len(self._assignments))

    def _resume(self, consumer: Consumer) -> None:
        if self._paused:
            consumer.resume(self._held())
            self._paused = False
            KAFKA_PAUSED.labels(self._stream).set(0)
            self._log.info("kafka_resumed", partitions=len(self._assignments))

    def _held(self) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in self._assignments]

    def _look_up_positions(self, consumer: Consumer) -> None:
        """Find where newly assigned partitions begin, for the lag of those that bring nothing."""
        unknown = self.offsets.unknown(self._assignments)
        if not unknown or time.monotonic() < self._look_up_at:
            return
        try:
            committed = consumer.committed(
                [TopicPartition(self._topic, number) for number in unknown], LOOK_UP_SECONDS
            )
            carried: dict[int, tuple[int, Progress | None]] = {}
            for place in committed:
                low, _ = consumer.get_watermark_offsets(place, LOOK_UP_SECONDS)
                if 0 <= place.offset < low and place.partition not in self._begun_anew:
                    self._say_gone(place.partition, place.offset, low)
                anew = place.partition in self._begun_anew
                carried[place.partition] = (
                    low if anew else max(place.offset, low),
                    None if anew else Progress.unpack(place.metadata),
                )
        except KafkaException as error:
            self._look_up_at = time.monotonic() + LOOK_UP_AGAIN_SECONDS
            self._log.debug("kafka_position_unknown", problem=reason_of(error))
            return
        self.offsets.begin(carried)
        for number, (offset, _) in carried.items():
            self._jumps.begin(number, offset)

    def _look_into_jumps(self, consumer: Consumer) -> None:
        """Say what retention deleted while it waited for us: the client just goes on behind it."""
        now = time.monotonic()
        if now < self._ask_at:
            return
        # One a turn: a broker that does not answer holds up what others have sent.
        number = self._jumps.due(now)
        if number is not None and not self._settle_jumps(consumer, number):
            self._ask_at = time.monotonic() + LOOK_UP_AGAIN_SECONDS

    def _settle_jumps(self, consumer: Consumer, number: int) -> bool:
        """False: the broker did not say where the partition begins."""
        place = TopicPartition(self._topic, number)
        try:
            # Not the cached one: it is known only where statistics are on, and old then.
            low, _ = consumer.get_watermark_offsets(place, LOOK_UP_SECONDS)
        except KafkaException as error:
            self._log.debug("kafka_beginning_unknown", problem=reason_of(error))
            return False
        for jump in self._jumps.settle(number, low):
            self._say_gone(number, jump.first, jump.end)
        return True

    def _say_gone(self, partition: int, first: int, end: int) -> None:
        self._log.error(
            "kafka_records_gone",
            partition=partition,
            first_offset=first,
            last_offset=end - 1,
            why="the topic's retention deleted them before they were read",
        )

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignment_count += 1
        for each in partitions:
            self._assignments[each.partition] = self._assignment_count
            self._jumps.forget(each.partition)
        self._look_up_at = 0.0
        if partitions:  # a round of cooperative rebalancing may bring none
            numbers = sorted(each.partition for each in partitions)
            self._log.info("kafka_assigned", partitions=numbers)
            if self._from_beginning:
                self._begin_anew(partitions)
        consumer.incremental_assign(partitions)
        if self._paused:
            consumer.pause(partitions)
            KAFKA_PAUSED.labels(self._stream).set(len(self._assignments))
        elif partitions:
            # One that was paused when it was lost is paused still when it comes back.
            consumer.resume(partitions)

    def _begin_anew(self, partitions: list[TopicPartition]) -> None:
        """The group's offsets are of a topic that is gone: begin at the beginning, this once.

        What comes by a later rebalance was begun anew by the consumer that had it.
        """
        self._from_beginning = False
        for each in partitions:
            each.offset = OFFSET_BEGINNING
            self._begun_anew.add(each.partition)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [each.partition for each in partitions]
        self._finish(consumer, numbers)
        for number in filter(self._jumps.open, numbers):
            # Nobody else will see these jumps; a broker that does not answer is asked once.
            if not self._settle_jumps(consumer, number):
                break
        self._forget(numbers)
        self._log.info("kafka_revoked", partitions=sorted(numbers))

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Somebody else has them already: nothing of ours may be committed.
        numbers = [each.partition for each in partitions]
        self._handover.withdraw(numbers)
        self._forget(numbers)
        self._log.warning("kafka_lost", partitions=sorted(numbers))

    def _forget(self, partitions: Sequence[int]) -> None:
        for number in partitions:
            self._assignments.pop(number, None)
            self._begun_anew.discard(number)
            self._jumps.forget(number)
        self.offsets.forget(partitions)
        if self._paused:
            KAFKA_PAUSED.labels(self._stream).set(len(self._assignments))

    def _finish(self, consumer: Consumer, partitions: Sequence[int]) -> None:
        """Let the batch in hand end, and commit what is safe."""
        self._handover.withdraw(partitions)
        if not self._handover.wait_until_done(partitions, LET_GO_SECONDS):
            self._log.warning("kafka_batch_left", why="it could not be accepted in time")
        self._store_acknowledged(consumer)
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            # Nothing to commit, or no broker to tell: others read again, ids make duplicates.
            if kafka_error(error).code() != KafkaError._NO_OFFSET:
                self._log.warning("kafka_commit_failed", problem=reason_of(error))

    def _leave(self, consumer: Consumer) -> None:
        self._handover.withdraw()
        # Runs _on_revoke for what is held, which waits and commits, then leaves the group.
        consumer.close()
        KAFKA_PAUSED.labels(self._stream).set(0)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            raise KafkaException(error)
        # The same trouble comes with every try: say it twice a minute.
        now = time.monotonic()
        if now - self._said.get(error.code(), float("-inf")) < SAY_AGAIN_SECONDS:
            return
        self._said[error.code()] = now
        say = self._log.debug if error.code() in _CONNECTION_TROUBLE else self._log.error
        say("kafka_trouble", problem=reason_of(error), code=error.name())

"""Every Redis key, channel, queue and topic name, built in one place.

Nothing else in the project writes a key by hand. The prefix (`EVENTSTREAM_PREFIX`) is empty by
default, which gives the documented names. The semantic cache's own keys live in `cache.keys`,
because the cache may sit on another server (and a cluster).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DEFAULT_STREAM = "default"
QUEUE_DEFAULT = "default"
QUEUE_HTTP = "ai_processing"
QUEUE_KAFKA = "kafka_events"

DEFAULT_TOPIC = "datos_crudos"
DEFAULT_PROCESSED_TOPIC = "datos_procesados"
DEFAULT_CONSUMER_GROUP = "ai_eventstream_consumers"

RESERVED_STREAM_NAMES = ("installation", "streams", "unacked", "workers")
"""Names that no stream may have. A stream's queue is a list of its name at Celery's broker, where
Celery itself keeps `unacked`; the others are keys of the results Redis, which may be the same."""

# One consumer group reads every inbox; its consumers are worker processes.
INBOX_GROUP = "workers"

# Written into everything stored, so that old and new processes can run side by side: a reader
# takes what it knows and leaves a newer number to a newer process.
SCHEMA = 1

Via = Literal["http", "kafka", "celery"]


def dead_letter_topic(topic: str) -> str:
    """The dead-letter topic of a source topic: `datos_crudos` -> `datos_crudos.dlq`."""
    return f"{topic}.dlq"


def queue_for(stream: str, via: Via) -> str:
    """The queue (inbox and Celery queue alike) that an event of `stream` waits in.

    The default stream keeps the documented queues; any other stream has one of its own name.
    """
    if stream != DEFAULT_STREAM:
        return stream
    return {"http": QUEUE_HTTP, "kafka": QUEUE_KAFKA, "celery": QUEUE_DEFAULT}[via]


def queues_of(stream: str) -> tuple[str, ...]:
    """All queues of a stream, the one served first in front."""
    if stream != DEFAULT_STREAM:
        return (stream,)
    return (QUEUE_HTTP, QUEUE_KAFKA, QUEUE_DEFAULT)


def stream_of(queue: str) -> str:
    """The stream that a queue belongs to: the other way round of `queue_for`."""
    return DEFAULT_STREAM if queue in queues_of(DEFAULT_STREAM) else queue


@dataclass(frozen=True, slots=True)
class Keys:
    """Key builder for the results Redis (DB 2) under one prefix."""

    prefix: str = ""

    @property
    def streams(self) -> str:
        """Hash: stream name -> its spec and generation as JSON."""
        return f"{self.prefix}streams"

    @property
    def owner(self) -> str:
        """String: which installation owns this prefix."""
        return f"{self.prefix}installation"

    def inbox(self, queue: str) -> str:
        """Stream: the events that wait or are in flight."""
        return f"{self.prefix}inbox:{queue}"

    def deferred(self, queue: str) -> str:
        """Sorted set: event id -> when it is due again (milliseconds of Redis' clock)."""
        return f"{self.prefix}deferred:{queue}"

    def deferred_entries(self, queue: str) -> str:
        """Hash: event id -> its packed inbox entry, while it is deferred."""
        return f"{self.prefix}deferred_entries:{queue}"

    def again(self, queue: str) -> str:
        """Sorted set: id of an event that was put back -> time of its first entry (ms).

        It leaves when the event is over; one whose metadata was lost, when it is the first
        (`oldest_open.lua`).
        """
        return f"{self.prefix}again:{queue}"

    def wake(self, queue: str) -> str:
        """String with a short TTL: a wake-up for this queue is under way."""
        return f"{self.prefix}wake:{queue}"

    def task_meta(self, event_id: str) -> str:
        """Hash: status, digest, times and history of one event."""
        return f"{self.prefix}task_meta:{event_id}"

    def result(self, event_id: str) -> str:
        """String: the answer of one event as JSON."""
        return f"{self.prefix}result:{event_id}"

    def counters(self, stream: str) -> str:
        """Hash: what happened to the events of a stream, since the stream exists."""
        return f"{self.prefix}counters:{stream}"

    def usage(self, stream: str, day: str) -> str:
        """Hash: calls, tokens and micro-dollars of a stream on one UTC day (YYYY-MM-DD)."""
        return f"{self.prefix}usage:{stream}:{day}"

    def usage_held(self, stream: str, day: str) -> str:
        """Sorted set: what is set aside for a call not told of -> when that lapses (ms)."""
        return f"{self.usage(stream, day)}:held"

    def usage_told(self, process: str) -> str:
        """Set: calls of one process that are counted, and may be told once more."""
        return f"{self.prefix}usage_told:{process}"

    def limit(self, name: str) -> str:
        """Hash: the shared bucket of requests and tokens a minute."""
        return f"{self.prefix}limit:{name}"

    @property
    def finished_channel(self) -> str:
        """Pub/sub channel: ids that have just been finished, one a line."""
        return f"{self.prefix}finished"

    @property
    def workers(self) -> str:
        """Sorted set: worker name -> time of its last heartbeat (seconds)."""
        return f"{self.prefix}workers"

    def worker(self, name: str) -> str:
        """String with a TTL: one worker's heartbeat as JSON."""
        return f"{self.prefix}worker:{name}"

    def kafka_lag(self, stream: str) -> str:
        """Hash: topic:partition -> lag and when it was measured, as JSON."""
        return f"{self.prefix}kafka_lag:{stream}"

    @property
    def store_mark(self) -> str:
        """String: made once; another one, or none, tells that this Redis lost its data."""
        return f"{self.prefix}store_mark"

    def kafka_gaps(self, stream: str) -> str:
        """Hash: topic:partition -> what was lost with an earlier Redis, as JSON, until replayed."""
        return f"{self.prefix}kafka_gaps:{stream}"

    @property
    def api_keys(self) -> str:
        """String: the hash of the API key that the first API made."""
        return f"{self.prefix}api_key_hash"

"""What can go wrong with Kafka, in words for the person who runs it."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException

from eventstream.errors import EventStreamError, StoreUnavailable

TOO_LARGE: Final = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE)
"""Said of a record, or of all that librdkafka had put together with it."""
TOPIC_IS_MISSING: Final = (
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
"""Said of what a producer has for a topic that is not there (any more)."""


class KafkaUnavailable(StoreUnavailable):
    """Kafka did not take or give what was asked. Trying again is right; nothing was lost."""

    setting = "KAFKA_BOOTSTRAP_SERVERS"


class RecordTooLarge(EventStreamError):
    """The topic does not take a record of this size, however often it is tried."""


class TopicMissing(EventStreamError):
    """There is no such topic, and nothing to read from it."""


class TopicRefused(KafkaUnavailable):
    """A topic is missing and may not be created: the message says who can do what about it."""


def kafka_error(error: KafkaException) -> KafkaError:
    """The KafkaError inside a KafkaException."""
    inner = error.args[0]
    if isinstance(inner, KafkaError):
        return inner
    return KafkaError(KafkaError._FAIL, str(inner))


def reason_of(error: KafkaError | KafkaException) -> str:
    """One readable line: what librdkafka says, without its prefixes."""
    inner = kafka_error(error) if isinstance(error, KafkaException) else error
    return inner.str().replace("Local: ", "").replace("Broker: ", "").strip()

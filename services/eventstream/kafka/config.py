"""Settings -> librdkafka configurations: one place that knows every option and why it is set.

Each client kind and each security protocol gets its own set: librdkafka refuses or misreads options
that do not belong together. Passwords go into the dictionaries and nowhere else; `describe` is what
may be logged.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import SecretStr

from eventstream.errors import ConfigurationError
from eventstream.settings import Settings

Config = dict[str, Any]

# The broker's maximum is checked by the broker: a dead letter must not fail for a limit of our own.
LARGEST_RECORD_BYTES: Final = 1_000_000_000
FETCH_WAIT_MS: Final = 40
"""How long a broker may hold a fetch that finds nothing: the most that an event waits for it."""
AUTO_COMMIT_MS: Final = 1000
LONGEST_POLL_GAP_MS: Final = 300_000
DELIVERY_TIMEOUT_MS: Final = 15_000
TOPIC_MISSING_MS: Final = 5000
"""Longer than a broker takes to hear of a topic that was just made."""


def describe(settings: Settings) -> str:
    """Where Kafka is and how it is spoken to, for logs: no secrets."""
    where = settings.kafka_bootstrap_servers or "nowhere"
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return where
    who = f" as {settings.kafka_sasl_username}" if protocol.startswith("SASL") else ""
    return f"{where} ({protocol}{who})"


def admin_config(settings: Settings) -> Config:
    """For AdminClient."""
    return _connection(settings)


def producer_config(settings: Settings) -> Config:
    """For Producer: acknowledged by all replicas, written once a call, in order."""
    return _connection(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 5,
        "message.max.bytes": LARGEST_RECORD_BYTES,
        "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
        # Less than that, or a topic that is not there would be a time-out like any other.
        "topic.metadata.propagation.max.ms": TOPIC_MISSING_MS,
    }


def consumer_config(settings: Settings, group: str) -> Config:
    """For a Consumer in `group`: offsets are stored by hand, stored ones are committed by itself.

    The classic group protocol: it works with every broker, and its set of options is not KIP-848's.
    """
    session_ms = settings.kafka_session_timeout_ms
    return _fetching(settings) | {
        "group.id": group,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": min(3000, session_ms // 3),
        "max.poll.interval.ms": max(LONGEST_POLL_GAP_MS, session_ms),
        "auto.offset.reset": "earliest",
        "enable.auto.offset.store": False,
        "enable.auto.commit": True,
        "auto.commit.interval.ms": AUTO_COMMIT_MS,
        "allow.auto.create.topics": False,
    }


def reader_config(settings: Settings) -> Config:
    """For a Consumer that reads a range by itself: no group is joined and nothing committed."""
    return _fetching(settings) | {
        # librdkafka wants a name even where no group is joined.
        "group.id": "eventstream-reader",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
    }


def _fetching(settings: Settings) -> Config:
    return _connection(settings) | {
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        # Memory that records may take before they are handed over, over all partitions.
        "queued.max.messages.kbytes": 16_384,
        "fetch.error.backoff.ms": 100,
    }


def _connection(settings: Settings) -> Config:
    if not settings.kafka_bootstrap_servers:
        raise ConfigurationError(
            "KAFKA_BOOTSTRAP_SERVERS", "is not set", "Set it to a broker's address, as in host:9092"
        )
    protocol = settings.kafka_security_protocol
    config: Config = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": "eventstream",
        "security.protocol": protocol,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2000,
        # librdkafka repeats itself on stderr many times a second while a broker is away; what
        # matters comes through error_cb and is logged once, in our words.
        "log_level": 2,
    }
    if protocol.startswith("SASL"):
        config |= _sasl(settings)
    if protocol.endswith("SSL"):
        config |= _tls(settings)
    return config


def _sasl(settings: Settings) -> Config:
    needed = {
        "KAFKA_SASL_MECHANISM": settings.kafka_sasl_mechanism,
        "KAFKA_SASL_USERNAME": settings.kafka_sasl_username,
        "KAFKA_SASL_PASSWORD": settings.kafka_sasl_password,
    }
    for name, value in needed.items():
        if value is None:
            protocol = settings.kafka_security_protocol
            raise ConfigurationError(
                name, f"is not set, and {protocol} needs it", f"Set {name}, or another protocol"
            )
    return {
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": _revealed(settings.kafka_sasl_password),
    }


def _tls(settings: Settings) -> Config:
    files = {
        "KAFKA_SSL_CA_LOCATION": settings.kafka_ssl_ca_location,
        "KAFKA_SSL_CERTIFICATE_LOCATION": settings.kafka_ssl_certificate_location,
        "KAFKA_SSL_KEY_LOCATION": settings.kafka_ssl_key_location,
    }
    for name, path in files.items():
        if path is not None and not path.exists():
            raise ConfigurationError(name, f"there is no {path}", "Name a PEM file that is there")
    options = {
        "ssl.ca.location": _text(settings.kafka_ssl_ca_location),
        "ssl.certificate.location": _text(settings.kafka_ssl_certificate_location),
        "ssl.key.location": _text(settings.kafka_ssl_key_location),
        "ssl.key.password": _revealed(settings.kafka_ssl_key_password),
    }
    return {name: value for name, value in options.items() if value is not None}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()

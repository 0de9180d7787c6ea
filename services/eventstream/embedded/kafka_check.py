"""Whether a Kafka-protocol broker on this machine answers yet."""

import socket

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

HOST = "127.0.0.1"
CHECK_TIMEOUT_SECONDS = 1.0


def answers(port: int) -> bool:
    """Whether the broker on this port names itself in its metadata.

    The port is tried first with a plain connection, which is cheap while nothing listens.
    """
    try:
        socket.create_connection((HOST, port), timeout=CHECK_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    quiet: dict[str, str | int | float | bool] = {
        "bootstrap.servers": f"{HOST}:{port}",
        "log_level": 0,
    }
    try:
        metadata = AdminClient(quiet).list_topics(timeout=CHECK_TIMEOUT_SECONDS)
    except KafkaException:
        return False
    return bool(metadata.brokers)

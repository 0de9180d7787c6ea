"""A worker goes on hearing when its acknowledgements were lost."""

# mypy: allow-untyped-calls

from __future__ import annotations

import uuid

import pytest
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.message import Message
from kombu.messaging import Consumer
from kombu.transport import redis as kombu_redis

from eventstream.worker import acks
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer

QUEUE = f"heard-{uuid.uuid4().hex}"


@pytest.mark.parametrize("answer", ["ack", "reject", "requeue"])
def test_a_lost_acknowledgement_does_not_take_a_place_for_good(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(kombu_redis.Channel, "QoS", kombu_redis.Channel.QoS)
    acks.install()
    heard: list[Message] = []
    with Proxy(redis_server.port) as proxy, Connection(proxy.redis_url(1)) as connection:
        producer = connection.Producer()
        with Consumer(
            connection.channel(),
            [Queue(QUEUE)],
            on_message=heard.append,
            prefetch_count=1,
        ):
            producer.publish({}, routing_key=QUEUE)
            connection.drain_events(timeout=30)
            [first] = heard

            # Only what is answered breaks; the connection that is listened on holds.
            proxy.cut_answers(1, times=100)
            with pytest.raises(connection.connection_errors):
                first.ack() if answer == "ack" else first.reject(requeue=answer == "requeue")
            proxy.mend()

            producer.publish({}, routing_key=QUEUE)
            connection.drain_events(timeout=30)
            assert len(heard) == 2
            heard[1].ack()

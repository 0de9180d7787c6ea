"""Acknowledgements to a broker that is away for a moment.

kombu counts a message as unacknowledged until the broker has taken the acknowledgement, and fetches
no more than the prefetch count of them. One that could not be sent is never sent again, so each
takes a place for good, and a worker that has lost as many is deaf while its connection looks well.
Here the place is free in any case. The broker still has the message and delivers it once more after
the visibility timeout: a surplus wake-up, or an event that is known by its id.
"""

# kombu is partly typed.
# mypy: allow-untyped-calls

from __future__ import annotations

from kombu.transport import redis, virtual


class QoS(redis.QoS):
    """Frees the place of a message whether or not the broker heard of it."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge. Raises what the connection raises."""
        try:
            super().ack(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Refuse, or give back. Raises what the connection raises."""
        try:
            super().reject(delivery_tag, requeue)
        finally:
            virtual.QoS.ack(self, delivery_tag)


def install() -> None:
    """For every Redis connection of this process: plain, TLS and Sentinel share this class."""
    redis.Channel.QoS = QoS

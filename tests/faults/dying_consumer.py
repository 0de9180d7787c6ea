"""`eventstream consumer`, but it dies as soon as a batch is accepted, before it stores an offset.

What kill -9 does when it comes at that moment, for certain.
"""

from __future__ import annotations

import os
import sys

from confluent_kafka import Consumer

from eventstream.cli import main
from eventstream.consumer.poller import Poller


def _die_when_there_is_one(self: Poller, consumer: Consumer) -> None:
    if self._handover.acknowledged():
        os._exit(1)


if __name__ == "__main__":
    Poller._store_acknowledged = _die_when_there_is_one  # type: ignore[method-assign]
    sys.argv = ["eventstream", "consumer"]
    main()

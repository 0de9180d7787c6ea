"""`eventstream consumer` as a process: a person can see what it waits for."""

from __future__ import annotations

import os
import subprocess
import sys

NOTHING = {"REDIS_URL": "redis://127.0.0.1:1/0", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def test_its_log_says_that_it_started_and_what_it_waits_for() -> None:
    consumer = subprocess.Popen(
        [sys.executable, "-m", "eventstream", "consumer"],
        env={**os.environ, **NOTHING, "LOG_LEVEL": "INFO"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert consumer.stderr is not None
    with consumer.stderr as log:
        seen = next(line for line in log if "consumer_started" in line)
        assert '"service": "consumer"' in seen
        seen = next(line for line in log if "waiting_for_streams" in line)
        assert "Redis can't be reached" in seen
        consumer.terminate()
        assert consumer.wait(timeout=60) == 0

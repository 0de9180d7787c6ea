"""The guard's lists are read where texts are compared, before a worker's processes are made."""

import subprocess
import sys

LISTS = "eventstream.cache.guard.comparing"


def modules_after(code: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint({LISTS!r} in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def test_the_api_has_no_lists() -> None:
    assert modules_after("import eventstream.api.app") == "False"


def test_a_worker_reads_them_before_it_forks() -> None:
    code = (
        "from celery import signals\nimport eventstream.worker.app\n"
        "signals.worker_before_create_process.send(None)"
    )
    assert modules_after(code) == "True"

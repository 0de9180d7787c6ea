"""`scripts/soak`: steady load, one random fault after another, and nothing may grow or get lost.

The faults are those of the tests beside this file, in an order that `--seed` decides. At the end
the counts must add up, and no process that lived through the run may have grown (`growth`).
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.services import Service, until_next_try
from tests.faults.growth import COLUMNS, Growth, look_at
from tests.faults.installation import Installation
from tests.faults.provider import Mood, Provider
from tests.support.proxied_kafka import ProxiedKafka
from tests.support.proxy import Proxy

RECORDS_A_TURN = 20
POSTS_A_TURN = 2
TURN_SECONDS = 0.5
SAMPLE_SECONDS = 1.0
LONGEST_FAULT_SECONDS = 6.0
REST_SECONDS = 2.0
RESULTS_ASKED_FOR = 5000
"""Results live an hour: of a long run only the newest are asked for one by one."""
PATIENT = {"MAX_DELIVERIES": "50"}
"""Here a process is killed every minute or oftener: an event may be in its way three times, which
is where events that kill their process are given up."""
MOODS: tuple[Mood, ...] = ("limits", "breaks", "cuts", "cuts_body", "talks_nonsense")


class Soak:
    """One run over an installation."""

    def __init__(self, site: Installation, seed: int, say: Callable[[str], None]) -> None:
        self._site = site
        self._random = random.Random(seed)
        self._say = say
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._ids: list[str] = []
        self._trouble: list[BaseException] = []
        self._links = {proxy.port: name for name, proxy in site.links.items()}
        self.faults: Counter[str] = Counter()
        self.growth = Growth()

    @property
    def sent(self) -> int:
        """Events that were accepted from the test's side."""
        return len(self._ids)

    def run(self, seconds: float) -> None:
        """Load and faults for so long; then everything is mended, finished and added up."""
        site = self._site
        site.worker.stop()
        site.start_worker(**PATIENT)
        before = site.counters()
        threads = [threading.Thread(target=self._guarded, args=(work,)) for work in
                   (self._send, self._post, self._sample)]  # fmt: skip
        for thread in threads:
            thread.start()
        try:
            while time.monotonic() - self._began < seconds and not self._trouble:
                self._one_fault()
        finally:
            site.mend()
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._trouble:
            raise self._trouble[0]
        site.settle(before, self._ids, newest=RESULTS_ASKED_FOR)
        site.works_as_ever()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                work()
        except BaseException as error:  # noqa: BLE001  # raised by the main thread
            self._trouble.append(error)

    def _send(self) -> None:
        self._ids += self._site.send(RECORDS_A_TURN)
        self._stop.wait(TURN_SECONDS)

    def _post(self) -> None:
        self._ids += self._site.post_many(POSTS_A_TURN)()
        self._stop.wait(TURN_SECONDS)

    def _sample(self) -> None:
        worker = self._site.worker
        self._look_at("api", self._site.api.pid)
        self._look_at("consumer", self._site.consumer.pid)
        self._look_at("worker", worker.pid)
        for child in children(worker):
            self._look_at("worker's process", child)
        self._stop.wait(SAMPLE_SECONDS)

    def _look_at(self, name: str, pid: int) -> None:
        sample = look_at(pid, time.monotonic() - self._began, self._links)
        if sample is not None:
            self.growth.add(name, pid, sample)

    # -- faults ----------------------------------------------------------------------------

    def _one_fault(self) -> None:
        name, fault = self._random.choice(self._faults())
        self._say(f"{time.monotonic() - self._began:6.0f} s  {name}")
        self.faults[name] += 1
        fault()
        self._site.mend()
        self._wait(REST_SECONDS)

    def _faults(self) -> list[tuple[str, Callable[[], None]]]:
        site, random = self._site, self._random
        links = [
            (f"{name} {how}", lambda proxy=proxy, how=how: self._spoil(proxy, how))
            for name, proxy in site.links.items()
            for how in ("cut", "half open", "away", "forgotten", "slow")
        ]
        return [
            *links,
            (
                "provider in a bad mood",
                lambda: site.provider.misbehave(random.choice(MOODS), random.randrange(5, 40)),
            ),
            ("a pool process killed", self._kill_a_child),
            ("the API killed", lambda: self._replace("api", Service.kill)),
            ("the worker killed", lambda: self._replace("worker", Service.kill)),
            ("the consumer killed", lambda: self._replace("consumer", Service.kill)),
            ("the worker stopped", lambda: self._replace("worker", Service.stop)),
            ("the worker frozen", self._freeze_the_worker),
            ("broker's Redis emptied", lambda: self._restart(site.broker.kill, site.broker.start)),
            (
                "cache Redis emptied",
                lambda: self._restart(site.deployment.cache.kill, site.deployment.cache.start),
            ),
            (
                "results Redis restarted",
                lambda: self._restart(site.deployment.state.stop, site.deployment.state.start),
            ),
            ("disk full", self._fill_the_disk),
        ]

    def _spoil(self, proxy: Proxy, how: str) -> None:
        if how == "cut":
            proxy.cut_answers(self._random.randrange(1, 200), times=self._random.randrange(1, 20))
        elif how == "half open":
            proxy.hang()
        elif how == "away":
            proxy.refuse()
        elif how == "forgotten":
            proxy.forget()
        else:
            proxy.delay(self._random.uniform(0.01, 0.2))
        self._wait(self._random.uniform(0.5, LONGEST_FAULT_SECONDS))

    def _restart(self, stop: Callable[[], None], start: Callable[[], None]) -> None:
        stop()
        self._wait(self._random.uniform(0.1, 2))
        start()

    def _fill_the_disk(self) -> None:
        state = self._site.deployment.state
        state.fill_disk()
        self._wait(self._random.uniform(0.5, LONGEST_FAULT_SECONDS))
        state.free_disk()

    def _kill_a_child(self) -> None:
        found = children(self._site.worker)
        if found:
            os.kill(self._random.choice(found), signal.SIGKILL)

    def _freeze_the_worker(self) -> None:
        os.killpg(self._site.worker.pid, signal.SIGSTOP)
        self._wait(self._random.uniform(1, LONGEST_FAULT_SECONDS + 4))
        os.killpg(self._site.worker.pid, signal.SIGCONT)

    def _replace(self, name: str, end: Callable[[Service], object]) -> None:
        site = self._site
        end(getattr(site, name))
        if name == "worker":
            site.start_worker(**PATIENT)
        elif name == "consumer":
            site.start_consumer()
        else:
            site.start_api()

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._trouble:
            until_next_try()


def children(service: Service) -> list[int]:
    """The pool processes; none where the worker has just ended."""
    try:
        return service.children()
    except OSError:
        return []


@contextmanager
def an_installation(folder: Path) -> Iterator[Installation]:
    """Everything that is needed, in a folder of its own."""
    with (
        ProxiedKafka(folder / "kafka") as kafka,
        Provider() as provider,
        Installation(folder / "site", kafka, provider) as site,
    ):
        yield site


def table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> str:
    """Rows under their columns, as plain text."""
    widths = [max(len(row[at]) for row in [columns, *rows]) for at in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [columns, *rows]
    )


def soak(seconds: float, seed: int, say: Callable[[str], None]) -> int:
    """One run; the exit code."""
    say(f"seed {seed}")
    with (
        tempfile.TemporaryDirectory(prefix="eventstream-soak-") as name,
        an_installation(Path(name)) as site,
    ):
        run = Soak(site, seed, say)
        before = site.counters()
        run.run(seconds)
        now = site.counters()
    rows, problems = run.growth.judge()
    say("")
    say(table([(name, str(times)) for name, times in run.faults.most_common()],
              ("fault", "times")))  # fmt: skip
    say("")
    say(table(rows, COLUMNS))
    say("")
    say(
        f"{run.sent} events sent in {seconds:.0f} s and {sum(run.faults.values())} faults:"
        f" {now.accepted - before.accepted} accepted = {now.answered - before.answered} answered"
        f" + {now.failed - before.failed} failed + {now.duplicates - before.duplicates} duplicates;"
        f" {now.late_answers} late answers, seed {seed}"
    )
    for problem in problems:
        say(f"VIOLATION: {problem}")
    return 1 if problems else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, default=None, help="the order of the faults")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    return soak(asked.minutes * 60, seed, lambda line: print(line, flush=True))


if __name__ == "__main__":
    sys.exit(main())

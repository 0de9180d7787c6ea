"""`python -m benchmarks.bounded`: runs everything, writes results.md and results.svg here."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from tests.support.redis_server import RedisServer

from benchmarks.bounded.report import Forecast, Measured, markdown, row, svg
from benchmarks.bounded.run import (
    COST_MICRODOLLARS,
    STREAM,
    RememberedVectors,
    TruthfulModels,
    a_run,
    truth_of,
)
from benchmarks.bounded.texts import Labelled, stream
from eventstream.cache.advisor import Advised, Advisor
from eventstream.llm.local import LocalModel
from eventstream.redis_client import AsyncRedis, connect
from eventstream.spec import Cache

POLICIES = {
    "guarded": Cache(),
    "bounded 2 %": Cache(policy="bounded", max_wrong_hit_percent=2),
    "bounded 5 %": Cache(policy="bounded", max_wrong_hit_percent=5),
    "threshold 0.85": Cache(policy="threshold", threshold=0.85),
}
FORECAST = ("guarded", "bounded 2 %", "bounded 5 %", "threshold 0.95")


class Lab:
    """The parts that all runs share."""

    def __init__(self, redis: AsyncRedis, vectors: RememberedVectors) -> None:
        self.redis = redis
        self.vectors = vectors
        self._prefixes = count(1)

    def models(self, texts: list[Labelled]) -> TruthfulModels:
        """A model that knows these texts."""
        return TruthfulModels(truth_of(texts), self.vectors)

    @asynccontextmanager
    async def prefix(self) -> AsyncIterator[str]:
        """Keys of a run's own; the server is emptied behind it."""
        yield f"run{next(self._prefixes)}:"
        await self.redis.flushall()

    async def measure(
        self, texts: list[Labelled], policy: str, changes: bool, seed: int
    ) -> Measured:
        """One policy on one stream."""
        async with self.prefix() as prefix:
            run = await a_run(self.redis, prefix, self.models(texts), POLICIES[policy])
            half = len(texts) // 2
            first, second = await run.feed(texts[:half]), await run.feed(texts[half:])
            await run.cache.aclose()
            return Measured(policy, changes, seed, first, second, tuple(run.claims))

    async def forecast(self, texts: list[Labelled], policy: str) -> Forecast:
        """`guarded` for half a stream, then its advice, then what the policy really brings."""
        after = POLICIES.get(policy) or Cache(
            policy="threshold", threshold=float(policy.split()[1])
        )
        async with self.prefix() as prefix:
            run = await a_run(self.redis, prefix, self.models(texts), POLICIES["guarded"])
            half = len(texts) // 2
            before = await run.feed(texts[:half])
            await run.cache.flush()
            advisor = Advisor(self.redis, prefix=prefix)
            [advice] = await advisor.read(STREAM, Advised(POLICIES["guarded"], COST_MICRODOLLARS))
            await run.set_policy(after)
            happened = await run.feed(texts[half:])
            await run.cache.aclose()
        named = {option.name: option for option in advice.options}
        option = advice.in_force if policy == "guarded" else named[policy]
        return Forecast(policy, option, before, happened, advice.line)


async def run_all(events: int, seeds: int) -> None:
    """Every run, each printed as it ends; the files hold what there is so far."""
    vectors = RememberedVectors(LocalModel.load(None))
    measured: list[Measured] = []
    forecasts: list[Forecast] = []
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        redis = connect(server.url(0), timeout_seconds=30)
        lab = Lab(redis, vectors)
        for seed in range(1, seeds + 1):
            for changes in (False, True):
                texts = list(stream(events, seed=seed, changes=changes))
                for policy in POLICIES:
                    if policy.startswith("threshold") and seed > 1:
                        continue
                    measured.append(await lab.measure(texts, policy, changes, seed))
                    print(row(measured[-1]), flush=True)
                    write(measured, forecasts, events)
        texts = list(stream(events, seed=1, changes=False))
        for policy in FORECAST:
            forecasts.append(await lab.forecast(texts, policy))
            print(forecasts[-1].as_line(), flush=True)
            write(measured, forecasts, events)
        await redis.aclose()


def write(measured: list[Measured], forecasts: list[Forecast], events: int) -> None:
    """Both files."""
    folder = Path(__file__).parent
    (folder / "results.md").write_text(markdown(measured, forecasts, events=events), "utf-8")
    if any(each.changes for each in measured):
        (folder / "results.svg").write_text(svg(measured), "utf-8")


def main() -> None:
    """Read how much is to be run, and run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounded", description=__doc__)
    parser.add_argument("--events", type=int, default=4000, help="texts of a stream")
    parser.add_argument("--seeds", type=int, default=1, help="streams of each nature")
    arguments = parser.parse_args()
    asyncio.run(run_all(arguments.events, arguments.seeds))


if __name__ == "__main__":
    main()

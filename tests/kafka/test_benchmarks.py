"""The benchmarks that need Apache Kafka, at a tiny size: what comes out has the right form."""

from __future__ import annotations

import pytest
from benchmarks.__main__ import in_a_process
from benchmarks.figures import section_from
from benchmarks.options import Options


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "figures"), [("ingest", 2), ("far_redis", 2), ("growth", 2), ("footprint", 7)]
)
def test_a_benchmark_runs(name: str, figures: int) -> None:
    document = in_a_process(name, Options(size="tiny", profiles=False))

    assert document is not None
    section = section_from(document)
    assert (section.name, len(section.figures)) == (name, figures)
    assert all(figure.value.median > 0 for figure in section.figures)

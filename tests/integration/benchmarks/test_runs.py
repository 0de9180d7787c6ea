"""Each benchmark that needs no Kafka runs at a tiny size: what comes out has the right form.

How fast anything was is never asserted.
"""

from __future__ import annotations

import pytest
from benchmarks.__main__ import in_a_process
from benchmarks.figures import section_from
from benchmarks.options import Options
from benchmarks.report import lines, markdown


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("slow_model", 2),
        ("long_tail", 1),
        ("model_call", 3),
        ("exact_hit", 1),
        ("semantic_hit", 4),
        ("api", 2),
        ("long_poll", 2),
    ],
)
def test_a_benchmark_runs(name: str, figures: int) -> None:
    document = in_a_process(name, Options(size="tiny", profiles=False))

    assert document is not None
    section = section_from(document)
    assert (section.name, section.quick, len(section.figures)) == (name, True, figures)
    for figure in section.figures:
        assert figure.value.low <= figure.value.median <= figure.value.high
        assert figure.reach is not None or name == "semantic_hit" or "alone" in figure.name
    assert len(lines(section)) == figures
    assert f"## {name}" in markdown([section], {})

"""The documented scale of similarity, and where each embedding model begins to be useful."""

import pytest

from eventstream.cache.similarity import SemanticPolicy, from_distance, threshold_for


@pytest.mark.parametrize(
    ("distance", "value", "cosine"),
    [(0.0, 1.0, 1.0), (0.3, 0.85, 0.7), (1.0, 0.5, 0.0), (2.0, 0.0, -1.0), (-1e-7, 1.0, 1.0)],
)
def test_the_documented_scale(distance: float, value: float, cosine: float) -> None:
    similarity = from_distance(distance)
    assert similarity.value == pytest.approx(value)
    assert similarity.cosine == pytest.approx(cosine)
    assert similarity.value <= 1.0


@pytest.mark.parametrize(
    ("model", "policy", "value"),
    [
        ("text-embedding-3-small", "guarded", 0.85),
        ("text-embedding-3-small", "threshold", 0.85),
        ("openai/text-embedding-3-small", "guarded", 0.85),
        ("local/all-MiniLM-L6-v2", "guarded", 0.85),
        ("local/all-MiniLM-L6-v2", "threshold", 0.98),
    ],
)
def test_calibrated_models(model: str, policy: SemanticPolicy, value: float) -> None:
    threshold = threshold_for(model, policy)
    assert (threshold.value, threshold.calibrated) == (value, True)


def test_an_unknown_model_gets_a_cautious_value_and_is_told_so() -> None:
    threshold = threshold_for("acme/embed-1", "threshold")
    assert threshold.value == 0.98
    assert not threshold.calibrated
    assert "acme/embed-1" in threshold.explanation


def test_what_was_set_wins() -> None:
    assert threshold_for("acme/embed-1", "guarded", 0.7).value == 0.7

"""Lag: what lies in Kafka and in no inbox yet."""

from __future__ import annotations

import pytest

from eventstream.kafka_lag import LAG_FRESH_SECONDS, PartitionLag, lags, total_lag

NOW = 1_000_000.0


def test_lag_is_the_end_less_the_safe_position() -> None:
    measured = lags({0: 5, 1: 8}, {0: 12, 1: 8}, measured_at=100.0)

    assert {number: (each.lag, each.measured_at) for number, each in measured.items()} == {
        0: (7, 100.0),
        1: (0, 100.0),
    }


def test_a_partition_whose_position_is_unknown_has_no_lag_yet() -> None:
    assert lags({}, {0: 12}, measured_at=100.0) == {}


def test_an_end_that_a_broker_states_too_low_is_no_negative_lag() -> None:
    assert lags({0: 9}, {0: 4}, measured_at=100.0)[0].lag == 0


def test_a_partition_whose_leader_tells_no_end_is_not_one_without_lag() -> None:
    assert lags({0: 9, 1: 5}, {0: -1001, 1: 7}, measured_at=100.0).keys() == {1}


@pytest.mark.parametrize(
    ("story", "fields", "expected"),
    [
        ("nobody has measured", [], None),
        ("all is read", [(0, 0), (0, 0)], 0),
        ("partitions add up", [(5, 0), (7, 1)], 12),
        ("one is stale: it may hide any amount", [(5, 0), (7, LAG_FRESH_SECONDS + 1)], None),
        ("all is stale", [(5, 60), (7, 60)], None),
    ],
)
def test_the_lag_of_a_topic(
    story: str, fields: list[tuple[int, float]], expected: int | None
) -> None:
    stored = {
        f"t:{partition}".encode(): PartitionLag(lag=lag, end=lag, position=0, measured_at=NOW - age)
        .model_dump_json()
        .encode()
        for partition, (lag, age) in enumerate(fields)
    }

    assert total_lag(stored, "t", NOW) == expected, story


def test_a_lag_written_in_a_newer_form_is_not_known() -> None:
    fresh = PartitionLag(lag=5, end=5, position=0, measured_at=NOW).model_dump_json().encode()

    assert total_lag({b"t:0": b'{"records": 5}'}, "t", NOW) is None
    assert total_lag({b"t:0": b'{"records": 5}', b"t:1": fresh}, "t", NOW) is None


def test_what_was_measured_of_an_earlier_topic_does_not_count() -> None:
    fresh, stale = (
        PartitionLag(lag=5, end=5, position=0, measured_at=NOW - age).model_dump_json().encode()
        for age in (0, 3600)
    )

    assert total_lag({b"t:0": fresh, b"earlier:0": fresh, b"earlier:1": stale}, "t", NOW) == 5

"""Lag: what lies in Kafka and in no inbox yet."""

from __future__ import annotations

from eventstream.kafka_lag import lags


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

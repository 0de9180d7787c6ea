"""Settings become librdkafka configurations, each client and each protocol its own set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from eventstream.errors import ConfigurationError
from eventstream.kafka.config import (
    admin_config,
    consumer_config,
    describe,
    producer_config,
    reader_config,
)
from eventstream.settings import Settings

SASL: dict[str, Any] = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "SCRAM-SHA-512",
    "kafka_sasl_username": "reviews",
    "kafka_sasl_password": SecretStr("hunter2"),
}


def some_settings(**changes: Any) -> Settings:
    return Settings(kafka_bootstrap_servers="broker:9092", **changes)


def test_librdkafka_takes_every_set() -> None:
    for settings in (some_settings(), some_settings(**SASL)):
        Producer(producer_config(settings))
        Consumer(consumer_config(settings, "group")).close()
        Consumer(reader_config(settings)).close()
        AdminClient(admin_config(settings))


def test_offsets_are_stored_by_hand_and_committed_every_second() -> None:
    config = consumer_config(some_settings(), "group")

    assert config["enable.auto.offset.store"] is False
    assert config["enable.auto.commit"] is True
    assert config["auto.commit.interval.ms"] == 1000
    assert config["partition.assignment.strategy"] == "cooperative-sticky"
    assert config["session.timeout.ms"] == 6000


def test_a_long_session_fits_between_two_polls() -> None:
    config = consumer_config(some_settings(kafka_session_timeout_ms=900_000), "group")

    assert config["max.poll.interval.ms"] >= config["session.timeout.ms"]
    Consumer(config).close()


def test_records_are_acknowledged_by_all_replicas_and_written_once() -> None:
    config = producer_config(some_settings())

    assert (config["acks"], config["enable.idempotence"]) == ("all", True)


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("PLAINTEXT", set()),
        ("SASL_PLAINTEXT", {"sasl.mechanism", "sasl.username", "sasl.password"}),
        ("SSL", {"ssl.ca.location"}),
        ("SASL_SSL", {"sasl.mechanism", "sasl.username", "sasl.password", "ssl.ca.location"}),
    ],
)
def test_each_protocol_has_its_own_options(
    protocol: str, expected: set[str], tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    settings = some_settings(
        **SASL | {"kafka_security_protocol": protocol, "kafka_ssl_ca_location": authority}
    )

    names = {name for name in admin_config(settings) if name.startswith(("sasl.", "ssl."))}

    assert names == expected


def test_a_description_holds_no_secret() -> None:
    assert describe(some_settings(**SASL)) == "broker:9092 (SASL_SSL as reviews)"
    assert describe(some_settings()) == "broker:9092"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kafka_security_protocol": "SASL_SSL"}, "KAFKA_SASL_MECHANISM"),
        (SASL | {"kafka_sasl_password": None}, "KAFKA_SASL_PASSWORD"),
        (
            {"kafka_security_protocol": "SSL", "kafka_ssl_ca_location": Path("/no/such.pem")},
            "KAFKA_SSL_CA_LOCATION",
        ),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        producer_config(some_settings(**changes))

    assert raised.value.where == named
    assert "hunter2" not in str(raised.value)


def test_without_a_broker_the_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match="KAFKA_BOOTSTRAP_SERVERS"):
        admin_config(Settings())

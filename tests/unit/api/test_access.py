"""Who may come in."""

from __future__ import annotations

from typing import Any

import pytest

from eventstream.api.access import (
    ANONYMOUS,
    Doorkeeper,
    KeyRing,
    is_loopback,
    open_doors,
    presented_keys,
)
from eventstream.api.problems import Problem
from eventstream.settings import Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104  # an address to decide about, not to listen on
LOCAL = b"localhost:8000"


def door(**settings: Any) -> Doorkeeper:
    return Doorkeeper(Settings(**settings))


def reason(door: Doorkeeper, method: str, path: str, keys: list[bytes], host: bytes = LOCAL) -> str:
    with pytest.raises(Problem) as problem:
        door.admit(method, path, keys, host)
    return problem.value.reason


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("::", False),
        ("10.0.0.7", False),
        ("api.example.com", False),
    ],
)
def test_loopback_addresses(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("settings", "needs_keys", "key_is_made"),
    [
        ({}, False, False),
        ({"api_host": EVERYWHERE}, True, True),
        ({"api_host": EVERYWHERE, "api_auth": "none"}, False, False),
        ({"api_auth": "keys"}, True, True),
        ({"api_keys": "one"}, True, False),
        ({"api_keys": "one", "api_auth": "none", "api_host": EVERYWHERE}, True, False),
        ({"api_read_only_keys": "one", "api_host": EVERYWHERE}, True, False),
    ],
)
def test_when_keys_are_needed(
    settings: dict[str, Any], needs_keys: bool, key_is_made: bool
) -> None:
    keeper = door(**settings)
    assert (keeper.needs_keys, keeper.waits_for_made_key) == (needs_keys, key_is_made)


def test_every_configured_key_opens_the_door() -> None:
    keeper = door(api_keys="old, new")
    old = keeper.admit("POST", "/process", [b"old"], LOCAL)
    new = keeper.admit("POST", "/process", [b"new"], LOCAL)
    assert old != new
    assert not {"old", "new"} & {old.name, new.name}


def test_a_missing_and_a_wrong_key_are_told_apart() -> None:
    keeper = door(api_keys="right")
    assert reason(keeper, "GET", "/workers", []) == "key_missing"
    assert reason(keeper, "GET", "/workers", [b"wrong"]) == "key_unknown"


def test_a_wrong_key_beside_a_right_one_is_not_passed_over() -> None:
    keeper = door(api_keys="right")
    assert reason(keeper, "GET", "/workers", [b"right", b"wrong"]) == "key_unknown"
    assert keeper.admit("GET", "/workers", [b"right", b"right"], LOCAL)


def test_a_read_only_key_reads_and_does_not_write() -> None:
    keeper = door(api_keys="writer", api_read_only_keys="reader")
    assert keeper.admit("GET", "/task/1", [b"reader"], LOCAL).read_only
    assert reason(keeper, "POST", "/process", [b"reader"]) == "key_read_only"
    assert reason(keeper, "DELETE", "/task/1", [b"reader"]) == "key_read_only"


def test_a_key_of_both_kinds_writes() -> None:
    keeper = door(api_keys="both", api_read_only_keys="both")
    assert not keeper.admit("POST", "/process", [b"both"], LOCAL).read_only


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/docs", "/openapi.json"])
def test_probes_and_documentation_are_open(path: str) -> None:
    assert door(api_keys="one").admit("GET", path, [], LOCAL) is ANONYMOUS


def test_the_door_stays_shut_until_the_made_key_is_known() -> None:
    assert reason(door(api_host=EVERYWHERE), "GET", "/workers", [b"any"]) == "store_unavailable"


def test_all_keys_are_compared_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(known: bytes, presented: bytes) -> bool:
        compared.append(known)
        return known == presented

    monkeypatch.setattr("eventstream.api.access.hmac.compare_digest", compare)
    ring = KeyRing([b"first", b"second", b"third"])
    assert ring.find(b"first") is not None
    assert len(compared) == len(ring) == 3


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "found"),
    [
        (None, None, []),
        (b"Bearer one", None, [b"one"]),
        (b"bearer  one ", None, [b"one"]),
        (b"Basic b25l", b"two", [b"two"]),
        (b"Bearer one", b"two", [b"one", b"two"]),
        (b"Bearer ", b" ", [b"", b""]),
        (b"one", None, [b"one"]),
    ],
)
def test_where_a_key_is_looked_for(
    authorization: bytes | None, x_api_key: bytes | None, found: list[bytes]
) -> None:
    assert presented_keys(authorization, x_api_key) == found


@pytest.mark.parametrize(
    "host", [b"localhost", b"127.0.0.1:8000", b"[::1]:8000", b"api:8000", b"host.docker.internal"]
)
def test_local_names_are_served_without_keys(host: bytes) -> None:
    assert door().admit("POST", "/process", [], host) is ANONYMOUS


def test_a_name_that_a_stranger_can_own_is_refused_while_no_key_protects() -> None:
    stranger = b"rebound.example.com:8000"
    assert reason(door(), "POST", "/process", [], stranger) == "host_not_allowed"
    assert door(api_keys="one").admit("POST", "/process", [b"one"], stranger)
    assert door(api_host=EVERYWHERE, api_auth="none").admit("POST", "/process", [], stranger)


def test_production_names_its_open_doors() -> None:
    settings = Settings(
        api_host=EVERYWHERE, api_auth="none", metrics_host=EVERYWHERE, metrics_port=9100
    )
    api, metrics = open_doors(settings, Doorkeeper(settings))
    assert "API_KEYS" in api
    assert ":9100" in metrics
    closed = Settings(api_keys="a-long-random-key-of-one-installation")
    assert open_doors(closed, Doorkeeper(closed)) == []


def test_production_names_a_key_that_is_easily_guessed() -> None:
    settings = Settings(api_keys="secret")
    (sentence,) = open_doors(settings, Doorkeeper(settings))
    assert "16" in sentence
    assert "secret" not in sentence

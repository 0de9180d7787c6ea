"""An address as Celery wants it: the same servers, the same database, TLS that looks."""

from __future__ import annotations

import pytest
from celery import Celery

from eventstream.redis_client import for_celery


@pytest.mark.parametrize(
    ("ours", "celerys"),
    [
        ("redis://u:p@h:1/1", "redis://u:p@h:1/1"),
        # Without a word of it the broker's certificate is looked at by nobody.
        ("rediss://u:p@h:1/1", "rediss://u:p@h:1/1?ssl_cert_reqs=required"),
        (
            "rediss://h/1?ssl_ca_certs=/ca.pem",
            "rediss://h/1?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required",
        ),
        ("rediss://h:1/1?ssl_cert_reqs=none", "rediss://h:1/1?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
        ("unix://u:p@/run/redis.sock", "redis+socket://u:p@/run/redis.sock?virtual_host=0"),
        ("sentinel://h", "sentinel://h:26379/0"),
        (
            "sentinel://u:p%40@a:1,[::1]:2/main/3?sentinel_password=q",
            "sentinel://u:p%40@a:1/3;sentinel://u:p%40@[::1]:2/3",
        ),
    ],
)
def test_celery_gets_the_same_servers_in_its_own_words(ours: str, celerys: str) -> None:
    assert for_celery(ours, timeout_seconds=1)[0] == celerys


def test_sentinels_are_asked_with_their_password_and_not_for_long() -> None:
    _, options = for_celery("sentinel://h/main/3?sentinel_password=q", timeout_seconds=2)

    assert options["master_name"] == "main"
    asked = options["sentinel_kwargs"]
    assert (asked["password"], asked["socket_timeout"], asked["socket_connect_timeout"]) == (
        "q",
        2,
        2,
    )
    assert asked["retry"].get_retries() == 0


@pytest.mark.parametrize(
    "ours", ["rediss://h:1/3", "unix:///run/redis.sock?db=3", "sentinel://u:p@a:1,b:2/main/3"]
)
def test_celery_can_make_broker_and_backend_of_it(ours: str) -> None:
    url, options = for_celery(ours, timeout_seconds=1)
    app = Celery(broker=url, backend=url, set_as_current=False)
    app.conf.result_backend_transport_options = options

    assert app.connection_for_write().transport_cls.startswith(("redis", "sentinel"))
    assert app.backend.connparams["db"] == 3

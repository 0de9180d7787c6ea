"""Settings: documented names, sensible derivations, and one sentence for what is wrong."""

from __future__ import annotations

import pytest
from redis.asyncio import RedisCluster

from eventstream.errors import ConfigurationError
from eventstream.redis_client import connect_cache
from eventstream.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("redis_url", "broker", "state"),
    [
        ("redis://h:6379/0", "redis://h:6379/1", "redis://h:6379/2"),
        ("redis://h:6379", "redis://h:6379/1", "redis://h:6379/2"),
        ("rediss://u:p@h:1/0", "rediss://u:p@h:1/1", "rediss://u:p@h:1/2"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=2"),
        ("sentinel://h:26379/main/0", "sentinel://h:26379/main/1", "sentinel://h:26379/main/2"),
    ],
)
def test_one_address_gives_three_databases(redis_url: str, broker: str, state: str) -> None:
    settings = Settings(redis_url=redis_url)

    assert (settings.cache_url, settings.broker_url, settings.state_url) == (
        redis_url,
        broker,
        state,
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("REDIS_URL", "http://h", "REDIS_URL: must begin with redis://"),
        ("CELERY_BROKER_URL", "amqp://h", "CELERY_BROKER_URL: must begin with redis://"),
        ("REDIS_URL", "redis+cluster://h:1", "REDIS_URL: a cluster can only be the cache"),
        ("REDIS_URL", "redis://h:port/0", "REDIS_URL: has a port that is not a number"),
        ("REDIS_URL", "redis://h:65536/0", "REDIS_URL: has a port that is not a number"),
        ("REDIS_URL", "redis://:my/secret@h:1/0", "REDIS_URL: has a port that is not a number"),
        ("REDIS_URL", "sentinel://a:1,b:x/main/0", "REDIS_URL: has a port that is not a number"),
        ("REDIS_URL", "redis://h/zero", "REDIS_URL: must end with the number of a database"),
        ("REDIS_URL", "sentinel://a/main/x", "REDIS_URL: must end with the number of a database"),
        ("REDIS_URL", "redis://h?db=3", "REDIS_URL: must have its database in the path"),
        ("CELERY_BROKER_URL", "redis://h:port", "CELERY_BROKER_URL: has a port that is not"),
        ("WORKER_CONCURRENCY", "0", "WORKER_CONCURRENCY: input should be greater than or equal"),
        ("WORKER_SLOTS", "many", "WORKER_SLOTS: input should be a valid integer"),
        ("SEMANTIC_SIMILARITY_THRESHOLD", "nan", "SEMANTIC_SIMILARITY_THRESHOLD: input should be"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: input should be 'DEBUG'"),
        ("EVENTSTREAM_PREFIX", "a b", "EVENTSTREAM_PREFIX: must hold letters"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as raised:
        load_settings()

    assert str(raised.value).startswith(says)
    assert "secret" not in str(raised.value)
    assert f"Change {name}" in str(raised.value)


def test_a_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("API_KEYS", "one-secret, two-secret")

    settings = load_settings()

    assert "secret" not in repr(settings)
    assert [key.get_secret_value() for key in settings.api_keys] == ["one-secret", "two-secret"]


def test_empty_means_unset_and_names_are_the_documented_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_MODEL", "")
    monkeypatch.setenv("PORT", "9001")
    monkeypatch.setenv("HF_TOKEN", "hf-1")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("WORKER_STREAMS", "a, b,")

    settings = load_settings()

    assert settings.openai_model == "gpt-4o-mini"
    assert settings.api_port == 9001
    assert settings.huggingface_token is not None
    assert settings.log_level == "DEBUG"
    assert settings.worker_streams == ("a", "b")


def test_a_cluster_may_be_the_cache() -> None:
    settings = Settings(
        redis_url="redis+cluster://h:7000",
        celery_broker_url="redis://b/1",
        celery_result_backend="redis://r/2",
    )

    assert settings.cache_url == "redis+cluster://h:7000"


def test_a_clusters_client_is_made_only_for_a_clusters_address() -> None:
    plain = connect_cache("redis://h:1/0", timeout_seconds=1)
    cluster = connect_cache("rediss+cluster://h:7000/0", timeout_seconds=1)

    assert not isinstance(plain, RedisCluster)
    assert isinstance(cluster, RedisCluster)

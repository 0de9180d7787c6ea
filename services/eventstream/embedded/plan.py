"""Which parts of the stack run here, decided from values: no process, file or socket is touched.

An address in the environment replaces an embedded part: REDIS_URL both Redis servers (or
CELERY_BROKER_URL together with CELERY_RESULT_BACKEND the second one), KAFKA_BOOTSTRAP_SERVERS
the broker. What the services get is plain environment variables, the same that they read in
a cluster.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from eventstream.embedded.ports import PortUse
from eventstream.embedded.redis import STATE_MEMORY_MB

HOST = "127.0.0.1"


class KafkaChoice(StrEnum):
    """Which broker the stack talks to."""

    DEMO = "demo"
    APACHE = "apache"
    NONE = "none"
    OUTSIDE = "outside"
    """The one that KAFKA_BOOTSTRAP_SERVERS names."""


@dataclass(frozen=True)
class Ports:
    """Where everything listens. All defaults lie below the range of outgoing connections."""

    api: int = 8000
    flower: int = 5555
    cache: int = 6390
    state: int = 6391
    kafka: int = 9092
    controller: int = 9093
    metrics: int = 9100
    """The API's own metrics; consumer and worker take the next two."""


@dataclass(frozen=True)
class StackPlan:
    """What runs here and what the services are told."""

    ports: Ports
    api_host: str
    embedded_cache: bool
    embedded_state: bool
    state_memory_mb: int
    kafka: KafkaChoice
    flower: bool
    service_env: Mapping[str, str]

    @property
    def consumer(self) -> bool:
        """Whether there is a broker to consume from."""
        return self.kafka is not KafkaChoice.NONE

    @property
    def api_url(self) -> str:
        """Where a program on this machine reaches the API."""
        everywhere = self.api_host in ("0.0.0.0", "::", "")  # noqa: S104
        host = HOST if everywhere else self.api_host
        return (
            f"http://[{host}]:{self.ports.api}"
            if ":" in host
            else f"http://{host}:{self.ports.api}"
        )

    @property
    def metrics_ports(self) -> Mapping[str, int]:
        """Service -> the port of its own metrics."""
        first = self.ports.metrics
        return {"api": first, "consumer": first + 1, "worker": first + 2}

    def env_for(self, service: str) -> dict[str, str]:
        """What one service is told beyond the environment that this process has."""
        port = self.metrics_ports.get(service)
        metrics = {"METRICS_HOST": HOST, "METRICS_PORT": str(port)} if port is not None else {}
        return {**self.service_env, **metrics}

    def shell_exports(self) -> str:
        """Shell lines that point other `eventstream` commands at this stack."""
        names = {
            name: value
            for name, value in self.service_env.items()
            if name.startswith(("REDIS_", "CELERY_", "KAFKA_"))
        }
        names["EVENTSTREAM_URL"] = self.api_url
        return "".join(
            f"export {name}={shlex.quote(value)}\n" if value else f"unset {name}\n"
            for name, value in names.items()
        )

    def port_uses(self) -> list[PortUse]:
        """Every port that something will listen on here, with the flag that moves it."""
        ports, uses = self.ports, []
        if self.embedded_cache:
            uses.append(PortUse("the cache's Redis", ports.cache, "--cache-port"))
        if self.embedded_state:
            uses.append(PortUse("the Redis of inbox and results", ports.state, "--state-port"))
        if self.kafka in (KafkaChoice.DEMO, KafkaChoice.APACHE):
            uses.append(PortUse("the broker", ports.kafka, "--kafka-port"))
        if self.kafka is KafkaChoice.APACHE:
            uses.append(PortUse("the broker's controller", ports.controller, "--controller-port"))
        uses.append(PortUse("the API", ports.api, "--api-port", self.api_host))
        if self.flower:
            uses.append(PortUse("Flower", ports.flower, "--flower-port"))
        for service, port in self.metrics_ports.items():
            if service != "consumer" or self.consumer:
                uses.append(PortUse(f"the metrics of the {service}", port, "--metrics-port"))
        return uses


def plan_stack(
    environment: Mapping[str, str],
    *,
    ports: Ports,
    api_host: str = HOST,
    kafka: KafkaChoice | None = None,
    flower: bool = True,
    state_memory_mb: int = STATE_MEMORY_MB,
) -> StackPlan:
    """Decides what runs here.

    `kafka` None means: the broker of the environment, or the demo broker without one. A broker
    that was asked for by name wins over the environment's.
    """

    own = {
        "REDIS_URL": f"redis://{HOST}:{ports.cache}/0",
        "CELERY_BROKER_URL": f"redis://{HOST}:{ports.state}/1",
        "CELERY_RESULT_BACKEND": f"redis://{HOST}:{ports.state}/2",
        "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{ports.kafka}",
    }

    def given(name: str) -> str | None:
        # Set but empty counts as not set; so does the stack's own address, which a shell still
        # has after it has read the stack's `env` file.
        value = environment.get(name) or None
        return None if value == own[name] else value

    own_cache = given("REDIS_URL") is None
    broker, backend = given("CELERY_BROKER_URL"), given("CELERY_RESULT_BACKEND")
    own_state = own_cache and (broker is None or backend is None)
    env: dict[str, str] = {}
    if own_cache:
        env["REDIS_URL"] = own["REDIS_URL"]
    if own_state:
        env["CELERY_BROKER_URL"] = broker or own["CELERY_BROKER_URL"]
        env["CELERY_RESULT_BACKEND"] = backend or own["CELERY_RESULT_BACKEND"]
    outside = given("KAFKA_BOOTSTRAP_SERVERS") is not None
    choice = kafka or (KafkaChoice.OUTSIDE if outside else KafkaChoice.DEMO)
    if choice in (KafkaChoice.DEMO, KafkaChoice.APACHE):
        env["KAFKA_BOOTSTRAP_SERVERS"] = own["KAFKA_BOOTSTRAP_SERVERS"]
    elif choice is KafkaChoice.NONE:
        env["KAFKA_BOOTSTRAP_SERVERS"] = ""  # an empty setting is one that is not set
    env |= {
        "API_HOST": api_host,
        "API_PORT": str(ports.api),
        "FLOWER_HOST": HOST,
        "FLOWER_PORT": str(ports.flower),
    }
    return StackPlan(
        ports=ports,
        api_host=api_host,
        embedded_cache=own_cache,
        embedded_state=own_state,
        state_memory_mb=state_memory_mb,
        kafka=choice,
        flower=flower,
        service_env=env,
    )

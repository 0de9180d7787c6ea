"""The operator's own settings, read once from the environment.

Redis and Kafka are named by the same variables as for the services (`eventstream.settings`), and
what a user tunes about scaling stands in a stream's spec. Here is only what a process needs.
"""

from __future__ import annotations

import socket
from typing import Annotated

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from eventstream.errors import ConfigurationError

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class OperatorSettings(BaseSettings):
    """Field names are the environment variables in lower case."""

    model_config = SettingsConfigDict(
        env_prefix="", extra="ignore", frozen=True, env_ignore_empty=True, populate_by_name=True
    )

    watch_namespace: Name = Field(
        validation_alias=AliasChoices("WATCH_NAMESPACE", "EVENTSTREAM_NAMESPACE")
    )
    """The one namespace that this operator serves."""
    watch_selector: str = "app.kubernetes.io/name=ai-eventstream"
    """Labels of the Deployments and pods that are watched: those of the chart, and what is made
    from them."""
    kubeconfig: str | None = None
    """Outside a cluster: the file that names one; left out: the usual place."""
    lease_name: Name = "eventstream-operator"
    """Whoever holds it acts; a second operator waits."""
    operator_identity: str = Field(default_factory=socket.gethostname)
    """Who holds the Lease: the pod's name, so that a restarted container goes on at once."""
    interval_seconds: Annotated[float, Field(gt=0, le=5)] = 2.0
    """A pass at least this often; what is watched brings one sooner. With longer gaps than figures
    stay fresh every pass would be a first one."""
    api_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    """Of one request to the API server."""
    store_timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 2.0
    """Of one call to Redis."""
    resync_seconds: Annotated[float, Field(ge=10, le=3600)] = 300.0
    """Everything that is watched is also listed this often: what a broken watch missed."""
    status_seconds: Annotated[float, Field(ge=1, le=600)] = 30.0
    """Figures that moved a little are written this often; a change of substance at once."""
    take_over_from: str = ""
    """The installation whose streams in Redis are this one's from now on, as the refusal to start
    names it."""
    lease_seconds: Annotated[int, Field(ge=4, le=300)] = 15
    """A second operator takes over when the first has not renewed its Lease for this long."""
    metrics_host: str = "0.0.0.0"  # noqa: S104 -- the kubelet probes the pod's own address
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Metrics and the liveness probe; 0: a free port."""
    stalled_seconds: Annotated[float, Field(ge=5, le=3600)] = 120.0
    """Without a finished pass for this long the liveness probe fails. The first pass over hundreds
    of new streams makes all their Deployments."""


def load_operator_settings(**overrides: object) -> OperatorSettings:
    """The settings; raises ConfigurationError naming the variable, the problem and the way out."""
    try:
        return OperatorSettings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = str(problem["loc"][0]).upper()
        if problem["type"] == "missing":
            raise ConfigurationError(
                name, "is not set", f"Set {name} to the namespace that the operator serves"
            ) from None
        message = problem["msg"]
        raise ConfigurationError(
            name, message[0].lower() + message[1:], f"Change {name}, or unset it for its default"
        ) from None

"""Requests to the API server: one narrow door, with a time-out, a count and plain JSON.

Objects are dictionaries as the API server writes them: the client library's models would cost a
pass over hundreds of objects more than the pass itself. What is watched comes through kopf
(`handlers`); here are the few lists of a start, and every write.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.config import ConfigException

from eventstream.errors import ConfigurationError, EventStreamError
from eventstream_operator.metrics import API_REQUESTS

Object = dict[str, Any]

FIELD_MANAGER: Final = "eventstream-operator"
STREAMS: Final = "ai-eventstream.io/v1alpha1/eventstreams"
DEPLOYMENTS: Final = "apps/v1/deployments"
PODS: Final = "v1/pods"
EVENTS: Final = "v1/events"
LEASES: Final = "coordination.k8s.io/v1/leases"
AUTOSCALERS: Final = "autoscaling/v2/horizontalpodautoscalers"
POD_METRICS: Final = "metrics.k8s.io/v1beta1/pods"

LASTING_SECONDS: Final = 10.0
LASTING_TIMES: Final = 3
"""A write that failed for so long and so often, while reads are answered, waits for a person: an
API server that starts, or an etcd that elects, is done sooner."""
_ANOTHER_TIME_SECONDS: Final = 300.0
"""Without any attempt for so long, what failed before is no part of what fails now."""

_JSON: Final = "application/json"
_MERGE: Final = "application/merge-patch+json"
_APPLY: Final = "application/apply-patch+yaml"


class ClusterError(EventStreamError):
    """The API server did not do what was asked. `status` is 0 when it could not be reached.

    `perhaps_done`: nobody knows whether it did. The request was sent, and no answer came, or one
    that says nothing of it. `lasting`: it could not be done for a while, and the API server does
    everything else.
    """

    def __init__(
        self, status: int, message: str, *, perhaps_done: bool = False, lasting: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.perhaps_done = perhaps_done
        self.lasting = lasting

    @property
    def refused(self) -> bool:
        """Whether it would be refused again until a person does something.

        Not so what has changed meanwhile (404, 409), and what is too much just now (408, 429).
        What the API server fails at is so once it is `lasting`: a webhook that must answer and
        doesn't, or an object that it can't make sense of.
        """
        passing = (404, 408, 409, 429)
        return self.lasting or (400 <= self.status < 500 and self.status not in passing)


class Cluster:
    """One namespace of one API server. Every method raises ClusterError."""

    def __init__(
        self,
        configuration: client.Configuration,
        namespace: str,
        *,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.namespace = namespace
        self._client = client.ApiClient(configuration)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._clock = clock
        self._answered_at: float | None = None
        self.interruptions = 0
        """How often the API server was found to be out of reach: watches may have missed things."""
        self._reachable = True
        self._failing: dict[tuple[str, str, str], tuple[float, float, int]] = {}
        """A write that fails while reads are answered -> when it first did so, and last."""

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    @property
    def silent_seconds(self) -> float:
        """Since the API server last answered; infinite before its first answer."""
        return float("inf") if self._answered_at is None else self._clock() - self._answered_at

    async def list(self, resource: str, *, labels: str | None = None) -> Object:
        """All objects of a resource, from the API server's own cache, as a list object."""
        query = {"labelSelector": labels} if labels else {}
        return await self._ask("list", resource, "GET", query=query | {"resourceVersion": "0"})

    async def get(self, resource: str, name: str) -> Object:
        """One object."""
        return await self._ask("get", resource, "GET", name)

    async def create(self, resource: str, body: Object) -> Object:
        """Make an object."""
        return await self._ask("create", resource, "POST", body=body)

    async def replace(self, resource: str, name: str, body: Object) -> Object:
        """Put an object in place of the one of the same resourceVersion; 409 if that moved on."""
        return await self._ask("update", resource, "PUT", name, body=body)

    async def apply(self, resource: str, name: str, body: Object) -> Object:
        """Server-side apply under our field manager: what others set on the object stays."""
        return await self._ask(
            "apply",
            resource,
            "PATCH",
            name,
            body=body,
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            content_type=_APPLY,
        )

    async def merge(
        self, resource: str, name: str, body: Mapping[str, Any], *, subresource: str = ""
    ) -> Object:
        """Merge a patch into an object or its subresource."""
        return await self._ask(
            f"patch_{subresource}" if subresource else "patch",
            resource,
            "PATCH",
            f"{name}/{subresource}" if subresource else name,
            body=dict(body),
            query={"fieldManager": FIELD_MANAGER},
            content_type=_MERGE,
        )

    async def delete(self, resource: str, name: str, *, uid: str) -> None:
        """Delete exactly this object, and in the background what it owns."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self._ask("delete", resource, "DELETE", name, body=options)

    async def _ask(
        self,
        verb: str,
        resource: str,
        method: str,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = _JSON,
    ) -> Object:
        group_version, _, plural = resource.rpartition("/")
        root = "/api" if group_version == "v1" else "/apis"
        path = f"{root}/{group_version}/namespaces/{self.namespace}/{plural}"
        count = API_REQUESTS.labels
        try:
            request = await self._client.param_serialize(
                method,
                f"{path}/{name}" if name else path,
                query_params=list((query or {}).items()),
                header_params={"Accept": _JSON, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*request, _request_timeout=self._timeout)
            content = await answer.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            count(verb, plural, "unreachable").inc()
            if isinstance(error, TimeoutError):
                failure = ClusterError(
                    0, "the API server did not answer in time", perhaps_done=True
                )
                await self._unable(failure, method, resource, name)
                raise failure from error
            self._interrupted()
            raise ClusterError(
                0,
                f"the API server can't be reached: {error}",
                perhaps_done=not isinstance(error, aiohttp.ClientConnectorError),
            ) from error
        if answer.status >= 500:
            count(verb, plural, "unreachable").inc()
            failure = ClusterError(
                answer.status, _message(content, f"status {answer.status}"), perhaps_done=True
            )
            await self._unable(failure, method, resource, name)
            raise failure
        self._reachable = True
        self._answered_at = self._clock()
        self._failing.pop((method, resource, name), None)
        if answer.status >= 400:
            outcome = {404: "not_found", 409: "conflict"}.get(answer.status, "refused")
            count(verb, plural, outcome).inc()
            raise ClusterError(answer.status, _message(content, f"{verb} {plural} {name}"))
        try:
            parsed: Object = json.loads(content)
        except ValueError as error:
            # A proxy's page, or an answer that was cut off: the API server said nothing.
            count(verb, plural, "unreachable").inc()
            raise ClusterError(
                0, "the answer is none of an API server", perhaps_done=True
            ) from error
        count(verb, plural, "ok").inc()
        return parsed

    def _interrupted(self) -> None:
        self.interruptions += self._reachable
        self._reachable = False

    async def _unable(self, failure: ClusterError, method: str, resource: str, name: str) -> None:
        """It is there, and does not do it: tell its own trouble from that of one object.

        It answers 500, and not in time, for both: etcd that is away, and a webhook that is. Where
        it still reads the object, nothing is wrong with it, and no watch has missed anything.
        """
        if resource == POD_METRICS:
            return  # They come from another server, which the API server only asks for us.
        # The Lease is about no stream: without it nothing is done at all.
        if method == "GET" or resource == LEASES or not await self._reads(resource, name):
            self._interrupted()
            return
        key, now = (method, resource, name), self._clock()
        since, last, times = self._failing.get(key, (now, now, 0))
        if now - last > _ANOTHER_TIME_SECONDS:
            since, times = now, 0
        self._failing[key] = since, now, times + 1
        # Two may be one that was carried out unanswered, and another one much later.
        failure.lasting = now - since >= LASTING_SECONDS and times + 1 >= LASTING_TIMES

    async def _reads(self, resource: str, name: str) -> bool:
        """Whether this very object is looked up; that there is none is an answer too."""
        try:
            # Not from the API server's own cache, which outlives etcd.
            await self.get(resource, name.partition("/")[0] or "none")
        except ClusterError as error:
            return 0 < error.status < 500
        return True


async def load_configuration(kubeconfig: str | None) -> client.Configuration:
    """Where the API server is: the pod's service account, else the kubeconfig.

    Raises ConfigurationError where there is neither.
    """
    configuration = client.Configuration()
    try:
        config.load_incluster_config(  # type: ignore[no-untyped-call]
            client_configuration=configuration
        )
    except ConfigException:
        try:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=kubeconfig, client_configuration=configuration
            )
        except ConfigException as error:
            raise ConfigurationError(
                "KUBECONFIG",
                f"no cluster is known ({error})",
                "Run the operator in a pod with a service account, or set KUBECONFIG",
            ) from error
    return configuration


def _message(content: bytes, otherwise: str) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return otherwise

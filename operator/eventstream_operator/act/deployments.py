"""A stream's own Deployments: applied when they differ from what should be, deleted when unwanted.

What a stream owns goes with it through its owner reference, also while the operator is down; here
is only what a change of the spec makes superfluous.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from eventstream.keys import DEFAULT_STREAM
from eventstream.logs import get_logger
from eventstream.spec import StreamSpec
from eventstream_operator.cluster import DEPLOYMENTS, Cluster, ClusterError
from eventstream_operator.observe.deployments import Deployments
from eventstream_operator.resources.deployments import build_deployment
from eventstream_operator.resources.names import APPLIED, RESOURCES, ROLE, STREAM, Role
from eventstream_operator.world import (
    Copies,
    Object,
    annotations_of,
    labels_of,
    name_of,
    uid_of,
)

log = get_logger(__name__)


def wanted_roles(spec: StreamSpec) -> tuple[Role, ...]:
    """Which Deployments a stream has."""
    return ("worker", "consumer") if spec.source else ("worker",)


def unwanted(stream: Object, deployments: Iterable[Object], wanted: Iterable[str]) -> list[Object]:
    """What the operator made for this very stream and would not make now."""
    names = set(wanted)
    return [
        deployment
        for deployment in deployments
        if labels_of(deployment).get(STREAM) == name_of(stream)
        and ROLE in labels_of(deployment)
        and name_of(deployment) not in names
        and any(
            owner["uid"] == uid_of(stream)
            for owner in deployment["metadata"].get("ownerReferences") or ()
        )
    ]


@contextmanager
def _gathering(refusals: list[ClusterError]) -> Iterator[None]:
    try:
        yield
    except ClusterError as error:
        if not error.refused:
            raise
        refusals.append(error)


class StreamDeployments:
    """Keeps every stream's Deployments as they should be. Raises ClusterError."""

    def __init__(self, cluster: Cluster, copies: Copies) -> None:
        self._cluster = cluster
        self._copies = copies
        self._templates: dict[str, Any] = {}
        """Name -> its pod template as the API server completed it: what drift is seen against."""
        self._built: dict[tuple[str, Role], tuple[object, dict[str, Any]]] = {}

    async def ensure(self, stream: Object, spec: StreamSpec, deployments: Deployments) -> None:
        """Apply what is missing or differs, delete what is not wanted any more.

        What the API server refuses of one of them holds up no other: that is raised at the end.
        """
        name = name_of(stream)
        if name == DEFAULT_STREAM:
            return  # The chart's.
        refusals: list[ClusterError] = []
        names = []
        for role in wanted_roles(spec):
            template = deployments.templates.get(role)
            if template is None:
                # Nothing is made, and nothing is taken away: the chart may be between two states.
                break
            body = self._build(template, role, stream, spec)
            names.append(name_of(body))
            with _gathering(refusals):
                await self._apply(body)
        else:
            for deployment in unwanted(stream, self._copies, names):
                with _gathering(refusals):
                    await self._delete(deployment)
        if refusals:
            problem = "; ".join(str(refusal) for refusal in refusals)
            lasting = any(refusal.lasting for refusal in refusals)
            raise ClusterError(refusals[0].status, problem, lasting=lasting)

    def forget(self, stream: str) -> None:
        """The stream is gone, and what it owned with it."""
        self._built = {key: kept for key, kept in self._built.items() if key[0] != stream}
        for deployment in self._copies:
            if labels_of(deployment).get(STREAM) == stream:
                self._templates.pop(name_of(deployment), None)

    def _build(
        self, template: Object, role: Role, stream: Object, spec: StreamSpec
    ) -> dict[str, Any]:
        # Copying hundreds of pod templates would be most of a pass in which nothing changed.
        # An annotation is no part of what a generation counts.
        version = [
            *((uid_of(one), one["metadata"].get("generation")) for one in (template, stream)),
            annotations_of(template).get(RESOURCES),
        ]
        known, body = self._built.get((name_of(stream), role), (None, {}))
        if known != version:
            body = build_deployment(
                template,
                role=role,
                stream=name_of(stream),
                stream_uid=uid_of(stream),
                spec=spec,
            )
            self._built[name_of(stream), role] = (version, body)
        return body

    async def _apply(self, body: dict[str, Any]) -> None:
        name = name_of(body)
        live = self._copies.get(name)
        if live is not None and annotations_of(live).get(APPLIED) == annotations_of(body)[APPLIED]:
            known = self._templates.setdefault(name, live["spec"]["template"])
            if live["spec"]["template"] == known:
                return
        applied = await self._cluster.apply(DEPLOYMENTS, name, body)
        self._templates[name] = applied["spec"]["template"]
        self._copies.put(applied)
        log.info("deployment_applied", deployment=name, new=live is None)

    async def _delete(self, deployment: Object) -> None:
        try:
            await self._cluster.delete(DEPLOYMENTS, name_of(deployment), uid=uid_of(deployment))
        except ClusterError as error:
            if error.status not in (404, 409):
                raise
        self._copies.drop(deployment)
        self._templates.pop(name_of(deployment), None)
        log.info("deployment_deleted", deployment=name_of(deployment))

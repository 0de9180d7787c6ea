"""Labels, annotations and names that the operator and the chart agree on."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

Role = Literal["worker", "consumer"]

GROUP: Final = "ai-eventstream.io"
TEMPLATE: Final = f"{GROUP}/template"
"""Label of the chart's Deployments whose pod templates every stream is made from."""
STREAM: Final = f"{GROUP}/stream"
"""Label of a stream's Deployments and pods."""
ROLE: Final = f"{GROUP}/role"
"""Label of what the operator made: worker or consumer."""
SCALED_BY: Final = f"{GROUP}/scaled-by"
"""Annotation of the API's Deployment: the one stream that may scale it."""
APPLIED: Final = f"{GROUP}/applied"
"""Annotation: a digest of what was applied last."""
RESOURCES: Final = f"{GROUP}/resources"
"""Annotation of a template: the resources, as JSON, for streams whose spec names none."""
INSTANCE: Final = "app.kubernetes.io/instance"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OPERATOR: Final = "eventstream-operator"
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"

_LONGEST_NAME: Final = 46
"""A pod's name adds up to 17 letters to its Deployment's, and as a host name has 63 at most."""


def deployment_name(template: str, stream: str) -> str:
    """`<template>-<stream>`, shortened with a digest where a pod's name would be cut off."""
    name = f"{template}-{stream}"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9].rstrip('-')}-{digest}"

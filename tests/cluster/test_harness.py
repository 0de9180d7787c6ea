"""The clusters that other tests stand on: they come up, do what Kubernetes does, leave nothing."""

from __future__ import annotations

import json

from tests.cluster.harness.cluster import Cluster


def test_a_deployment_scales_on_simulated_nodes(control_plane: Cluster) -> None:
    control_plane.kubectl("create", "namespace", "scaling")
    control_plane.scale_nodes(3)
    control_plane.kubectl(
        *("create", "deployment", "many", "-n", "scaling", "--image=localhost/none:1"),
        "--replicas=30",
    )
    control_plane.kubectl("rollout", "status", "deployment/many", "-n", "scaling")
    pods = json.loads(control_plane.kubectl("get", "pods", "-n", "scaling", "-o", "json"))["items"]
    assert len(pods) == 30
    assert {pod["spec"]["nodeName"] for pod in pods} == {"sim-1", "sim-2", "sim-3"}
    control_plane.kubectl("delete", "namespace", "scaling")
    control_plane.scale_nodes(1)

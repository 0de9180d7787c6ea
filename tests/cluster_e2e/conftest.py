"""A node with all images, and one installation that the tests of this folder share.

With `E2E_KUBECONFIG` the cluster of that file instead: it has the images, or pulls them from the
registry in `E2E_REGISTRY`. KUBECONFIG itself is never looked at: these tests drain a node.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness import plugin
from tests.cluster.harness.api import wait_until
from tests.cluster.harness.binaries import default_cache_dir, ensure_binaries
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.packages import CHECK_PACKAGES, require
from tests.cluster_e2e.installation import HERE, RELEASE, SCALED_SECONDS, Installation
from tests.cluster_e2e.prometheus import Prometheus
from tests.cluster_e2e.targets import NamedCluster, OwnNode, Target
from tests.images.build import build_own_images, chart_images, ensure_stores, save
from tests.images.errors import ImagesError
from tests.images.prometheus_image import write_prometheus

_KUBECONFIG = os.environ.get("E2E_KUBECONFIG")


def pytest_configure(config: pytest.Config) -> None:
    plugin.register(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds programs and images before the first test: no test's time limit is meant for that."""
    wanted = any("installation" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or session.config.option.collectonly or _KUBECONFIG:
        return
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    began = time.monotonic()

    def say(line: str) -> None:
        reporter.write_line(f"{time.monotonic() - began:4.0f} s  {line}", flush=True)

    try:
        require(CHECK_PACKAGES)
        ensure_binaries(default_cache_dir(), say)
        build_own_images(say)
        ensure_stores(say)
    except (HarnessError, ImagesError) as error:
        raise pytest.UsageError(str(error)) from error
    say("images: ready")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Target:
    """The cluster, with the images."""
    if _KUBECONFIG:
        return NamedCluster(Path(_KUBECONFIG), os.environ.get("E2E_REGISTRY"))
    node: Cluster = request.getfixturevalue("node")
    archive = tmp_path_factory.mktemp("images") / "image.tar"
    for image in vars(chart_images()).values():
        node.load_image(save(image, archive))
    node.load_image(write_prometheus(archive))
    archive.unlink()
    return OwnNode(node)


@pytest.fixture(scope="session")
def installation(target: Target) -> Installation:
    """`helm install` with no values set."""
    installed = Installation(target)
    installed.notes = installed.install(RELEASE)
    installed.start_client()
    return installed


@pytest.fixture(scope="session")
def prometheus(installation: Installation) -> Prometheus:
    """Watches the installation from here on."""
    started = Prometheus(installation)
    started.start()
    return started


@pytest.fixture(scope="session")
def provider(installation: Installation) -> str:
    """A model provider in a pod; its address."""
    program = f"--from-file={HERE / 'provider.py'}"
    installation.kubectl("create", "configmap", "provider", program)
    manifest = (HERE / "provider.yaml").read_text()
    manifest = manifest.replace("WORKER_IMAGE", installation.image("ai-worker"))
    installation.kubectl("apply", "-f", "-", stdin=manifest)
    installation.wait_ready("provider")
    return "http://provider"


@pytest.fixture(scope="session")
def slow_stream(installation: Installation, provider: str) -> str:
    """A stream whose model takes 1 s; 32 events/s a worker."""
    return _stream(installation, "slow", "worker", "consumer")


@pytest.fixture(scope="session")
def sleeping_stream(installation: Installation, provider: str) -> str:
    """A stream that keeps no worker without work."""
    return _stream(installation, "asleep", "consumer")


@pytest.fixture(scope="session")
def ceilings(installation: Installation, provider: str) -> None:
    """Three streams for which more workers bring nothing: `limited`, `throttled`, `paid`."""
    key = ("--from-literal=api-key=nobody-checks-it",)
    installation.kubectl("create", "secret", "generic", "paid-key", *key)
    installation.kubectl("apply", "-f", str(HERE / "streams/ceilings.yaml"))
    made = {f"ai-worker-{name}" for name in ("limited", "throttled", "paid")}
    _wait_made(installation, made)


def _stream(installation: Installation, name: str, *roles: str) -> str:
    """Applies a stream's file; returns its name once pods of these roles are ready."""
    installation.kubectl("apply", "-f", str(HERE / f"streams/{name}.yaml"))
    _wait_made(installation, {f"ai-{role}-{name}" for role in roles})
    return name


def _wait_made(installation: Installation, deployments: set[str]) -> None:
    what = f"Deployments {', '.join(sorted(deployments))}"
    wait_until(lambda: deployments <= installation.deployments(), what, SCALED_SECONDS)
    installation.wait_ready(*sorted(deployments))

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
from tests.cluster.harness.binaries import default_cache_dir, ensure_binaries
from tests.cluster.harness.cluster import Cluster
from tests.cluster.harness.errors import HarnessError
from tests.cluster_e2e.installation import RELEASE, Installation
from tests.cluster_e2e.targets import NamedCluster, OwnNode, Target
from tests.images.build import build_own_images, chart_images, ensure_stores, save
from tests.images.errors import ImagesError

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
    archive.unlink()
    return OwnNode(node)


@pytest.fixture(scope="session")
def installation(target: Target) -> Installation:
    """`helm install` with no values set."""
    installed = Installation(target)
    installed.notes = installed.install(RELEASE)
    installed.start_client()
    return installed

"""The real node with all images, and one installation that the tests of this folder share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness import plugin
from tests.cluster.harness.cluster import Cluster
from tests.cluster_e2e.installation import CHART, RELEASE, Installation
from tests.images.build import build_own_images, chart_images, ensure_stores, save
from tests.images.errors import ImagesError


def pytest_configure(config: pytest.Config) -> None:
    plugin.register(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds the images before the first test: no test's time limit is meant for that."""
    wanted = any("installation" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or session.config.option.collectonly:
        return
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    began = time.monotonic()

    def say(line: str) -> None:
        reporter.write_line(f"{time.monotonic() - began:4.0f} s  {line}", flush=True)

    try:
        build_own_images(say)
        ensure_stores(say)
    except ImagesError as error:
        raise pytest.UsageError(str(error)) from error
    say("images: ready")


@pytest.fixture(scope="session")
def installation(node: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """`helm install` with no values set, on a node that has the images."""
    names = chart_images()
    _load(node, tmp_path_factory.mktemp("images"), *vars(names).values())
    installed = Installation(node, names)
    installed.notes = installed.helm(
        "install", RELEASE, str(CHART), "--create-namespace", "--wait", "--timeout=6m"
    )
    installed.start_client()
    return installed


def _load(node: Cluster, folder: Path, *images: str) -> None:
    for number, image in enumerate(images):
        archive = save(image, folder / f"{number}.tar")
        node.load_image(archive)
        archive.unlink()

"""All images of an installation in buildah's storage, for the tests that run them.

    .venv/bin/python -m tests.images.build

builds the project's three from their Dockerfiles, unchanged, with `scripts/images`, after their
base; and makes ready Redis and Kafka, under the names that the chart asks for.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eventstream.embedded.jars import default_cache_dir
from tests.images.commands import run
from tests.images.errors import ImagesError
from tests.images.kafka_image import KAFKA
from tests.images.python_image import PYTHON, named_bases
from tests.images.redis_image import REDIS
from tests.images.stand_ins import ensure_image

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/ai-eventstream"
BUILD_SECONDS = 900


@dataclass(frozen=True)
class ImageNames:
    """What the chart asks for when no value is set."""

    api: str
    worker: str
    operator: str
    redis: str
    kafka: str


def chart_images() -> ImageNames:
    """The image references of the chart's defaults."""
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())["images"]
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    tag = values["tag"] or version
    own = {name: f"{values['registry']}/{name}:{tag}" for name in ("api", "worker", "operator")}
    return ImageNames(**own, redis=values["redis"], kafka=values["kafka"])


def build_own_images(say: Callable[[str], None]) -> ImageNames:
    """Build the three images; seconds when nothing has changed, two minutes when everything has.

    Raises ImagesError when one can't be built.
    """
    names = chart_images()
    for base in named_bases(ROOT.glob("Dockerfile.*")):
        say(f"images: {base}")
        ensure_image(base, PYTHON, _cache_dir())
    say("images: api, worker, operator")
    environment = os.environ | {"IMAGES_TOOL": "buildah"}
    run([ROOT / "scripts/images", "build"], environment=environment, timeout_seconds=BUILD_SECONDS)
    return names


def ensure_stores(say: Callable[[str], None]) -> ImageNames:
    """Make the images of Redis and Kafka ready.

    Raises ImagesError when they can neither be pulled nor made.
    """
    names = chart_images()
    say(f"images: {names.redis}")
    ensure_image(names.redis, REDIS, _cache_dir())
    say(f"images: {names.kafka}")
    ensure_image(names.kafka, KAFKA, _cache_dir())
    return names


def save(reference: str, target: Path) -> Path:
    """Write an image as a docker-archive, which `ctr images import` reads; returns `target`."""
    target.unlink(missing_ok=True)
    run(["buildah", "push", "--quiet", reference, f"docker-archive:{target}:{reference}"])
    return target


def _cache_dir() -> Path:
    return default_cache_dir() / "images"


def main() -> None:
    """Build everything, saying how long it took."""
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", file=sys.stderr)

    try:
        build_own_images(say)
        ensure_stores(say)
    except ImagesError as error:
        sys.exit(f"images: {error}")
    say("images: done")


if __name__ == "__main__":
    main()

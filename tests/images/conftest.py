"""The three images, built once a run from the Dockerfiles as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.images.build import ImageNames, build_own_images, ensure_stores
from tests.images.container import Container

StartContainer = Callable[..., Container]


@pytest.fixture(scope="session")
def images() -> ImageNames:
    """The project's images, built."""
    return build_own_images(print)


@pytest.fixture(scope="session")
def stores() -> ImageNames:
    """The images of Redis and Kafka, made ready."""
    return ensure_stores(print)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[StartContainer]:
    """Prepares containers that are gone after the test."""
    with ExitStack() as running:
        prepared: list[Container] = []

        def prepare(
            image: str,
            command: Sequence[str] | None = None,
            *,
            entrypoint: Sequence[str] | None = None,
            environment: Mapping[str, str] | None = None,
            volumes: Mapping[str, Path] | None = None,
            user: str | None = None,
        ) -> Container:
            one = Container(
                image,
                tmp_path / f"container-{len(prepared)}",
                command=command,
                entrypoint=entrypoint,
                environment=environment or {},
                volumes=volumes or {},
                user=user,
            )
            prepared.append(running.enter_context(one))
            return one

        yield prepare

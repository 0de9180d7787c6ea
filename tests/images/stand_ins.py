"""Public images where a registry is reached, images of the same contract where none is.

A stand-in has the public image's name, paths, users and arguments, so whatever uses it is used
unchanged. It is made once and remade when what it is made of changes; an image that was pulled is
left as it is.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.images.commands import run
from tests.images.debian import root_archive
from tests.images.errors import ImagesError

_LABEL = "io.ai-eventstream.stand-in"


@dataclass(frozen=True)
class StandIn:
    """How an image of the same contract is made."""

    packages: tuple[str, ...]
    """Debian packages of its root."""
    arrange: Callable[[Path], None]
    """Puts everything else into its place in the root."""
    contents: str = ""
    """Names what `arrange` puts in, by version: another version makes another image."""
    config: Mapping[str, str] = field(default_factory=dict)
    """Options of `buildah config`."""

    @property
    def digest(self) -> str:
        """Changes with anything that the image is made of."""
        module = inspect.getsourcefile(self.arrange)
        source = Path(module).read_text() if module else ""
        made_of = json.dumps([self.packages, self.contents, dict(self.config), source])
        return hashlib.sha256(made_of.encode()).hexdigest()[:16]


def ensure_image(reference: str, stand_in: StandIn, cache_dir: Path) -> None:
    """Afterwards buildah's storage has `reference`: the public image, or its stand-in.

    Raises ImagesError, saying what is missing, when it can have neither.
    """
    labels = _labels(reference)
    if labels is not None and labels.get(_LABEL) in (None, stand_in.digest):
        return
    if labels is None and _pulled(reference):
        return
    archive = root_archive(cache_dir, stand_in.packages)
    container = run(["buildah", "from", "scratch"])
    try:
        run(["buildah", "add", "--quiet", container, archive, "/"])
        stand_in.arrange(Path(run(["buildah", "mount", container])))
        run(["buildah", "umount", container])
        options = [part for pair in stand_in.config.items() for part in pair]
        run(["buildah", "config", *options, "--label", f"{_LABEL}={stand_in.digest}", container])
        run(["buildah", "commit", "--quiet", "--format", "docker", container, reference])
    finally:
        run(["buildah", "rm", container])


def add_user(root: Path, name: str, uid: int, home: str) -> None:
    """Give a root a user and a group of the same number."""
    with (root / "etc/passwd").open("a") as users:
        users.write(f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n")
    with (root / "etc/group").open("a") as groups:
        groups.write(f"{name}:x:{uid}:\n")


def add_script(path: Path, text: str) -> None:
    """Write a program into a root."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _labels(reference: str) -> Mapping[str, str] | None:
    """The labels of an image in buildah's storage; None: it is not there."""
    listed = json.loads(run(["buildah", "images", "--all", "--json"]) or "[]")
    if not any(reference in (image.get("names") or ()) for image in listed or ()):
        return None
    told = json.loads(run(["buildah", "inspect", "--type", "image", reference]))
    labels: Mapping[str, str] = told["Docker"]["config"].get("Labels") or {}
    return labels


def _pulled(reference: str) -> bool:
    try:
        run(["buildah", "pull", "--quiet", reference])
    except ImagesError:
        return False  # No registry, or none that has it: that is what stand-ins are for.
    return True

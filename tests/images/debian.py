"""A Debian root file system for stand-ins of public images, by debootstrap.

It comes from the mirror that this machine itself installs from, and is kept as a tar file in the
user's cache folder, named after a digest of what it holds. Nothing here knows what a root is for.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.images.commands import run
from tests.images.errors import ImagesError

SUITE = "bookworm"
_SOURCES = (Path("/etc/apt/sources.list.d"), Path("/etc/apt/sources.list"))
# Nothing in a container reads these.
_UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt")


def root_archive(cache_dir: Path, packages: Sequence[str]) -> Path:
    """The tar file of a minimal root with these packages; made when the cache does not have it.

    Raises ImagesError when it can't be made.
    """
    wanted = "\n".join([SUITE, platform.machine(), *packages, *_UNREAD])
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:16]
    target = cache_dir / f"debian-{digest}.tar"
    if target.is_file():
        return target
    if os.geteuid() != 0:
        raise ImagesError("making a root file system with debootstrap needs root: run it with sudo")
    downloads = cache_dir / "debian-packages"
    downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as work:
        root = Path(work) / "root"
        options = ("--variant=minbase", f"--include={','.join(packages)}")
        run(["debootstrap", *options, f"--cache-dir={downloads}", SUITE, root, mirror()])
        for folder in _UNREAD:
            shutil.rmtree(root / folder, ignore_errors=True)
        packed = Path(work) / "root.tar"
        run(["tar", "--create", "--numeric-owner", "--file", packed, "--directory", root, "."])
        packed.rename(target)
    return target


def mirror(places: Sequence[Path] = _SOURCES) -> str:
    """The first address that this machine installs Debian packages from.

    Raises ImagesError when it names none.
    """
    for place in places:
        files = sorted(place.glob("*.sources")) if place.is_dir() else [place]
        for file in files:
            if file.is_file():
                for address in _addresses(file.read_text()):
                    return address
    raise ImagesError(
        "no Debian mirror is named in /etc/apt: the stand-ins are made on Debian; elsewhere the "
        "public images are pulled"
    )


def _addresses(sources: str) -> Iterator[str]:
    for line in sources.splitlines():
        words = line.split()
        if words[:1] in (["URIs:"], ["deb"]):
            yield from (word for word in words[1:] if "://" in word)

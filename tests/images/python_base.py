"""The base image of the Dockerfiles, for machines that reach no image registry.

The public image has Python and pip under /usr/local, certificates, and no compiler. So has this
one, from Debian's packages, under the same name: the Dockerfiles are built unchanged. Where the
public image can be pulled it is used, and nothing is made here.
"""

from __future__ import annotations

import inspect
import re
import shutil
import zipfile
from pathlib import Path

from tests.images.commands import run
from tests.images.debian import root_archive
from tests.images.errors import ImagesError

PACKAGES = ("ca-certificates", "netbase", "python3", "python3-venv", "tzdata")
VERSION = "python3.11"
PIP = "#!/usr/local/bin/python\nimport sys\nfrom pip import main\nsys.exit(main())\n"


def named_bases(dockerfiles: list[Path]) -> set[str]:
    """The images that these Dockerfiles begin with, their own stages left out."""
    bases: set[str] = set()
    for dockerfile in dockerfiles:
        text = dockerfile.read_text()
        stages = set(re.findall(r"^FROM .* AS (\S+)", text, re.MULTILINE))
        named = re.findall(r"^FROM (?:--\S+ )?(\S+)", text, re.MULTILINE)
        bases |= set(named) - stages
    return bases


def ensure_python_base(reference: str, cache_dir: Path) -> None:
    """Afterwards buildah's storage has the image `reference`: the public one or a stand-in."""
    if is_here(reference):
        return
    try:
        run(["buildah", "pull", "--quiet", reference], timeout_seconds=300)
    except ImagesError as error:
        if "is not on the PATH" in str(error):
            raise
        commit_root(
            root_archive(cache_dir, PACKAGES, _arrange, inspect.getsource(_arrange) + PIP),
            reference,
            ["--cmd", "python3", "--env", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"],
        )


def is_here(reference: str) -> bool:
    """Whether buildah's storage has the image."""
    try:
        run(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", reference])
    except ImagesError as error:
        if "is not on the PATH" in str(error):
            raise
        return False
    return True


def commit_root(archive: Path, reference: str, config: list[str]) -> None:
    """Make the image `reference` of one layer from a packed root."""
    container = run(["buildah", "from", "scratch"])
    try:
        run(["buildah", "add", "--quiet", container, archive, "/"])
        run(["buildah", "config", *config, container])
        run(["buildah", "commit", "--quiet", "--format", "docker", container, reference])
    finally:
        run(["buildah", "rm", container])


def _arrange(root: Path) -> None:
    """Move Python from /usr to /usr/local, where the public image has it, and add pip."""
    local = root / "usr/local"
    (local / "lib").mkdir(exist_ok=True)
    shutil.rmtree(local / "lib" / VERSION, ignore_errors=True)
    (root / "usr/lib" / VERSION).rename(local / "lib" / VERSION)
    (root / "usr/bin" / VERSION).rename(local / "bin" / VERSION)
    for name in ("python3", "python"):
        (root / "usr/bin" / name).unlink(missing_ok=True)
        (local / "bin" / name).symlink_to(VERSION)
    library = local / "lib" / VERSION
    (library / "EXTERNALLY-MANAGED").unlink(missing_ok=True)
    packages = library / "dist-packages"
    packages.mkdir(exist_ok=True)
    (wheel,) = (root / "usr/share/python-wheels").glob("pip-*.whl")
    with zipfile.ZipFile(wheel) as pip:
        pip.extractall(packages)
    launcher = local / "bin" / "pip"
    launcher.write_text(PIP)
    launcher.chmod(0o755)

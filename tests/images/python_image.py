"""The stand-in of the Dockerfiles' base: Python and pip under /usr/local, and no compiler."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tests.images.stand_ins import StandIn, add_script

VERSION = "python3.11"
PIP = "#!/usr/local/bin/python\nimport sys\nfrom pip import main\nsys.exit(main())\n"


def named_bases(dockerfiles: Iterable[Path]) -> set[str]:
    """The public images that these Dockerfiles begin with."""
    bases: set[str] = set()
    for dockerfile in dockerfiles:
        text = dockerfile.read_text()
        stages = set(re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE))
        bases |= set(re.findall(r"^FROM (?:--\S+ )?(\S+)", text, re.MULTILINE)) - stages
    return bases


def _arrange(root: Path) -> None:
    local = root / "usr/local"
    library = local / "lib" / VERSION
    for folder in sorted(library.rglob("*"), reverse=True):
        folder.rmdir()  # Debian makes empty ones here
    if library.is_dir():
        library.rmdir()
    (root / "usr/lib" / VERSION).rename(library)
    (root / "usr/bin" / VERSION).rename(local / "bin" / VERSION)
    (root / "usr/bin/python3").unlink()
    for name in ("python3", "python"):
        (local / "bin" / name).symlink_to(VERSION)
    (library / "EXTERNALLY-MANAGED").unlink(missing_ok=True)
    (wheel,) = (root / "usr/share/python-wheels").glob("pip-*.whl")
    with zipfile.ZipFile(wheel) as pip:
        pip.extractall(library / "dist-packages")
    add_script(local / "bin/pip", PIP)


PYTHON = StandIn(
    packages=("ca-certificates", "netbase", "python3", "python3-venv", "tzdata"),
    arrange=_arrange,
    config={"--cmd": "python3", "--env": "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
)

"""What the machine itself must have, as Debian packages: looked for, named, installed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness.errors import CommandFailed, HarnessError
from tests.cluster.harness.layout import find_cni_plugins, find_program

# Debian's invoke-rc.d asks it before a package starts a service: 101 is "you may not".
_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_SERVICE = "#!/bin/sh\nexit 101\n"


@dataclass(frozen=True)
class Package:
    """A Debian package and the sign that what it brings is there."""

    name: str
    present: Callable[[], bool]
    service: str | None = None
    """A service that comes along and is not wanted: neither now nor at the next start."""


def _program(package: str, command: str) -> Package:
    return Package(package, lambda: find_program(command) is not None)


# The control plane alone.
CONTROL_PLANE_PACKAGES = (
    _program("util-linux", "unshare"),
    _program("iproute2", "ip"),
    _program("openssl", "openssl"),
    _program("patch", "patch"),
)
# A node that runs containers.
NODE_PACKAGES = (
    *CONTROL_PLANE_PACKAGES,
    _program("containerd", "containerd"),
    _program("runc", "runc"),
    Package("containernetworking-plugins", lambda: find_cni_plugins() is not None),
    _program("nftables", "nft"),
    _program("iptables", "iptables"),
    _program("conntrack", "conntrack"),
    _program("socat", "socat"),
)
# Building the project's own images, and Apache Kafka in one.
IMAGE_PACKAGES = (
    _program("debootstrap", "debootstrap"),
    _program("buildah", "buildah"),
    _program("maven", "mvn"),
)
# Checking the alerts: promtool comes with the server.
CHECK_PACKAGES = (
    Package("prometheus", lambda: find_program("promtool") is not None, service="prometheus"),
)


def require(packages: tuple[Package, ...]) -> None:
    """Raises HarnessError naming what is missing and how to get it."""
    missing = _missing(packages)
    if missing:
        raise HarnessError(
            f"not installed: {', '.join(missing)} (names of Debian packages); as root on Debian "
            "or Ubuntu `scripts/cluster packages` installs them"
        )


def install_missing(packages: tuple[Package, ...], progress: Callable[[str], None]) -> None:
    """Installs what is missing when this is root on Debian or Ubuntu.

    Raises HarnessError elsewhere, and CommandFailed when apt-get fails.
    """
    missing = _missing(packages)
    if not missing:
        progress("every package is there")
        return
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        require(packages)
    progress(f"installing {', '.join(missing)}")
    unwanted = [each.service for each in packages if each.name in missing and each.service]
    _run("apt-get", "update", "--quiet")
    with _nothing_starts():
        _run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *missing)
    for service in unwanted:
        _run("update-rc.d", service, "disable")
    require(packages)


def _missing(packages: tuple[Package, ...]) -> list[str]:
    return [package.name for package in packages if not package.present()]


@contextmanager
def _nothing_starts() -> Iterator[None]:
    """Packages are installed for their programs: nothing is left listening."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_NO_SERVICE)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CommandFailed(list(argv), done.returncode, done.stdout)

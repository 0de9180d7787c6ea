"""The cluster's programs, built from Go modules into the user's cache folder.

There is one module for all of them (`build/go.mod`), so that one compile of Kubernetes' libraries
serves six programs. The result is kept in a folder named after a digest of what it was built
from; nothing is ever downloaded as a binary.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness.errors import HarnessError

Progress = Callable[[str], None]

BUILD_DIR = Path(__file__).with_name("build")
KUBERNETES_VERSION = "v1.34.4"
HELM_VERSION = "v3.19.5"
METRICS_SERVER_VERSION = "v0.7.2"
_KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
)
_LOG_TAIL_LINES = 30
_COMPILERS_AT_ONCE = 4


@dataclass(frozen=True)
class Program:
    """One `go build`."""

    name: str
    package: str
    linker_variables: Mapping[str, str]


_VERSION_PACKAGE = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
# Kubernetes comes first: the others reuse most of what it compiles.
PROGRAMS = (
    Program(
        "k8s",
        "./cmd/k8s",
        {
            f"{_VERSION_PACKAGE}.gitVersion": KUBERNETES_VERSION,
            f"{_VERSION_PACKAGE}.gitMajor": _MAJOR,
            f"{_VERSION_PACKAGE}.gitMinor": _MINOR,
            f"{_VERSION_PACKAGE}.gitTreeState": "clean",
        },
    ),
    Program("etcd", "./cmd/etcd", {}),
    Program("kwok", "sigs.k8s.io/kwok/cmd/kwok", {}),
    Program(
        "helm",
        "helm.sh/helm/v3/cmd/helm",
        {"helm.sh/helm/v3/internal/version.version": HELM_VERSION},
    ),
    Program("coredns", "./cmd/coredns", {}),
    Program(
        "metrics-server",
        "sigs.k8s.io/metrics-server/cmd/metrics-server",
        {f"{_VERSION_PACKAGE}.gitVersion": METRICS_SERVER_VERSION},
    ),
    Program("pause", "./cmd/pause", {}),
    Program("hello", "./cmd/hello", {}),
)

# Two modules use what Kubernetes 1.34 no longer has, so each is built from a mended copy, which
# go.mod names by its folder: name of the folder and of the patch -> module.
_PATCHED_MODULES = {
    "kwok": "sigs.k8s.io/kwok@v0.7.0",
    "metrics-server": f"sigs.k8s.io/metrics-server@{METRICS_SERVER_VERSION}",
}


def default_cache_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's cache folder for this project (XDG_CACHE_HOME or ~/.cache)."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ai-eventstream"


def binaries_dir(cache_dir: Path) -> Path:
    """Where the programs built from the present inputs are, or will be."""
    return cache_dir / f"cluster-{_digest()}" / "bin"


def ensure_binaries(cache_dir: Path, progress: Progress) -> Path:
    """Returns the folder with every program, after building those that are not there.

    The first build takes minutes (docs/testing-cluster.md has the figures). Two runs that need
    it at once build once: the second waits for the first. Raises HarnessError with the end of
    the compiler's output when a build fails.
    """
    target = binaries_dir(cache_dir)
    if _missing(target):
        target.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name("lock"), progress):
            missing = _missing(target)
            if missing:
                _build(target, missing, progress)
    return target


def _missing(target: Path) -> list[Program]:
    return [program for program in PROGRAMS if not (target / program.name).is_file()]


def _digest() -> str:
    digest = hashlib.sha256(platform.machine().encode())
    for path in sorted(path for path in BUILD_DIR.rglob("*") if path.is_file()):
        digest.update(f"\0{path.relative_to(BUILD_DIR)}\0".encode())
        digest.update(path.read_bytes())
    digest.update(repr(PROGRAMS).encode())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another run is building the cluster's programs: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(target: Path, programs: list[Program], progress: Progress) -> None:
    if shutil.which("go") is None:
        raise HarnessError(
            "the cluster's programs are built from Go modules and there is no `go` on the PATH: "
            "install Go 1.24 or newer (https://go.dev/dl)"
        )
    source = target.with_name("source")
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(BUILD_DIR, source)
    began = time.monotonic()
    progress(f"building the cluster's programs into {target}: about 11 minutes the first time")
    for name, module in _PATCHED_MODULES.items():
        _patched_copy(source, name, module)
    for number, program in enumerate(programs, start=1):
        progress(f"building {program.name} ({number} of {len(programs)})")
        _build_one(source, target, program)
    for name in _KUBERNETES_PROGRAMS:
        (target / name).unlink(missing_ok=True)
        (target / name).symlink_to("k8s")
    shutil.rmtree(source)
    progress(f"built in {time.monotonic() - began:.0f} s")


def _patched_copy(source: Path, name: str, module: str) -> None:
    # Asked for from outside the module, whose go.mod already points to the copy.
    answer = _go(["mod", "download", "-json", module], source.parent)
    copy = source / "third" / name
    shutil.copytree(json.loads(answer)["Dir"], copy)
    for path in [copy, *copy.rglob("*")]:  # the module cache is read-only
        path.chmod(path.stat().st_mode | 0o200)
    patch = (BUILD_DIR / "patches" / f"{name}.patch").read_bytes()
    done = subprocess.run(
        ["patch", "--silent", "--strip=1"], cwd=copy, input=patch, capture_output=True, check=False
    )
    if done.returncode != 0:
        raise HarnessError(f"the patch of {module} does not apply:\n{done.stdout.decode()}")


def _build_one(source: Path, target: Path, program: Program) -> None:
    variables = [f"-X {name}={value}" for name, value in program.linker_variables.items()]
    unfinished = target / f".{program.name}.unfinished"
    _go(
        [
            "build",
            *("-p", str(min(os.cpu_count() or 1, _COMPILERS_AT_ONCE))),
            *("-mod=readonly", "-buildvcs=false", "-trimpath"),
            *("-ldflags", " ".join(["-s", "-w", *variables])),
            *("-o", str(unfinished), program.package),
        ],
        source,
    )
    unfinished.rename(target / program.name)


def _go(arguments: list[str], folder: Path) -> str:
    """Runs the go command behind everything else that the machine does; returns its output."""
    # What GOFLAGS of the user would add is unknown here; everything needed is on the command line.
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    done = subprocess.run(
        ["nice", "-n", "10", "go", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_LOG_TAIL_LINES:])
        raise HarnessError(f"`go {' '.join(arguments)}` failed:\n{tail}")
    return done.stdout

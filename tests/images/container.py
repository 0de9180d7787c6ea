"""Runs an image by itself as the chart would: its own user, no capabilities, a read-only root.

runc alone, without an engine or a daemon. The network is the machine's, so that a test talks to
what it runs over loopback. Kubernetes adds nothing to this but its network.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.images.commands import run
from tests.images.errors import ImagesError


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of itself."""

    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: tuple[str, ...]
    folder: str
    size_bytes: int
    layers: int


def read_config(image: str) -> ImageConfig:
    """The configuration of an image in buildah's storage; raises ImagesError when it has none."""
    told = json.loads(run(["buildah", "inspect", "--type", "image", image]))
    config: dict[str, Any] = told["Docker"]["config"]
    (listed,) = json.loads(run(["buildah", "images", "--json", image]))
    return ImageConfig(
        user=config.get("User") or "0:0",
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        environment=tuple(config.get("Env") or ()),
        folder=config.get("WorkingDir") or "/",
        size_bytes=_bytes(listed["size"]),
        layers=len(told["OCIv1"]["rootfs"]["diff_ids"]),
    )


@dataclass
class Container:
    """One container of an image; `run` to its end, or `start` and `stop`.

    `command` stands in place of the image's CMD, `entrypoint` in place of its ENTRYPOINT;
    `volumes` are folders of this machine by their place in the container.
    """

    image: str
    folder: Path
    """A folder of its own, for its bundle and its log."""
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, Path] = field(default_factory=dict)
    user: str | None = None
    _name: str = field(default_factory=lambda: f"image-{uuid.uuid4().hex[:12]}", init=False)
    _working: str | None = field(default=None, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> Container:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._working = run(["buildah", "from", "--pull-never", self.image])
        root = run(["buildah", "mount", self._working])
        (self.folder / "config.json").write_text(json.dumps(self._bundle(root)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal("KILL")
            self._process.wait(20)
        run([*self._runc(), "delete", "--force", self._name])
        if self._working is not None:
            run(["buildah", "umount", self._working])
            run(["buildah", "rm", self._working])

    def start(self) -> None:
        """Start it and return at once."""
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._runc(), "run", "--bundle", str(self.folder), self._name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self, timeout_seconds: float = 60) -> int:
        """Run it to its end; the exit status. What it said is in `log`."""
        self.start()
        return self.wait(timeout_seconds)

    def wait(self, timeout_seconds: float = 60) -> int:
        """Wait for its end; the exit status. Raises ImagesError when it takes longer."""
        assert self._process is not None
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise ImagesError(
                f"{self.image} did not end in {timeout_seconds:g} s:\n{self.log}"
            ) from None

    def signal(self, name: str) -> None:
        """Send a signal (TERM, KILL, ...) to its first process."""
        run([*self._runc(), "kill", self._name, name])

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_file(self) -> Path:
        return self.folder / "output.log"

    @property
    def log(self) -> str:
        """What it has written to standard output and error."""
        return self.log_file.read_text(errors="replace")

    def _runc(self) -> list[str]:
        return ["runc", "--root", str(self.folder / "runc")]

    def _bundle(self, root: str) -> dict[str, Any]:
        config = read_config(self.image)
        uid, _, gid = (self.user or config.user).partition(":")
        entrypoint = config.entrypoint if self.entrypoint is None else self.entrypoint
        command = config.command if self.command is None else self.command
        given = [f"{name}={value}" for name, value in self.environment.items()]
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": int(uid), "gid": int(gid or uid)},
                "args": [*entrypoint, *command],
                "env": [*config.environment, *given],
                "cwd": config.folder,
                "noNewPrivileges": True,
                "capabilities": {},
            },
            "root": {"path": root, "readonly": True},
            "hostname": "container",
            "mounts": [*_mounts(), *(_bind(place, at) for place, at in self.volumes.items())],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
                "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"],
            },
        }


def _mounts() -> list[dict[str, Any]]:
    def memory(place: str, *options: str) -> dict[str, Any]:
        return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": [*options]}

    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        memory("/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
        memory("/dev/shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        memory("/tmp", "nosuid", "nodev", "mode=1777", "size=1048576k"),
    ]


def _bind(place: str, source: Path) -> dict[str, Any]:
    options = ["bind", "rw", "nosuid", "nodev"]
    return {"destination": place, "type": "bind", "source": str(source), "options": options}


def _bytes(size: str | int) -> int:
    """buildah says "135 MB"; decimal units."""
    number, _, unit = str(size).partition(" ")
    return int(float(number) * {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()])

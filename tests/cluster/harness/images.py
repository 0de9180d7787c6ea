"""Container images without a container engine: a few files written as a docker-archive.

`docker load`, `ctr images import` and `buildah pull docker-archive:` read what it writes. One
layer, no history; meant for static programs.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CREATED = "2026-01-01T00:00:00Z"  # fixed, so that equal files give equal images


def write_image(
    target: Path, name: str, files: Mapping[str, Path], entrypoint: Sequence[str], user: str
) -> None:
    """Writes the image `name` (with its tag) to `target`.

    `files` maps the path in the image to the file on this machine; modes are kept. `user` is
    "uid:gid".
    """
    layer = _layer(files)
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": _CREATED,
            "config": {"Entrypoint": list(entrypoint), "User": user, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{layer_digest}/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}]
    with tarfile.open(target, "w") as archive:
        for path, content in (
            (layer_name, layer),
            (config_name, config),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            _add(archive, path, content, 0o644)


def _layer(files: Mapping[str, Path]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        folders: set[Path] = set()
        for path, source in sorted(files.items()):
            inside = Path(path.lstrip("/"))
            for folder in list(inside.parents)[-2::-1]:
                if folder not in folders:
                    folders.add(folder)
                    entry = tarfile.TarInfo(str(folder))
                    entry.type = tarfile.DIRTYPE
                    entry.mode = 0o755
                    archive.addfile(entry)
            _add(archive, str(inside), source.read_bytes(), source.stat().st_mode & 0o777)
    return written.getvalue()


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size = len(content)
    entry.mode = mode
    archive.addfile(entry, io.BytesIO(content))

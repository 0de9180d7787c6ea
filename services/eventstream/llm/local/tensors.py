"""Reading a safetensors file as read-only arrays over one memory map.

The format is an 8-byte little-endian header length, a JSON header that gives
each tensor's dtype, shape and place, and then the bytes. Mapping the file instead of
copying it means that loading takes milliseconds, that the word table (half of
the file) is read only where a text touches it, and that every process of the
machine shares the same pages. Nothing here knows what the tensors are for.
"""

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eventstream.llm.local.errors import LocalModelMissing, LocalModelUnsupported

FloatArray = NDArray[np.float32]

_LENGTH_BYTES = 8
_DTYPES: dict[str, np.dtype[np.floating]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


def read_tensors(path: Path) -> dict[str, FloatArray]:
    """Return the floating-point tensors of a file by name, float32 and read-only.

    float16 tensors are widened (a copy); tensors of integers are left out.
    Raises LocalModelMissing when there is no such file, LocalModelUnsupported
    when it isn't a whole safetensors file or holds another kind of float.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise LocalModelMissing(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise LocalModelUnsupported(f"{path} can't be read: {error}") from error
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    if len(data) < start:
        raise LocalModelUnsupported(f"{path} is not a whole safetensors file")
    try:
        header = json.loads(data[_LENGTH_BYTES:start])
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {
            name: _tensor(data, start, entry)
            for name, entry in entries.items()
            if not str(entry["dtype"]).startswith(("I", "U", "BOOL"))
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LocalModelUnsupported(f"{path} is not a whole safetensors file: {error}") from error


def _tensor(data: mmap.mmap, start: int, entry: Mapping[str, object]) -> FloatArray:
    """Return one tensor as a view on the map, or as a copy where a view is impossible."""
    dtype = _DTYPES.get(str(entry["dtype"]))
    if dtype is None:
        raise ValueError(f"weights of type {entry['dtype']}, where F32 or F16 are known")
    shape, place = entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or not isinstance(place, list):
        raise ValueError("a tensor without shape and data_offsets")
    count = math.prod(shape)
    if place[1] - place[0] != count * dtype.itemsize or start + place[1] > len(data):
        raise ValueError("a tensor lies outside the file")
    raw = np.frombuffer(data, np.uint8, place[1] - place[0], start + place[0])
    view = raw.view(dtype).reshape(shape)
    array = view.astype(np.float32, copy=not view.flags.aligned)
    array.flags.writeable = False
    return array

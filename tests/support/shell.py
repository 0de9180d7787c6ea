"""What a shell may give a command for its output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def output_that_nobody_reads() -> Iterator[int]:
    """The end of a pipe that a command writes to, its reader gone already: `| true`."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)

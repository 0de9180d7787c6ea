"""Python's garbage collector, set for processes that handle many small values for a long time.

By default it looks through everything every few hundred new containers, and now and then through
all that was ever imported: about a quarter of what a worker spends on a cached answer. What is
loaded when the work begins stays to the end, so it is left out; and the rest is looked through less
often. What has no cycle, which is nearly everything here, is freed at once as ever.
"""

from __future__ import annotations

import gc
from typing import Final

NEW_CONTAINERS: Final = 20_000
"""New ones between two looks. An event takes some fifty, and frees them again."""
YOUNGER_LOOKS: Final = 20


def settle() -> None:
    """Call it once, when everything is loaded and before the work begins."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_CONTAINERS, YOUNGER_LOOKS, YOUNGER_LOOKS)

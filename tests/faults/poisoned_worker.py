"""`eventstream worker`, but a text with POISON in it ends the process that asks for its answer.

What a model's library can do (a segmentation fault, the machine's memory used up), on purpose.
"""

from __future__ import annotations

import os
import sys

from eventstream.cli import main
from eventstream.pipeline import Ask, Ending, Pipeline

_ask = Pipeline.ask


async def _ask_or_die(self: Pipeline, ask: Ask, *, deadline: float) -> Ending:
    if "POISON" in ask.held.event.text:
        os._exit(1)
    return await _ask(self, ask, deadline=deadline)


if __name__ == "__main__":
    Pipeline.ask = _ask_or_die  # type: ignore[method-assign]
    sys.argv = ["eventstream", "worker"]
    main()

"""Whether two answers of the model say the same: the label of a pair of texts.

Where a task has labels or an output schema this is exact. Prose is held to the guard: the same
words, or differences on its list of harmless ones. That errs to one side: of look-alikes fewer than
1.4 % pass (docs/cache.md), while the same thing said in other words mostly counts as disagreement.
So evidence from prose opens too little rather than too much, and is worth most at temperature 0.
"""

from typing import Literal

import orjson

from eventstream.cache.guard import compare

AnswerForm = Literal["label", "json", "prose"]


def agree(form: AnswerForm, one: str, other: str) -> bool:
    """Whether the answers are the same, or as good as; symmetric, never raises."""
    if one == other:
        return True
    if form == "label":
        return False
    if form == "json":
        return _canonical(one) == _canonical(other) is not None
    return compare(one, other).accepted


def _canonical(answer: str) -> bytes | None:
    """The JSON value with its keys in order; None for what is none."""
    try:
        return orjson.dumps(orjson.loads(answer), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONDecodeError:
        return None

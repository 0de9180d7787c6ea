"""How many tokens a text may be, before a provider has counted them.

An upper estimate on purpose: it reserves part of a limit and of a budget, and what was really used
takes its place after the call. English takes about four bytes a token, Spanish three and a half,
Chinese three; three is below all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eventstream.llm.prompts import Message

_BYTES_A_TOKEN: Final = 3
_TOKENS_A_MESSAGE: Final = 4


def estimate_tokens(text: str) -> int:
    """At most about so many tokens."""
    return len(text.encode("utf-8", "replace")) // _BYTES_A_TOKEN + 1


def estimate_conversation(messages: Sequence[Message]) -> int:
    """The tokens of a prompt, role marks included."""
    return sum(estimate_tokens(message["content"]) + _TOKENS_A_MESSAGE for message in messages)

"""Leaves out the words that people clear their throat with: "hmm, okay, so ...", "... then?".

A run of them at the start of an English sentence says nothing, however long it is. What stands
alone without a comma must be a sound, or lead to a word that a sentence begins with: "so good"
and "well done" are no throat-clearing.
"""

from typing import Final

from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import words
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType

_SOUNDS = words("um umm uh uhh uhm er erm hm hmm hmmm mm ah ahh oh ooh ehm huh haha hahaha lol")
FILLERS: Final = _SOUNDS | words(
    "ok okay okey so well anyway anyways basically honestly literally like yeah yep right alright"
    " actually look listen hey and but"
)
_ALONE = _SOUNDS | words("ok okay anyway anyways basically honestly literally actually alright")
_BEGINS = words(
    "i you he she it we they my your his her our their the a an this that these those there what"
    " who which when where why how is are was were do does did can could would will should has have"
    " i'm please just let if after before since"
)
_AFTER_SO = words("that there this")
_ENDS = frozenset({TokenType.STOP, TokenType.QUESTION})
_LEAST_WORDS = 3


def without_fillers(items: list[Item], analysis: Analysis) -> list[Item]:
    """The items without the runs of fillers at the start of the text and without the small words
    that trail behind its last question."""
    start = _behind_run(items)
    if start:
        analysis.note(Kind.FILLER, " ".join(item.word for item in items[:start]))
        items = items[start:]
    end = len(items) - 1
    if (
        end > _LEAST_WORDS
        and items[end].type in _ENDS
        and items[end - 1].word in ("then", "though", "tho")
        and (items[end].type is TokenType.QUESTION or items[end - 1].word != "then")
        and "if" not in {item.word for item in items}
    ):
        analysis.note(Kind.FILLER, items[end - 1].word)
        items = [*items[: end - 1], items[end]]
    return items


def _behind_run(items: list[Item]) -> int:
    """Where the sentence behind a run of fillers begins; 0 when there is no run."""
    at = words_passed = 0
    safe = False
    while at < len(items):
        item = items[at]
        if item.type in (TokenType.PAUSE, TokenType.SIGN) and words_passed:
            safe = True
        elif item.word in FILLERS and item.type is TokenType.WORD:
            words_passed += 1
            safe = item.word in _ALONE
            if item.word in ("and", "but", "look", "like", "hey") and words_passed == 1:
                return 0
        else:
            break
        at += 1
    if not words_passed or len(items) - at < _LEAST_WORDS:
        return 0
    begins = items[at].word in _BEGINS
    alone = words_passed == 1 and items[at - 1].word == "so" and items[at].word not in _AFTER_SO
    if not safe and not (begins and (words_passed > 1 or alone)):
        return 0
    return at

"""English requests put as questions: "could you cancel my order", "would you mind cancelling it".

"Can you ship to France?" may ask what a shop does at all, so a request is only what is done with
something definite ("my", "this", "it"), or what nobody but an assistant is asked for ("translate").
"""

from functools import cache

from eventstream.cache.guard.conjugation import english_verb
from eventstream.cache.guard.items import ASKS_WHO, Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import words
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType

_ASKED_OF_ASSISTANTS = words(
    "summarize summarise translate classify rewrite rephrase paraphrase proofread list write"
    " draft generate describe explain suggest recommend compose outline shorten simplify convert"
    " compute calculate analyze analyse extract label categorize categorise brainstorm create tell"
    " give show name define compare rank rate"
)
_ASKED_OF_SERVICES = words(
    "cancel change move reschedule postpone update correct fix check confirm resend send forward"
    " refund replace close open reset unlock block unblock activate deactivate reactivate delete"
    " remove add book reserve renew extend upgrade downgrade transfer return deliver redeliver"
    " rebook reopen restore restart reboot review edit modify amend adjust waive lower reduce"
    " increase raise print scan sign fill complete format sort translate call email text remind"
    " notify inform let help find look read play stop start pause turn switch set save download"
    " upload share install repair clean bring take pick drop put keep make turn approve reject"
    " process submit verify validate debug test run deploy merge revert investigate escalate"
    " schedule arrange organize organise exchange swap recharge top order pay charge credit"
    " compensate reimburse apply enable disable mute unmute hide"
)
_DEFINITE = words("my our this these it me us them him her")
_HELP_FRAMES: tuple[tuple[str, ...], ...] = (
    ("can", "you", "help", "me"),
    ("could", "you", "help", "me"),
)
_FRAMES: tuple[tuple[str, ...], ...] = (
    *_HELP_FRAMES,
    ("can", "you"),
    ("could", "you"),
    ("will", "you"),
    ("would", "you"),
)
_MIND: tuple[tuple[str, ...], ...] = (("would", "you", "mind"), ("do", "you", "mind"))
_GREETS = words("hi hello hey dear hiya morning afternoon evening")
_TITLES = words("mr mrs ms miss dr prof professor sir madam")
_PAUSES = frozenset({TokenType.PAUSE, TokenType.STOP})
_MAX_NAMES = 3
_MAX_FRAME_START = 60


@cache
def _base_of() -> dict[str, str]:
    """The base of each "-ing" form."""
    return {
        form: verb
        for verb in sorted(_ASKED_OF_SERVICES | _ASKED_OF_ASSISTANTS)
        for tag, form in english_verb(verb)
        if form.endswith("ing")
    }


def as_orders(items: list[Item], analysis: Analysis) -> list[Item]:
    """The items with a request at the start of a sentence as an order ("cancel my order")."""
    found = _frame_at(items)
    if found is None:
        return items
    start, order, used = found
    analysis.note(Kind.REQUEST, " ".join(item.word for item in items[start : start + used]))
    end = start + used
    while end < len(items) and items[end].type not in (TokenType.STOP, TokenType.QUESTION):
        end += 1
    rest = items[start + used : end]
    stop = [Item(TokenType.STOP, "", ".", attached=True)] if end < len(items) else []
    verb = Item(TokenType.WORD, order, order, False, order)
    return [*items[:start], verb, *rest, *stop, *items[end + 1 :]]


def _frame_at(items: list[Item]) -> tuple[int, str, int] | None:
    """Where a request begins, the verb of its order, and how many items those two take."""
    for start, item in enumerate(items[:_MAX_FRAME_START]):
        if item.word not in ("can", "could", "will", "would", "do"):
            continue
        if start and items[start - 1].type not in (*_PAUSES, TokenType.QUESTION):
            continue
        said = tuple(each.word for each in items[start : start + 6])
        for frame in _MIND:
            if said[: len(frame)] == frame and len(said) > len(frame):
                verb = _base_of().get(said[len(frame)], "")
                if verb:
                    return start, verb, len(frame) + 1
        for frame in _FRAMES:
            if said[: len(frame)] == frame and len(said) > len(frame) + 1:
                verb, following = said[len(frame)], said[len(frame) + 1]
                definite = (
                    frame not in _HELP_FRAMES
                    and verb in _ASKED_OF_SERVICES
                    and following in _DEFINITE
                )
                if definite or verb in _ASKED_OF_ASSISTANTS:
                    return start, verb, len(frame) + 1
    return None


def without_addressee(items: list[Item], analysis: Analysis) -> list[Item]:
    """The items without the greeting of somebody by name ("Dear Ms Jones, ...")."""
    if not items or items[0].word not in _GREETS:
        return items
    at = 1
    while at < len(items) and at <= _MAX_NAMES and _is_name(items[at]):
        at += 1
    if at < len(items) and items[at].text == "." and items[at - 1].word in _TITLES:
        at += 1
        while at < len(items) and at <= _MAX_NAMES + 1 and _is_name(items[at]):
            at += 1
    asks_who = not ASKS_WHO.isdisjoint(item.word for item in items[at:])
    if 1 < at < len(items) - 2 and items[at].type in _PAUSES and not asks_who:
        analysis.note(Kind.GREETING, " ".join(item.word for item in items[:at]))
        return items[at + 1 :]
    return items


def _is_name(item: Item) -> bool:
    return item.type is TokenType.WORD and (item.text[:1].isupper() or item.word in _TITLES)

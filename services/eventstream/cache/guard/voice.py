"""Turns passive sentences that name who acts into active ones ("was bitten by the dog").

Only for sentences of one clause, in English and Spanish. Who does it and whom it is done to change
places together with the verb, so "the man was bitten by the dog" never becomes the other story.
Where nobody acts ("the shop was closed") a passive is mostly a state, so those few verbs count
that tell of none.
"""

from collections.abc import Iterator, Sequence, Set

from eventstream.cache.guard.conjugation import (
    BASE_OF_PARTICIPLE,
    PAST_OF_PARTICIPLE,
)
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.spanish_voice import active_thirds
from eventstream.cache.guard.tokens import TokenType

_MAX_ITEMS = 40
_CONTENT = frozenset({TokenType.WORD, TokenType.NUMBER, TokenType.CODE, TokenType.DATE})
_ENGLISH_BE = words("was were is are been")
_ENGLISH_BEFORE_BE = words("has have had will can could would may might must should")
_OBJECTS = {"me": "i", "him": "he", "us": "we", "them": "they", "her": "she"}
_SUBJECTS = {"i": "me", "he": "him", "we": "us", "they": "them", "she": "her"}
_SPANISH_BE = words("fue fueron es son será serán ha han")
_ENDS_AGENT = {
    "en": words(
        "in on at after before during when while because to from for with without into last next"
        " yesterday today tonight since until under over near"
    ),
    "es": words(
        "en durante desde hasta con sin para a cuando tras antes después mientras porque ayer hoy"
        " anoche"
    ),
}
_ENGLISH_PAST_BE = words("was were been")
_HAPPENED = words("fue fueron sido será serán")
_PASSIVE = _ENGLISH_BE | _SPANISH_BE
_WHICH = words("last this next el la este esta")
# What is done by them is done by somebody else, or happens beside them ("left by the door").
_NO_AGENTS = words(
    "mistake accident door phone telephone mail email card cash cheque check chance default hand"
    " law nature surprise force design definition weight name far way time window road river sea"
    " side gate end noon midnight morning evening night error letter text sms chat credit debit"
    " correo accidente telefono teléfono tarjeta ley defecto ejemplo fin favor mano puerta ventana"
    " carta vía"
)
_VEHICLES = words("train bus car plane air boat taxi tren avión avion coche barco")
# A participle of these tells what was done, never how things were ("was closed", "was broken").
_EVENTS = words(
    "cancelled canceled stolen refused rejected denied postponed shipped sent delivered refunded"
    " robbed towed arrested hired fired invited"
)
_DAYS = words("yesterday today ayer hoy anoche")
_HOW = words("mal bien")
_CLAUSES = words("and but or that which who if because when while y pero o que si porque cuando")


def active_forms(items: Sequence[Item], lexicon: Lexicon, said: Set[str]) -> Iterator[list[Item]]:
    """The active sentences that a passive one amounts to; none for any other text.

    `said` are the words of the other text: an agent that is not named has to be nobody there.
    """
    end = len(items)
    while end and items[end - 1].type not in _CONTENT:
        end -= 1
    if not 4 <= end <= _MAX_ITEMS:
        return
    if not any(item.word in _PASSIVE for item in items[:end]):
        return
    time, body = _without_time(list(items[:end]), lexicon)
    if any(item.type not in _CONTENT for item in body):
        return
    by = "by" if lexicon.code == "en" else "por"
    at = next((at for at, item in enumerate(body) if item.word == by), 0)
    made = _english if lexicon.code == "en" else _spanish
    closing = time + list(items[end:])
    if not at and not any(item.word in _CLAUSES for item in body):
        for clause in _by_nobody(body, lexicon, said):
            yield clause + closing
    end = len(body)
    if at < 3 or at == end - 1 or any(item.word in _CLAUSES for item in body[:at]):
        return
    agent_end = at + 1
    while agent_end < end and not _ends_agent(body, agent_end, lexicon):
        agent_end += 1
    agent, tail = body[at + 1 : agent_end], body[agent_end:]
    if not agent or agent[-1].word in (_NO_AGENTS if len(agent) > 1 else _NO_AGENTS | _VEHICLES):
        return
    for clause in made(body[:at], agent, tail):
        yield clause + closing


def _without_time(items: list[Item], lexicon: Lexicon) -> tuple[list[Item], list[Item]]:
    """The time that a sentence begins with ("last night", "ayer"), and the sentence without it."""
    used = 0
    if items[0].word in _WHICH and items[1].word in lexicon.times | lexicon.weekdays.keys():
        used = 2
    elif items[0].word in _DAYS:
        used = 1
    behind = used + (used > 0 and items[used].type is TokenType.PAUSE)
    return items[:used], items[behind:]


def _by_nobody(body: list[Item], lexicon: Lexicon, said: Set[str]) -> Iterator[list[Item]]:
    """The active sentences of a passive one that does not say who acts: "they cancelled it"."""
    if lexicon.code == "en":
        past = any(item.word in _ENGLISH_PAST_BE for item in body)
        if past and "they" in said and any(item.word in _EVENTS for item in body):
            yield from _english(body, [_word("they")], [])
        return
    if not any(word.endswith("n") for word in said):
        return
    if not any(item.word in _HAPPENED for item in body):
        return  # "es" and "está" with a participle are mostly a state
    for clause in _spanish(body, [], []):
        forms = frozenset(
            form for form in clause[0].forms if form.endswith("n") or form[:4] == "han_"
        )
        if forms:
            key = min(forms)
            if key.startswith("han_"):
                yield [_word("han"), _word(key.removeprefix("han_")), *clause[1:]]
                continue
            yield [Item(TokenType.WORD, key, key, False, key, forms), *clause[1:]]


def _ends_agent(body: list[Item], at: int, lexicon: Lexicon) -> bool:
    word = body[at].word
    following = body[at + 1].word if at + 1 < len(body) else ""
    return (
        word in _ENDS_AGENT[lexicon.code]
        or word in lexicon.weekdays
        or (word in lexicon.articles and following in lexicon.weekdays)
    )


def _english(front: list[Item], agent: list[Item], tail: list[Item]) -> Iterator[list[Item]]:
    be = next((at for at, item in enumerate(front) if item.word in _ENGLISH_BE), None)
    if be is None:
        return
    adverbs = []
    if be == 0:  # "Was the router installed by ...?"
        at = len(front) - 1
        subject, helpers = front[1:at], [_word("did" if front[0].word[0] == "w" else "do")]
        verb = _base(front[at].word)
    else:
        start = be
        while start and front[start - 1].word in _ENGLISH_BEFORE_BE:
            start -= 1
        subject, helpers = front[:start], front[start:be]
        at = be + 1
        while at < len(front) and (front[at].word.endswith("ly") or front[at].word == "not"):
            adverbs.append(front[at])
            at += 1
        if at >= len(front) or any(item.word == "not" for item in adverbs):
            return
        participle = front[at].word
        if front[be].word in ("was", "were"):
            verb = _word(PAST_OF_PARTICIPLE.get(participle, participle))
        elif front[be].word == "been":
            verb = _word(participle)
        else:
            verb = _base(participle)
    if not subject or not _is_participle(front[at].word):
        return
    if len(agent) == 1:
        agent = [_word(_OBJECTS.get(agent[0].word, agent[0].text))]
    if len(subject) == 1:
        subject = [_word(_SUBJECTS.get(subject[0].word, subject[0].text))]
    middle = front[at + 1 :]
    if be == 0:
        yield [*helpers, *agent, verb, *subject, *middle, *tail]
    else:
        yield [*agent, *helpers, verb, *subject, *middle, *adverbs, *tail]


def _spanish(front: list[Item], agent: list[Item], tail: list[Item]) -> Iterator[list[Item]]:
    be = next((at for at, item in enumerate(front) if item.word in _SPANISH_BE), None)
    if not be:
        return
    at = be + 1
    adverbs = []
    while at < len(front) and (
        front[at].word.endswith("mente") or front[at].word in ("mal", "bien")
    ):
        adverbs.append(front[at])
        at += 1
    if at >= len(front):
        return
    if front[be].word in ("ha", "han"):
        if front[at].word != "sido" or at + 1 == len(front):
            return
        front = [*front[: be + 1], *front[at + 1 :]]
        at = be + 1
    word = front[at].word.removesuffix("s")
    forms = active_thirds(front[be].word, word[:-1] + "o")
    if not forms:
        return
    verb = Item(TokenType.WORD, min(forms), min(forms), False, min(forms), forms)
    subject, middle = front[:be], front[at + 1 :]
    yield [*agent, verb, *adverbs, *subject, *middle, *tail]
    yield [*agent, verb, *adverbs, _word("a"), *subject, *middle, *tail]


def _word(word: str) -> Item:
    lower = word.lower()
    return Item(TokenType.WORD, lower, word, False, lower)


def _is_participle(word: str) -> bool:
    return word.endswith("ed") or word in BASE_OF_PARTICIPLE


def _base(participle: str) -> Item:
    """The verb of a participle; regular ones have several that it may come from."""
    if participle in BASE_OF_PARTICIPLE:
        forms = frozenset({BASE_OF_PARTICIPLE[participle]})
    else:
        forms = frozenset({participle[:-1], participle[:-2], participle[:-3]})
    key = max(forms, key=len)
    return Item(TokenType.WORD, key, key, False, key, forms)

"""Small rewordings inside an English sentence that say the same wherever they stand.

Each puts two ways to say one thing into one: "turn the light off" into "turn off the light", "my
phone's screen" into "the screen of my phone", "keeps crashing" into "constantly crashing". What
they make out of another text is a text that nobody writes, so they join nothing else.
"""

from collections.abc import Iterable
from itertools import pairwise

from eventstream.cache.guard.inflection import english_forms
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.tokens import TokenType

_SPLIT_VERBS = words(
    "turn turned turning switch switched switching put pick picked picking take took taking"
    " fill filled filling set throw threw throwing give gave giving bring brought bringing send"
    " sent sending shut shutting hand handed handing try tried trying clean cleaned cleaning"
    " write wrote writing print printed printing sort sorted sorting plug plugged plugging call"
    " called calling hang hung look looked looking cut backed log logged work worked figure"
    " figured back wake woke pay paid tear tore wipe wiped lock locked check checked top topped"
    " speed sped slow slowed heat heated warm warmed cool cooled dry dried knock knocked kick"
    " kicked break broke point pointed rule ruled carry carried scale scaled roll rolled spin"
    " tidy tidied"
)
_PARTICLES = words("off on up out down back away in over")
_OBJECT_STARTS = words(
    "the my your his her its our their this that these those a an it them him me us"
)
_MAX_OBJECT = 3
_OWNED_ENDS = words("the my your his her its our their this that these those a an")
_BE = words("is are was were am be been being looks look looked feels felt seems tastes tasted")
_CONTINUOUS = words("keeps keep kept")
_FAILS = words("load start charge boot print connect sync respond play turn switch install update")
_NO_FUTURE = words(
    "tomorrow tonight next later until soon monday tuesday wednesday thursday friday"
)
_LANGUAGES = words(
    "english german french spanish italian portuguese dutch polish russian chinese mandarin"
    " japanese korean arabic turkish greek hindi swedish norwegian danish finnish czech hungarian"
    " romanian ukrainian hebrew latin catalan vietnamese thai indonesian"
)
_TRANSLATES = words("translate translated translates translating translation")
_NOT_OWNED = words("went came got has had does did went goes keeps broke fell stopped started died")


def rejoined(items: list[Item]) -> list[Item]:
    """The items with the particle of a verb right behind it ("turn off the light")."""
    if _PARTICLES.isdisjoint([item.word for item in items]):
        return items
    result = list(items)
    at = 0
    while at < len(result) - 2:
        if result[at].word in _SPLIT_VERBS:
            particle = _particle_of(result, at)
            if particle:
                result.insert(at + 1, result.pop(particle))
        at += 1
    return result


def _particle_of(items: list[Item], verb: int) -> int:
    """Where the particle of a verb stands behind its object; 0 when there is none."""
    if items[verb + 1].word not in _OBJECT_STARTS:
        return 0
    for at in range(verb + 2, min(verb + 2 + _MAX_OBJECT, len(items))):
        if items[at].type is not TokenType.WORD:
            return 0
        if items[at].word in _PARTICLES:
            following = items[at + 1] if at + 1 < len(items) else None
            ends = following is None or following.type is not TokenType.WORD
            return (
                at if ends or (following is not None and following.word in _AFTER_PARTICLE) else 0
            )
    return 0


_AFTER_PARTICLE = words(
    "when if because before after while and but please today tomorrow yesterday"
)


def reworded_inside(items: list[Item], lexicon: Lexicon, *, keep_length: bool) -> list[Item]:
    """The items with owners behind what they own, and other turns of one meaning in one form."""
    said = {item.word for item in items}
    if "'s" in said:
        items = _owners_behind(items, lexicon)
    if "which" in said and not keep_length:
        items = [item for at, item in enumerate(items) if not _is_relative(items, at, lexicon)]
    if not said.isdisjoint(_CONTINUOUS):
        items = _constantly(items)
    if "really" in said:
        items = _with(items, _very(items))
    if "will" in said and "not" in said and said.isdisjoint(_NO_FUTURE):
        items = _with(items, _fails(items))
    if not said.isdisjoint(_TRANSLATES) and "to" in said:
        items = _with(items, _into(items))
    return items


def _with(items: list[Item], changes: Iterable[tuple[int, str]]) -> list[Item]:
    changed = dict(changes)
    return [
        Item(TokenType.WORD, changed[at], changed[at], item.attached, changed[at])
        if at in changed
        else item
        for at, item in enumerate(items)
    ]


def _constantly(items: list[Item]) -> list[Item]:
    """The items with "constantly crash" for "keeps crashing"."""
    result = list(items)
    for at, (item, following) in enumerate(pairwise(items)):
        forms = english_forms(following.word)
        if item.word in _CONTINUOUS and following.word.endswith("ing") and len(forms) > 1:
            base = min(forms)
            result[at] = Item(TokenType.WORD, "constantly", "constantly", False, "constantly")
            result[at + 1] = Item(TokenType.WORD, base, base, False, base, forms)
    return result


def _very(items: list[Item]) -> Iterable[tuple[int, str]]:
    before = ""
    for at, item in enumerate(items):
        if item.word == "really" and (before in _BE or before in ("a", "so")):
            yield at, "very"
        before = item.word or before


def _fails(items: list[Item]) -> Iterable[tuple[int, str]]:
    for at, item in enumerate(items[:-2]):
        if item.word == "will" and items[at + 1].word == "not":
            verb = items[at + 2].word
            if verb in _FAILS or verb.startswith(("turn_on", "switch_on")):
                yield at, "does"


def _into(items: list[Item]) -> Iterable[tuple[int, str]]:
    for at, (item, following) in enumerate(pairwise(items)):
        if item.word == "to" and following.word in _LANGUAGES:
            yield at, "into"


def _is_relative(items: list[Item], at: int, lexicon: Lexicon) -> bool:
    """Whether "which" at `at` only joins a noun with an article to what is said of it."""
    if items[at].word != "which" or at < 2 or at + 1 >= len(items):
        return False
    noun, following = items[at - 1], items[at + 1]
    determined = any(item.word in _OWNED_ENDS for item in items[max(0, at - 4) : at - 1])
    return (
        determined
        and noun.type is following.type is TokenType.WORD
        and noun.word not in lexicon.closed_classes
    )


def _owners_behind(items: list[Item], lexicon: Lexicon) -> list[Item]:
    """The items with "the screen of my phone" for "my phone's screen"."""
    at = next(at for at, item in enumerate(items) if item.word == "'s")
    start = at
    while start > 0 and at - start < _MAX_OBJECT and _may_own(items[start - 1], lexicon):
        start -= 1
        if items[start].word in _OWNED_ENDS:
            break
    owner = items[start:at]
    named = owner and all(item.text[:1].isupper() for item in owner)
    if not owner or not (owner[0].word in _OWNED_ENDS or named or start == 0):
        return items
    end = at + 1
    while end < len(items) and end - at <= 2 and _may_be_owned(items[end], lexicon):
        end += 1
    said_before = any(item.word in lexicon.copulas for item in items[:start])
    goes_on = end < len(items) and items[end].type is TokenType.WORD
    if end - at > 2 and (_may_be_owned(items[end], lexicon) if goes_on else not said_before):
        end = at + 2  # a verb may be among them
    owned = items[at + 1 : end]
    if not owned:
        return items
    of = Item(TokenType.WORD, "of", "of", False, "of")
    return [*items[:start], *owned, of, *owner, *items[end:]]


def _may_own(item: Item, lexicon: Lexicon) -> bool:
    return item.type is TokenType.WORD and (
        item.word in _OWNED_ENDS or item.word not in lexicon.closed_classes
    )


def _may_be_owned(item: Item, lexicon: Lexicon) -> bool:
    return (
        item.type is TokenType.WORD
        and item.word not in lexicon.closed_classes
        and item.word not in lexicon.copulas
        and item.word not in lexicon.helpers
        and item.word not in _NOT_OWNED
        and not item.word.endswith("ed")
    )

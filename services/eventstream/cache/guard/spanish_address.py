"""Gives a Spanish text one place for its pronouns and one way to address somebody.

"Lo quiero cancelar" and "quiero cancelarlo" say the same, and so do "mandadme", "mándame" and
"mándenme". Who else is spoken of never changes: "tú" becomes "usted" in orders only,
"vosotros" becomes "ustedes" only in a text that asks or orders: elsewhere "tienen" may be others.
"""

from collections.abc import Sequence
from functools import cache

from eventstream.cache.guard import spanish_verbs as verbs
from eventstream.cache.guard.conjugation import spanish_verb
from eventstream.cache.guard.inflection import is_infinitive, without_accents
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Phrase, words
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType

_CLITICS = words("me te se lo la los las le les nos os")
_ENDS_IN_CLITIC = ("me", "te", "se", "lo", "la", "le", "los", "las", "les", "nos", "os")
_HEADS = {
    "": "poder:ue querer:ie deber soler:ue necesitar preferir:ie lograr"
    " conseguir:i intentar desear",
    "que": "tener",
    "a": "ir volver:ue empezar:ie comenzar:ie",
    "de": "acabar dejar terminar tratar",
}
_ALSO = {
    "": "podria podrias podrian podriais quisiera quisieras quisieran"
    " quisieramos puedo pueda puedan",
    "que": "tengo tiene tienen tienes tenemos tuve tuvo tenia",
    "a": "voy va vas van vamos vais iba iban",
}
_PLURAL_YOU = {"vuestro": "su", "vuestra": "su", "vuestros": "sus", "vuestras": "sus"}
_HOW_ONE_DOES = {"como": (), "donde": ("puedo",)}
_MANNERS = (("manera",), ("forma",), ("modo",))
_BESIDE = words("no ya nunca tambien aun todavia siempre")
_WE = words("nosotros nosotras")
_YOU = words("tu vos")
_BEFORE_PRONOUN = words("a con de por para y o e u que como entre segun sin ni en contra menos")


@cache
def _heads() -> dict[str, str]:
    """The verbs that pronouns climb to, by their forms, with what joins the infinitive to them."""
    table = {
        without_accents(form): joined
        for joined, entries in _HEADS.items()
        for entry in entries.split()
        for tag, form in spanish_verb(entry)
        if len(tag) in (5, 6) and tag[-1] in "sp"
    }
    return table | {form: joined for joined, forms in _ALSO.items() for form in forms.split()}


def addressed(items: list[Item], analysis: Analysis) -> list[Item]:
    """The items with their pronouns behind the infinitive, and orders as one gives them to
    "usted"."""
    items = _climbed_down(items, analysis)
    items = _without_pronouns(_asked_how(items, analysis), analysis)
    ordering = _begins_with_order(items)
    to_you = ordering or any(
        item.type is TokenType.QUESTION or item.plain in _orders_to_you() for item in items
    )
    result = []
    for at, item in enumerate(items):
        written = _formal(items, at, ordering=ordering) if item.word and to_you else None
        if written is not None and written != item.word:
            analysis.note(Kind.FUNCTION_WORD, item.word)
            item = _word(written, item)
        result.append(item)
    return result


def phrases_addressed(phrases: Sequence[Phrase]) -> tuple[Phrase, ...]:
    """The phrases, and those that they become themselves here ("me puede decir", "dime")."""
    more = []
    for phrase in phrases:
        items = [Item(TokenType.WORD, word, word, False, word) for word in phrase.words]
        changed = _climbed_down(items, Analysis())
        changed = [
            _word(verbs.orders_with_pronoun().get(item.plain, item.word), item) for item in changed
        ]
        plain = tuple(item.plain for item in changed)
        if plain != phrase.words:
            more.append(Phrase(plain, phrase.replacement, phrase.kind, phrase.position))
    return (*phrases, *dict.fromkeys(more))


def _word(word: str, instead_of: Item) -> Item:
    return Item(TokenType.WORD, word, word, instead_of.attached, without_accents(word))


def _climbed_down(items: list[Item], analysis: Analysis) -> list[Item]:
    heads = _heads()
    if not any(item.plain in heads for item in items):
        return items
    result: list[Item] = []
    at = 0
    while at < len(items):
        joined = heads.get(items[at].plain)
        infinitive = at + 1 + bool(joined)
        if (
            joined is not None
            and infinitive < len(items)
            and (not joined or items[at + 1].plain == joined)
            and _bare_infinitive(items[infinitive].word)
        ):
            clitics: list[str] = []
            while result and result[-1].plain in _CLITICS and len(clitics) < 2:
                clitics.insert(0, result.pop().plain)
            if clitics == ["se"]:
                result.append(_word("se", items[at]))
                clitics = []
            result += items[at:infinitive]
            if clitics:
                analysis.note(Kind.FUNCTION_WORD, " ".join(clitics))
            verb = items[infinitive]
            result.append(_word(_joined(verb.word, clitics), verb) if clitics else verb)
            at = infinitive + 1
            continue
        result.append(items[at])
        at += 1
    return result


def _asked_how(items: list[Item], analysis: Analysis) -> list[Item]:
    """ "Cómo me registro" as "cómo registrarme"."""
    result: list[Item] = []
    at = 0
    while at < len(items):
        asked = tuple(item.plain for item in items[at : at + 4])
        if asked[:2] == ("de", "que") and asked[2:3] in _MANNERS and asked[3:] == ("se",):
            items = [*items[:at], _word("cómo", items[at]), *items[at + 3 :]]
        verb = items[at + 2] if at + 2 < len(items) else None
        if verb is not None and items[at + 1].word == "se" and verb.word in verbs.impersonals():
            frame = _HOW_ONE_DOES.get(items[at].plain)
            if frame is not None and (at == 0 or items[at - 1].type is not TokenType.WORD):
                analysis.note(Kind.REQUEST, items[at].plain)
                behind = [*frame, verbs.impersonals()[verb.word]]
                result += [items[at], *(_word(word, verb) for word in behind)]
                at += 3
                continue
        infinitive = verbs.first_persons().get(verb.word) if verb is not None else None
        if (
            infinitive is not None
            and items[at].plain == "como"
            and items[at + 1].plain in _CLITICS - {"se"}
        ):
            analysis.note(Kind.REQUEST, "como")
            result += [items[at], _word(infinitive + items[at + 1].plain, items[at + 2])]
            at += 3
        else:
            result.append(items[at])
            at += 1
    return result


def _bare_infinitive(word: str) -> bool:
    return is_infinitive(word) and not word.endswith(_ENDS_IN_CLITIC)


def _joined(infinitive: str, clitics: list[str]) -> str:
    if len(clitics) < 2:
        return infinitive + clitics[0]
    accents = {"a": "á", "e": "é", "i": "í"}
    stem, vowel = infinitive[:-2], infinitive[-2]
    return stem + accents.get(vowel, vowel) + "r" + "".join(clitics)


def _without_pronouns(items: list[Item], analysis: Analysis) -> list[Item]:
    if not any(item.plain in _SUBJECTS for item in items):
        return items
    asks = any(item.type is TokenType.QUESTION for item in items)
    result = []
    for at, item in enumerate(items):
        before = items[at - 1].plain if at else ""
        if (
            item.plain in _SUBJECTS
            and before not in _BEFORE_PRONOUN
            and _says_nothing(items, at, asks=asks)
        ):
            analysis.note(Kind.FUNCTION_WORD, item.word)
            continue
        result.append(item)
    return result


_SUBJECTS = _WE | _YOU | words("usted ustedes")


def _says_nothing(items: list[Item], at: int, *, asks: bool) -> bool:
    """Whether the verb beside a subject pronoun says who is meant."""
    verb = at + 1
    while verb < len(items) and items[verb].plain in _BESIDE | _CLITICS:
        verb += 1
    following = items[verb].plain if verb < len(items) else ""
    before = items[at - 1].plain if at else ""
    pronoun = items[at].word
    if pronoun in _WE:
        return following.endswith("mos")
    if pronoun in ("tú", "vos", "tu"):
        seconds = verbs.second_persons()
        return (following in seconds and following.endswith("s")) or (
            pronoun != "tu" and before in seconds
        )
    return asks and (following in verbs.third_persons() or before in verbs.third_persons())


def _begins_with_order(items: list[Item]) -> bool:
    first = next((item.plain for item in items if item.type is TokenType.WORD), "")
    return first in verbs.orders_with_pronoun() or first in _plain_orders()


@cache
def _orders_to_you() -> frozenset[str]:
    """The orders with a pronoun, and those to "vosotros" ("llamad")."""
    plain = {word for word in verbs.plural_seconds() if word.endswith("d")}
    return frozenset(plain) | verbs.orders_with_pronoun().keys()


@cache
def _plain_orders() -> frozenset[str]:
    """The orders that are no other form that texts begin with."""
    return frozenset(verbs.plain_orders()) - verbs.third_persons()


def _formal(items: list[Item], at: int, *, ordering: bool) -> str | None:
    item = items[at]
    order = verbs.orders_with_pronoun().get(item.plain)
    if order is not None:
        return order
    word = item.word
    if word in _PLURAL_YOU:
        return _PLURAL_YOU[word]
    if word.endswith(("is", "d")) and item.plain in verbs.plural_seconds():
        return verbs.plural_seconds()[item.plain]
    if word == "os" and at + 1 < len(items):
        return "se" if items[at + 1].plain in verbs.plural_seconds() else "les"
    if not ordering:
        return None
    begins = at > 0 and (items[at - 1].type is not TokenType.WORD or items[at - 1].word == "y")
    if begins and item.plain in verbs.plain_orders():
        return verbs.plain_orders()[item.plain]
    return None

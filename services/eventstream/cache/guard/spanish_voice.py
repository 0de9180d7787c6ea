"""Sentences in Spanish that do not say who acts, in the form of "they did it".

"Se cancelaron las clases" is "cancelaron las clases", and "se me cobró" is "me cobraron". Only
with verbs whose "se" is hardly ever "themselves", and only where nobody is named before it.
"""

from collections.abc import Mapping
from functools import cache

from eventstream.cache.guard.conjugation import spanish_preterites, spanish_verb
from eventstream.cache.guard.inflection import is_infinitive, without_accents
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import words
from eventstream.cache.guard.spanish_verbs import entries_of_participle
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType

_DONE_BY_SOMEBODY = words(
    "aceptar admitir cancelar suspender publicar enviar mandar cobrar aprobar:ue vender anunciar"
    " aplazar posponer reembolsar entregar rechazar denegar:ie emitir facturar procesar confirmar"
    " exigir pedir:i servir:i ofrecer alquilar construir inaugurar instalar reparar revisar"
    " actualizar eliminar borrar buscar necesitar utilizar comprar contratar traducir arreglar"
    " organizar celebrar convocar impartir modificar descontar:ue devolver:ue adjuntar"
)
_TO_WHOM = words("me nos le les te os")
_TENSES = {
    "fue": "pret",
    "fueron": "pret",
    "es": "pres",
    "son": "pres",
    "será": "fut",
    "serán": "fut",
}
_DETERMINERS = words("el la los las mi mis nuestro nuestra nuestros nuestras su sus este esta")
_MAX_SUBJECT = 5


@cache
def _thirds() -> Mapping[str, str]:
    """The third person plural of each third person of those verbs, in the same tense."""
    table: dict[str, str] = {}
    for entry in _DONE_BY_SOMEBODY:
        forms = dict(spanish_verb(entry))
        for tag, form in forms.items():
            if tag[:-2] in ("pres", "pret", "imp", "fut", "cond") and tag[-2:] in ("3s", "3p"):
                table[form] = forms[tag[:-2] + "3p"]
    return table


@cache
def _done() -> frozenset[str]:
    return frozenset(dict(spanish_verb(entry))["pp"] for entry in _DONE_BY_SOMEBODY)


@cache
def active_thirds(be: str, participle: str) -> frozenset[str]:
    """The third persons of the active verb for a form of "ser" and a masculine participle.

    For "ha" and "han" that is "ha" or "han" with the participle, as one word.
    """
    if be in ("ha", "han"):
        return frozenset({f"han_{participle}"}) if participle.endswith("o") else frozenset()
    tense = _TENSES[be]
    found = {
        dict(spanish_verb(entry))[tense + person]
        for entry in entries_of_participle(participle)
        for person in ("3s", "3p")
    }
    return frozenset(found) | (spanish_preterites(participle) if tense == "pret" else frozenset())


def without_se(items: list[Item], analysis: Analysis) -> list[Item]:
    """The items with each such "se" left out and its verb in the plural."""
    if not any(item.word == "se" for item in items):
        return items
    result: list[Item] = []
    at = 0
    while at < len(items):
        item = items[at]
        used = 0
        if item.word == "se":
            at_verb = at + 1 + (at + 1 < len(items) and items[at + 1].word in _TO_WHOM)
            used = _replaced(items, at, at_verb, result)
        if used:
            analysis.note(Kind.FUNCTION_WORD, "se")
        else:
            result.append(item)
        at += used or 1
    return result


def _replaced(items: list[Item], at: int, at_verb: int, result: list[Item]) -> int:
    """Puts the verb behind "se" into the plural at the end of `result`; how many items that takes,
    0 where it has to stay."""
    if at_verb >= len(items):
        return 0
    verb = items[at_verb]
    behind = items[at_verb + 1] if at_verb + 1 < len(items) else None
    if behind is not None and is_infinitive(behind.word) and behind.word:
        return 0
    plural = [items[at_verb]]
    used = at_verb + 1 - at
    if verb.word in _thirds():
        plural = [_word(_thirds()[verb.word], verb)]
    elif verb.word in ("ha", "han") and behind is not None and behind.word in _done():
        plural = [_word("han", verb), behind]
        used += 1
    else:
        return 0
    subject = _subject_before(result)
    if subject is None:
        return 0
    moved = result[len(result) - subject :] if subject else []
    if moved:
        del result[len(result) - subject :]
    result += [*items[at + 1 : at_verb], *plural, *moved]
    return used


def _subject_before(before: list[Item]) -> int | None:
    """How many items the noun takes that stands before "se" at the start of its sentence; 0 for
    none, None where something else stands there."""
    words_before = 0
    while words_before < len(before) and before[-1 - words_before].type is TokenType.WORD:
        words_before += 1
    sentence = before[len(before) - words_before :]
    if not sentence or sentence[-1].plain in words("no ya que y donde cuando como si tambien"):
        return 0
    if sentence[0].plain in _DETERMINERS and len(sentence) <= _MAX_SUBJECT:
        return len(sentence)
    return 0 if sentence[0].plain in words("en por desde para hoy ayer anoche") else None


def _word(word: str, instead_of: Item) -> Item:
    return Item(TokenType.WORD, word, word, instead_of.attached, without_accents(word))

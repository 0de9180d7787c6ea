"""Orders in Spanish, however they are put: "envíeme", "¿me puede enviar?", "que me envíen".

All become the infinitive with its pronoun ("enviarme"). Only verbs of things that one asks of a
service are listed; with others "puede pagar" may speak of somebody else.
"""

from collections.abc import Iterator
from functools import cache

from eventstream.cache.guard.conjugation import orders_of, spanish_verb
from eventstream.cache.guard.inflection import without_accents
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.lexicon import words
from eventstream.cache.guard.tokens import TokenType

_VERBS = words(
    "enviar mandar cancelar anular devolver:ue reembolsar cambiar confirmar reservar traducir"
    " resumir explicar mostrar:ue enseñar dar ayudar recomendar:ie sugerir:ie escribir buscar"
    " revisar comprobar:ue verificar activar desactivar actualizar corregir:i clasificar listar"
    " crear generar redactar reiniciar eliminar borrar bloquear desbloquear llamar arreglar"
    " solucionar resolver:ue facilitar indicar calcular convertir:ie comparar definir describir"
    " analizar avisar informar recordar:ue reenviar aplazar añadir quitar abrir modificar"
    " programar configurar guardar compartir copiar adjuntar imprimir"
    " editar resaltar subrayar decir"
    " hacer preparar simplificar acortar ampliar completar firmar validar instalar limpiar revisar"
    " apuntar anotar reformular adaptar ordenar organizar extraer evaluar"
    " proponer aclarar contestar"
    " responder reparar entregar recoger tramitar gestionar inscribir"
)
_CAN = words(
    "puede puedes pueden podeis podria podrias podrian podriais te_importaria le_importaria"
)
_WANT = words("quiero necesito quisiera solicito pido deseo")
_PRONOUNS = ("", "me", "nos")


@cache
def _infinitives() -> dict[str, str]:
    """Each infinitive, with and without a pronoun, by its form without accents."""
    plain = [entry.partition(":")[0] for entry in sorted(_VERBS)]
    forms = [verb + pronoun for verb in plain for pronoun in _PRONOUNS]
    return {without_accents(form): form for form in forms}


@cache
def _imperatives() -> dict[str, str]:
    """The infinitive, with its pronoun, that each imperative stands for."""
    table: dict[str, str] = {}
    for entry in sorted(_VERBS):
        for pronoun in _PRONOUNS:
            for form in orders_of(entry, pronoun):
                table.setdefault(without_accents(form), entry.partition(":")[0] + pronoun)
    return table


@cache
def _accented() -> frozenset[str]:
    """The imperatives that end in an accented "é": "dé", and not "cancelé"."""
    forms = (form for entry in _VERBS for form in orders_of(entry, ""))
    return frozenset(form for form in forms if form.endswith("é"))


@cache
def _wishes() -> dict[str, str]:
    """The infinitive of each subjunctive ("que envíen")."""
    return {
        without_accents(form): entry.partition(":")[0]
        for entry in sorted(_VERBS)
        for form in (*orders_of(entry, "")[1:], *_polite(entry))
    }


def _polite(entry: str) -> list[str]:
    """The imperfect subjunctives ("que enviaran")."""
    stem = dict(spanish_verb(entry))["pret3p"][:-2]
    return [stem + ending for ending in ("a", "an", "as", "ais")]


def order_at_start(items: list[Item]) -> tuple[list[Item], int] | None:
    """The items with the order at their start as an infinitive, and where that stands; or None."""
    start = next((at for at, item in enumerate(items) if item.type is TokenType.WORD), len(items))
    first = items[start].word if start < len(items) else ""
    if first.endswith("é") and first not in _accented():
        return None  # "Cancelé el pedido" tells what was done, "cancele el pedido" asks for it.
    plain = [item.plain for item in items[start : start + 4]] + [""] * 4
    for infinitive, used in _readings(plain):
        order = Item(TokenType.WORD, infinitive, infinitive, False, without_accents(infinitive))
        return [*items[:start], order, *items[start + used :]], start
    return None


def _readings(plain: list[str]) -> Iterator[tuple[str, int]]:
    first, second, third, fourth = plain[:4]
    if first in _imperatives():
        yield _imperatives()[first], 1
    if first in _CAN and second in _infinitives():
        yield _infinitives()[second], 2
    if first in _PRONOUNS and second in _CAN and third in _infinitives():
        yield _infinitives()[third] + first, 3
    if first in _WANT and second == "que" and third in _wishes():
        yield _wishes()[third], 3
    if first in _WANT and second == "que" and third in _PRONOUNS and fourth in _wishes():
        yield _wishes()[fourth] + third, 4

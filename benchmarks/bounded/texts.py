"""Streams of support tickets whose labels are known: templates with slots, asked again and again.

A stream has a pool of questions, some of which are asked often and most of which rarely (Zipf), in
other surface forms each time. In the first half of a stream no slot decides about a label, while
look-alikes differ in a word or a negation that does. In its second half, where it changes its
nature, texts come in which a number or a name decides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

LABELS: Final = (
    "delivery",
    "returns",
    "billing",
    "account",
    "technical",
    "praise",
    "sales",
    "wholesale",
    "export",
)
ZIPF_EXPONENT: Final = 0.8

Slots = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Template:
    """A form of text, and what its texts are about."""

    text: str
    label: str | Callable[[Slots], str]
    language: str

    def label_of(self, slots: Slots) -> str:
        """The true label of the text with these slots."""
        return self.label if isinstance(self.label, str) else self.label(slots)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and its true label."""

    text: str
    label: str


def _english(*pairs: tuple[str | Callable[[Slots], str], str]) -> tuple[Template, ...]:
    return tuple(Template(text, label, "en") for label, text in pairs)


def _spanish(*pairs: tuple[str | Callable[[Slots], str], str]) -> tuple[Template, ...]:
    return tuple(Template(text, label, "es") for label, text in pairs)


STEADY: Final = _english(
    ("delivery", "Where is my order {order}?"),
    ("delivery", "My parcel {order} has not arrived in {city}"),
    ("delivery", "When will order {order} be delivered?"),
    ("delivery", "The courier left order {order} at the wrong address in {city}"),
    ("returns", "How do I send back order {order}?"),
    ("returns", "I want to return the {product} from order {order}"),
    ("billing", "I was charged {amount} dollars twice for order {order}"),
    ("billing", "Please send me the invoice for order {order}"),
    ("account", "I can't log in since {day}, my customer number is {order}"),
    ("account", "Please change my delivery address to {number} Station Road, {city}"),
    ("technical", "The app crashes when I open order {order}"),
    ("technical", "The {product} does not turn on after the update on {day}"),
    ("praise", "I love the {product} from order {order}"),
    ("praise", "My parcel {order} has arrived in {city}"),
    ("sales", "Do you have the {product} in stock in {city}?"),
    ("sales", "I want to buy the {product} from order {order} again"),
) + _spanish(
    ("delivery", "¿Dónde está mi pedido {order}?"),
    ("delivery", "Mi paquete {order} no ha llegado a {city}"),
    ("delivery", "¿Cuándo llega el pedido {order}?"),
    ("returns", "¿Cómo devuelvo el pedido {order}?"),
    ("billing", "Me han cobrado {amount} euros dos veces por el pedido {order}"),
    ("billing", "Necesito la factura del pedido {order}"),
    ("account", "No puedo entrar desde el {day}, mi número de cliente es {order}"),
    ("technical", "La aplicación se cierra cuando abro el pedido {order}"),
    ("praise", "Mi paquete {order} ha llegado a {city}"),
)


def _by_number(slots: Slots) -> str:
    return "wholesale" if int(slots["number"]) > 20 else "sales"


def _by_city(slots: Slots) -> str:
    return "export" if slots["city"] in ABROAD else "delivery"


CHANGED: Final = _english(
    (_by_number, "I would like to order {number} pieces of the {product}"),
    (_by_number, "What do {number} of the {product} cost?"),
    (_by_city, "Please pick up my parcel {order} in {city}"),
    (_by_city, "What does it cost to send {number} kilos to {city}?"),
) + _spanish(
    (_by_number, "Quiero pedir {number} unidades del {product}"),
    (_by_city, "¿Cuánto cuesta enviar {number} kilos a {city}?"),
)

ABROAD: Final = ("Boston", "Lima", "Tokyo", "Bogotá")
_CITIES: Final = ("Leeds", "Bristol", "York", "Sevilla", "Bilbao", "Girona", *ABROAD)
_PRODUCTS: Final = {
    "en": ("lamp", "kettle", "speaker", "backpack", "keyboard", "blender", "tent", "watch"),
    "es": ("altavoz", "teclado", "reloj", "horno", "paraguas", "espejo"),
}
_DAYS: Final = {
    "en": ("Monday", "Tuesday", "Thursday", "Saturday"),
    "es": ("lunes", "martes", "jueves", "sábado"),
}
_BEFORE: Final = {
    "en": ("", "", "", "", "Hello, ", "Hi, ", "Good morning, "),
    "es": ("", "", "", "", "Hola, ", "Buenos días, "),
}
_AFTER: Final = {"en": ("", "", "", "!", " Thanks!"), "es": ("", "", "", " Gracias.")}


def _slots(language: str, draw: random.Random) -> Slots:
    return {
        "order": str(draw.randint(10_000, 99_999)),
        "city": draw.choice(_CITIES),
        "product": draw.choice(_PRODUCTS[language]),
        "number": str(draw.randint(2, 60)),
        "amount": str(draw.randint(5, 400)),
        "day": draw.choice(_DAYS[language]),
    }


class Pool:
    """Questions that are asked again: drawn by Zipf's law, each time in some surface form."""

    def __init__(self, templates: Sequence[Template], size: int, draw: random.Random) -> None:
        self._draw = draw
        self._questions = [
            (template, _slots(template.language, draw))
            for template in (draw.choice(templates) for _ in range(size))
        ]
        weights = (1 / rank**ZIPF_EXPONENT for rank in range(1, size + 1))
        self._weights = list(accumulate(weights))

    def ask(self) -> Labelled:
        """One event's text."""
        [(template, slots)] = self._draw.choices(self._questions, cum_weights=self._weights)
        before = self._draw.choice(_BEFORE[template.language])
        after = self._draw.choice(_AFTER[template.language])
        text = template.text.format_map(slots)
        if before and text[0] != "I":
            text = text[0].lower() + text[1:]
        if after and text[-1] == "?" and after == "!":
            after = ""
        return Labelled(f"{before}{text}{after}", template.label_of(slots))


def stream(events: int, *, seed: int, changes: bool) -> Iterator[Labelled]:
    """A stream's texts; with `changes` three fifths of its second half are of another nature."""
    draw = random.Random(seed)
    steady = Pool(STEADY, events // 2, draw)
    changed = Pool(CHANGED, events // 4, draw)
    for event in range(events):
        new = changes and event >= events // 2 and draw.random() < 0.6
        yield (changed if new else steady).ask()

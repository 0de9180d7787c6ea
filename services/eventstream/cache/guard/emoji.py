"""Tells an emoji that repeats what the words say from one that adds to them.

"Great service 👍" says what "Great service" says; "Great 🙄" does not. A face is left out only
where all words of feeling point its way and nothing is negated, a picture only beside a word
for what it shows, and either only at the end of a clause.
"""

from collections.abc import Sequence

from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType

_GLAD = frozenset("👍😊🙂😀😃😄😁☺❤💖💕♥😍🥰🤩👏🎉✨⭐🌟💯👌😋🥳🙌😇😎💪") | {
    ":)", ":-)", ":D", ":-D", "=)", "<3"
}  # fmt: skip
_CROSS = frozenset("😡😠🤬😤😞😢😭☹🙁😔😩😫😒👎💔😖😣😟😕") | {":(", ":-("}
_GLAD_STEMS = (
    "good", "great", "love", "lovely", "excellent", "amazing", "awesome", "perfect", "happy",
    "fantastic", "wonderful", "best", "nice", "brilliant", "delicious", "friendly", "recommend",
    "enjoy", "superb", "beautiful", "congratulations", "pleased", "glad", "impress", "helpful",
    "delight", "thank", "buen", "bien", "genial", "excelent", "encant", "perfect", "feliz",
    "felic", "gracias", "maravill", "mejor", "delicios", "riquisim", "rica", "amable", "recom",
    "content", "estupend", "fantastic", "bonit", "precios", "increible", "gust", "alegr",
)  # fmt: skip
_CROSS_STEMS = (
    "bad", "terribl", "awful", "horribl", "worst", "angry", "furious", "disappoint", "sad",
    "annoy", "upset", "hate", "broke", "fail", "unacceptabl", "disgust", "frustrat", "rude",
    "ridiculous", "unfortunate", "late", "lost", "ruin", "mal", "pesim", "peor", "enfad", "enoj",
    "trist", "decepc", "fatal", "rot", "molest", "inaceptabl", "asco", "verguenza", "furios",
    "lament", "desastr", "odi", "perd", "tarde", "slow", "lent", "stolen", "robad", "roba",
)  # fmt: skip
_SHOWN = (
    "📦 parcel package order box paquete pedido caja|🍕 pizza|🍔 burger hamburguesa|☕ coffee"
    " cafe|🍺 beer cerveza|🍷 wine vino|🎂 birthday cake cumple tarta|🐶 dog puppy perr|🐱 cat"
    " gat|🏨 hotel|🏠 house home casa|✈ flight plane fly vuelo avion vol|🚗 car coche auto"
    " carro|🚌 bus autobus|🚆 train tren|🚲 bike bicycle bici|📱 phone mobile movil celular"
    " telefono|🎧 headphone auricular|💻 laptop computer ordenador computadora portatil|📷"
    " photo camera foto camara|📧 email mail correo|🔋 battery bateria|🎉 party birthday"
    " fiesta cumple|⏰ alarm late alarma despertador tarde hora|💰 money dinero|🌧 rain lluvi"
    " lluev|☀ sun sol|❄ snow cold nieve frio|🔥 fire hot fuego caliente|👋 hi hello hey bye"
    " hola adios buen|🙏 please thank por gracias favor porfa|🏖 beach playa|📚 book libro|🎵"
    " music song musica cancion|⚽ football soccer futbol|🔑 key llave|💳 card tarjeta|🛒 cart"
    " carrito|😴 sleep tired sueño cansad dorm|😂 funny laugh haha lol gracios risa jaj"
    " divertid|🤒 sick ill enferm fiebre|😱 scar miedo susto|🤔 wonder doubt dud|⚠ warning"
    " aviso alerta|💔 heart corazon|🎁 gift present regalo|🌹 rose rosa|💐 flower flor"
)
_SHOWS = {
    emoji: tuple(stems.split())
    for emoji, _, stems in (group.partition(" ") for group in _SHOWN.split("|"))
}
_DRESS = frozenset({"\ufe0f", "\ufe0e", *"🏻🏼🏽🏾🏿"})
"""What makes another emoji of no sign: variation selectors and colours of skin."""
_SENTENCE_ENDS = frozenset({TokenType.STOP, TokenType.QUESTION})
_ENDS = frozenset({TokenType.EMOJI, TokenType.STOP, TokenType.QUESTION, TokenType.PAUSE})


def without_echoes(items: list[Item], lexicon: Lexicon, analysis: Analysis) -> list[Item]:
    """The items without the emoji that say nothing more than the words of their sentence."""
    if TokenType.EMOJI not in [item.type for item in items]:
        return items
    kept: list[Item] = []
    words: list[str] = []
    ended = False
    for at, item in enumerate(items):
        if item.type is TokenType.WORD:
            words = [item.plain] if ended else [*words, item.plain]
            ended = False
        ended = ended or item.type in _SENTENCE_ENDS
        following = items[at + 1] if at + 1 < len(items) else None
        if (
            item.type is TokenType.EMOJI
            and (following is None or following.type in _ENDS)
            and (
                _echoes(item.text, words, lexicon)
                or (item.text in _DRESS and _left_out(items, at, kept))
            )
        ):
            analysis.note(Kind.PUNCTUATION, item.text)
        else:
            kept.append(item)
    return kept


def _mood(words: Sequence[str], lexicon: Lexicon) -> int:
    """1 where all words of feeling are glad ones, -1 where all are cross ones, 0 otherwise."""
    if not lexicon.negations.isdisjoint(words) or "pero" in words or "but" in words:
        return 0
    glad = any(word.startswith(_GLAD_STEMS) for word in words)
    cross = any(word.startswith(_CROSS_STEMS) for word in words)
    return glad - cross


def _echoes(emoji: str, words: Sequence[str], lexicon: Lexicon) -> bool:
    if (emoji in _GLAD and _mood(words, lexicon) > 0) or (
        emoji in _CROSS and _mood(words, lexicon) < 0
    ):
        return True
    stems = _SHOWS.get(emoji)
    return stems is not None and any(word.startswith(stems) for word in words)


def _left_out(items: Sequence[Item], at: int, kept: Sequence[Item]) -> bool:
    """Whether the emoji before `at` was left out, so that what dresses it goes with it."""
    return at > 0 and (not kept or kept[-1] is not items[at - 1])

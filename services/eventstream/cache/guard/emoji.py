"""Tells an emoji that repeats what the words say from one that adds to them.

"Great service 😍" says what "Great service" says; "Great 🙄" does not. A face is left out only
where all words of feeling point its way and nothing is negated, a picture only beside a word
for what it shows, and either only at the end of a clause. Words count whole: "latest" is not late.
"""

from collections.abc import Sequence

from eventstream.cache.guard import spanish_feelings
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType

_GLAD = frozenset("😊❤💖💕♥😍🥰😋") | {"<3"}
"""None that is as often meant the other way: a thumb up, a smile or applause may be bitter."""
_CROSS = frozenset("😡😠🤬😤😞😢😭☹🙁😔😩😫😒👎💔😖😣😟😕") | {":(", ":-("}
_GLAD_WORDS = words(
    "good great love loved loves loving lovely excellent amazing awesome perfect happy fantastic"
    " wonderful nice brilliant delicious friendly enjoy enjoyed superb beautiful congratulations"
    " pleased glad impressed impressive helpful delighted delightful"
    " buen bueno buena buenos buenas bien genial geniales excelente excelentes encanta encanto"
    " encantan encantado encantada encantaron perfecto perfecta perfectos perfectas feliz felices"
    " felicidades maravilla maravilloso maravillosa delicioso deliciosa riquisimo riquisima amable"
    " amables contento contenta contentos contentas estupendo estupenda fantastico fantastica"
    " bonito bonita bonitos bonitas precioso preciosa increible gusta gusto gustan gustaron alegra"
    " alegre alegria"
)
_CROSS_WORDS = words(
    "bad terrible terribly awful horrible horribly worst angry furious disappointed disappointing"
    " disappointment sad annoyed annoying upset hate hated broke broken fail failed fails failing"
    " unacceptable disgusting disgusted frustrated frustrating rude ridiculous unfortunately"
    " ruined mal malo mala malos malas pesimo pesima pesimos pesimas peor enfadado"
    " enfadada enojado enojada triste tristes decepcion decepcionado decepcionada decepcionante"
    " fatal roto rota rotos rotas molesto molesta inaceptable asco verguenza furioso furiosa"
    " lamentable desastre odio"
)
_TURNS = words(
    "but pero again another yet otra otro otras otros vez so tan thanks thank gracias returned"
    " crash crashed crashes delay delayed delays late problem problems error errors refund cancel"
    " cancelled canceled losing lose complaint averia averias retraso retrasos problema problemas"
    " errores tarde cancelar cancelado cancelada perder reembolso devolver devolucion queja"
)
"""Beside them "great" may be bitter, and a face says which."""
_SHOWN = (
    "📦 parcel parcels package packages order orders box paquete paquetes pedido pedidos caja"
    "|🍕 pizza pizzas|🍔 burger burgers hamburguesa hamburguesas|☕ coffee cafe|🍺 beer beers"
    " cerveza cervezas|🍷 wine vino|🎂 birthday cake cumpleaños tarta|🐶 dog dogs puppy perro"
    " perra perros|🐱 cat cats gato gata gatos|🏨 hotel hotels hoteles|🏠 house home casa"
    "|✈ flight flights plane vuelo vuelos avion|🚗 car cars coche coches auto carro|🚌 bus buses"
    " autobus|🚆 train trains tren trenes|🚲 bike bikes bicycle bici bicicleta|📱 phone phones"
    " mobile movil celular telefono|🎧 headphone headphones auricular auriculares|💻 laptop laptops"
    " computer ordenador computadora portatil|📷 photo photos camera foto fotos camara|📧 email"
    " emails mail correo correos|🔋 battery batteries bateria baterias"
    "|⏰ alarm alarma despertador|💰 money dinero|🌧 rain raining lluvia llueve|☀ sun sol"
    "|❄ snow nieve|👋 hi hello hey bye hola adios|🏖 beach beaches playa playas|📚 book books libro"
    " libros|🎵 music song songs musica cancion canciones|⚽ football soccer futbol|🔑 key keys"
    " llave llaves|💳 card cards tarjeta tarjetas|🛒 cart carrito|⚠ warning aviso alerta"
    "|🎁 gift gifts present presents regalo regalos|🌹 rose roses rosa rosas|💐 flowers flores"
)
_SHOWS = {
    emoji: words(shown) for emoji, _, shown in (group.partition(" ") for group in _SHOWN.split("|"))
}
_DRESS = frozenset({"\ufe0f", "\ufe0e", *"🏻🏼🏽🏾🏿"})
"""What makes another emoji of no sign: variation selectors and colours of skin."""
_SENTENCE_ENDS = frozenset({TokenType.STOP, TokenType.QUESTION})
_ENDS = frozenset({TokenType.EMOJI, TokenType.STOP, TokenType.QUESTION, TokenType.PAUSE})


def without_echoes(items: list[Item], lexicon: Lexicon, analysis: Analysis) -> list[Item]:
    """The items without the emoji that say nothing more than the words of their sentence."""
    types = [item.type for item in items]
    if TokenType.EMOJI not in types:
        return items
    asks = TokenType.QUESTION in types  # "is it bad?" tells no feeling
    kept: list[Item] = []
    said: list[str] = []
    ended = False
    for at, item in enumerate(items):
        if item.type is TokenType.WORD:
            said = [item.plain] if ended else [*said, item.plain]
            ended = False
        ended = ended or item.type in _SENTENCE_ENDS
        following = items[at + 1] if at + 1 < len(items) else None
        if (
            item.type is TokenType.EMOJI
            and (following is None or following.type in _ENDS)
            and (
                _echoes(item.text, said, lexicon, asks=asks)
                or (item.text in _DRESS and _left_out(items, at, kept))
            )
        ):
            analysis.note(Kind.PUNCTUATION, item.text)
        else:
            kept.append(item)
    return kept


def _mood(said: Sequence[str], lexicon: Lexicon) -> int:
    """1 where all words of feeling are glad ones, -1 where all are cross ones, 0 otherwise."""
    if not lexicon.negations.isdisjoint(said):
        return 0
    glad, cross = not _GLAD_WORDS.isdisjoint(said), not _CROSS_WORDS.isdisjoint(said)
    if glad and not _TURNS.isdisjoint(said):
        return 0
    return glad - cross


def _echoes_spanish(emoji: str, said: Sequence[str], lexicon: Lexicon, *, asks: bool) -> bool:
    """The same for what is said in Spanish beside more of them."""
    if not spanish_feelings.SHOWS.get(emoji, frozenset()).isdisjoint(said):
        return True
    glad = not _GLAD_WORDS.isdisjoint(said) or not spanish_feelings.PRAISE.isdisjoint(said)
    if emoji in _CROSS or emoji in spanish_feelings.CROSS:
        cross = not (_CROSS_WORDS | spanish_feelings.COMPLAINT).isdisjoint(said)
        denied = not lexicon.negations.isdisjoint(said)
        failure = spanish_feelings.complains_of_failure(said)
        return not glad and not asks and ((cross and not denied) or failure)
    return (
        (emoji in spanish_feelings.GLAD or emoji in _GLAD)
        and not asks
        and not spanish_feelings.PRAISE.isdisjoint(said)
        and _mood(said, lexicon) >= 0
        and lexicon.negations.isdisjoint(said)
        and _TURNS.isdisjoint(said)
        and spanish_feelings.COMPLAINT.isdisjoint(said)
    )


def _echoes(emoji: str, said: Sequence[str], lexicon: Lexicon, *, asks: bool) -> bool:
    if lexicon.code == "es" and _echoes_spanish(emoji, said, lexicon, asks=asks):
        return True
    mood = 0 if asks else _mood(said, lexicon)
    if (emoji in _GLAD and mood > 0) or (emoji in _CROSS and mood < 0):
        return True
    shown = _SHOWS.get(emoji)
    return shown is not None and not shown.isdisjoint(said)


def _left_out(items: Sequence[Item], at: int, kept: Sequence[Item]) -> bool:
    """Whether the emoji before `at` was left out, so that what dresses it goes with it."""
    return at > 0 and (not kept or kept[-1] is not items[at - 1])

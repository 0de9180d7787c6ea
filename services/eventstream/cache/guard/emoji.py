"""Tells an emoji that repeats what the words say from one that adds to them.

"Great service 😍" says what "Great service" says; "Great 🙄" does not. A face is left out only
where all words of feeling point its way and nothing is negated, a picture only beside a word
for what it shows, and either only at the end of a clause. Words count whole: "latest" is not late.
"""

from collections.abc import Sequence

from eventstream.cache.guard import spanish_feelings
from eventstream.cache.guard.inflection import english_forms
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType
from eventstream.cache.guard.wordlists import read_lines

_GLAD = frozenset("😊❤💖💕♥😍🥰😋") | {"<3"}
"""None that is as often meant the other way: a thumb up, a smile or applause may be bitter."""
_GLAD_ALONE = frozenset("👍👌🙌👏🎉🥳😄😁😃😀🤗🤩💗💓💞💜💙💚🧡💛✨🌟⭐💯😎🙂☺😌🤍🫶🥂🙏😇💫") | {
    ":)",
    ":-)",
    ":D",
}
"""These may be bitter beside trouble, so nothing in the whole text may tell of any."""
_CROSS = frozenset("😡😠🤬😤😞😢😭☹🙁😔😩😫😒👎💔😖😣😟😕🙄🤦😑😓😥😰😨😱😿🤯💩😵🥺😧😦🤮🤢") | {
    ":(",
    ":-(",
}
_THANKS = words("thank thanks you so very much many please")
_ASKING = frozenset("🤔❓❔🧐🤷🙏🙂😊")
"""Beside a question they ask it once more."""
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
_TROUBLE = words(
    "bad terrible awful horrible dreadful worst worse angry furious livid disappointed"
    " disappointing annoyed annoying upset hate hated broke broken breaks fail failed fails"
    " failing failure unacceptable disgusting disgusted frustrated frustrating rude impolite"
    " ridiculous ruined ruin unfortunately sadly lost lose stolen stole theft scam scammed robbed"
    " fraud missing damaged damage dirty filthy smelly stinks stink mouldy moldy rotten cold"
    " lukewarm soggy stale burnt crash crashed crashes crashing freezes frozen stuck error errors"
    " bug bugs buggy outage down offline late delay delayed delays cancelled canceled overpriced"
    " overcharged expensive rip wrong mistake wait waiting waited queue complaint complain"
    " complaining ignored unanswered useless worthless waste wasted incompetent unhelpful"
    " unreliable uncomfortable unusable noise noisy loud leak leaking leaks flooded flood locked"
    " blocked declined rejected refused denied sick ill pain hurts hurt headache fever died dead"
    " dying killed accident injured sore allergic problem problems issue issues trouble nightmare"
    " disaster mess chaos shame shameful joke garbage trash rubbish crap sucks suck poor poorly"
    " lousy faulty defective torn ripped scratched cracked expired unable impossible hopeless"
    " desperate fed disgrace disgraceful appalling boring tired exhausted worried scared afraid"
    " stressed stress confusing confused lonely miss missed fired sacked bankrupt debt bill fine"
    " penalty tiny cramped cockroach mice bugs bedbugs hair salty bland raw undercooked overcooked"
    " tasteless inedible sad unhappy nobody nothing raining rain unhappy unfair cheated lied"
    " misleading worse worsened sorry"
)
"""What goes wrong, in English: a cross face beside it says nothing more."""
_VERY_SLOW = words("is so too very really extremely painfully incredibly super terribly are was")
_MORE_GLAD = words(
    "best recommend recommended thanks thank gentle kind sweet lovely comfy comfortable cozy cosy"
    " tasty yummy stunning gorgeous fabulous terrific marvellous marvelous brilliant superb kindly"
    " perfectly beautifully easy smooth fast quick clean spotless welcoming caring congrats"
    " congratulation proud grateful thankful lucky win won winner passed success successful fun"
    " funny blessed cute adorable fresh crispy favourite favorite fave yay hooray finally glad"
    " satisfied welcome birthday anniversary wedding cheers"
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
_SHOWS: dict[str, frozenset[str]] = {}
for _emoji, _, _shown in (_group.partition(" ") for _group in _SHOWN.split("|")):
    _SHOWS[_emoji] = words(_shown)
for _line in read_lines("emoji.txt"):
    _pictures, _, _shown = _line.partition(" : ")
    for _emoji in _pictures:
        _SHOWS[_emoji] = _SHOWS.get(_emoji, frozenset()) | words(_shown)
_DRESS = frozenset({"\ufe0f", "\ufe0e", *"🏻🏼🏽🏾🏿", "\u200d"})
"""What makes another emoji of no sign: variation selectors and colours of skin."""
_SENTENCE_ENDS = frozenset({TokenType.STOP, TokenType.QUESTION})
_ENDS = frozenset({TokenType.EMOJI, TokenType.STOP, TokenType.QUESTION, TokenType.PAUSE})


def without_echoes(items: list[Item], lexicon: Lexicon, analysis: Analysis) -> list[Item]:
    """The items without the emoji that say nothing more than the words of their sentence."""
    types = [item.type for item in items]
    if TokenType.EMOJI not in types:
        return items
    asks = TokenType.QUESTION in types  # "is it bad?" tells no feeling
    everything = [item.plain for item in items if item.type is TokenType.WORD]
    kept: list[Item] = []
    said: list[str] = []
    ended = False
    for at, item in enumerate(items):
        if item.type is TokenType.WORD:
            said = [item.plain] if ended else [*said, item.plain]
            ended = False
        ended = ended or item.type in _SENTENCE_ENDS
        following = items[at + 1] if at + 1 < len(items) else None
        leads = not said
        if (
            item.type is TokenType.EMOJI
            and (leads or following is None or following.type in _ENDS)
            and (
                _echoes(item.text, everything if leads else said, everything, lexicon, asks=asks)
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


def _tells_of_trouble(said: Sequence[str], lexicon: Lexicon) -> bool:
    """Whether an English text tells of something that went wrong, and of nothing else."""
    if lexicon.code != "en" or not (_GLAD_WORDS | _MORE_GLAD).isdisjoint(said):
        return False
    if "slow" in said and said[said.index("slow") - 1] in _VERY_SLOW:
        return True
    denied = not (lexicon.negations - {"nobody", "nothing"}).isdisjoint(said)
    return denied != (not _TROUBLE.isdisjoint(said))


def _is_glad(said: Sequence[str], everything: Sequence[str], lexicon: Lexicon) -> bool:
    """Whether an English sentence is glad in a text without any trouble."""
    return (
        lexicon.code == "en"
        and lexicon.negations.isdisjoint(everything)
        and (_TROUBLE | _CROSS_WORDS | (_TURNS - _THANKS) | {"suppose"}).isdisjoint(everything)
        and not (_GLAD_WORDS | _MORE_GLAD).isdisjoint(said)
    )


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


def _echoes(
    emoji: str, said: Sequence[str], everything: Sequence[str], lexicon: Lexicon, *, asks: bool
) -> bool:
    if lexicon.code == "es" and _echoes_spanish(emoji, said, lexicon, asks=asks):
        return True
    mood = 0 if asks else _mood(said, lexicon)
    if (emoji in _GLAD and mood > 0) or (emoji in _CROSS and mood < 0):
        return True
    if not asks and emoji in _CROSS and _tells_of_trouble(said, lexicon):
        return True
    if not asks and emoji in _GLAD | _GLAD_ALONE:
        if _is_glad(said, everything, lexicon):
            return True
        if said and _THANKS.issuperset(said) and _TROUBLE.isdisjoint(everything):
            return True
    if emoji == "🙏" and "please" in everything:
        return True
    if asks and emoji in _ASKING and lexicon.code == "en":
        return True
    shown = _SHOWS.get(emoji)
    if shown is None:
        return False
    return any(not shown.isdisjoint(english_forms(word)) for word in said)


def _left_out(items: Sequence[Item], at: int, kept: Sequence[Item]) -> bool:
    """Whether the emoji before `at` was left out, so that what dresses it goes with it."""
    return at > 0 and (not kept or kept[-1] is not items[at - 1])

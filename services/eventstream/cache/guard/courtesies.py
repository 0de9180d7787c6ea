"""Finds clauses that are nothing but courtesy, by the words that they may be made of.

"Thanks so much for your quick help" is one of very many; a list of all of them would never end.
So a clause counts when it begins like one and none of its other words says anything else.
"""

from collections.abc import Set
from typing import NamedTuple

from eventstream.cache.guard.items import Item, behind_but
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType

_BOUNDARIES = frozenset({TokenType.STOP, TokenType.PAUSE, TokenType.QUESTION})
_MAX_WORDS = 14

_THANKS = words(
    "thanks thank so very much lots a lot again in advance for your you the any all of kind help"
    " helping assistance time patience understanding attention reply response answer quick prompt"
    " speedy and everyone everybody team guys folks million me us reading this"
    " dear both sincerely truly really kindly"
)
_SORRY = words(
    "sorry i am so very really for to about the bother bothering disturb disturbing trouble"
    " troubling you again with this any inconvenience long message email post question silly"
    " stupid dumb basic if is a an it my apologies apologize apologise asking in advance but"
)
_HOPE = words(
    "i we hope hoping you your the team all everyone is are doing well good fine ok okay this that"
    " message email note letter finds find had have having has been a nice great day week weekend"
    " evening morning in health"
)
_WISH = words(
    "have a nice good great lovely wonderful pleasant day weekend evening week one night afternoon"
    " rest of your the everyone all and ahead"
)
_FORWARD = words(
    "i am we look looking forward to your a an quick prompt early speedy reply response answer"
    " hearing hear from back you soon"
)
_HELP = words(
    "any help advice assistance suggestions suggestion ideas tips information guidance support"
    " would will is are be greatly much highly really very appreciated welcome great with this"
    " you can could give offer provide appreciate i"
)
_HELLO = words(
    "hi hello hey dear good morning afternoon evening day there team all everyone everybody folks"
    " guys support customer service care desk help friends again sir sirs madam or to you and"
    " ladies gentlemen colleagues people staff the"
)
_GRACIAS = words(
    "gracias muchas mil muchisimas por su tu vuestra vuestro la el toda todo ayuda atencion tiempo"
    " respuesta paciencia comprension colaboracion pronta rapida de antemano adelantado a todos"
    " todas ustedes vosotros equipo y un saludo saludos cordial cordiales leer leerme responder"
    " contestar ayudarme ayudarnos atenderme responderme anticipadas desde ya nuevo otra vez"
    " amigos chicos muy amable amables"
)
_SALUDOS = words(
    "un saludo saludos cordial cordiales muy a todos todas y gracias muchas abrazo beso besos"
    " afectuoso atentamente desde para el equipo reciban reciba les le envio"
)
_ESPERA = words(
    "quedo quedamos espero esperamos a la espera de su tu vuestra una pronta respuesta respuestas"
    " noticias pendiente atento atenta atentos comentarios sus tus pronto ansioso ansiosa"
)
_PERDON = words(
    "disculpe disculpen disculpa disculpad perdon perdone perdonen perdona perdonad siento lamento"
    " sentimos lamentamos mil la las el lo los por molestia molestias molestar molestarle"
    " molestarles molestarte molestaros inconveniente inconvenientes pregunta tonta mensaje largo"
    " mucho otra vez de nuevo si es una pero que le les te"
)
_DESEO = words(
    "espero esperamos que todo todos este esten estes vaya va se encuentre encuentren te le les"
    " muy bien tenga tengan tengas tengais un una buen buena bonito bonita excelente lindo linda"
    " feliz gran dia tarde noche semana fin de jornada estado pase pasen pases lo el"
)
_AGRADEZCO = words(
    "se lo te os le les agradezco agradecemos agradeceria agradeceriamos agradecere agradecido"
    " agradecida estaria estoy muy mucho de antemano su tu vuestra la cualquier toda ayuda atencion"
    " respuesta informacion tiempo infinito sinceramente colaboracion y por agradece"
)
_HOLA = words(
    "hola buenas buenos buen dia dias tardes noches muy a todos todas equipo amigos amigas chicos"
    " chicas que tal de nuevo como estan estas esta va gente señores señoras estimados estimadas"
    " queridos soporte atencion al cliente y os saludo"
)
_WELL = words(
    "well good great fine nice ok okay bien buen buena bonito excelente lindo linda feliz"
)
_ANSWER = words("reply response answer hearing hear respuesta respuestas noticias atento atenta")
_ANY = frozenset[str]()


class _Clause(NamedTuple):
    """How such a clause begins, what it is made of, and which of that it has to have one of."""

    beginning: tuple[str, ...]
    words: frozenset[str]
    one_of: frozenset[str]
    kind: Kind


def _clauses(
    beginnings: str,
    words: frozenset[str],
    one_of: frozenset[str] = _ANY,
    kind: Kind = Kind.COURTESY,
) -> list[_Clause]:
    return [_Clause(tuple(each.split()), words, one_of, kind) for each in beginnings.split("|")]


def _index(*groups: list[_Clause]) -> dict[str, list[_Clause]]:
    """The clauses by their first word."""
    index: dict[str, list[_Clause]] = {}
    for clause in (clause for group in groups for clause in group):
        index.setdefault(clause.beginning[0], []).append(clause)
    return index


_CLAUSES = {
    "en": _index(
        _clauses("thanks|thank you|many thanks", _THANKS | {"many"}),
        _clauses("sorry to|sorry for|sorry about|i am sorry to bother|i am sorry for the", _SORRY),
        _clauses("apologies for|my apologies for|i apologise for|i apologize for", _SORRY),
        _clauses("i hope|hope|we hope|hoping", _HOPE, _WELL),
        _clauses("have a", _WISH, _WELL | {"lovely", "wonderful", "pleasant"}),
        _clauses("looking forward to|i look forward|i am looking forward", _FORWARD, _ANSWER),
        _clauses(
            "any|i would appreciate|i really appreciate", _HELP, words("appreciated appreciate")
        ),
        _clauses("hi|hello|hey|dear", _HELLO, kind=Kind.GREETING),
        _clauses("good morning|good afternoon|good evening", _HELLO, kind=Kind.GREETING),
    ),
    "es": _index(
        _clauses("gracias|muchas gracias|muchisimas gracias|mil gracias|de antemano", _GRACIAS),
        _clauses("saludos|un saludo|un cordial saludo|un abrazo|reciban|reciba", _SALUDOS),
        _clauses("quedo|quedamos|espero|esperamos|a la espera", _ESPERA, _ANSWER | {"espera"}),
        _clauses(
            "espero que|esperamos que|que tenga|que tengan|que tengas|que pase", _DESEO, _WELL
        ),
        _clauses("disculpe|disculpen|disculpa|perdon|perdona|perdone|perdonen", _PERDON),
        _clauses("siento|lamento|sentimos|lamentamos|mil disculpas", _PERDON | {"disculpas"}),
        _clauses("agradezco|agradeceria|agradecemos|se lo agradezco|se agradece", _AGRADEZCO),
        _clauses("les agradezco|le agradezco|te agradezco|te lo agradezco", _AGRADEZCO),
        _clauses("les agradeceria|le agradeceria|te agradeceria|os agradezco", _AGRADEZCO),
        _clauses("hola|buenas|buenos dias|buen dia|estimados", _HOLA, kind=Kind.GREETING),
    ),
}


def begins_courtesy(words: Set[str], lexicon: Lexicon) -> bool:
    """Whether such a clause may begin with one of these words; no for most texts."""
    return not _CLAUSES[lexicon.code].keys().isdisjoint(words)


def words_of_courtesies(lexicon: Lexicon) -> set[str]:
    """All words that such clauses are made of."""
    clauses = (clause for each in _CLAUSES[lexicon.code].values() for clause in each)
    return {word for clause in clauses for word in clause.words.union(clause.beginning)}


def without_courtesy_clauses(items: list[Item], lexicon: Lexicon, analysis: Analysis) -> list[Item]:
    """The items without clauses that are nothing but a greeting, thanks, an excuse or a wish."""
    index = _CLAUSES[lexicon.code]
    kept: list[Item] = []
    start = 0
    while start < len(items):
        end = start
        while end < len(items) and items[end].type not in _BOUNDARIES:
            end += 1
        words = [item.plain for item in items[start:end]]
        kind = _courtesy(words, index)
        if kind is None or (kind is Kind.GREETING and any(item.plain for item in kept)):
            kept += items[start : end + 1]
        else:
            analysis.note(kind, " ".join(words))
            behind = end if any(item.plain for item in kept) else behind_but(items, end)
            if behind > end:
                end = behind - 1
            else:
                kept += items[end : end + 1]
        start = end + 1
    return kept


def _courtesy(words: list[str], index: dict[str, list[_Clause]]) -> Kind | None:
    if not 2 <= len(words) <= _MAX_WORDS:
        return None
    for clause in index.get(words[0], ()):
        begins = tuple(words[: len(clause.beginning)]) == clause.beginning
        rest = words[len(clause.beginning) :]
        if (
            begins
            and clause.words.issuperset(rest)
            and (not clause.one_of or not clause.one_of.isdisjoint(words))
        ):
            return clause.kind
    return None

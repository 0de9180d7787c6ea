"""Writes a Spanish text out as it would be spelt with care: accents, "ha", abbreviations.

Only where a slip can be nothing else: "rompio" is no word, "llego" is one, and stays unless a
subject before it says that somebody else arrived. Each text is read by itself.
"""

from eventstream.cache.guard import spanish_verbs as verbs
from eventstream.cache.guard.inflection import without_accents
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import words
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import TokenType

_ABBREVIATED = words(
    "dr dra dres dras sr sra sres sras srta av avda dpto depto dept tel telf tlf tfno num nro pag"
    " pags aprox min max cta prof profa admon adm ref art fra rr hh ud uds vd vds izq dcha lic ing"
    " cia cp vol cap ed urb tels seg hrs hr ej pje pza gral resp"
)
_ORDINALS = (
    "",
    *[
        "primer",
        "segundo",
        "tercer",
        "cuarto",
        "quinto",
        "sexto",
        "séptimo",
        "octavo",
        "noveno",
        "décimo",
    ],
)
_FEMININE = {"primer": "primera", "tercer": "tercera"}
_ORDINAL_SIGNS = words("º ª o a er ra do da to ta mo ma vo va no na ero")
_BEFORE_HA = words("no se me te le lo la les los las nos os ya nunca aun todavia tampoco jamas")
_NOUNS_LIKE_PARTICIPLES = words("pedido hecho estado cuidado dado puesto helado lado")
_AUXILIARIES = {"a": "ha", "e": "he", "as": "has"}
_KNOWING = words(
    "se si como cuando donde quien cual cuanto cuantos que porque nada por bien en de a"
)
_DETERMINERS = words("el la mi tu su este esta ese esa nuestro nuestra un una")
_BEFORE_VERB = words("no se me nos le les nunca ya tambien siempre tampoco casi solo jamas os te")
_TIMES = words("lunes martes miercoles jueves viernes sabado domingo semana mes año dia vez verdad")
_FINAL_ACCENTS = dict.fromkeys(words("panama bogota canada"), "á") | dict.fromkeys(
    words("peru menu champu"), "ú"
)
_FINAL_ACCENTS |= dict.fromkeys(words("cafe pure pate bebe"), "é") | {"sofa": "á", "jabali": "í"}
_TILDES = {
    without.replace("N", "n"): without.replace("N", "ñ")
    for without in words(
        "pequeNo pequeNa pequeNos pequeNas niNo niNa niNos niNas maNana espaNol espaNola espaNa"
        " seNor seNora seNores compaNero compaNera compaNeros compaNia montaNa"
        " cumpleaNos daNo daNos"
        " baNo baNos contraseNa contraseNas otoNo diseNo enseNar aNadir tamaNo extraNo dueNo dueNa"
        " muNeca piNa cabaNa aNos engaNo seNal cariNo araNazo campaNia espaNoles baNera daNado"
        " daNada enseNanza puNo riNon"
    )
}
_SOMEBODY = words("nadie alguien")
_LEADS = words("vamos nada total bueno pues hombre")
_PESOS = words("pesos peso dolares dolar usd mxn cop clp ars")
_SINGLE = {"t": "te", "m": "me"}
_WEAK_STARTS = words("y pero entonces pues bueno oye vale ok")
_TO_ME = words("llego encanto gusto cobro fallo falto toco costo entrego mando ayudo explico")


def _word(word: str, instead_of: Item) -> Item:
    return Item(TokenType.WORD, word, word, instead_of.attached, without_accents(word))


def spelt_out(items: list[Item], analysis: Analysis) -> list[Item]:
    """The items with missing accents and letters where they belong, and no stop behind "Dra."."""
    result: list[Item] = []
    at = 3 if _leads(items) else 0
    while at < len(items):
        item = items[at]
        used = 1
        following = items[at + 1] if at + 1 < len(items) else None
        if item.type is TokenType.SIGN and item.text[0] in ".…":
            item = Item(TokenType.PAUSE, "", ",", item.attached)
        elif item.text == "$" and _plain(items, at + 2) in _PESOS:
            at += 1
            continue
        elif (item.plain in _WEAK_STARTS and at and items[at - 1].text == "¿") or (
            item.plain == "pues" and _between_words(items, at)
        ):
            analysis.note(Kind.FILLER, item.word)
            at += 1
            continue
        elif item.plain == "porque" and _asks_why(items, at):
            analysis.note(Kind.SPELLING, item.word)
            result += [_word("por", item), _word("qué", item)]
            at += 1
            continue
        elif item.type is TokenType.NUMBER:
            ordinal = _ordinal(items, at)
            if ordinal is not None:
                result.append(_word(ordinal[0], item))
                analysis.note(Kind.SPELLING, item.text)
                at += ordinal[1]
                continue
        elif item.type is TokenType.WORD:
            if (
                following is not None
                and following.text == "."
                and following.attached
                and item.plain in _ABBREVIATED
                and at + 2 < len(items)
            ):
                used = 2
            written = _spelling(items, at, result)
            if written is not None:
                analysis.note(Kind.SPELLING, item.word)
                item = _word(written, item)
        result.append(item)
        at += used
    return result


def _leads(items: list[Item]) -> bool:
    """Whether the text begins with "vamos, que" or the like."""
    return (
        len(items) > 5
        and items[0].plain in _LEADS
        and items[1].type is TokenType.PAUSE
        and items[2].word == "que"
        and not any(item.type is TokenType.QUESTION for item in items)
    )


def _between_words(items: list[Item], at: int) -> bool:
    """Whether words stand right before and behind, so that "pues" joins nothing."""
    return bool(_plain(items, at - 1)) and bool(_plain(items, at + 1))


def _asks_why(items: list[Item], at: int) -> bool:
    """Whether "porque" begins a question of one clause: "xq no llega?"."""
    if at and (items[at - 1].type is TokenType.WORD or at > 3):
        return False
    for item in items[at + 1 :]:
        if item.type in (TokenType.PAUSE, TokenType.STOP):
            return False
        if item.type is TokenType.QUESTION:
            return True
    return False


def _ordinal(items: list[Item], at: int) -> tuple[str, int] | None:
    """The word for "2.º", "3ª" or "1er" and how many items that takes."""
    behind = at + 1
    if behind < len(items) and items[behind].text == "." and items[behind].attached:
        behind += 1
    if behind >= len(items) or not items[behind].attached:
        return None
    sign = items[behind].word
    number = items[at].text
    if sign not in _ORDINAL_SIGNS or not number.isdecimal() or not 0 < int(number) < 11:
        return None
    word = _ORDINALS[int(number)]
    if sign[-1] in "ªa":
        word = _FEMININE.get(word, word[:-1] + "a")
    return word, behind - at + 1


def _plain(items: list[Item], at: int) -> str:
    return items[at].plain if 0 <= at < len(items) else ""


def _spelling(items: list[Item], at: int, before_it: list[Item]) -> str | None:
    """What the word at `at` is without its slip; None when it has none."""
    item = items[at]
    word = item.word
    before, behind = _plain(items, at - 1), _plain(items, at + 1)
    if word == "se" and before in ("no", "yo") and behind in _KNOWING:
        return "sé"
    if word == "aún" or (word == "aun" and "no" in (before, behind)):
        return "todavía"
    if word == "x" and before.isalpha() and behind.isalpha() and item.text == "x":
        return "por"
    if word in _AUXILIARIES and behind in verbs.participles():
        if before in _BEFORE_HA:
            return _AUXILIARIES[word]
        if word == "a" and before and behind not in _NOUNS_LIKE_PARTICIPLES:
            return "ha" if _plain(items, at - 2) in _DETERMINERS else None
    if word == "súper" and behind and before and before not in _DETERMINERS | {"del", "al"}:
        return "muy"
    if not word.isascii():
        return verbs.vos_forms().get(word)
    if item.text in _SINGLE and before:
        return _SINGLE[word]
    if word in _TILDES:
        return _TILDES[word]
    if word == "super":
        return "muy" if before not in _DETERMINERS | {"del", "al", ""} and behind else None
    if word in _FINAL_ACCENTS:
        return word[:-1] + _FINAL_ACCENTS[word]
    if word in verbs.missing_accents():
        return verbs.missing_accents()[word]
    third = verbs.preterites().get(word)
    if third is None:
        return None
    if "se" in (before, _plain(items, at - 2) if before in _BEFORE_VERB else "") or (
        before in ("me", "nos") and word in _TO_ME
    ):
        return third if word != "como" else None
    start = at
    while start and _plain(items, start - 1) in _BEFORE_VERB:
        start -= 1
    subject = _plain(items, start - 1)
    if subject in _SOMEBODY:
        return third
    if subject in ("y", "pero") and any(
        each.word in verbs.third_preterites() for each in before_it
    ):
        return third
    begins = start < 3 or items[start - 3].type is not TokenType.WORD
    if (
        begins
        and start > 1
        and _plain(items, start - 2) in _DETERMINERS
        and subject not in _TIMES
        and subject
    ):
        return third
    return None

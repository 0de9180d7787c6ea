"""The forms of verbs, so that a line of synonyms holds for "erases" and "erased" as for "erase".

Each form carries a tag, and only forms with the same tag stand for each other. What is irregular
and not listed here comes out as a form that nobody writes, which makes no difference.
"""

from collections.abc import Iterator

from eventstream.cache.guard.inflection import without_accents
from eventstream.cache.guard.lexicon import words

# Past and participle, where they are not made with -ed.
_IRREGULAR_TABLE = """
beat beat beaten|become became become|begin began begun|bend bent bent|bite bit bitten
|blow blew blown|break broke broken|bring brought brought|build built built|buy bought bought
|catch caught caught|choose chose chosen|come came come|cost cost cost|cut cut cut
|deal dealt dealt|dig dug dug|do did done|draw drew drawn|drink drank drunk|drive drove driven
|eat ate eaten|fall fell fallen|feed fed fed|feel felt felt|fight fought fought|find found found
|fly flew flown|forbid forbade forbidden|forget forgot forgotten|freeze froze frozen|get got got
|give gave given|go went gone|grow grew grown|hang hung hung|have had had|hear heard heard
|hide hid hidden|hit hit hit|hold held held|hurt hurt hurt|keep kept kept|know knew known
|lay laid laid|lead led led|leave left left|lend lent lent|let let let|lose lost lost
|make made made|mean meant meant|meet met met|pay paid paid|put put put|quit quit quit
|read read read|ride rode ridden|ring rang rung|rise rose risen|run ran run|say said said
|see saw seen|seek sought sought|sell sold sold|send sent sent|set set set|sew sewed sewn
|shake shook shaken|shine shone shone|shoot shot shot|show showed shown|shrink shrank shrunk
|shut shut shut|sing sang sung|sink sank sunk|sit sat sat|slay slew slain|sleep slept slept
|slide slid slid|speak spoke spoken|spend spent spent|spin spun spun|split split split
|spread spread spread|stand stood stood|steal stole stolen|stick stuck stuck|strike struck struck
|sweep swept swept|swim swam swum|take took taken|teach taught taught|tear tore torn
|tell told told|think thought thought|throw threw thrown|understand understood understood
|wake woke woken|wear wore worn|weep wept wept|win won won|wind wound wound|write wrote written
"""
_IRREGULAR = {
    verb: (past, participle)
    for verb, past, participle in map(str.split, _IRREGULAR_TABLE.split("|"))
}
# Two syllables with the stress on the first: the last letter is not doubled.
_NOT_DOUBLED = words(
    "answer order enter offer cover alter gather utter wander travel cancel open happen listen"
    " visit edit exit limit deliver discover recover register remember consider develop worsen"
    " lengthen shorten widen broaden frighten repair explain explode mail email sail obtain"
    " contain retain attain reveal conceal repeat treat heat clean clear cook look book peel"
    " keep heal deal lead read need feed fail steal speak weep sleep sweep tear wear appear"
    " shout count load upload download join spoil rain train complain wait spread eat"
)


def english_past(verb: str) -> tuple[str, str]:
    """The past and the participle of a base form ("bite": "bit", "bitten")."""
    irregular = _IRREGULAR.get(verb)
    if irregular is not None:
        return irregular
    if verb.endswith("e"):
        past = verb + "d"
    elif verb.endswith("y") and verb[-2:-1] not in tuple("aeiou"):
        past = verb[:-1] + "ied"
    elif (
        len(verb) > 2
        and verb[-1] not in "aeiouwxyh"
        and verb[-2] in "aeiou"
        and verb[-3] not in "aeiou"
        and verb not in _NOT_DOUBLED
        and verb[-2:] not in ("er", "en", "el", "it", "in")
    ) or verb in ("admit", "permit", "commit", "refer", "prefer", "spin", "fit"):
        past = verb + verb[-1] + "ed"
    else:
        past = verb + "ed"
    return past, past


PAST_OF_PARTICIPLE = {
    participle: past for past, participle in _IRREGULAR.values() if past != participle
}
"""Where the two differ: "bitten" is the participle of "bit"."""
BASE_OF_PARTICIPLE = {participle: verb for verb, (_, participle) in _IRREGULAR.items()}


def english_verb(verb: str) -> Iterator[tuple[str, str]]:
    """Tag and form of each: "b" (base, third person and -ing), "p" (past), "pp" (participle)."""
    past, participle = english_past(verb)
    third = verb + "s"
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        third = verb + "es"
    elif verb.endswith("y") and verb[-2:-1] not in tuple("aeiou"):
        third = verb[:-1] + "ies"
    if verb.endswith("ie"):
        progressive = verb[:-2] + "ying"
    elif verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        progressive = verb[:-1] + "ing"
    elif past == verb + verb[-1] + "ed" or verb in _DOUBLED_WITHOUT_ED:
        progressive = verb + verb[-1] + "ing"
    else:
        progressive = verb + "ing"
    yield from (("b", verb), ("b", third), ("b", progressive), ("p", past), ("pp", participle))


_DOUBLED_WITHOUT_ED = words("begin run get put set sit cut hit let shut quit win swim dig")

_PERSONS = ("1s", "2s", "3s", "1p", "2p", "3p")
_PRESENT = {
    "ar": ("o", "as", "a", "amos", "áis", "an"),
    "er": ("o", "es", "e", "emos", "éis", "en"),
    "ir": ("o", "es", "e", "imos", "ís", "en"),
}
_PRETERITE = {
    "ar": ("é", "aste", "ó", "amos", "asteis", "aron"),
    "er": ("í", "iste", "ió", "imos", "isteis", "ieron"),
    "ir": ("í", "iste", "ió", "imos", "isteis", "ieron"),
}
_IMPERFECT = {
    "ar": ("aba", "abas", "aba", "ábamos", "abais", "aban"),
    "er": ("ía", "ías", "ía", "íamos", "íais", "ían"),
    "ir": ("ía", "ías", "ía", "íamos", "íais", "ían"),
}
_SUBJUNCTIVE = {
    "ar": ("e", "es", "e", "emos", "éis", "en"),
    "er": ("a", "as", "a", "amos", "áis", "an"),
    "ir": ("a", "as", "a", "amos", "áis", "an"),
}
_FUTURE = ("é", "ás", "á", "emos", "éis", "án")
_CONDITIONAL = ("ía", "ías", "ía", "íamos", "íais", "ían")
_STRESSED = (0, 1, 2, 5)
_CLITICS = ("me", "te", "se", "lo", "la", "los", "las", "le", "les", "nos")
_PARTICIPLES = {
    "abrir": "abierto", "cubrir": "cubierto", "descubrir": "descubierto", "decir": "dicho",
    "escribir": "escrito", "describir": "descrito", "inscribir": "inscrito", "hacer": "hecho",
    "morir": "muerto", "poner": "puesto", "componer": "compuesto", "exponer": "expuesto",
    "posponer": "pospuesto", "romper": "roto", "resolver": "resuelto", "ver": "visto",
    "volver": "vuelto", "devolver": "devuelto", "revolver": "revuelto", "imprimir": "impreso",
    "freír": "frito",
}  # fmt: skip
# First person of the present, stem of the preterite (with its endings), stem of the future.
_STRONG = {
    "tener": ("tengo", "tuv", "tendr"), "obtener": ("obtengo", "obtuv", "obtendr"),
    "detener": ("detengo", "detuv", "detendr"), "contener": ("contengo", "contuv", "contendr"),
    "poner": ("pongo", "pus", "pondr"), "componer": ("compongo", "compus", "compondr"),
    "posponer": ("pospongo", "pospus", "pospondr"), "exponer": ("expongo", "expus", "expondr"),
    "hacer": ("hago", "hic", "har"), "venir": ("vengo", "vin", "vendr"),
    "salir": ("salgo", "sal", "saldr"), "decir": ("digo", "dij", "dir"),
    "traer": ("traigo", "traj", "traer"), "querer": ("quiero", "quis", "querr"),
    "dar": ("doy", "d", "dar"), "ir": ("voy", "fu", "ir"),
    "conducir": ("conduzco", "conduj", "conducir"), "traducir": ("traduzco", "traduj", "traducir"),
    "producir": ("produzco", "produj", "producir"), "reducir": ("reduzco", "reduj", "reducir"),
    "caer": ("caigo", "cay", "caer"), "oír": ("oigo", "oy", "oir"),
}  # fmt: skip
_STRONG_PRETERITE = ("e", "iste", "o", "imos", "isteis", "ieron")


def spanish_verb(entry: str) -> Iterator[tuple[str, str]]:
    """Tag and form of each; `entry` is an infinitive, with the change of its vowel after a colon.

    "empezar:ie" has "empieza", "mostrar:ue" "muestra", "pedir:i" "pide". A reflexive infinitive
    ("quedarse") only gives the forms that carry the pronoun with them.
    """
    infinitive, _, change = entry.partition(":")
    if infinitive.endswith("se"):
        verb = infinitive[:-2]
        for clitic in ("me", "te", "se", "nos"):
            yield f"inf{clitic}", verb + clitic
        for person, pronoun in zip(_PERSONS, ("me", "te", "se", "nos", "os", "se"), strict=True):
            for tag, form in _finite(verb, change):
                if tag.endswith(person):
                    yield f"r{tag}", f"{pronoun}_{form}"
        return
    yield "inf", infinitive
    for clitic in _CLITICS:
        yield f"inf{clitic}", infinitive.replace("ír", "ir") + clitic
    yield "ger", _gerund(infinitive, change)
    participle = _participle(infinitive)
    yield "pp", participle
    yield "ppf", participle[:-1] + "a"
    for tag, form in _finite(infinitive, change):
        yield tag, form
        if tag in ("pres3s", "sub3s"):  # "envía" and "envíe" are orders too
            stressed = _accented(form)
            for clitic in _CLITICS:
                yield f"{tag}{clitic}", stressed + clitic


def orders_of(entry: str, pronoun: str) -> list[str]:
    """The imperatives of a verb ("envía", "envíe", "envíen", "envíes"), with a pronoun if given."""
    infinitive, _, change = entry.partition(":")
    finite = dict(_finite(infinitive, change))
    forms = [finite[tag] for tag in ("pres3s", "sub3s", "sub3p", "sub2s")]
    return [_accented(form) + pronoun for form in forms] if pronoun else forms


def _stem(infinitive: str) -> tuple[str, str]:
    return infinitive[:-2], infinitive[-2:].replace("í", "i")


def _changed(stem: str, change: str) -> str:
    old = {"ie": "e", "ue": "o", "i": "e"}.get(change)
    position = stem.rfind(old) if old else -1
    if position < 0 and change == "ue":
        position = stem.rfind("u")
    return stem if position < 0 else stem[:position] + change + stem[position + 1 :]


def _gerund(infinitive: str, change: str) -> str:
    stem, ending = _stem(infinitive)
    if ending == "ar":
        return stem + "ando"
    if change in ("i", "ie") and ending == "ir":
        stem = _changed(stem, "i")
    elif change == "ue" and ending == "ir":
        stem = stem[::-1].replace("o", "u", 1)[::-1]
    return stem + ("yendo" if stem.endswith(tuple("aeou")) and ending != "ar" else "iendo")


def _participle(infinitive: str) -> str:
    stem, ending = _stem(infinitive)
    return _PARTICIPLES.get(infinitive, stem + ("ado" if ending == "ar" else "ido"))


def spanish_preterites(participle: str) -> frozenset[str]:
    """The third persons of the preterite that a masculine participle may belong to.

    "rechazado": "rechazó", "rechazaron"; "mordido": "mordió", "mordieron".
    """
    for infinitive, irregular in _PARTICIPLES.items():
        if irregular == participle:
            finite = dict(_finite(infinitive, "ue" if infinitive == "morir" else ""))
            return frozenset({finite["pret3s"], finite["pret3p"]})
    stem = participle[:-3]
    if participle.endswith("ado"):
        return frozenset({stem + "ó", stem + "aron"})
    if not participle.endswith("ido"):
        return frozenset()
    forms = {stem + "ió", stem + "ieron", stem + "yó", stem + "yeron"}
    position = stem.rfind("e")
    if position >= 0:  # pedido: pidió
        raised = stem[:position] + "i" + stem[position + 1 :]
        forms |= {raised + "ió", raised + "ieron"}
    for infinitive in (stem + "er", stem + "ir"):
        if infinitive in _STRONG:
            finite = dict(_finite(infinitive, ""))
            forms |= {finite["pret3s"], finite["pret3p"]}
    return frozenset(forms)


def _finite(infinitive: str, change: str) -> Iterator[tuple[str, str]]:
    stem, ending = _stem(infinitive)
    strong = _STRONG.get(infinitive)
    stressed = _changed(stem, change)
    if infinitive.endswith("uir") and not infinitive.endswith(("guir", "quir")):
        stressed = stem + "y"
    present = [
        _spelled(stressed if at in _STRESSED else stem, suffix, ending)
        for at, suffix in enumerate(_PRESENT[ending])
    ]
    if strong is not None:
        present[0] = strong[0]
    elif infinitive.endswith(("cer", "cir")) and stem[-2:-1] in tuple("aeiou"):
        present[0] = stem[:-1] + "zco"
    root = present[0][:-1] if ending != "ar" or strong is None else stem
    subjunctive = [
        _spelled(root if strong or at in _STRESSED or ending != "ar" else stem, suffix, ending)
        for at, suffix in enumerate(_SUBJUNCTIVE[ending])
    ]
    if strong is not None and strong[1] != "sal":
        preterite = [strong[1] + suffix for suffix in _STRONG_PRETERITE]
        if infinitive.endswith("hacer"):
            preterite[2] = strong[1][:-1] + "zo"
        elif strong[1].endswith("j"):
            preterite[5] = strong[1] + "eron"
        elif infinitive in ("dar", "ir"):
            preterite[0] = strong[1] + "i"
            preterite[2] = strong[1] + ("io" if infinitive == "dar" else "e")
            preterite[5] = strong[1] + ("ieron" if infinitive == "dar" else "eron")
        elif strong[1].endswith("y"):
            preterite[2], preterite[5] = strong[1] + "ó", strong[1] + "eron"
    else:
        weak = _changed(stem, "i") if change in ("i", "ie") and ending == "ir" else stem
        if change == "ue" and ending == "ir":
            weak = stem[::-1].replace("o", "u", 1)[::-1]
        preterite = [
            _spelled(weak if at in (2, 5) else stem, suffix, ending)
            for at, suffix in enumerate(_PRETERITE[ending])
        ]
        if stem.endswith(tuple("aeu")) and not stem.endswith(("gu", "qu")) and ending != "ar":
            preterite[2], preterite[5] = stem + "yó", stem + "yeron"
    future = strong[2] if strong is not None else infinitive.replace("ír", "ir")
    table = {
        "pres": present,
        "sub": subjunctive,
        "pret": preterite,
        "imp": [stem + suffix for suffix in _IMPERFECT[ending]],
        "fut": [future + suffix for suffix in _FUTURE],
        "cond": [future + suffix for suffix in _CONDITIONAL],
    }
    for tense, forms in table.items():
        for person, form in zip(_PERSONS, forms, strict=True):
            yield tense + person, form


def _spelled(stem: str, suffix: str, ending: str) -> str:
    """Stem and suffix with the letter that keeps the sound ("busqué", "recojo", "empecé")."""
    front = without_accents(suffix)[0] in "ei"
    if ending == "ar" and front:
        for old, new in (("c", "qu"), ("g", "gu"), ("z", "c")):
            if stem.endswith(old):
                return stem[: -len(old)] + new + suffix
    elif ending != "ar" and not front:
        for old, new in (("gu", "g"), ("g", "j")):
            if stem.endswith(old):
                return stem[: -len(old)] + new + suffix
        if stem.endswith("c") and stem[-2:-1] not in tuple("aeiou"):
            return stem[:-1] + "z" + suffix
    return stem + suffix


def _accented(form: str) -> str:
    """`form` with the accent that it needs once a pronoun hangs on it ("manda", "mándame")."""
    if not form.isascii():
        return form
    accents = dict(zip("aeiou", "áéíóú", strict=True))
    last = len(form) - 1
    while last >= 0 and form[last] not in accents:
        last -= 1
    at = last - 1
    while at >= 0 and form[at] not in accents:
        at -= 1
    if at < 0:
        return form
    if at > 0 and form[at] in "iu" and form[at - 1] in "aeo":
        at -= 1
    return form[:at] + accents[form[at]] + form[at + 1 :]

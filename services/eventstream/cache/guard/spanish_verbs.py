"""Tables made from the list of common Spanish verbs: which word is a form of which verb.

Made once, when the first Spanish text is compared. All keys are without accents, because many
people type without; a key that is a word of its own as well is left out.
"""

from collections.abc import Mapping
from functools import cache

from eventstream.cache.guard.conjugation import orders_of, spanish_verb
from eventstream.cache.guard.lexicon import words
from eventstream.cache.guard.wordlists import read_lines

_STRESSED_END = ("ó", "é", "í", "á", "án", "ás")
_ALSO_SUBJUNCTIVE = ("ará", "arás", "arán")  # "comprara" is no slip
_FUTURES = {
    stem + plain: stem + accented
    for stem in ("ser", "estar", "podr", "sabr", "habr", "cabr", "valdr", "tendr", "vendr", "dir")
    for plain, accented in (("a", "á"), ("an", "án"), ("e", "é"), ("as", "ás"))
} | {"ire": "iré", "iremos": "iremos"}
_CLITICS = words("me nos lo la los las le les melo mela melos melas noslo nosla selo sela")
_SHORT_ORDERS = {"decir": "di", "hacer": "haz", "poner": "pon", "exponer": "expon"}
_VOS = {"a": "á", "e": "é", "i": "í"}


_PLAIN = str.maketrans("áéíóúü", "aeiouu")


def without_accents(word: str) -> str:
    """`word` without accents; nothing else than Spanish is written here."""
    return word.translate(_PLAIN)


@cache
def _entries() -> tuple[str, ...]:
    return tuple(" ".join(read_lines("spanish_verbs.txt")).split())


@cache
def _forms(entry: str) -> Mapping[str, str]:
    """Each form of a verb under its tag."""
    return dict(spanish_verb(entry))


@cache
def all_forms() -> frozenset[str]:
    """Every form of the listed verbs."""
    return frozenset(form for entry in _entries() for form in _forms(entry).values())


def with_plurals(nouns: frozenset[str]) -> frozenset[str]:
    """The nouns and what they are in the plural."""
    plurals = {
        noun[:-2] + "ones"
        if noun.endswith("ón")
        else noun[:-1] + "ces"
        if noun.endswith("z")
        else noun + ("s" if noun[-1] in "aeiou" else "es")
        for noun in nouns
    }
    return nouns | plurals


@cache
def participles() -> frozenset[str]:
    """Their masculine participles ("llegado")."""
    return frozenset(
        form for entry in _entries() for tag, form in _forms(entry).items() if tag == "pp"
    )


@cache
def _by_participle() -> Mapping[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for entry in _entries():
        participle = _forms(entry)["pp"]
        table[participle] = (*table.get(participle, ()), entry)
    return table


def entries_of_participle(participle: str) -> tuple[str, ...]:
    """The listed verbs that have this masculine participle."""
    return _by_participle().get(participle, ())


@cache
def missing_accents() -> Mapping[str, str]:
    """The form that a word without its last accent can only be ("rompio": "rompió")."""
    known = all_forms()
    table = {
        without_accents(form): form
        for form in sorted(known)
        if form.endswith(_STRESSED_END) and not form.endswith(_ALSO_SUBJUNCTIVE)
    }
    return {plain: form for plain, form in table.items() if plain not in known} | _FUTURES


@cache
def preterites() -> Mapping[str, str]:
    """The third person that a first one is without its accent ("llego": "llegó")."""
    table: dict[str, str] = {}
    for entry in _entries():
        forms = _forms(entry)
        if without_accents(forms["pret3s"]) == forms["pres1s"]:
            table[forms["pres1s"]] = forms["pret3s"]
    return table


@cache
def third_preterites() -> frozenset[str]:
    """What somebody else did ("llegó")."""
    return frozenset(preterites().values()) | frozenset(missing_accents().values())


@cache
def second_persons() -> Mapping[str, str]:
    """What "usted" has instead of a form of "tú" ("tienes": "tiene")."""
    return _exchanged("2s", "3s")


@cache
def plural_seconds() -> Mapping[str, str]:
    """What "ustedes" has instead of a form of "vosotros" ("tenéis": "tienen")."""
    orders = {entry.partition(":")[0][:-1] + "d": orders_of(entry, "")[2] for entry in _entries()}
    seconds = {one: other for one, other in _exchanged("2p", "3p").items() if one.endswith("is")}
    return seconds | orders


@cache
def _exchanged(person: str, other: str) -> Mapping[str, str]:
    table: dict[str, str] = {}
    for entry in _entries():
        forms = _forms(entry)
        for tag, form in forms.items():
            if tag.endswith(person) and tag[:-2] in ("pres", "sub", "fut", "cond", "imp"):
                table[without_accents(form)] = forms[tag[:-2] + other]
    return table


@cache
def first_persons() -> Mapping[str, str]:
    """The infinitive of each first person ("registro": "registrar")."""
    table = {_forms(entry)["pres1s"]: entry.partition(":")[0] for entry in _entries()}
    return table | {"doy": "dar"}


@cache
def impersonals() -> Mapping[str, str]:
    """The infinitive of each third person of the present ("cambia": "cambiar")."""
    return {
        form: entry.partition(":")[0]
        for entry in _entries()
        for tag, form in _forms(entry).items()
        if tag in ("pres3s", "pres3p") and not entry.startswith(("llamar", "sentir", "estar"))
    }


@cache
def vos_forms() -> Mapping[str, str]:
    """The form of "tú" for one of "vos" ("querés": "quieres")."""
    table: dict[str, str] = {}
    for entry in _entries():
        infinitive = without_accents(entry.partition(":")[0])
        if infinitive.endswith("ir"):
            continue  # "vivís" is said to "vosotros" too
        forms = _forms(entry)
        table[infinitive[:-2] + _VOS[infinitive[-2]] + "s"] = forms["pres2s"]
    return table


@cache
def third_persons() -> frozenset[str]:
    """The forms of "usted" and "ustedes", without accents."""
    return frozenset(
        without_accents(form)
        for entry in _entries()
        for tag, form in _forms(entry).items()
        if tag in ("pres3s", "pres3p", "cond3s", "cond3p", "fut3s", "fut3p", "pret3s", "pret3p")
    )


@cache
def orders_with_pronoun() -> Mapping[str, str]:
    """The order to "usted" for one to anybody ("mandadme", "mándenme": "mándeme")."""
    table: dict[str, str] = {}
    for entry in _entries():
        infinitive = entry.partition(":")[0]
        stressed = [form.removesuffix("me") for form in orders_of(entry, "me")]
        for clitic in _CLITICS:
            forms = [form + clitic for form in stressed]
            formal = forms[1]
            others = [*forms[:3], infinitive[:-1] + "d" + clitic, infinitive[:-1] + clitic]
            if infinitive in _SHORT_ORDERS:
                others[0] = _SHORT_ORDERS[infinitive] + clitic
            for form in others:
                table.setdefault(without_accents(form), formal)
    elsewhere = all_plain()
    return {plain: formal for plain, formal in table.items() if plain not in elsewhere}


@cache
def all_plain() -> frozenset[str]:
    """The forms that are something else than an order with a pronoun."""
    return frozenset(
        without_accents(form)
        for entry in _entries()
        for tag, form in _forms(entry).items()
        if len(tag) < 6 and not tag.startswith("inf")
    )


@cache
def plain_orders() -> Mapping[str, str]:
    """The order to "usted" for one to anybody, without pronouns ("corrige": "corrija")."""
    table: dict[str, str] = {}
    for entry in _entries():
        infinitive = entry.partition(":")[0]
        forms = orders_of(entry, "")
        for form in (*forms[:3], infinitive[:-1] + "d"):
            table.setdefault(without_accents(form), forms[1])
    return table

"""Which forms of a word say the same thing: plural and progressive, in English and Spanish.

Deliberately narrow. Past and present stay apart, and so do persons, genders and participles
("attacks" and "attacked" tell two different stories once a helper verb is dropped).
"""

import re
import unicodedata
from functools import lru_cache

from eventstream.cache.guard.lexicon import words

# Plurals with a meaning of their own.
_NOT_PLURALS = words(
    "news goods customs arms means glasses species series does its this has was less thus plus"
    " always perhaps across basis thanks lens bus gas yes jobs windows politics physics economics"
    " mathematics ethics savings earnings spirits manners grounds papers airs forces minutes"
    " united headquarters analysis crisis status virus campus bonus focus versus"
)
_NOT_PROGRESSIVE = words(
    "thing nothing something anything everything king ring string spring"
    " during evening morning sing bring wing sling ceiling building buildings meeting meetings"
    " being outstanding interesting boring"
)
_SIBILANT = ("ss", "sh", "ch", "x", "z", "o")
_BRITISH_ENDING = re.compile(r"is(e|es|ed|ing|er|ers|ation|ations)$")
_SHORT_CLOSED = re.compile(r"[^aeiou]*[aeiou][^aeiouwxy]")
_GERUND = re.compile(r"(\w{2,})(ando|iendo|yendo)(?:me|te|se|lo|la|los|las|le|les|nos)?")
_INFINITIVE = re.compile(
    r"(?!(?:mar|bar|par)$)\w+(?:[aei]r|ír)(?:me|te|se|lo|la|los|las|le|les|nos|melo|selo)?"
)
_PRESENT_ENDING = {
    "3s": ("a", "e"),
    "3p": ("an", "en"),
    "1s": ("o", "o"),
    "2s": ("as", "es"),
    "1p": ("amos", "emos"),
}
# An accent that decides between two words; elsewhere a missing one is a slip of the keyboard.
_ACCENT_MATTERS = words("si sí tu tú el él mi mí te té se sé de dé")
_FINAL_ACCENT_FREE = words(
    "sofa cafe quiza jamas ademas detras atras despues aqui ahi alli asi bebe que esta"
)


@lru_cache(maxsize=4096)
def english_forms(word: str) -> frozenset[str]:
    """Every word that `word` may be a plural, third person or progressive form of, and itself."""
    forms = {word}
    if len(word) > 6:
        forms.add(_BRITISH_ENDING.sub(r"iz\1", word))
    if len(word) < 4 or not word.isalpha():
        return frozenset(forms)
    if word.endswith("ing") and len(word) > 4 and word not in _NOT_PROGRESSIVE:
        stem = word[:-3]
        if stem[-1] == stem[-2] and stem[-1] not in "aeiou":
            forms |= {stem, stem[:-1]}
        else:
            forms.add(stem + "e")
            if not _SHORT_CLOSED.fullmatch(stem):
                forms.add(stem)
        if stem.endswith("y"):
            forms.add(stem[:-1] + "ie")
    elif word.endswith("s") and word not in _NOT_PLURALS and word[-2] not in "su":
        if word.endswith("ies") and len(word) > 4:
            forms |= {word[:-3] + "y", word[:-1]}
        elif word.endswith("es") and word[:-2].endswith(_SIBILANT):
            forms |= {word[:-2], word[:-1]}
        else:
            forms.add(word[:-1])
    return frozenset(forms)


@lru_cache(maxsize=4096)
def spanish_forms(word: str) -> frozenset[str]:
    """The singulars that `word` may be the plural of, what a bare gerund may stand for, itself."""
    gerund = _GERUND.fullmatch(word)
    if gerund:
        return spanish_progressive(word, "3s") | spanish_progressive(word, "3p") | {word}
    forms = {word}
    if len(word) > 3 and word.endswith("s"):
        if word[-2] in "aeiouáéó":
            forms.add(word[:-1])
        if word.endswith("ces"):
            forms.add(word[:-3] + "z")
        elif word.endswith("ones"):
            forms.add(word[:-4] + "ón")
        elif word.endswith("es") and word[-3] not in "aeiou":
            forms.add(word[:-2])
    return frozenset(forms)


@lru_cache(maxsize=4096)
def spanish_progressive(gerund: str, person: str) -> frozenset[str]:
    """The present forms that "estar" in `person` with `gerund` amounts to ("está cortando": corta).

    Covers the vowel changes of the present (duerme, piensa, juega) by listing the candidates.
    """
    match = _GERUND.fullmatch(gerund)
    if match is None:
        return frozenset({gerund})
    stem, ending = match.group(1), match.group(2)
    vowel = _PRESENT_ENDING[person][0 if ending == "ando" else 1]
    stems = {stem}
    for old, new in (("u", "ue"), ("o", "ue"), ("e", "ie"), ("i", "ie"), ("u", "ue")):
        position = stem.rfind(old)
        if position >= 0:
            stems.add(stem[:position] + new + stem[position + 1 :])
    return frozenset({candidate + vowel for candidate in stems} | {f"{stem}{ending}:{person}"})


@lru_cache(maxsize=4096)
def infinitives_of(word: str) -> frozenset[str]:
    """The infinitives that a first person may belong to ("cómo cancelo": cancelar)."""
    if len(word) < 4 or not word.endswith("o"):
        return frozenset()
    stems = {word[:-1]}
    for new, old in (("ue", "o"), ("ie", "e"), ("ue", "u")):
        position = word.rfind(new)
        if position > 0:
            stems.add(word[:position] + old + word[position + 2 : -1])
    return frozenset(stem + ending for stem in stems for ending in ("ar", "er", "ir"))


def is_gerund(word: str) -> bool:
    """Whether a Spanish `word` looks like a gerund."""
    return _GERUND.fullmatch(word) is not None


def is_infinitive(word: str) -> bool:
    """Whether a Spanish `word` looks like an infinitive, with or without pronouns."""
    return _INFINITIVE.fullmatch(word) is not None


@lru_cache(maxsize=4096)
def without_accents(word: str) -> str:
    """`word` without acute accents and diaereses; ñ is a letter of its own and stays."""
    if word.isascii():
        return word
    kept = (
        "ñ" if letter == "ñ" else unicodedata.normalize("NFD", letter)[0]
        for letter in unicodedata.normalize("NFC", word)
    )
    return "".join(kept)


def accents_may_differ(one: str, other: str) -> bool:
    """Whether two words that differ in accents only are one word typed two ways.

    "telefono" and "teléfono" are; "hablo" and "habló", "si" and "sí" are not.
    """
    plain = without_accents(one)
    if plain != without_accents(other) or one in _ACCENT_MATTERS:
        return False
    if plain in _FINAL_ACCENT_FREE:
        return True
    return one[-1] == other[-1]

"""Words, clauses, sentences and the language of a text, by plain rules.

Only what two languages need: English and Spanish. Anything else is called "und"
(undetermined) and treated like English. No stemming here: the lexicons write out what they mean.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

ENGLISH = "en"
SPANISH = "es"
UNDETERMINED = "und"

_WORD = re.compile(r"\d+(?:[.,:/]\d+)+|[^\W_]+|[\u2600-\u27bf\u2b50\U0001f300-\U0001faff]")
_CLAUSE_END = re.compile(r"[.,;:!?…](?=\s|$)|[()\n\"¿¡]|\s[-–—]\s")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'»”)]*\s+(?=[\"'«“(¿¡]*[\w¿¡])|\n+", flags=re.UNICODE)
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|dra|sr|sra|st|vs|etc|e\.g|i\.e)|\b[A-Z])\.$", re.I
)
_ABBREVIATION_REACH = 8
_CONTRACTIONS = (
    (re.compile(r"\bcan(?:'t|not)\b|\bcant\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"),
)
_SPANISH_SIGNS = re.compile(r"[ñ¿¡]", re.I)


def lexicon_text(name: str) -> str:
    """Return a data file of the lexicon folder as text."""
    return (files(__package__) / "lexicon" / name).read_text("utf-8")


def lexicon_lines(name: str) -> list[str]:
    """Return the lines of a lexicon file that aren't empty or comments."""
    lines = (line.strip() for line in lexicon_text(name).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def fold(text: str) -> str:
    """Return the text in lower case without accents, with straight apostrophes."""
    plain = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def words_of(text: str) -> list[str]:
    """Return the folded words, numbers and emoji; "can't" is "can" and "not"."""
    folded = fold(text)
    for pattern, spelled in _CONTRACTIONS:
        folded = pattern.sub(spelled, folded)
    return _WORD.findall(folded)


def clauses_of(sentence: str) -> list[list[str]]:
    """Return the words of each stretch between punctuation marks."""
    return [words for part in _CLAUSE_END.split(sentence) if (words := words_of(part))]


def sentences_of(text: str) -> list[str]:
    """Return the sentences as they stand in the text, without empty ones."""
    sentences: list[str] = []
    for part in _SENTENCE_END.split(text):
        piece = part.strip()
        if sentences and _ABBREVIATION.search(sentences[-1][-_ABBREVIATION_REACH:]):
            sentences[-1] = f"{sentences[-1]} {piece}"
        elif piece:
            sentences.append(piece)
    return sentences


@lru_cache(maxsize=2)
def stopwords(language: str) -> frozenset[str]:
    """Return the function words of "en" or "es"."""
    return frozenset(" ".join(lexicon_lines(f"stopwords_{language}.txt")).split())


def is_function_word(word: str) -> bool:
    return word in stopwords(ENGLISH) or word in stopwords(SPANISH)


def detect_language(text: str, words: Sequence[str]) -> str:
    """Return "en", "es" or "und", by function words and signs that only Spanish has."""
    english = sum(word in stopwords(ENGLISH) for word in words)
    spanish = sum(word in stopwords(SPANISH) for word in words)
    spanish += 2 * len(_SPANISH_SIGNS.findall(text))
    if english == spanish:
        return SPANISH if english and re.search(r"[áéíóú]", text, re.I) else UNDETERMINED
    return SPANISH if spanish > english else ENGLISH

"""What every answer starts from: a text with its language, words and vector.

The default sentence model reads English only. Spanish words are therefore put into
English one by one, by a lexicon of our own, before the model sees them: no translation, but
the content words are there. A model that reads Spanish by itself (a multilingual folder)
is recognised by what it does with a few translated sentences, and is given the text as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eventstream.llm.local.minilm import SentenceEncoder
from eventstream.llm.local.phrases import PhraseTable
from eventstream.llm.local.tensors import FloatArray
from eventstream.llm.local.words import (
    SPANISH,
    detect_language,
    lexicon_lines,
    words_of,
)

_SAME_MEANING = (
    ("The parcel arrived late.", "El paquete llegó tarde."),
    ("I love this hotel.", "Me encanta este hotel."),
    ("How do I change my password?", "¿Cómo cambio mi contraseña?"),
    ("The children play in the garden.", "Los niños juegan en el jardín."),
)
_BILINGUAL_COSINE = 0.6


@dataclass(frozen=True)
class Reading:
    """A text as the model sees it. `vector` is (dimension,), of length one."""

    text: str
    language: str
    words: tuple[str, ...]
    vector: FloatArray


class Reader:
    """Turns texts into readings and, in Spanish, into words that the model knows."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder
        self._english = PhraseTable(_glossary())
        self._reads_spanish = _reads_spanish(encoder)

    def read(self, text: str) -> Reading:
        words = words_of(text)
        language = detect_language(text, words)
        return Reading(text, language, tuple(words), self.vectors([text], language)[0])

    def vectors(self, texts: Sequence[str], language: str) -> FloatArray:
        """Return (texts, dimension) unit rows, of Spanish texts by way of English words."""
        if language != SPANISH or self._reads_spanish:
            return self._encoder.embed(texts)
        return self._encoder.embed([self.in_english(text) for text in texts])

    def in_english(self, text: str) -> str:
        """Return the text with every Spanish word that the lexicon knows in English."""
        words = words_of(text)
        parts: list[str] = []
        start = 0
        while start < len(words):
            length, english = self._english.match(words, start) or (1, words[start])
            parts.append(english)
            start += length
        return " ".join(parts) + ("?" if "?" in text else "")


def _glossary() -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for line in lexicon_lines("spanish_english.txt"):
        english, _, spanish = line.partition(":")
        pairs.extend((word, english) for word in spanish.split())
    return pairs


def _reads_spanish(encoder: SentenceEncoder) -> bool:
    english = encoder.embed([pair[0] for pair in _SAME_MEANING])
    spanish = encoder.embed([pair[1] for pair in _SAME_MEANING])
    return bool(np.mean(np.sum(english * spanish, axis=1)) > _BILINGUAL_COSINE)

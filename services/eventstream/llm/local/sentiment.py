"""Positive, negative or neutral: words of judgement, and what the sentence model hears.

The lexicons give each word a weight that negation turns round and words of degree
scale. The sum is squeezed into -1..1 as in Hutto and Gilbert 2014 (VADER): s / √(s² + a).
The sentence model adds a ridge regression on a few dozen prototype sentences, for what no
list of words holds. Their weights were chosen on the tuned half of tests/data/local_model.
Irony is beyond it.
"""

import re
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

from eventstream.llm.local.phrases import PhraseTable, is_superlative
from eventstream.llm.local.reading import Reader, Reading
from eventstream.llm.local.tensors import FloatArray
from eventstream.llm.local.words import SPANISH, clauses_of, fold, lexicon_lines, sentences_of

SENTIMENTS = ("positive", "negative", "neutral")

_SQUEEZE = 8.0
_RIDGE = 1.0
_NEGATED = -0.7
_MORE = 1.4
_LESS = 0.6
_NEGATION_REACH = 4
_DEGREE_REACH = 2
_ENOUGH_REACH = 8
_BEFORE_BUT = 0.6
_AFTER_BUT = 1.4
_NOT_ONLY = frozenset({"only", "just", "solo", "solamente", "tan"})


@dataclass(frozen=True)
class Weighting:
    """How far words and sentence model are believed. Larger is further; all are plain factors."""

    words: float
    model: float
    neutral: float
    neutral_against_words: float
    question: float


_WEIGHTING = Weighting(words=3.0, model=3.0, neutral=0.4, neutral_against_words=2.0, question=0.8)


@dataclass(frozen=True)
class Sentiment:
    """Probabilities that sum to one, and `polarity` from -1 to 1 by words alone."""

    positive: float
    negative: float
    neutral: float
    polarity: float

    @property
    def label(self) -> str:
        return max(SENTIMENTS, key=self.probability)

    @property
    def confidence(self) -> float:
        return self.probability(self.label)

    def probability(self, label: str) -> float:
        return {
            "positive": self.positive,
            "negative": self.negative,
            "neutral": self.neutral,
        }[label]


class SentimentJudge:
    """Judges readings. Holds the lexicons and the fitted prototypes."""

    def __init__(self, reader: Reader) -> None:
        shared = _weights("sentiment_any.txt")
        self._spanish = PhraseTable([*shared, *_weights("sentiment_es.txt")])
        self._english = PhraseTable([*shared, *_weights("sentiment_en.txt")])
        self._modifiers = PhraseTable(_modifiers())
        self._heads = _fit_heads(reader)

    def judge(self, reading: Reading) -> Sentiment:
        if not reading.words:
            return Sentiment(positive=0.0, negative=0.0, neutral=1.0, polarity=0.0)
        polarity = self.polarity(reading)
        heard = dict(zip(SENTIMENTS, _augment(reading.vector[None])[0] @ self._heads, strict=True))
        return combine(polarity, heard, asked_share(reading), _WEIGHTING)

    def polarity(self, reading: Reading) -> float:
        """Return the squeezed sum of the words' weights, from -1 to 1."""
        table = self._spanish if reading.language == SPANISH else self._english
        total = sum(self._sentence_sum(table, part) for part in sentences_of(reading.text))
        return total / sqrt(total * total + _SQUEEZE)

    def judgements(self, reading: Reading) -> frozenset[str]:
        """Return the words of the text that judge."""
        table = self._spanish if reading.language == SPANISH else self._english
        return frozenset(
            word
            for start, length, _ in table.matches(reading.words)
            for word in reading.words[start : start + length]
        )

    def _sentence_sum(self, table: PhraseTable[float], sentence: str) -> float:
        before = 0.0
        total = 0.0
        for words in clauses_of(sentence):
            kinds = {start: kind for start, _, kind in self._modifiers.matches(words)}
            turn = min((n for n, kind in kinds.items() if kind == "but"), default=None)
            if turn is not None:
                before, total = before + total, 0.0
            for start, length, weight in table.matches(words):
                value = weight * self._degree(words, kinds, start)
                if is_superlative(words[start + length - 1]):
                    value *= _MORE
                if turn is not None and start < turn:
                    before += value
                else:
                    total += value
        return before * _BEFORE_BUT + total * _AFTER_BUT if before else total

    def _degree(self, words: list[str], kinds: dict[int, str], start: int) -> float:
        """Return the factor that the words before `start` put on a weight."""
        factor = 1.0
        for place in range(max(0, start - _DEGREE_REACH), start):
            factor *= {"more": _MORE, "less": _LESS}.get(kinds.get(place, ""), 1.0)
        for place in range(max(0, start - _NEGATION_REACH), start):
            if kinds.get(place) == "negate" and words[place + 1] not in _NOT_ONLY:
                # "can't recommend it enough" praises.
                return factor * (
                    _MORE if "enough" in words[start + 1 : start + _ENOUGH_REACH] else _NEGATED
                )
        return factor


def combine(
    polarity: float, heard: dict[str, float], asked: float, weighting: Weighting
) -> Sentiment:
    """Return the probabilities: a softmax over what words and sentence model say."""
    scores = {
        "positive": weighting.words * polarity + weighting.model * heard["positive"],
        "negative": -weighting.words * polarity + weighting.model * heard["negative"],
        "neutral": weighting.neutral
        + weighting.model * heard["neutral"]
        - weighting.neutral_against_words * abs(polarity)
        + weighting.question * asked,
    }
    parts = {label: exp(2 * score) for label, score in scores.items()}
    total = sum(parts.values())
    return Sentiment(
        parts["positive"] / total, parts["negative"] / total, parts["neutral"] / total, polarity
    )


_ASKS_POLITELY = re.compile(
    r"\b(?:(?:like|want|need|love) to know|wonder(?:ing)? (?:if|whether|how|what|when|where)"
    r"|(?:quisiera|quiero|querria|gustaria|necesito) saber"
    r"|(?:tell me|digame|diganme|decirme)"
    r" (?:how|what|when|where|which|who|como|que|cuando|donde)\b)"
)


_WISHES = re.compile(
    r"\b(?:would be (?:nice|great|good|helpful|useful|better)|(?:should|could|please) (?:add|offer"
    r"|allow|include|support|consider)|i suggest|we suggest|my suggestion|i wish (?:you|it|there)"
    r"|feature request|estaria bien|(?:seria|vendria) (?:bien|buen[oa]|genial|util|mejor|ideal)"
    r"|(?:podrian|podriais|deberian|deberiais) (?:anadir|incluir|poner|ofrecer|permitir)"
    r"|sugier[oe]|sugerimos|sugerencia|ojala|(?:me|nos) gustaria que)\b"
)


def wishes(reading: Reading) -> bool:
    """Return whether the text suggests something: its praise is for what isn't there yet."""
    return _WISHES.search(fold(reading.text)) is not None


def asked_share(reading: Reading) -> float:
    """Return the share of the text's sentences that ask something, from 0 to 1."""
    sentences = sentences_of(reading.text)
    asking = sum(
        "?" in sentence or "¿" in sentence or _ASKS_POLITELY.search(fold(sentence)) is not None
        for sentence in sentences
    )
    return asking / len(sentences) if sentences else 0.0


def _weights(name: str) -> list[tuple[str, float]]:
    entries: list[tuple[str, float]] = []
    for line in lexicon_lines(name):
        weight, _, words = line.partition(":")
        entries.extend((word, float(weight)) for word in words.split())
    return entries


def _modifiers() -> list[tuple[str, str]]:
    entries: list[tuple[str, str]] = []
    for line in lexicon_lines("modifiers.txt"):
        kind, _, words = line.partition(":")
        entries.extend((word, kind) for word in words.split())
    return entries


def _fit_heads(reader: Reader) -> NDArray[np.float64]:
    """Return (dimension + 1, 3) weights: ridge regression of the prototypes on their labels."""
    pairs = [line.split(":", 1) for line in lexicon_lines("prototypes.txt")]
    vectors = _augment(reader.vectors([text.strip() for _, text in pairs], "en"))
    wanted = np.array([[label == name for name in SENTIMENTS] for label, _ in pairs], np.float64)
    gram = vectors @ vectors.T + _RIDGE * np.eye(len(pairs))
    heads: NDArray[np.float64] = vectors.T @ np.linalg.solve(gram, wanted)
    return heads


def _augment(vectors: FloatArray) -> NDArray[np.float64]:
    """Return the vectors in double precision with a constant column."""
    return np.hstack([vectors.astype(np.float64), np.ones((len(vectors), 1))])

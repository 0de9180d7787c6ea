"""Which of a stream's labels fits a text, with no example of that stream.

Three things speak for a label: how near the text's vector lies to the label's
sentences, how many of its keywords the text has, and a signal where the label is about
judgement or asking. Their weights were chosen on the tuned half of tests/data/local_model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from eventstream.llm.local.labels import LabelBook, LabelMeaning
from eventstream.llm.local.reading import Reader, Reading
from eventstream.llm.local.sentiment import Sentiment, SentimentJudge, asked_share, wishes
from eventstream.llm.local.tensors import FloatArray
from eventstream.llm.local.words import detect_language, words_of

_REMEMBERED_LABELS = 1024
_REST_SCORE = 1.3
_JUDGED_QUESTION = 0.3
_ASKED_JUDGEMENT = 0.5
_LIKELY = 0.5


@dataclass(frozen=True)
class Weighting:
    """What each kind of evidence counts."""

    meaning: float
    keywords: float
    signal: float
    sharpness: float


_WEIGHTING = Weighting(meaning=2.0, keywords=1.5, signal=2.0, sharpness=2.5)


@dataclass(frozen=True)
class Choice:
    """The label that fits best and the probability given to each, in the order asked."""

    label: str
    probabilities: dict[str, float]

    @property
    def confidence(self) -> float:
        return self.probabilities[self.label]


class Classifier:
    """Chooses labels. Remembers the vectors of labels that it has met."""

    def __init__(self, reader: Reader, judge: SentimentJudge) -> None:
        self._reader = reader
        self._judge = judge
        self._book = LabelBook()
        self._known: dict[str, tuple[LabelMeaning, FloatArray]] = {}

    @property
    def book(self) -> LabelBook:
        return self._book

    def classify(self, reading: Reading, labels: Sequence[str]) -> Choice:
        """Return the choice among at least one label; a tie goes to the one named first."""
        sentiment = self._judge.judge(reading)
        scores = {label: self._score(reading, sentiment, *self._meaning(label)) for label in labels}
        highest = max(scores.values())
        parts = {
            label: exp(_WEIGHTING.sharpness * (score - highest)) for label, score in scores.items()
        }
        total = sum(parts.values())
        probabilities = {label: part / total for label, part in parts.items()}
        return Choice(max(scores, key=scores.__getitem__), probabilities)

    def fits(self, reading: Reading, label: str) -> bool:
        """Return whether a label of the book fits at all, beside no other."""
        meaning, vectors = self._meaning(label)
        signal = meaning.signal
        if signal is not None and signal != "rest":
            return _signal(signal, reading, self._judge.judge(reading)) > _LIKELY
        if any(True for _ in meaning.keywords.matches(reading.words)):
            return True
        return float(np.max(vectors @ reading.vector)) > _LIKELY

    def _score(
        self,
        reading: Reading,
        sentiment: Sentiment,
        meaning: LabelMeaning,
        vectors: FloatArray,
    ) -> float:
        if meaning.signal == "rest":
            return _REST_SCORE
        hits = len({start for start, _, _ in meaning.keywords.matches(reading.words)})
        near = float(np.max(vectors @ reading.vector))
        score = _WEIGHTING.meaning * near + _WEIGHTING.keywords * hits / (hits + 1)
        if meaning.signal is not None:
            score += _WEIGHTING.signal * _signal(meaning.signal, reading, sentiment)
        return score

    def _meaning(self, label: str) -> tuple[LabelMeaning, FloatArray]:
        known = self._known.get(label)
        if known is None:
            meaning = self._book.meaning(label)
            language = detect_language(label, words_of(label))
            known = meaning, self._reader.vectors(meaning.sentences, language)
            if len(self._known) < _REMEMBERED_LABELS:
                self._known[label] = known
        return known


def _signal(signal: str, reading: Reading, sentiment: Sentiment) -> float:
    """Return from 0 to 1 how much the text has of what the label is about.

    "What does error 42 mean?" sounds negative and is a question; "Why do you charge me twice?
    Give it back!" asks and is a complaint; "It would be nice if..." sounds positive and is a wish.
    """
    asked = asked_share(reading)
    wished = wishes(reading)
    if signal == "wish":
        return float(wished)
    if signal == "question":
        return asked * (1.0 - _JUDGED_QUESTION * max(sentiment.positive, sentiment.negative))
    if signal == "neutral":
        return sentiment.neutral
    return sentiment.probability(signal) * (1.0 - _ASKED_JUDGEMENT * max(asked, wished))

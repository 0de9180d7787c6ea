"""Summaries made of the text's own sentences, and its topics as its own words.

A sentence is central when it lies near the whole text and near its other sentences
(Radev et al. 2004, centroid-based summarization); openings count a little more, greetings
and closings less. Nothing is rephrased: what comes out stands in the text.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from eventstream.llm.local.reading import Reader, Reading
from eventstream.llm.local.words import is_function_word, sentences_of, words_of

_MOST_SENTENCES = 64
_LEAD = 0.08
_OVERLAP = 0.5
_CONTENT = 0.03
_FULL = 15
_SHORT_WORDS = 6
_SHORT = 0.25
_COURTESY = frozenset(
    {"hello", "hi", "dear", "regards", "thanks", "sincerely", "hola", "estimado", "estimada"}
    | {"estimados", "saludos", "saludo", "atentamente", "cordialmente", "gracias"}
)
_STEM_LENGTH = 5
_SHORTEST_TOPIC = 3


class Summarizer:
    """Picks sentences."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def summarize(self, reading: Reading, sentence_count: int | None = None) -> str:
        """Return the most central sentences in the text's order, joined by spaces.

        Without a number: one of up to four sentences, two of up to ten, else three.
        """
        sentences = _spread(sentences_of(reading.text))
        if len(sentences) < 2:
            return " ".join(sentences) or reading.text.strip()
        wanted = sentence_count or _fitting(len(sentences))
        scores = self._scores(sentences, reading)
        best = sorted(sorted(range(len(sentences)), key=lambda n: (-scores[n], n))[:wanted])
        return " ".join(sentences[n] for n in best)

    def _scores(self, sentences: Sequence[str], reading: Reading) -> list[float]:
        vectors = self._reader.vectors(sentences, reading.language)
        near = vectors @ reading.vector + (vectors @ vectors.T).mean(axis=1)
        stems = [content_stems(words_of(sentence)) for sentence in sentences]
        counts = Counter(stem for part in stems for stem in part)
        scores: list[float] = []
        for place, part in enumerate(stems):
            shared = sum(counts[stem] > 1 for stem in part) / (len(part) + 3)
            score = float(near[place]) + _OVERLAP * shared
            score += _LEAD * (1 - place / len(sentences)) + _CONTENT * min(len(part), _FULL)
            words = words_of(sentences[place])
            if len(words) < _SHORT_WORDS or _COURTESY & set(words[:2]):
                score -= _SHORT
            scores.append(score)
        return scores


def topics_of(reading: Reading, judgements: frozenset[str], count: int) -> list[str]:
    """Return up to `count` words that the text is about, most frequent first.

    Function words, numbers and words of judgement are no topics.
    """
    counts: Counter[str] = Counter()
    spelled: dict[str, str] = {}
    for word in _surface_words(reading.text):
        folded = words_of(word)
        if len(folded) != 1 or not _is_topic(folded[0], judgements):
            continue
        stem = folded[0][:_STEM_LENGTH]
        spelled.setdefault(stem, word.lower())
        counts[stem] += 1
    order = list(spelled)
    ranked = sorted(order, key=lambda stem: (-counts[stem], -len(spelled[stem]), order.index(stem)))
    return [spelled[stem] for stem in ranked[:count]]


def content_stems(words: Sequence[str]) -> frozenset[str]:
    """Return the first letters of the words that carry content: enough to see them again."""
    return frozenset(word[:_STEM_LENGTH] for word in words if not is_function_word(word))


def _surface_words(text: str) -> list[str]:
    return [word.strip(".,;:!?…()[]\"'«»“”¿¡") for word in text.split()]


def _is_topic(word: str, judgements: frozenset[str]) -> bool:
    return (
        len(word) >= _SHORTEST_TOPIC
        and word.isalpha()
        and not is_function_word(word)
        and word not in judgements
    )


def _fitting(sentence_count: int) -> int:
    return 1 if sentence_count <= 4 else 2 if sentence_count <= 10 else 3


def _spread(sentences: list[str]) -> list[str]:
    """Return at most _MOST_SENTENCES of them, evenly spread, so that a book stays affordable."""
    if len(sentences) <= _MOST_SENTENCES:
        return sentences
    places = np.linspace(0, len(sentences) - 1, _MOST_SENTENCES).astype(int)
    return [sentences[n] for n in dict.fromkeys(places.tolist())]

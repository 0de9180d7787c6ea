"""The general analysis: what can be said about any text without being asked anything.

Language, sentiment, topics, length and the most central sentence, as plain lines in the
text's own language (English for texts of undetermined language).
"""

from dataclasses import dataclass

from eventstream.llm.local.reading import Reading
from eventstream.llm.local.sentiment import Sentiment, SentimentJudge
from eventstream.llm.local.summary import Summarizer, topics_of
from eventstream.llm.local.words import SPANISH, sentences_of

_TOPIC_COUNT = 5

_ENGLISH = {
    "language": "Language",
    "sentiment": "Sentiment",
    "topics": "Topics",
    "length": "Length",
    "summary": "Summary",
    "en": "English",
    "es": "Spanish",
    "und": "undetermined",
    "positive": "positive",
    "negative": "negative",
    "neutral": "neutral",
}
_SPANISH = {
    "language": "Idioma",
    "sentiment": "Sentimiento",
    "topics": "Temas",
    "length": "Longitud",
    "summary": "Resumen",
    "en": "inglés",
    "es": "español",
    "und": "indeterminado",
    "positive": "positivo",
    "negative": "negativo",
    "neutral": "neutro",
}


@dataclass(frozen=True)
class Analysis:
    """The parts of a general analysis. `language` is "en", "es" or "und"."""

    language: str
    sentiment: Sentiment
    topics: tuple[str, ...]
    sentence_count: int
    word_count: int
    summary: str

    def as_text(self) -> str:
        """Return one line a part, in Spanish for Spanish texts and else in English."""
        spanish = self.language == SPANISH
        say = _SPANISH if spanish else _ENGLISH
        topics = ", ".join(self.topics) or "-"
        sentences = _counted(self.sentence_count, "frase" if spanish else "sentence")
        words = _counted(self.word_count, "palabra" if spanish else "word")
        return "\n".join(
            [
                f"{say['language']}: {say[self.language]}",
                f"{say['sentiment']}: {say[self.sentiment.label]} "
                f"({self.sentiment.confidence:.2f})",
                f"{say['topics']}: {topics}",
                f"{say['length']}: {sentences}, {words}",
                f"{say['summary']}: {self.summary}",
            ]
        )


class Analyst:
    """Makes analyses out of the other parts' answers."""

    def __init__(self, judge: SentimentJudge, summarizer: Summarizer) -> None:
        self._judge = judge
        self._summarizer = summarizer

    def analyse(self, reading: Reading) -> Analysis:
        return Analysis(
            language=reading.language,
            sentiment=self._judge.judge(reading),
            topics=tuple(self.topics(reading)),
            sentence_count=len(sentences_of(reading.text)),
            word_count=len(reading.words),
            summary=self._summarizer.summarize(reading, sentence_count=1),
        )

    def topics(self, reading: Reading) -> list[str]:
        """Return up to five words that the text is about."""
        return topics_of(reading, self._judge.judgements(reading), _TOPIC_COUNT)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

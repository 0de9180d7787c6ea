"""The local model: every task answered on this machine, without a key, by name `local/...`.

A small English sentence encoder and our own lexicons stand behind it. It reads and
chooses, it does not write: summaries and answers are sentences of the text. What it can't do
it refuses (`LocalModelCannot`). How well it does is measured in docs/local-model.md.

Pure and synchronous: the same request gives the same answer, nothing waits, no
environment is read. Load it before the fork; answering takes 10 to 100 ms of CPU.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eventstream.llm.local.classify import Classifier
from eventstream.llm.local.general import Analyst
from eventstream.llm.local.minilm import SentenceEncoder
from eventstream.llm.local.questions import Answerer, split_question
from eventstream.llm.local.reading import Reader, Reading
from eventstream.llm.local.schema import SchemaFiller, SchemaTask
from eventstream.llm.local.sentiment import SentimentJudge
from eventstream.llm.local.summary import Summarizer
from eventstream.llm.local.tensors import FloatArray
from eventstream.llm.local.threads import limit_blas_threads

DEFAULT_LABELS = ("praise", "complaint", "question", "suggestion", "other")
"""What `classification` chooses among when a stream names no labels."""


@dataclass(frozen=True)
class LocalRequest:
    """One text to answer.

    `task_type` is one of the documented five; any other is a classification when there are
    labels and else a general analysis. `instructions` are a stream's prompt: this model
    can't follow them and does not read them.
    """

    task_type: str
    text: str
    labels: tuple[str, ...] = ()
    instructions: str = ""
    question: str | None = None
    output_schema: Mapping[str, object] | None = None


@dataclass(frozen=True)
class LocalAnswer:
    """The answer, and word-piece counts of the text (with its question) and of the answer."""

    response: str
    prompt_tokens: int
    completion_tokens: int


class LocalModel:
    """Answers and embeds. Make it with `load`."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder
        self._reader = Reader(encoder)
        self._judge = SentimentJudge(self._reader)
        self._classifier = Classifier(self._reader, self._judge)
        self._summarizer = Summarizer(self._reader)
        self._answerer = Answerer(self._reader)
        self._analyst = Analyst(self._judge, self._summarizer)
        self._schemas = SchemaFiller(self._classifier, self._analyst)

    @classmethod
    def load(cls, model_dir: Path | None) -> "LocalModel":
        """Return the model of a folder, or of the installed package when it is None.

        Matrix products of this process use one thread from then on. Raises
        LocalModelMissing or LocalModelUnsupported, with what to do about it.
        """
        limit_blas_threads(1)
        return cls(SentenceEncoder.load(model_dir))

    @property
    def name(self) -> str:
        """The name that answers carry, for instance local/all-MiniLM-L6-v2."""
        return f"local/{self._encoder.name}"

    @property
    def embedding_name(self) -> str:
        """The name that vectors are kept under: vectors of different names don't compare."""
        return self.name

    @property
    def dimension(self) -> int:
        return self._encoder.dimension

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Return a (texts, dimension) float32 array of unit rows."""
        return self._encoder.embed(texts)

    def count_tokens(self, text: str) -> int:
        """Return the number of the encoder's word pieces in the whole text."""
        return self._encoder.count_tokens(text)

    def answer(self, request: LocalRequest) -> LocalAnswer:
        """Return the answer to one request; raises LocalModelCannot where there is none.

        Sentiment and classification answer with the label alone, written as the stream wrote
        it; the other tasks with sentences. With an output schema the answer is JSON.
        """
        reading = self._reader.read(request.text)
        if request.output_schema is None:
            response = self._prose(request, reading)
        else:
            task = SchemaTask(reading, request.labels, lambda: self._prose(request, reading))
            filled = self._schemas.fill(request.output_schema, task)
            response = json.dumps(filled, ensure_ascii=False)
        asked = self.count_tokens(request.question) if request.question else 0
        return LocalAnswer(
            response=response,
            prompt_tokens=self.count_tokens(request.text) + asked,
            completion_tokens=self.count_tokens(response),
        )

    def _prose(self, request: LocalRequest, reading: Reading) -> str:
        match request.task_type:
            case "sentiment_analysis" | "sentiment":
                if request.labels:
                    return self._classifier.classify(reading, request.labels).label
                return self._judge.judge(reading).label
            case "classification":
                return self._classifier.classify(reading, request.labels or DEFAULT_LABELS).label
            case "summarization":
                return self._summarizer.summarize(reading)
            case "question_answering":
                return self._answerer.answer(split_question(request.text, request.question))
            case _ if request.labels:
                return self._classifier.classify(reading, request.labels).label
            case _:
                return self._analyst.analyse(reading).as_text()

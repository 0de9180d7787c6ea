"""Answers to questions about a text: the sentence of it that says it.

The question is handed in, or marked in the text ("Question: ...", "Pregunta: ..."), or the last
sentence that ends in a question mark. What the text doesn't say, this model doesn't
know: it then says so instead of making something up.
"""

import re
from dataclasses import dataclass

import numpy as np

from eventstream.llm.local.reading import Reader
from eventstream.llm.local.summary import content_stems
from eventstream.llm.local.words import (
    SPANISH,
    detect_language,
    fold,
    sentences_of,
    words_of,
)

NO_ANSWER = "The text does not contain an answer to the question."
NO_ANSWER_SPANISH = "El texto no contiene una respuesta a la pregunta."

_MARK = re.compile(r"(?:^|(?<=\s))(?:question|pregunta|q|p)\s*:\s*", re.I)
_CONTEXT_MARK = re.compile(r"^\s*(?:context|contexto|text|texto)\s*:\s*", re.I)
_ANSWER_MARK = re.compile(r"\b(?:answer|respuesta) ?:$", re.I)

_NUMBER = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|forty|fifty|hundred"
    r"|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|doce|veinte|treinta|cuarenta|cincuenta|cien)\b"
)
_NAME = re.compile(
    r"(?<=[a-záéíóúñ,] )[A-ZÁÉÍÓÚÑ][a-záéíóúñ]+|^[A-ZÁÉÍÓÚÑ][a-záéíóúñ]+ [a-záéíóúñ]+s\b"
)
_SPECIFIC = re.compile(r"(?<=\w )[A-ZÁÉÍÓÚÑ]\w+|\w*\d\w*")
_REASON = re.compile(r"\b(?:because|since|due|so that|after|porque|debido|por culpa|ya que|tras)\b")
_PLACE = re.compile(r"\b(?:in|at|on|behind|near|next to|by|en|junto|detras|cerca|al lado)\b")
_EXPECTED = (
    (re.compile(r"\b(?:when|how (?:many|much|long|often)|what time|how far|how old)\b"), _NUMBER),
    (re.compile(r"\b(?:cuando|cuant[oa]s?|a que hora)\b"), _NUMBER),
    (re.compile(r"\b(?:who|whom|whose|quien|quienes)\b"), _NAME),
    (re.compile(r"\bwhy\b|\bpor que\b"), _REASON),
    (re.compile(r"\b(?:where|donde)\b"), _PLACE),
)

_MEANING = 1.0
_SHARED_WORDS = 1.0
_EXPECTED_KIND = 0.25
_ENOUGH = 0.35
_MOST_SENTENCES = 200


@dataclass(frozen=True)
class AskedText:
    """A question and the text that may answer it; an empty question when none was found."""

    question: str
    context: str


def split_question(text: str, question: str | None) -> AskedText:
    """Return question and context, as the module's first lines say."""
    body = _ANSWER_MARK.sub("", text.strip())
    if question and question.strip():
        return AskedText(question.strip(), _CONTEXT_MARK.sub("", body).strip())
    marks = list(_MARK.finditer(body))
    if marks:
        asked, *rest = body[marks[-1].end() :].strip().split("\n", 1)
        before = body[: marks[-1].start()]
        context = _CONTEXT_MARK.sub("", "\n".join([before, *rest]).strip())
        return AskedText(asked.strip(), context.strip())
    sentences = sentences_of(body)
    for place in range(len(sentences) - 1, -1, -1):
        if sentences[place].rstrip("\"'»”)").endswith("?"):
            others = sentences[:place] + sentences[place + 1 :]
            return AskedText(sentences[place], _CONTEXT_MARK.sub("", " ".join(others)))
    return AskedText("", body.strip())


class Answerer:
    """Finds the sentence that answers."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def answer(self, asked: AskedText) -> str:
        """Return a sentence of the context, or the sentence that says there is none."""
        language = detect_language(asked.question, words_of(asked.question))
        none = NO_ANSWER_SPANISH if language == SPANISH else NO_ANSWER
        sentences = sentences_of(asked.context)[:_MOST_SENTENCES]
        if not sentences or not asked.question:
            return none
        same = detect_language(asked.context, words_of(asked.context))
        vectors = self._reader.vectors(sentences, same)
        near = vectors @ self._reader.vectors([asked.question], language)[0]
        wanted = _wanted_stems(asked.question)
        scores = [
            _MEANING * float(near[place])
            + _SHARED_WORDS * _shared(wanted, sentence)
            + _EXPECTED_KIND * _is_expected_kind(asked.question, sentence)
            for place, sentence in enumerate(sentences)
        ]
        best = int(np.argmax(scores))
        return sentences[best] if scores[best] >= _ENOUGH else none


def _wanted_stems(question: str) -> dict[str, float]:
    """Return the question's content words by weight: names and numbers count twice."""
    named = content_stems(words_of(" ".join(_SPECIFIC.findall(question))))
    stems = content_stems(words_of(question))
    return {stem: 2.0 if stem in named else 1.0 for stem in stems}


def _shared(wanted: dict[str, float], sentence: str) -> float:
    """Return the share of the question's content that the sentence has too, from 0 to 1."""
    stems = content_stems(words_of(sentence))
    found = sum(weight for stem, weight in wanted.items() if stem in stems)
    return found / (sum(wanted.values()) or 1.0)


def _is_expected_kind(question: str, sentence: str) -> bool:
    """Return whether the sentence has what the question's word asks for: a number, a name..."""
    asked = fold(question)
    for word, kind in _EXPECTED:
        if word.search(asked):
            return kind.search(sentence if kind is _NAME else fold(sentence)) is not None
    return False

"""How well the local model does, on labelled texts: `python -m eventstream.llm.local.measure DIR`.

DIR holds JSON lines, a file a task and language: `sentiment_en.jsonl`, `classification_es.jsonl`...
and the same with `held_out_` before it, which were not looked at while the model was tuned.
Prints a table of the share that is right: the same texts and weights give the same table.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from eventstream.llm.local.errors import LocalModelError
from eventstream.llm.local.model import LocalModel, LocalRequest

INTENTS = ("praise", "complaint", "question")
TOPICS = ("billing", "shipping", "technical", "account")
LANGUAGES = ("en", "es")

Row = Mapping[str, object]


@dataclass(frozen=True)
class Score:
    """How many of the texts of one file got the right answer; `share` needs at least one text."""

    right: int
    total: int

    @property
    def share(self) -> float:
        return self.right / self.total


@dataclass(frozen=True)
class Measure:
    """What is asked of the texts of one kind of file, and when the answer is right."""

    name: str
    file: str
    is_right: Callable[[LocalModel, Row], bool]


def _answer(model: LocalModel, task_type: str, row: Row, labels: tuple[str, ...] = ()) -> str:
    return model.answer(LocalRequest(task_type, str(row["text"]), labels)).response


def _contains_one(answer: str, expected: object) -> bool:
    wanted = expected if isinstance(expected, list) else [expected]
    return any(str(part) in answer for part in wanted)


def _sentiment_is_right(model: LocalModel, row: Row) -> bool:
    return _answer(model, "sentiment_analysis", row) == row["label"]


MEASURES = (
    Measure("sentiment", "sentiment", _sentiment_is_right),
    Measure("sentiment, elsewhere", "sentiment_elsewhere", _sentiment_is_right),
    Measure(
        "intent of 3",
        "classification",
        lambda model, row: _answer(model, "classification", row, INTENTS) == row["intent"],
    ),
    Measure(
        "topic of 4",
        "classification",
        lambda model, row: _answer(model, "classification", row, TOPICS) == row["topic"],
    ),
    Measure(
        "question answering",
        "question_answering",
        lambda model, row: _contains_one(
            _answer(model, "question_answering", row), row["expected"]
        ),
    ),
    Measure(
        "summarization",
        "summarization",
        lambda model, row: _contains_one(_answer(model, "summarization", row), row["expected"]),
    ),
)


def score(model: LocalModel, folder: Path, measure: Measure, language: str, half: str) -> Score:
    """Return the score on one file; `half` is "" or "held_out_".

    Sentiment elsewhere (fields that the lexicons were not written for) has no tuned
    half: its score is 0 of 0. Raises OSError, ValueError.
    """
    path = folder / f"{half}{measure.file}_{language}.jsonl"
    if not half and measure.file == "sentiment_elsewhere":
        return Score(0, 0)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return Score(sum(measure.is_right(model, row) for row in rows), len(rows))


def table(model: LocalModel, folder: Path) -> Iterator[str]:
    """Yield the lines of the table: tuned and held-out half, per language."""
    yield f"{model.name} on {folder}"
    yield ""
    yield f"{'task':<22}{'language':<10}{'tuned half':>16}{'held-out half':>18}"
    for measure in MEASURES:
        for language in LANGUAGES:
            tuned = score(model, folder, measure, language, "")
            held_out = score(model, folder, measure, language, "held_out_")
            yield f"{measure.name:<22}{language:<10}{_cell(tuned):>16}{_cell(held_out):>18}"


def _cell(result: Score) -> str:
    return f"{result.share:.1%} ({result.right}/{result.total})" if result.total else "-"


def main(arguments: list[str]) -> int:
    """Print the table; returns the exit code (2 when model or texts can't be read)."""
    parser = argparse.ArgumentParser(
        prog="python -m eventstream.llm.local.measure", description=__doc__
    )
    parser.add_argument("folder", type=Path, help="the folder of labelled texts")
    parser.add_argument("--model-dir", type=Path, help="another sentence-transformers folder")
    options = parser.parse_args(arguments)
    try:
        for line in table(LocalModel.load(options.model_dir), options.folder):
            print(line, flush=True)
    except (LocalModelError, OSError, ValueError, KeyError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

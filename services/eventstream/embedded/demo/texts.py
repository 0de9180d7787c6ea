"""The texts of the demonstration: reviews and tickets in Spanish and English.

They were written for this project. Like a real stream they repeat themselves: tickets sent
twice, templates with another number in them, corrected typos, added greetings. `like` names
the text that one was made from; the look-alikes with another meaning have it too.
"""

import json
import random
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from eventstream.embedded.errors import StackError

FILES = ("reviews.jsonl", "tickets.jsonl")
EVERY_NTH_THROUGH_HTTP = 5
ORDER_SEED = 20  # any fixed number: the same order in every run


@dataclass(frozen=True)
class DemoText:
    """One text of the files."""

    key: str
    text: str
    lang: Literal["es", "en"]
    like: str | None


@dataclass(frozen=True)
class DemoEvent:
    """One event to send: which text, under which id, through what."""

    event_id: str
    text: DemoText
    via: Literal["kafka", "http"]


def load_texts() -> list[DemoText]:
    """All texts, file by file."""
    folder = files("eventstream.embedded.demo")
    texts = []
    for name in FILES:
        for line in folder.joinpath(name).read_text("utf-8").splitlines():
            row = json.loads(line)
            texts.append(DemoText(row["key"], row["text"], row["lang"], row.get("like")))
    return texts


def make_events(texts: list[DemoText], run: str, *, with_kafka: bool) -> list[DemoEvent]:
    """The texts as events in a fixed, mixed order; `run` makes their ids new in every run."""
    order = list(texts)
    random.Random(ORDER_SEED).shuffle(order)
    return [
        DemoEvent(
            event_id=f"{run}-{text.key}",
            text=text,
            via="kafka" if with_kafka and index % EVERY_NTH_THROUGH_HTTP else "http",
        )
        for index, text in enumerate(order)
    ]


def demo_stream_file() -> Path:
    """Where the demonstration's stream is described: k8s/examples/reviews.yaml.

    Raises StackError when the package was installed without the repository.
    """
    path = Path(__file__).parents[4] / "k8s" / "examples" / "reviews.yaml"
    if not path.is_file():
        raise StackError(
            "--demo runs the stream of k8s/examples/reviews.yaml, which is not part of an "
            "installed package. Run it from a clone of the repository: scripts/up --demo"
        )
    return path

"""The panel: what listens where, what is kept, and never a password."""

import io
import re
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from eventstream.embedded.panel import make_panel, panel_rows, without_password
from eventstream.embedded.plan import KafkaChoice, Ports, plan_stack
from eventstream.settings import Settings


def rows(
    environment: dict[str, str], kafka: KafkaChoice | None = None, *, vector_search: bool = True
) -> dict[str, tuple[str, str]]:
    plan = plan_stack(environment, ports=Ports(), kafka=kafka)
    merged = {**environment, **plan.service_env}
    settings = Settings(**{name.lower(): value for name, value in merged.items()})  # type: ignore[arg-type]
    listed = panel_rows(
        plan,
        settings,
        ["default", "reviews"],
        Path("/data"),
        Path("/data/env"),
        ".venv/bin/eventstream",
        vector_search=vector_search,
    )
    return {row.what: (row.where, row.note) for row in listed}


def test_it_says_what_listens_where_and_where_the_data_is() -> None:
    shown = rows({})
    assert shown["API"] == ("http://127.0.0.1:8000", "interactive docs: /docs")
    assert shown["Flower"][0] == "http://127.0.0.1:5555"
    assert shown["Redis: cache"] == ("redis://127.0.0.1:6390/0", "with vector search")
    assert shown["Redis: inbox, results"][0] == "redis://127.0.0.1:6391/2"
    assert shown["Metrics"][1] == "api:9100 consumer:9101 worker:9102"
    assert shown["Streams"][0] == "default, reviews"
    assert shown["Data"][0] == "/data"
    assert shown["Other terminal"] == (". /data/env", "then: .venv/bin/eventstream top")


def test_it_says_that_the_demo_broker_keeps_nothing() -> None:
    assert "in memory and end with it" in rows({})["Kafka"][1]
    assert "its log is kept" in rows({}, KafkaChoice.APACHE)["Kafka"][1]


def test_it_says_when_there_is_no_broker() -> None:
    assert rows({}, KafkaChoice.NONE)["Kafka"] == ("none", "events come in through HTTP only")


def test_without_vector_search_it_says_so_and_names_the_way_out() -> None:
    note = rows({}, vector_search=False)["Redis: cache"][1]
    assert "semantic hits are off, exact hits work" in note
    assert "REDIS_URL" in note


def test_a_key_changes_the_model() -> None:
    assert rows({})["Model"][0] == "local"
    assert rows({"OPENAI_API_KEY": "sk-secret"})["Model"][0] == "openai: gpt-4o-mini"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@cache.example:6379/0", "redis://cache.example:6379/0"),
        ("redis://127.0.0.1:6390/0", "redis://127.0.0.1:6390/0"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
        ("rediss://u:p%40ss@host/0?password=again", "rediss://host/0"),
    ],
)
def test_no_password_of_an_address_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_the_panel_fits_a_narrow_terminal() -> None:
    stream = io.StringIO()
    plan = plan_stack({}, ports=Ports())
    listed = panel_rows(
        plan,
        Settings(),
        ["default"],
        Path("/data"),
        Path("/data/env"),
        "eventstream",
        vector_search=False,
    )
    Console(file=stream, width=80).print(make_panel(listed, 80))
    assert all(len(line) <= 80 for line in stream.getvalue().splitlines())


def test_an_address_stands_on_one_line_beside_long_names() -> None:
    stream = io.StringIO()
    ports = Ports(18000, 15555, 16390, 18433, 19092, 19093, 19100)
    plan = plan_stack({}, ports=ports)
    listed = panel_rows(
        plan,
        Settings(**{name.lower(): value for name, value in plan.service_env.items()}),  # type: ignore[arg-type]
        [f"a-rather-long-name-of-a-stream-{number}" for number in range(4)],
        Path("/a/rather/long/folder/that/a/person/keeps/things/in/.eventstream"),
        Path("/a/rather/long/folder/that/a/person/keeps/things/in/.eventstream/env"),
        "/a/rather/long/folder/that/a/person/keeps/things/in/.venv/bin/eventstream",
        vector_search=False,
    )
    Console(file=stream, width=80).print(make_panel(listed, 80))
    shown = stream.getvalue()

    assert all(len(line) <= 80 for line in shown.splitlines())
    for address in ("redis://127.0.0.1:16390/0", "redis://127.0.0.1:18433/2", "127.0.0.1:19092"):
        assert f" {address} " in shown
    # Nothing is cut off: every letter is there, wherever its text was folded.
    told = "AI-EventStream is ready" + "".join(row.what + row.where + row.note for row in listed)
    assert Counter("".join(re.sub("[│╭╮╰╯─]", "", shown).split())) == Counter("".join(told.split()))

"""`eventstream streams`: the registry, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from eventstream.claims import Arrival
from eventstream.cli.common import CONNECT_SECONDS, open_state
from eventstream.inbox import Inbox
from eventstream.registry import Registry
from eventstream.settings import Settings
from eventstream.spec import StreamSpec, Task
from eventstream.stream_files import read_stream_file
from tests.integration.cli.command_line import run_meanwhile as run
from tests.support.events import an_event
from tests.support.redis_server import RedisServer

REVIEWS = """
apiVersion: ai-eventstream.io/v1alpha1
kind: EventStream
metadata: {name: reviews}
spec:
  source: {topic: reviews.raw}
  task: {type: classification, labels: [praise, complaint]}
  limits: {budget: {usd: 20}}
"""


async def test_a_file_becomes_a_stream(
    env: dict[str, str], registry: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "reviews.yaml"
    file.write_text(REVIEWS)

    ended = await run("streams", "apply", "-f", str(file), env=env)

    assert (ended.code, ended.out) == (0, "reviews created\n")
    spec = await registry.get("reviews")
    assert spec is not None
    assert spec.task.labels == ("praise", "complaint")


async def test_applying_again_says_what_changed(env: dict[str, str]) -> None:
    await run("streams", "apply", "-f", "-", stdin=REVIEWS, env=env)

    again = await run("streams", "apply", "-f", "-", stdin=REVIEWS, env=env)
    changed = await run(
        "streams", "apply", "-f", "-", "--json", stdin=REVIEWS.replace("20", "30"), env=env
    )

    assert again.out == "reviews unchanged\n"
    assert changed.json == {"reviews": "changed"}


async def test_one_bad_document_keeps_the_whole_file_out(
    env: dict[str, str], registry: Registry
) -> None:
    two = REVIEWS + "---" + REVIEWS.replace("reviews", "tickets").replace("20", "minus one")

    ended = await run("streams", "apply", "-f", "-", stdin=two, env=env)

    assert ended.code == 2
    assert "limits.budget.usd" in ended.err
    assert await registry.all() == {}


async def test_two_streams_may_not_take_each_others_records(
    env: dict[str, str], registry: Registry
) -> None:
    same_group = REVIEWS.replace("reviews.raw}", "reviews.raw, consumerGroup: readers}")
    await run("streams", "apply", "-f", "-", stdin=same_group, env=env)
    copy = same_group.replace("name: reviews", "name: copy")

    ended = await run("streams", "apply", "-f", "-", stdin=copy, env=env)

    assert ended.code == 2
    assert "copy: source.consumerGroup: 'reviews' reads the same topic" in ended.err
    assert (await registry.all()).keys() == {"reviews"}
    other_group = copy.replace("readers", "more-readers")
    assert (await run("streams", "apply", "-f", "-", stdin=other_group, env=env)).code == 0


async def test_streams_whose_records_come_back_to_them_are_told_so(env: dict[str, str]) -> None:
    one = REVIEWS.replace("reviews.raw}", "raw}\n  sink: {topic: scored}")
    back = REVIEWS.replace("name: reviews", "name: second").replace(
        "reviews.raw}", "scored}\n  deadLetter: {topic: raw}"
    )

    chain = await run("streams", "apply", "-f", "-", stdin=one, env=env)
    ring = await run("streams", "apply", "-f", "-", stdin=f"{one}---{back}", env=env)

    assert (chain.code, chain.err) == (0, "")
    assert (ring.code, ring.out) == (0, "reviews unchanged\nsecond created\n")
    assert ring.err == (
        "eventstream: warning: what 'reviews' writes comes back to it (reviews -> second ->"
        " reviews), so a record may be read for ever: give one of them another sink or deadLetter"
        " topic\n"
    )


async def test_a_file_that_is_not_there_is_named(env: dict[str, str]) -> None:
    ended = await run("streams", "apply", "-f", "nowhere.yaml", env=env)

    assert ended.code == 2
    assert ended.err == (
        "eventstream: nowhere.yaml: can't be read: No such file or directory."
        " Name a readable file, or - for stdin\n"
    )


async def test_what_show_prints_can_be_applied(env: dict[str, str], registry: Registry) -> None:
    await run("streams", "apply", "-f", "-", stdin=REVIEWS, env=env)

    shown = await run("streams", "show", "reviews", env=env)

    assert read_stream_file(shown.out, "stdout") == {"reviews": await registry.get("reviews")}


async def test_show_as_json_is_the_same_document(env: dict[str, str], registry: Registry) -> None:
    await registry.write({"notes": StreamSpec()})

    shown = await run("streams", "show", "notes", "--json", env=env)

    assert shown.json == {
        "apiVersion": "ai-eventstream.io/v1alpha1",
        "kind": "EventStream",
        "metadata": {"name": "notes"},
        "spec": {},
    }


async def test_the_list_names_every_stream(env: dict[str, str], registry: Registry) -> None:
    await registry.write(
        {"notes": StreamSpec(), "reviews": read_stream_file(REVIEWS, "")["reviews"]}
    )

    listed = await run("streams", env=env)

    notes, reviews = listed.out.splitlines()[3:5]
    assert notes.split() == [
        *("notes", "general_analysis", "by", "settings", "guarded", "HTTP", "only", "-", "-")
    ]
    assert reviews.split()[-4:] == ["-", "$20", "a", "day"]
    assert "reviews.raw" in reviews


async def test_the_list_as_json_is_name_to_spec(env: dict[str, str], registry: Registry) -> None:
    await registry.write({"notes": StreamSpec(task=Task(type="summarization"))})

    listed = await run("streams", "list", "--json", env=env)

    assert listed.json["notes"]["task"]["type"] == "summarization"


async def test_no_stream_yet_is_said_with_the_way_out(env: dict[str, str]) -> None:
    listed = await run("streams", env=env)

    assert (listed.code, listed.out) == (0, "")
    assert "eventstream streams apply -f FILE" in listed.err


async def test_a_name_that_is_not_there_ends_with_1(
    env: dict[str, str], registry: Registry
) -> None:
    await registry.write({"notes": StreamSpec()})

    for command in ("show", "delete"):
        ended = await run("streams", command, "note", env=env)

        assert ended.code == 1
        assert ended.err == "eventstream: there is no stream 'note'; there are: notes\n"


async def test_deleting_a_stream(env: dict[str, str], registry: Registry) -> None:
    await registry.write({"notes": StreamSpec()})

    ended = await run("streams", "delete", "notes", env=env)

    assert (ended.code, ended.out) == (0, "notes deleted\n")
    assert await registry.all() == {}


async def test_the_default_stream_is_deleted_only_on_purpose_and_comes_back_as_it_was(
    env: dict[str, str], registry: Registry
) -> None:
    await registry.ensure_default(Settings())
    before = await registry.get("default")

    refused = await run("streams", "delete", "default", env=env)
    kept = await run("streams", "show", "default", env=env)
    meant = await run("streams", "delete", "default", "--yes", env=env)
    await registry.ensure_default(Settings())  # As every service does at its start.
    gone = await registry.get("default")
    await run("streams", "apply", "-f", "-", stdin=kept.out, env=env)

    assert refused.code == 2
    assert "no restart brings it back" in refused.err
    assert "streams apply -f default.yaml" in refused.err
    assert (meant.code, meant.out, gone) == (0, "default deleted\n", None)
    assert await registry.get("default") == before


async def test_a_stream_with_waiting_events_is_deleted_only_on_purpose(
    env: dict[str, str], registry: Registry, inbox: Inbox
) -> None:
    await registry.write({"notes": StreamSpec()})
    await inbox.accept([Arrival(an_event("a", stream="notes"))])

    refused = await run("streams", "delete", "notes", env=env)
    assert refused.code == 2
    assert "1 unfinished events" in refused.err
    assert "--yes" in refused.err

    meant = await run("streams", "delete", "notes", "--yes", env=env)
    assert meant.code == 0


async def test_without_redis_the_command_ends_with_3_and_says_where_it_looked() -> None:
    ended = await run("streams", env={"REDIS_URL": "redis://127.0.0.1:1/0"})

    assert ended.code == 3
    assert ended.err.startswith("eventstream: Redis can't be reached while reading streams (")
    assert "127.0.0.1:1" in ended.err
    assert ended.err.endswith("REDIS_URL, or CELERY_RESULT_BACKEND where it is set, names it\n")


async def test_a_redis_that_wants_a_password_is_not_called_unreachable(
    tmp_path: Path,
) -> None:
    with RedisServer(tmp_path, search=False) as server:
        client = redis.Redis.from_url(server.url(0))
        client.config_set("requirepass", "right-one")  # this connection stays as it is
        try:
            without = await run("streams", env={"REDIS_URL": server.url(0)})
            address = server.url(0).replace("//", "//:wrong-one@")
            wrong = await run("streams", env={"REDIS_URL": address})
        finally:
            client.config_set("requirepass", "")
            client.close()

    for ended in (without, wrong):
        assert ended.code == 3
        assert "Redis wants another user or password" in ended.err
        assert "wrong-one" not in ended.err


async def test_a_wrong_setting_ends_with_2_and_never_shows_its_value() -> None:
    ended = await run("streams", env={"REDIS_URL": "mysql://secret@host"})

    assert ended.code == 2
    assert ended.err.startswith("eventstream: REDIS_URL: must begin with redis://")
    assert "secret" not in ended.err


@pytest.mark.parametrize(("command_seconds", "connect_seconds"), [(0.3, CONNECT_SECONDS), (20, 20)])
async def test_a_connection_has_longer_than_a_command(
    cache_url: str, command_seconds: float, connect_seconds: float
) -> None:
    """A packet that is lost on the way is sent again after a second, then three, then seven."""
    settings = Settings(redis_url=cache_url, redis_timeout_seconds=command_seconds)

    async with open_state(settings) as state:
        waits = state.redis.connection_pool.connection_kwargs

        assert waits["socket_connect_timeout"] == connect_seconds > 1 + 3 + 7
        assert waits["socket_timeout"] == command_seconds

"""`eventstream streams`: which streams exist, read from and written to the registry.

It writes the same documents that `kubectl apply` takes. It starts and stops nothing: running
services see a change within seconds.
"""

from __future__ import annotations

import click
import yaml

from eventstream.cli.common import (
    Negative,
    a_table,
    json_option,
    open_state,
    print_json,
    read_text,
    run,
    say,
    stdout_console,
)
from eventstream.consumer_groups import group_sharers
from eventstream.errors import ConfigurationError
from eventstream.keys import DEFAULT_STREAM, queues_of
from eventstream.settings import Settings, load_settings
from eventstream.spec import API_VERSION, KIND, StreamSpec
from eventstream.stream_files import read_stream_file
from eventstream.topic_rings import way_back


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def streams(context: click.Context, as_json: bool) -> None:
    """List, show, add and delete streams. Without a command: list.

    \b
    Examples:
      eventstream streams
      eventstream streams apply -f k8s/examples/reviews.yaml
      eventstream streams show reviews > reviews.yaml
      eventstream streams delete reviews
    """
    if context.invoked_subcommand is None:
        run(_list(load_settings(), as_json))


@streams.command("list")
@json_option
def list_streams(as_json: bool) -> None:
    """List the streams that exist.

    With --json: one object {name: spec}.
    """
    run(_list(load_settings(), as_json))


@streams.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a stream as the document that `apply` takes. Ends with 1 where there is none."""
    spec = run(_get(load_settings(), name))
    if as_json:
        print_json(document(name, spec))
    else:
        click.echo(yaml.safe_dump(document(name, spec), sort_keys=False, allow_unicode=True))


@streams.command()
@click.option(
    "-f", "--file", "path", required=True, metavar="FILE", help="YAML of streams; - reads stdin."
)
@json_option
def apply(path: str, as_json: bool) -> None:
    """Create or change the streams of a file.

    The file holds one or more EventStream documents. All of them are checked before the first is
    written.
    """
    outcome = run(_apply(load_settings(), read_stream_file(read_text(path), path)))
    if as_json:
        print_json(outcome)
        return
    for name, what in outcome.items():
        click.echo(f"{name} {what}")


@streams.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Delete although events wait (they fail), or `default`.")
def delete(name: str, yes: bool) -> None:
    """Delete a stream.

    Events of it that are not finished yet fail with the reason `stream_deleted`. Answers already
    given stay; topics and cached answers do too, unless the stream's `onDelete` says otherwise.
    `default` does not come back by itself: `streams apply` makes it anew.
    """
    run(_delete(load_settings(), name, yes))
    click.echo(f"{name} deleted")


def document(name: str, spec: StreamSpec) -> dict[str, object]:
    """A stream as an EventStream document: what differs from the defaults, camel case."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }


async def _list(settings: Settings, as_json: bool) -> None:
    async with open_state(settings) as state:
        known = dict(sorted((await state.registry.all()).items()))
    if as_json:
        print_json(
            {
                name: spec.model_dump(mode="json", by_alias=True, exclude_none=True)
                for name, spec in known.items()
            }
        )
        return
    if not known:
        say("there is no stream yet: `eventstream streams apply -f FILE` makes one")
        return
    table = a_table("STREAM", "TASK", "MODEL", "CACHE", "SOURCE", "SINK", "BUDGET")
    for name, spec in known.items():
        table.add_row(
            name,
            spec.task.type,
            "/".join(filter(None, (spec.model.provider, spec.model.name))) or "by settings",
            spec.cache.policy if spec.cache.enabled else "off",
            spec.source.topic if spec.source else "HTTP only",
            spec.sink.topic if spec.sink else "-",
            f"${spec.limits.budget.usd:g} a day" if spec.limits.budget else "-",
        )
    stdout_console().print(table)


async def _get(settings: Settings, name: str) -> StreamSpec:
    async with open_state(settings) as state:
        known = await state.registry.all()
    if name not in known:
        raise _no_such_stream(name, list(known))
    return known[name]


async def _apply(settings: Settings, wanted: dict[str, StreamSpec]) -> dict[str, str]:
    async with open_state(settings) as state:
        registry = state.registry
        before = await registry.all()
        _refuse_shared_groups(before | wanted, set(wanted))
        _warn_of_rings(before | wanted, set(wanted))
        await registry.write(wanted)
    return {
        name: "created"
        if name not in before
        else "unchanged"
        if before[name] == spec
        else "changed"
        for name, spec in wanted.items()
    }


def _refuse_shared_groups(specs: dict[str, StreamSpec], wanted: set[str]) -> None:
    sharers = group_sharers(specs)
    for name in sorted(wanted & sharers.keys()):
        others = ", ".join(repr(other) for other in sharers[name])
        raise ConfigurationError(
            f"{name}: source.consumerGroup",
            f"{others} reads the same topic in the same group"
            f" {specs[name].consumer_group(name)!r}, so each record would go to one of them only",
            "Give each stream a consumerGroup of its own, or delete the other one first",
        )


def _warn_of_rings(specs: dict[str, StreamSpec], wanted: set[str]) -> None:
    said: set[str] = set()
    for name in sorted(wanted):
        way = way_back(specs, name)
        if way and name not in said:
            said.update(way)
            # No error: of two streams that change places one has to be applied first.
            say(
                f"warning: what {name!r} writes comes back to it ({' -> '.join(way)}), so a record"
                " may be read for ever: give one of them another sink or deadLetter topic"
            )


async def _delete(settings: Settings, name: str, yes: bool) -> None:
    async with open_state(settings) as state:
        known = await state.registry.all()
        if name not in known:
            raise _no_such_stream(name, list(known))
        if name == DEFAULT_STREAM and not yes:
            raise ConfigurationError(
                name,
                "is where texts go that name no stream, and no restart brings it back",
                "Keep it with `eventstream streams show default > default.yaml` (`eventstream"
                " streams apply -f default.yaml` makes it anew), and add --yes",
            )
        depths = await state.inbox.depth(queues_of(name))
        unfinished = sum(depth.unfinished for depth in depths.values())
        if unfinished and not yes:
            raise ConfigurationError(
                name,
                f"has {unfinished} unfinished events, which would fail with stream_deleted",
                "Wait until they are answered, or add --yes",
            )
        await state.registry.delete(name)


def _no_such_stream(name: str, known: list[str]) -> Negative:
    there = ", ".join(sorted(known)) or "none yet"
    return Negative(f"there is no stream {name!r}; there are: {there}")

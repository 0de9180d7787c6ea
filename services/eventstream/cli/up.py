"""`eventstream up`: everything on this machine, with one command.

Reads the command line and the environment, checks everything that can be checked before
anything starts, and hands over to the embedded stack.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from eventstream.api.access import Doorkeeper
from eventstream.cli import EXIT_NEGATIVE, EXIT_UNREACHABLE, EXIT_USAGE, Service
from eventstream.cli.common import read_text
from eventstream.embedded.demo.run import run_demo
from eventstream.embedded.demo.texts import demo_stream_file
from eventstream.embedded.errors import StackError
from eventstream.embedded.folder import DEFAULT_FOLDER, DataFolder, locked
from eventstream.embedded.output import LogPrinter, make_console
from eventstream.embedded.panel import make_panel, panel_rows
from eventstream.embedded.plan import KafkaChoice, Ports, StackPlan, plan_stack
from eventstream.embedded.ports import check_ports
from eventstream.embedded.redis import STATE_MEMORY_MB
from eventstream.embedded.stack import (
    Infrastructure,
    LocalStack,
    build_infrastructure,
    service_settings,
)
from eventstream.errors import ConfigurationError
from eventstream.keys import DEFAULT_STREAM
from eventstream.llm.cost import load_price_list
from eventstream.llm.local.errors import LocalModelMissing, LocalModelUnsupported
from eventstream.llm.local.folder import find_model_folder
from eventstream.llm.providers import resolve_endpoint
from eventstream.registry import spec_of_default
from eventstream.settings import Settings, load_settings
from eventstream.spec import StreamSpec
from eventstream.stream_files import read_stream_file

NAMES = ("cache", "state", "broker", "api", "worker", "consumer", "flower")
DATA_PARTS = frozenset({"cache", "state", "broker", "flower"})
DEFAULT_PORTS = Ports()

port = click.IntRange(1, 65_535)


@click.command(cls=Service)
@click.option(
    "-f",
    "--file",
    "paths",
    multiple=True,
    metavar="FILE",
    help="YAML of streams to run (- reads stdin). May be given several times.",
)
@click.option("--demo", is_flag=True, help="Answer a few hundred texts and show it live.")
@click.option(
    "--exit-when-done", is_flag=True, help="With --demo: stop when all texts are answered."
)
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="Folder that keeps the data between runs.",
)
@click.option(
    "--kafka",
    type=click.Choice(["demo", "apache", "none"]),
    help="Which broker to run. Left out: the one in KAFKA_BOOTSTRAP_SERVERS, else the demo broker.",
)
@click.option("--no-flower", is_flag=True, help="Leave Flower out.")
@click.option("--api-port", type=port, help="Port of the API.  [default: API_PORT or 8000]")
@click.option("--flower-port", type=port, help="Port of Flower.  [default: FLOWER_PORT or 5555]")
@click.option("--cache-port", type=port, default=DEFAULT_PORTS.cache, show_default=True)
@click.option("--state-port", type=port, default=DEFAULT_PORTS.state, show_default=True)
@click.option(
    "--state-memory",
    "state_memory_mb",
    type=click.IntRange(min=64),
    metavar="MB",
    default=STATE_MEMORY_MB,
    show_default=True,
    help="Memory of the Redis of inbox and results; nine tenths used: new events are refused.",
)
@click.option("--kafka-port", type=port, default=DEFAULT_PORTS.kafka, show_default=True)
@click.option("--controller-port", type=port, default=DEFAULT_PORTS.controller, show_default=True)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65_533),
    default=DEFAULT_PORTS.metrics,
    show_default=True,
    help="First of three ports with the processes' own metrics.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also show what Redis, the broker, Flower say.")
def up(
    paths: tuple[str, ...],
    demo: bool,
    exit_when_done: bool,
    folder: Path,
    kafka: str | None,
    no_flower: bool,
    api_port: int | None,
    flower_port: int | None,
    cache_port: int,
    state_port: int,
    state_memory_mb: int,
    kafka_port: int,
    controller_port: int,
    metrics_port: int,
    verbose: bool,
) -> int:
    """Run everything on this machine: Redis, a broker, the API, a consumer, a worker, Flower.

    With REDIS_URL, KAFKA_BOOTSTRAP_SERVERS or OPENAI_API_KEY set, those are used instead of the
    embedded parts, part by part. Ctrl-C stops it all; the data stays in one folder.

    \b
    Examples:
      eventstream up --demo
      eventstream up -f k8s/examples/reviews.yaml
      eventstream up --kafka apache --data /var/tmp/eventstream
      REDIS_URL=redis://127.0.0.1:6379/0 eventstream up

    Ends with 0 after Ctrl-C, 1 when the demo's counts do not add up, 2 when it can't start (a
    port in use, a wrong setting), 3 when a part could not be kept running.
    """
    if exit_when_done and not demo:
        raise click.UsageError("--exit-when-done needs --demo.")
    settings = load_settings()
    ports = Ports(
        api=api_port or settings.api_port,
        flower=flower_port or settings.flower_port,
        cache=cache_port,
        state=state_port,
        kafka=kafka_port,
        controller=controller_port,
        metrics=metrics_port,
    )
    if demo and not settings.api_keys and Doorkeeper(settings).needs_keys:
        raise ConfigurationError(
            "API_KEYS",
            f"--demo sends through the API, which wants a key here (API_HOST={settings.api_host})",
            "Set API_KEYS to a key of yours, or leave API_HOST and API_AUTH unset",
        )
    _check_files(settings)
    plan = plan_stack(
        os.environ,
        ports=ports,
        api_host=settings.api_host,
        kafka=KafkaChoice(kafka) if kafka else None,
        flower=not no_flower,
        state_memory_mb=state_memory_mb,
    )
    try:
        streams = _read_streams(paths, demo)
        _check_models(settings, streams)
        with locked(folder) as data:
            check_ports(plan.port_uses())
            session = _Session(plan, streams, data, demo, exit_when_done, verbose)
            return session.run(build_infrastructure(plan, data, session.printer.say))
    except StackError as error:
        raise _CannotStart(str(error)) from error


def _check_files(settings: Settings) -> None:
    """What the worker reads at its start: a wrong one is said before anything runs.

    Raises ConfigurationError.
    """
    load_price_list(settings.price_list)
    if settings.local_model_dir is not None:
        try:
            find_model_folder(settings.local_model_dir)
        except (LocalModelMissing, LocalModelUnsupported) as error:
            raise ConfigurationError(
                "LOCAL_MODEL_DIR",
                str(error).removeprefix("LOCAL_MODEL_DIR: "),
                "Name a sentence-transformers folder of the BERT family, or unset it",
            ) from error


def _check_models(settings: Settings, streams: Mapping[str, StreamSpec]) -> None:
    """Whether every stream has a model that answers, its key included: events would wait for it.

    Raises ConfigurationError.
    """
    for name, spec in ({DEFAULT_STREAM: spec_of_default(settings)} | dict(streams)).items():
        try:
            resolve_endpoint(spec, settings, os.environ, "local")
        except ConfigurationError as error:
            raise ConfigurationError(
                error.where, f"{error.problem} (stream {name!r})", error.way_out
            ) from error


class _CannotStart(click.ClickException):
    """Why nothing was started: one or more lines on stderr."""

    exit_code = EXIT_USAGE

    def show(self, file: object = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"eventstream: {line}", err=True)


class _BrokeDown(_CannotStart):
    """Why everything was ended."""

    exit_code = EXIT_UNREACHABLE


class _Session:
    """One run of the stack, from the panel to the exit code."""

    def __init__(
        self,
        plan: StackPlan,
        streams: Mapping[str, StreamSpec],
        data: DataFolder,
        demo: bool,
        exit_when_done: bool,
        verbose: bool,
    ) -> None:
        self._plan = plan
        self._streams = streams
        self._data = data
        self._demo = demo
        self._exit_when_done = exit_when_done
        self._console = make_console(sys.stdout)
        quiet = frozenset() if verbose else frozenset(NAMES) if demo else DATA_PARTS
        self.printer = LogPrinter(self._console, NAMES, quiet)
        self._adds_up = True

    def run(self, infrastructure: Infrastructure) -> int:
        """Runs until the end; returns the exit code."""
        stack = LocalStack(self._plan, infrastructure, self._streams, self.printer)

        async def on_ready() -> bool:
            self._show_panel(stack, infrastructure)
            if self._demo:
                self._adds_up = await self._run_demo()
                if self._exit_when_done:
                    return False
                self.printer.say("The stack goes on; Ctrl-C stops it")
            return True

        try:
            asyncio.run(stack.run(on_ready))
        except StackError as error:
            raise _BrokeDown(str(error)) from error
        self.printer.say(f"Everything has ended; the data is in {_from_here(self._data.root)}")
        return 0 if self._adds_up else EXIT_NEGATIVE

    def _show_panel(self, stack: LocalStack, infrastructure: Infrastructure) -> None:
        self._data.env_file.write_text(self._plan.shell_exports())
        rows = panel_rows(
            self._plan,
            service_settings(self._plan),
            stack.stream_names,
            _from_here(self._data.root),
            _from_here(self._data.env_file),
            _own_command(),
            vector_search=infrastructure.vector_search,
        )
        self._console.print(make_panel(rows, self._console.width))

    async def _run_demo(self) -> bool:
        name, spec = next(iter(self._streams.items()))
        assert spec.source is not None
        return await run_demo(
            service_settings(self._plan),
            self._plan.api_url,
            name,
            spec.source.topic,
            self._console,
            with_kafka=self._plan.consumer,
        )


def _from_here(path: Path) -> Path:
    """A path as a person in the current folder would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _own_command() -> str:
    """How this command is called from here: by its name only where the shell would find it."""
    called = Path(sys.argv[0])
    on_path = shutil.which(called.name)
    if on_path is not None and Path(on_path).resolve() == called.resolve():
        return called.name
    return str(_from_here(called.absolute()))


def _read_streams(paths: tuple[str, ...], demo: bool) -> dict[str, StreamSpec]:
    """The streams of all files, the demonstration's first."""
    files = [str(demo_stream_file()), *paths] if demo else list(paths)
    streams: dict[str, StreamSpec] = {}
    for path in files:
        for name, spec in read_stream_file(read_text(path), path).items():
            if name in streams and streams[name] != spec:
                raise ConfigurationError(
                    path, f"stream {name!r} is already in another file", "Give each its own name"
                )
            streams[name] = spec
    return streams

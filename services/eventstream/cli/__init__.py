"""The `eventstream` command: commands are loaded when they are called, so `--help` is quick.

A user's mistake ends in one sentence on stderr and an exit code, never in a traceback:
0 done, or nobody reads the rest of the output; 1 done, with a negative answer (an event failed,
nothing found), or left undone because nobody reads the output; 2 wrong usage or setting;
3 a service could not be reached; 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from eventstream.errors import ConfigurationError, EventStreamError, StoreUnavailable

EXIT_NEGATIVE: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_INTERRUPTED: Final = 130

CANT_BE_WRITTEN: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

# Command -> (module, attribute, what --help says of it), in the order of a newcomer's needs.
COMMANDS: Final = {
    "up": ("eventstream.cli.up", "up", "Run everything on this machine, with one command."),
    "send": ("eventstream.cli.send", "send", "Send texts from a file or stdin."),
    "result": ("eventstream.cli.result", "result", "Show what became of an event."),
    "top": ("eventstream.cli.top", "top", "Watch streams live: backlog, hit rate, latency, cost."),
    "streams": ("eventstream.cli.streams", "streams", "List, add and delete streams."),
    "cache": ("eventstream.cli.cache", "cache", "Look into the semantic cache, or clear it."),
    "dlq": ("eventstream.cli.dlq", "dlq", "List, show and replay dead letters."),
    "replay": ("eventstream.cli.replay", "replay", "Read a Kafka topic again from a time on."),
    "crd": ("eventstream.cli.crd", "crd", "Print the EventStream resource definition as YAML."),
    "api": ("eventstream.cli.api", "api", "Run the HTTP API."),
    "consumer": ("eventstream.cli.consumer", "consumer", "Run the Kafka consumer."),
    "worker": ("eventstream.cli.worker", "worker", "Run a Celery worker."),
    "flower": ("eventstream.cli.flower", "flower", "Run Flower, Celery's own dashboard."),
}


class NobodyReads(Exception):
    """The reader of our output has gone (`| head`): mostly nothing is wrong.

    No OSError, which Click would end the process for, with 1, before `main` sees it.
    """


class LeftUndone(NobodyReads):
    """Nobody reads the output any more, and work was left undone for it: what, and the way on."""

    def __init__(self, what: str) -> None:
        super().__init__(f"nobody reads the output any more: {what}")


class Service(click.Command):
    """A command that has no output to come to the end of: a pipe that breaks in it is no way to be
    done.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return EXIT_NEGATIVE


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        # Here --help and --version are written.
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError as error:
            raise NobodyReads from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise NobodyReads from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in COMMANDS])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ai-eventstream", prog_name="eventstream")
@click.pass_context
def eventstream(context: click.Context) -> None:
    """Streams of texts, each one read by a language model, with nothing lost.

    \b
    Start here:
      eventstream up --demo              the whole system, answering a demo stream
      echo "I love it" | eventstream send --wait
      eventstream top

    Settings come from environment variables; docs/settings.md lists them. Beside a running
    `eventstream up`, in the same folder, commands find its addresses by themselves.
    """
    if context.invoked_subcommand != "up" and "REDIS_URL" not in os.environ:
        from eventstream.embedded.folder import running_stack_environment

        for name, value in running_stack_environment().items():
            os.environ.setdefault(name, value)


def main() -> None:
    """Run the command line; ends the process with one of the exit codes above."""
    if sys.argv[1:2] == ["eventstream"]:
        # A platform's command for an image either stands in place of its entry point or behind it,
        # and not every platform says which: `eventstream consumer` is right in both.
        del sys.argv[1]
    if sys.argv[1:2] == ["up"]:
        # Ctrl-C as an exception can be lost in a library that is just being imported, and then the
        # stack would start all the same. Until the stack listens, there is nothing to clean up.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Closed (`0<&-`, `>&-`): nothing to read, nobody to write to, as with /dev/null. They
            # are open as long as the process.
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115
    code = _run()
    for output in (sys.stdout, sys.stderr):
        try:
            output.flush()
        except OSError:
            # With what it still holds: Python would complain of that at its end, with a code of its
            # own.
            with suppress(OSError):
                output.close()
    sys.exit(code)


def _run() -> int:
    for argument in sys.argv[1:]:
        try:
            argument.encode()
        except UnicodeEncodeError:
            return _say(f"{argument!r} is not UTF-8: write it in UTF-8", EXIT_USAGE)
    try:
        code = eventstream.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        with suppress(BrokenPipeError):
            error.show()
        return error.exit_code
    except ConfigurationError as error:
        return _say(error, EXIT_USAGE)
    except StoreUnavailable as error:
        return _say(_where_and_why(error), EXIT_UNREACHABLE)
    except EventStreamError as error:
        return _say(error, EXIT_NEGATIVE)
    except LeftUndone as error:
        return _say(error, EXIT_NEGATIVE)
    except NobodyReads:
        return 0
    except BrokenPipeError as error:
        # At Click's own hands: the line that it ends ^C with, or what a shell completes with.
        return EXIT_INTERRUPTED if isinstance(error.__context__, KeyboardInterrupt) else 0
    except OSError as error:
        if error.errno not in CANT_BE_WRITTEN:
            raise
        return _say(f"the output can't be written: {error.strerror}", EXIT_NEGATIVE)
    return code if isinstance(code, int) else 0


def _where_and_why(error: StoreUnavailable) -> str:
    """What was being done, what the client library says (it names host and port), the way out."""
    if error.setting != StoreUnavailable.setting:
        return f"{error}. {error.setting} names it"
    why = f" ({str(error.__cause__).rstrip('.')})" if error.__cause__ is not None else ""
    if os.environ.get("REDIS_URL"):
        return f"{error}{why}. {error.setting} names it"
    return f"{error}{why}. Start `eventstream up` in this folder, or name a Redis with REDIS_URL"


def _say(error: Exception | str, code: int) -> int:
    with suppress(BrokenPipeError):
        click.echo(f"eventstream: {error}", err=True)
    return code

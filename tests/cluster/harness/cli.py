"""`scripts/cluster`: the tests' cluster for a person, one at a time, until it is taken down."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.cluster.harness import packages, state
from tests.cluster.harness.api import wait_until
from tests.cluster.harness.binaries import default_cache_dir, ensure_binaries
from tests.cluster.harness.cluster import Cluster, Tier, client_environment, read_record
from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.node import load_image

_NAME = "by-hand"
_GONE_SECONDS = 30.0
_PASSED_ON = ("kubectl", "helm", "run")
_EVERY_PACKAGE = (
    *packages.NODE_PACKAGES,
    *packages.IMAGE_PACKAGES,
    *packages.CHECK_PACKAGES,
)


def main(argv: list[str]) -> int:
    """Runs one subcommand; returns its exit status."""
    try:
        if argv and argv[0] in _PASSED_ON:
            _become(argv[0], argv[1:])
        else:
            _run(_parser().parse_args(argv))
    except HarnessError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/cluster", description="A real Kubernetes on this machine, without Docker."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("packages", help="install what the machine lacks (root on Debian)")
    commands.add_parser("build", help="build the cluster's programs now, once")
    up = commands.add_parser("up", help="start a cluster and print its KUBECONFIG")
    up.add_argument(
        "--simulated",
        type=int,
        metavar="N",
        help="N simulated nodes, which run no containers, instead of a real one",
    )
    commands.add_parser("down", help="end the cluster and remove everything of it")
    load = commands.add_parser("load", help="give the node the images of a `docker save` archive")
    load.add_argument("archive", type=Path)
    commands.add_parser("kubectl", help="kubectl ARGUMENTS: ask the cluster")
    commands.add_parser("helm", help="helm ARGUMENTS: install into it")
    commands.add_parser("run", help="run COMMAND...: run a command in the cluster's network")
    return parser


def _run(options: argparse.Namespace) -> None:
    match options.command:
        case "packages":
            packages.install_missing(_EVERY_PACKAGE, _say)
        case "build":
            ensure_binaries(default_cache_dir(), _say)
        case "up":
            _up(options.simulated)
        case "down":
            _down()
        case "load":
            layout, _ = read_record(_folder())
            load_image(layout, options.archive)


def _up(simulated_nodes: int | None) -> None:
    if state.in_use(_folder()):
        raise HarnessError("a cluster is up already; `scripts/cluster down` ends it")
    binaries = ensure_binaries(default_cache_dir(), _say)
    cluster = Cluster.start(
        Tier.NODE if simulated_nodes is None else Tier.CONTROL_PLANE,
        _folder().parent,
        binaries,
        nodes=simulated_nodes or 0,
        name=_NAME,
        stay=True,
    )
    _say("ready; `scripts/cluster down` ends it")
    print(f"export KUBECONFIG={cluster.kubeconfig}")


def _down() -> None:
    _, namespace = read_record(_folder())
    namespace.destroy()
    wait_until(lambda: not state.in_use(_folder()), "end of the cluster", _GONE_SECONDS)
    state.sweep(_folder().parent)


def _become(program: str, arguments: list[str]) -> None:
    """Turns this process into `program`, so that its output and status are its own."""
    layout, namespace = read_record(_folder())
    environment = client_environment(layout)
    if program == "run":
        if not arguments:
            raise HarnessError("run what? `scripts/cluster run COMMAND ARGUMENT...`")
        environment["KUBECONFIG"] = str(layout.inner_kubeconfig)
        argv = namespace.enter(arguments)
    else:
        argv = [layout.program(program), *arguments]
    os.execvpe(argv[0], argv, environment)  # noqa: S606 (no shell is meant)


def _folder() -> Path:
    return default_cache_dir() / "clusters" / _NAME


def _say(line: str) -> None:
    print(f"cluster: {line}", file=sys.stderr, flush=True)

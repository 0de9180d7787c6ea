"""`scripts/images` says what it lacks, and builds what it is asked to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.images.build import ROOT, ImageNames
from tests.images.commands import run
from tests.images.conftest import StartContainer

pytestmark = pytest.mark.timeout(900)  # the first that needs the images waits for the builds

SCRIPT = ROOT / "scripts/images"


def ask(*arguments: str, **environment: str) -> tuple[int, str]:
    """The script's exit status and what it says."""
    done = subprocess.run(
        [SCRIPT, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).strip()


@pytest.fixture
def without_tools(tmp_path: Path) -> str:
    """A PATH with what a shell script needs and no tool that makes images."""
    for name in ("bash", "sed", "dirname", "head", "mktemp", "rm", "env"):
        (tmp_path / name).symlink_to(run(["which", name]))
    return str(tmp_path)


def test_help_is_on_stdout_and_names_the_three_verbs() -> None:
    status, said = ask("--help")
    assert status == 0
    assert all(f"scripts/images {verb}" in said for verb in ("build", "load", "push"))


def test_without_a_verb_it_shows_the_usage() -> None:
    status, said = ask()
    assert status == 2
    assert "scripts/images build" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("build", "web"), "build does not know web: images are api, worker and operator"),
        (("build", "--platform"), "--platform needs a value"),
        (("load",), "load where? kind [CLUSTER], minikube [PROFILE] or containerd [SOCKET]"),
        (("load", "k3s"), "load where? kind [CLUSTER], minikube [PROFILE] or containerd [SOCKET]"),
        (("push",), "push where? For example: scripts/images push registry.example.com/team"),
    ],
)
def test_a_mistake_is_answered_in_a_sentence(arguments: tuple[str, ...], says: str) -> None:
    assert ask(*arguments, IMAGES_TOOL="buildah") == (2, f"images: {says}")


def test_an_unknown_tool_is_refused() -> None:
    status, said = ask("build", IMAGES_TOOL="kaniko")
    assert status == 2
    assert said == "images: IMAGES_TOOL is kaniko; it may be docker, podman or buildah"


def test_without_any_tool_it_says_which_would_do(without_tools: str) -> None:
    status, said = ask("build", PATH=without_tools, IMAGES_TOOL="")
    assert status == 3
    assert said == "images: needs Docker, Podman or Buildah, and finds none that works"


def test_a_docker_command_without_its_daemon_is_named(without_tools: str) -> None:
    docker = Path(without_tools) / "docker"
    docker.write_text("#!/bin/bash\nexit 1\n")  # what the real one does when nothing answers
    docker.chmod(0o755)
    status, said = ask("build", PATH=without_tools, IMAGES_TOOL="")
    assert status == 3
    assert said.endswith("; docker is here but `docker info` fails")


@pytest.mark.parametrize(("target", "program"), [("kind", "kind"), ("minikube", "minikube")])
def test_load_says_which_program_is_missing(without_tools: str, target: str, program: str) -> None:
    (Path(without_tools) / "buildah").symlink_to(run(["which", "buildah"]))
    status, said = ask("load", target, PATH=without_tools, IMAGES_TOOL="buildah")
    assert status == 2
    assert said.startswith(f"images: {program} is not on the PATH; see https://")


def test_the_worker_can_be_built_without_the_local_model(
    images: ImageNames, container: StartContainer
) -> None:
    """Its model stage is built, which is where the argument counts, and holds no weights."""
    reference = "localhost/ai-eventstream/no-model:test"
    run(
        [
            *("buildah", "bud", "--layers", "--isolation", "chroot", "--network", "host"),
            *("--volume", "/etc/ssl/certs:/etc/ssl/certs:ro", "--file", "Dockerfile.worker"),
            *("--build-arg", "LOCAL_MODEL=0", "--target", "model", "--tag", reference, "."),
        ],
        folder=ROOT,
    )
    listing = container(reference, ["-c", "ls -A /model"], entrypoint=["sh"], user="10001:10001")
    assert listing.run() == 0
    assert listing.log == ""

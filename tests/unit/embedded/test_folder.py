"""The data folder belongs to one running stack at a time."""

import os
from pathlib import Path

import pytest

from eventstream.embedded.errors import StackError
from eventstream.embedded.folder import locked, running_stack_environment
from eventstream.embedded.plan import KafkaChoice, Ports, plan_stack


def test_the_folder_is_made_and_has_a_place_for_each_part(tmp_path: Path) -> None:
    with locked(tmp_path / "new" / "data") as folder:
        places = {folder.cache, folder.state, folder.kafka}
    assert len(places) == 3
    assert all(place.parent == tmp_path / "new" / "data" for place in places)


def test_a_second_stack_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(StackError, match=rf"pid {os.getpid()}\) uses the data folder"),
        locked(tmp_path),
    ):
        raise AssertionError("the second lock must not be given")


def test_the_folder_is_free_again_afterwards(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    with locked(tmp_path) as folder:
        assert folder.root == tmp_path


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="--data DIR"), locked(tmp_path / "file" / "data"):
        raise AssertionError("a file is no folder")


def test_other_commands_find_the_stack_that_runs(tmp_path: Path) -> None:
    exports = plan_stack({}, ports=Ports(), kafka=KafkaChoice.NONE).shell_exports()
    with locked(tmp_path) as folder:
        assert running_stack_environment(tmp_path) == {}
        folder.env_file.write_text(exports)
        assert running_stack_environment(tmp_path) == {
            "REDIS_URL": "redis://127.0.0.1:6390/0",
            "CELERY_BROKER_URL": "redis://127.0.0.1:6391/1",
            "CELERY_RESULT_BACKEND": "redis://127.0.0.1:6391/2",
            "EVENTSTREAM_URL": "http://127.0.0.1:8000",
        }


def test_a_stack_that_has_ended_is_not_found(tmp_path: Path) -> None:
    with locked(tmp_path) as folder:
        folder.env_file.write_text("export REDIS_URL=redis://127.0.0.1:6390/0\n")
    assert running_stack_environment(tmp_path) == {}
    assert running_stack_environment(tmp_path / "absent") == {}

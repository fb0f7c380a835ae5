"""A loopback HTTP server that speaks the chat completions wire format from a script. For tests."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """One scripted answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    stall: float = 0.0
    """Wait before answering [s]."""
    drip: float = 0.0
    """Wait between two bytes of the answer [s]; 0 sends it at once."""


def chat(content: str | None, finish: str = "stop", refusal: str | None = None) -> Reply:
    """Return a well-formed completion."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return Reply(
        body={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "served-model",
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
        }
    )


def failure(status: int, message: str = "no", **headers: str) -> Reply:
    """Return an error; keyword `retry_after` becomes the header Retry-After."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Reply(status, {"error": {"message": message, "type": "test", "code": None}}, named)


@dataclass
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class ChatServer:
    """Answers each POST with the next reply of the script, the last one for ever; `received` keeps the requests."""

    def __init__(self, *script: Reply) -> None:
        self.script = list(script)
        self.received: list[Received] = []
        self._release = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.received.append(
                    Received(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
                )
                reply = owner.script.pop(0) if len(owner.script) > 1 else owner.script[0]
                if reply.stall:
                    owner._release.wait(reply.stall)
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                try:
                    self.send_response(reply.status)
                    for key, value in {"Content-Type": "application/json", **reply.headers}.items():
                        self.send_header(key, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    for byte in content if reply.drip else b"":
                        self.wfile.write(bytes([byte]))
                        if owner._release.wait(reply.drip):
                            return
                    if not reply.drip:
                        self.wfile.write(content)
                except OSError:
                    pass  # the client hung up on a stall: what such a test wants

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Return the base URL for a client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""Objects from an image-to-3D server that a user runs: a picture goes out, a GLB file comes back. Knows three dialects, no meshes.

`generate` (Hunyuan3D's api_server, at once), `send` (the same, by a number that is asked for again and again) and `job` (TRELLIS servers). Whatever the
server does, it ends: there is one deadline for all of it, and no answer is larger than a cap.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx

from ..errors import AssetError, MakerError
from ..making import Server

MAX_BYTES = 256 << 20
"""Largest answer that is taken."""
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may pass by themselves. The dialect `generate` says 404 whatever is wrong, and why in its text."""
_ATTEMPTS, _FIRST_WAIT, _LONGEST_WAIT = 4, 0.5, 10.0
"""Tries of one call, and bounds of the wait between two of them and between two looks at a job [s]."""
_MAGIC = b"glTF"


def fetch(
    server: Server,
    picture: bytes,
    seed: int,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bytes:
    """Return the GLB file that a server makes of a picture.

    Args:
        server: Where, and in which dialect.
        picture: PNG.
        seed: The same one gives the same object where the server keeps to it.
        sleep: Waits.
        clock: Tells the time [s].

    Raises:
        AssetError: When it cannot make this object, takes too long, or sends something else.
        MakerError: When it cannot be reached, or keeps failing.
    """
    if not server.url.startswith(("http://", "https://")):
        raise MakerError(f"'{server.url}' is no address of a server. Give one such as http:http://127.0.0.1:8080.")
    end = clock() + server.seconds
    with httpx.Client(base_url=server.url, follow_redirects=False) as client:
        call = _Caller(client, server, end, sleep, clock)
        dialect = server.dialect
        if dialect == "auto":
            dialect = "job" if call.healthy() else "generate"
        answer = {"generate": _generate, "send": _send, "job": _job}[dialect](call, picture, seed)
    if not answer.startswith(_MAGIC) or len(answer) < 20 or int.from_bytes(answer[8:12], "little") > len(answer):
        raise AssetError(f"{server.url} sent {len(answer)} bytes that are no whole GLB file: {answer[:40]!r}.")
    return answer


class _Caller:
    """Calls a server, again where that may help, never past the deadline."""

    def __init__(
        self,
        client: httpx.Client,
        server: Server,
        end: float,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        self.client, self.server, self.end, self.sleep, self.clock = client, server, end, sleep, clock

    def left(self) -> float:
        """Return the time that is left [s]; raise when there is none."""
        left = self.end - self.clock()
        if left <= 0:
            raise AssetError(
                f"{self.server.url} made nothing in {self.server.seconds:g} s. Look at its log, or give it longer: --server.seconds."
            )
        return left

    def wait(self, seconds: float) -> None:
        """Wait, but not past the deadline."""
        self.sleep(min(seconds, self.left()))

    def healthy(self) -> bool:
        """Tell whether there is a health page, which only the dialect `job` has."""
        try:
            return self._once("GET", "/health", None)[0] == 200
        except httpx.HTTPError:
            return False

    def __call__(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """Return the status and the content of an answer that no further try would change."""
        pause, last = _FIRST_WAIT, ""
        for _ in range(_ATTEMPTS):
            try:
                status, content = self._once(method, path, body)
            except httpx.TimeoutException:
                self.left()
                last = "it did not answer in time"
            except httpx.HTTPError as error:
                last = str(error) or type(error).__name__
            else:
                if status not in RETRIED:
                    return status, content
                last = f"it says {status}: {_said(content)}"
            self.wait(pause)
            pause = min(2 * pause, _LONGEST_WAIT)
        raise MakerError(
            f"{self.server.url}{path} failed {_ATTEMPTS} times, at last because {last}. Is the server running?"
        )

    def _once(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        limits = httpx.Timeout(self.left(), connect=min(10.0, self.left()))
        with self.client.stream(method, path, json=body, timeout=limits) as answer:
            content = bytearray()
            for part in answer.iter_bytes():
                content += part
                self.left()  # one that drips would otherwise go on for ever
                if len(content) > MAX_BYTES:
                    raise AssetError(f"{self.server.url} sends more than {MAX_BYTES >> 20} MB. Ask it for fewer faces.")
            return answer.status_code, bytes(content)


def _asked(server: Server, picture: bytes, seed: int) -> dict[str, Any]:
    return {
        "image": base64.b64encode(picture).decode(),
        "seed": seed,
        "octree_resolution": 256,
        "num_inference_steps": 5,
        "guidance_scale": 5.0,
        "texture": server.texture,
        "face_count": server.faces,
        "type": "glb",
    }


def _generate(call: _Caller, picture: bytes, seed: int) -> bytes:
    status, content = call("POST", "/generate", _asked(call.server, picture, seed))
    if status != 200:
        raise AssetError(f"{call.server.url} could not make it: {status}, {_said(content)}.")
    return content


def _send(call: _Caller, picture: bytes, seed: int) -> bytes:
    status, content = call("POST", "/send", _asked(call.server, picture, seed))
    number = _field(call, status, content, "uid")
    pause = _FIRST_WAIT
    while True:  # a job that failed is "processing" for ever: the deadline ends it
        status, content = call("GET", f"/status/{number}")
        if _field(call, status, content, "status") == "completed":
            try:
                return base64.b64decode(_field(call, status, content, "model_base64"), validate=True)
            except ValueError as error:
                raise AssetError(f"{call.server.url} sent a model that is no base64: {error}.") from error
        call.wait(pause)
        pause = min(1.5 * pause, _LONGEST_WAIT)


def _job(call: _Caller, picture: bytes, seed: int) -> bytes:
    status, content = call("POST", "/generate", {"image_base64": base64.b64encode(picture).decode(), "seed": seed})
    number = _field(call, status, content, "job_id")
    pause = _FIRST_WAIT
    while True:
        status, content = call("GET", f"/job/{number}")
        if status == 200:
            return content
        if status != 202:
            raise AssetError(f"{call.server.url} could not make it: {status}, {_said(content)}.")
        call.wait(pause)
        pause = min(1.5 * pause, _LONGEST_WAIT)


def _field(call: _Caller, status: int, content: bytes, name: str) -> str:
    """Return a field of a JSON answer."""
    try:
        value = json.loads(content)[name] if status in (200, 202) else None
    except (ValueError, KeyError, TypeError):
        value = None
    if not isinstance(value, str | int):
        raise AssetError(f"{call.server.url} answered {status} without '{name}': {_said(content)}.")
    value = str(value)
    if name in ("uid", "job_id") and not all(c.isalnum() or c in "-_" for c in value):
        raise AssetError(f"{call.server.url} answered with '{name}' {value[:60]!r}, which is no name of a job.")
    return value


def _said(content: bytes) -> str:
    """Return what an answer says, short and printable."""
    text = content[:400].decode(errors="replace")
    try:
        found = json.loads(content)
        text = str(next(found[key] for key in ("error", "text", "detail", "message") if key in found))
    except (ValueError, TypeError, StopIteration, RecursionError):
        pass
    return "".join(c if c.isprintable() else " " for c in text)[:200] or "nothing"

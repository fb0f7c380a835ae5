"""Objects from an image-to-3D server that a user runs: a picture goes out, a GLB file comes back. Knows three dialects, no meshes.

`generate` (Hunyuan3D's api_server, at once), `send` (the same, by a number that is asked for again and again) and `job` (TRELLIS servers). Whatever the
server does, it ends: there is one deadline for all of it, and no answer is larger than a cap.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import httpx

from .. import data
from ..deadline import within
from ..errors import AssetError, MakerError, WorldgenError
from ..making import Server

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_BYTES = 256 << 20
"""Largest answer that is taken."""
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may pass by themselves. The dialect `generate` says 404 whatever is wrong, and why in its text."""
_ATTEMPTS, _FIRST_WAIT, _LONGEST_WAIT = 4, 0.5, 10.0
"""Tries of one call, and bounds of the wait between two of them and between two looks at a job [s]."""
_MAGIC = b"glTF"
_ASIDE, _GRACE = 5.0, 2.0
"""Longest wait for what a server says of itself, and what a call may take past the deadline before it is left alone [s]."""


def fetch(
    server: Server,
    picture: bytes,
    seed: int,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> bytes:
    """Return the GLB file that a server makes of a picture. One picture at a time goes to a server, whatever number of processes ask.

    Args:
        server: Where, and in which dialect.
        picture: PNG.
        seed: The same one gives the same object where the server keeps to it.
        sleep: Waits.
        clock: Tells the time [s].

    Raises:
        AssetError: When it cannot make this object, or sends a damaged one.
        MakerError: When it cannot be reached, does not let us in, is something else, or takes too long.
    """
    address(server.url)
    call = partial(_made, server, picture, seed, sleep, clock)
    with _turn(server.url):
        try:
            content = within(server.seconds + _GRACE, call, "image-to-3d-call")
        except TimeoutError:
            raise _late(server) from None
    if not content.startswith(_MAGIC):
        raise MakerError(
            f"{address(server.url)} sent {len(content)} bytes that are no GLB file: {content[:40]!r}. Is it such a server?"
        )
    if len(content) < 20 or int.from_bytes(content[8:12], "little") > len(content):
        raise AssetError(f"{address(server.url)} sent a GLB file that is cut off after {len(content)} bytes.")
    return content


def address(url: str) -> str:
    """Return the address of a server without a name and password that it may hold.

    Raises:
        MakerError: When it is none.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise MakerError("That is no address of a server. Give one such as --assets http:http://127.0.0.1:8080.")
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{parsed.scheme}://{host}{f':{parsed.port}' if parsed.port else ''}{parsed.path.rstrip('/')}"


def require_reach(url: str) -> None:
    """Look whether anything answers at an address.

    Raises:
        MakerError: When nothing does.
    """
    where = address(url)
    try:
        httpx.head(url, timeout=_ASIDE)
    except (httpx.ConnectError, httpx.ConnectTimeout, UnicodeError) as error:
        raise MakerError(
            f"Nothing answers at {where}: {error}. Start the server, or leave it out of --assets."
        ) from None
    except httpx.HTTPError:
        pass  # it is there, and busy or no friend of such a question


@contextlib.contextmanager
def _turn(url: str) -> Iterator[None]:
    """Wait until no other process with this store asks this server."""
    name = hashlib.sha256(address(url).encode()).hexdigest()[:16]
    folder = data.cache_folder() / "servers"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _made(
    server: Server, picture: bytes, seed: int, sleep: Callable[[float], None], clock: Callable[[], float]
) -> bytes:
    with httpx.Client(base_url=server.url, follow_redirects=False, headers={"Accept-Encoding": "identity"}) as client:
        call = _Caller(client, server, clock() + server.seconds, sleep, clock)
        dialect = call.dialect() if server.dialect == "auto" else server.dialect
        return {"generate": _generate, "send": _send, "job": _job}[dialect](call, picture, seed)


class _Late(MakerError):
    """There is no time left."""


def _late(server: Server) -> _Late:
    return _Late(
        f"{address(server.url)} made nothing in {server.seconds:g} s. Look at its log, or give it longer: --server.seconds."
    )


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

    @property
    def where(self) -> str:
        """The server's address, to be shown."""
        return address(self.server.url)

    def left(self) -> float:
        """Return the time that is left [s]; raise when there is none."""
        left = self.end - self.clock()
        if left <= 0:
            raise _late(self.server)
        return left

    def wait(self, seconds: float) -> None:
        """Wait, but not past the deadline."""
        self.sleep(min(seconds, self.left()))

    def dialect(self) -> Literal["generate", "job"]:
        """Return how the server is spoken to: by what it says of itself, else by its health page, which the dialect `job` has."""
        with contextlib.suppress(httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            status, content = self._once("GET", "/openapi.json", None, _ASIDE)
            paths = list(json.loads(content)["paths"]) if status == 200 else []
            if paths:
                return "job" if any(path.startswith("/job/") for path in paths) else "generate"
        with contextlib.suppress(httpx.HTTPError):
            return "job" if self._once("GET", "/health", None, _ASIDE)[0] == 200 else "generate"
        return "generate"

    def __call__(
        self, method: str, path: str, body: dict[str, Any] | None = None, retried: frozenset[int] = RETRIED
    ) -> tuple[int, bytes]:
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
                if status not in retried:
                    return status, content
                last = f"it says {status}: {_said(content)}"
            self.wait(pause)
            pause = min(2 * pause, _LONGEST_WAIT)
        raise MakerError(f"{self.where}{path} failed {_ATTEMPTS} times, at last because {last}. Is the server running?")

    def _once(self, method: str, path: str, body: dict[str, Any] | None, most: float = math.inf) -> tuple[int, bytes]:
        left = min(self.left(), most)
        with self.client.stream(
            method, path, json=body, timeout=httpx.Timeout(left, connect=min(10.0, left))
        ) as answer:
            content = bytearray()
            for part in answer.iter_raw():  # as it came: what is packed could grow a million times
                content += part
                self.left()  # one that drips would otherwise go on for ever
                if len(content) > MAX_BYTES:
                    raise AssetError(f"{self.where} sends more than {MAX_BYTES >> 20} MB. Ask it for fewer faces.")
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
        raise _refused(call, status, content)
    return content


def _send(call: _Caller, picture: bytes, seed: int) -> bytes:
    status, content = call("POST", "/send", _asked(call.server, picture, seed))
    number = _field(call, status, content, "uid")
    pause = _FIRST_WAIT
    try:
        while True:
            status, content = call("GET", f"/status/{number}")
            if _field(call, status, content, "status") == "completed":
                break
            call.wait(pause)
            pause = min(1.5 * pause, _LONGEST_WAIT)
    except _Late as late:  # so says the dialect that a job failed
        raise AssetError(str(late)) from None
    try:
        return base64.b64decode(_field(call, status, content, "model_base64"), validate=True)
    except ValueError as error:
        raise AssetError(f"{call.where} sent a model that is no base64: {error}.") from error


def _job(call: _Caller, picture: bytes, seed: int) -> bytes:
    status, content = call("POST", "/generate", {"image_base64": base64.b64encode(picture).decode(), "seed": seed})
    number = _field(call, status, content, "job_id")
    pause = _FIRST_WAIT
    while True:
        status, content = call("GET", f"/job/{number}", retried=RETRIED - {500})
        if status == 200:
            return content
        if status == 500:  # so says the dialect that a job failed
            raise AssetError(f"{call.where} could not make it: {_said(content)}.")
        if status != 202:
            raise _refused(call, status, content)
        call.wait(pause)
        pause = min(1.5 * pause, _LONGEST_WAIT)


def _refused(call: _Caller, status: int, content: bytes) -> WorldgenError:
    """Return the error of an answer: the picture's fault, or that of a server which would refuse any."""
    said = f"{call.where} answered {status}: {_said(content)}."
    return AssetError(said) if status in (400, 413, 415, 422) else MakerError(said)


def _field(call: _Caller, status: int, content: bytes, name: str) -> str:
    """Return a field of a JSON answer."""
    if status not in (200, 202):
        raise _refused(call, status, content)
    try:
        value = json.loads(content)[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        value = None
    if not isinstance(value, str | int):
        raise MakerError(f"{call.where} answered {status} without '{name}': {_said(content)}. Is it another dialect?")
    value = str(value)
    if name in ("uid", "job_id") and not all(c.isalnum() or c in "-_" for c in value):
        raise MakerError(f"{call.where} answered with '{name}' {value[:60]!r}, which is no name of a job.")
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

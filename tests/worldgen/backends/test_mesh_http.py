"""Three dialects of image-to-3D servers, spoken to loopback servers that stall, drip, lie and fail."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trimesh

from worldgen.backends import mesh_http
from worldgen.backends.mesh_http import fetch
from worldgen.errors import AssetError, MakerError
from worldgen.making import Server

GLB: bytes = trimesh.creation.icosphere(subdivisions=1).export(file_type="glb")
PNG = b"\x89PNG\r\n\x1a\n and so on"
Answer = tuple[int, bytes]
"""Status and content; a negative status stalls for so many seconds first."""


LONG = 20.0
"""What is given up has ended by then, however busy the machine; what is not goes on for a minute at least [s]."""


class Loopback:
    """Answers what `script` says of a method, a path and a body; keeps what it was asked. Whatever it still does ends when it is closed."""

    def __init__(self, script: Callable[[str, str, Any], Answer], drip: float = 0.0) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self._closed = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, method: str) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                outer.asked.append((method, self.path, body))
                status, content = script(method, self.path, body)
                if status < 0:
                    outer._closed.wait(-status)
                    status = 200
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if status in (301, 302):
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                try:
                    for index in range(0, len(content), 1 if drip else 1 << 16):
                        self.wfile.write(content[index : index + (1 if drip else 1 << 16)])
                        if drip and outer._closed.wait(drip):
                            return
                except OSError:
                    pass

            def do_GET(self) -> None:
                self.answer("GET")

            def do_POST(self) -> None:
                self.answer("POST")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Loopback]]:
    made = []

    def start(script: Callable[[str, str, Any], Answer], drip: float = 0.0) -> Loopback:
        made.append(Loopback(script, drip))
        return made[-1]

    yield start
    for server in made:
        server.close()


def said(value: Any) -> bytes:
    return json.dumps(value).encode()


def hunyuan(pending: int = 2) -> Callable[[str, str, Any], Answer]:
    """Follow Hunyuan3D's api_server: no health page, `/generate` at once, `/send` and `/status`."""
    waits = [pending]

    def script(method: str, path: str, body: Any) -> Answer:
        if (method, path) == ("POST", "/generate"):
            return 200, GLB
        if (method, path) == ("POST", "/send"):
            return 200, said({"uid": "3f2-a"})
        if (method, path) == ("GET", "/status/3f2-a"):
            waits[0] -= 1
            if waits[0] >= 0:
                return 200, said({"status": "processing"})
            return 200, said({"status": "completed", "model_base64": base64.b64encode(GLB).decode()})
        return 404, said({"detail": "Not Found"})

    return script


def trellis(pending: int = 2) -> Callable[[str, str, Any], Answer]:
    """Follow the servers around TRELLIS: a health page, a job, its result."""
    waits = [pending]

    def script(method: str, path: str, body: Any) -> Answer:
        if path == "/openapi.json":
            return 404, b"{}"
        if path == "/health":
            return 200, said({"status": "ok"})
        if (method, path) == ("POST", "/generate"):
            return 202, said({"job_id": 17})
        waits[0] -= 1
        return (202, said({"status": "running"})) if waits[0] >= 0 else (200, GLB)

    return script


def quick(url: str, dialect: Any = "auto", **settings: Any) -> bytes:
    return fetch(Server(url, dialect=dialect, **{"seconds": 20.0, **settings}), PNG, 7, sleep=lambda _: None)


@pytest.mark.parametrize(
    ("dialect", "script", "paths"),
    [
        ("generate", hunyuan, ["/generate"]),
        ("send", hunyuan, ["/send", "/status/3f2-a", "/status/3f2-a", "/status/3f2-a"]),
        ("job", trellis, ["/generate", "/job/17", "/job/17", "/job/17"]),
        ("auto", hunyuan, ["/openapi.json", "/health", "/generate"]),
        ("auto", trellis, ["/openapi.json", "/health", "/generate", "/job/17", "/job/17", "/job/17"]),
    ],
)
def test_dialects(serve: Any, dialect: str, script: Any, paths: list[str]) -> None:
    server = serve(script())
    assert quick(server.url, dialect) == GLB
    assert [path for _, path, _ in server.asked] == paths
    body = next(body for method, _, body in server.asked if method == "POST")
    picture = body.get("image") or body["image_base64"]
    assert base64.b64decode(picture) == PNG
    assert body["seed"] == 7
    if "image" in body:
        assert (body["type"], body["texture"], body["face_count"]) == ("glb", True, 40_000)


@pytest.mark.parametrize(
    ("paths", "dialect"), [(["/generate", "/send", "/health"], "generate"), (["/generate", "/job/{id}"], "job")]
)
def test_what_a_server_says_of_itself_counts_most(serve: Any, paths: list[str], dialect: str) -> None:
    """Newer Hunyuan3D servers have a health page, too."""
    script = {"generate": hunyuan, "job": trellis}[dialect]()

    def answer(method: str, path: str, body: Any) -> Answer:
        if path == "/openapi.json":
            return 200, said({"paths": {path: {} for path in paths}})
        return script(method, path, body)

    server = serve(answer)
    assert quick(server.url) == GLB
    assert "/health" not in [path for _, path, _ in server.asked]


def test_what_may_pass_is_tried_again(serve: Any) -> None:
    answers = iter([(503, b"busy"), (429, b""), (200, GLB)])
    server = serve(lambda *_: next(answers))
    assert quick(server.url, "generate") == GLB
    assert len(server.asked) == 3


def test_what_will_not_pass_is_not(serve: Any) -> None:
    server = serve(lambda *_: (404, said({"text": "NETWORK ERROR DUE TO HIGH TRAFFIC", "error_code": 1})))
    with pytest.raises(MakerError, match="answered 404: NETWORK ERROR DUE TO HIGH TRAFFIC"):
        quick(server.url, "generate")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [500, 422])
def test_a_job_that_fails_says_why(serve: Any, status: int) -> None:
    def script(method: str, path: str, _: Any) -> Answer:
        return (202, said({"job_id": "a"})) if method == "POST" else (status, said({"error": "no foreground found"}))

    server = serve(script)
    with pytest.raises(AssetError, match="no foreground found"):
        quick(server.url, "job")
    assert len(server.asked) == 2, "and is not asked for again"


@pytest.mark.parametrize("status", [401, 403, 404, 405, 302])
def test_a_server_that_would_refuse_anything_is_nobodys_fault(serve: Any, status: int) -> None:
    for dialect in ("generate", "send", "job"):
        with pytest.raises(MakerError, match=f"answered {status}"):
            quick(serve(lambda *_: (status, b"")).url, dialect)


def test_a_server_that_keeps_failing(serve: Any) -> None:
    server = serve(lambda *_: (500, said({"error": "CUDA out of memory"})))
    with pytest.raises(MakerError, match="failed 4 times, at last because it says 500: CUDA out of memory"):
        quick(server.url, "generate")
    assert len(server.asked) == 4


def test_a_job_that_never_ends_is_given_up(serve: Any) -> None:
    now = [0.0]
    server = serve(hunyuan(pending=10**9))
    with pytest.raises(
        AssetError, match=r"made nothing in 50 s\. Look at its log, or give it longer: --server\.seconds"
    ):
        fetch(
            Server(server.url, dialect="send", seconds=50),
            PNG,
            0,
            lambda wait: now.__setitem__(0, now[0] + wait),
            lambda: now[0],
        )
    assert len(server.asked) < 30, "looks become rarer"


@pytest.mark.parametrize("drip", [0.0, 0.05])
def test_a_server_that_stalls_or_drips_is_given_up(serve: Any, drip: float) -> None:
    server = serve(lambda *_: (200 if drip else -60, GLB), drip)
    begun = time.monotonic()
    with pytest.raises(MakerError, match=r"made nothing in 0\.8 s"):
        quick(server.url, "generate", seconds=0.8)
    assert time.monotonic() - begun < LONG


def test_nobody_there() -> None:
    with socket.socket() as deaf:  # a port of its own: no other test waits for its turn there
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(MakerError, match="Is the server running"):
            quick(f"http://127.0.0.1:{deaf.getsockname()[1]}", "generate")
    for url in ("127.0.0.1:8080", "//host:8080", "", "ftp://host", "http://:80", "http://a:b"):
        with pytest.raises(MakerError, match="no address of a server"):
            quick(url)


def test_names_and_passwords_are_not_told(serve: Any) -> None:
    server = serve(lambda *_: (404, b"{}"))
    with pytest.raises(MakerError) as caught:
        quick(server.url.replace("http://", "http://somebody:secret@"), "generate")
    assert "secret" not in str(caught.value)


def test_headers_that_drip_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_http, "_GRACE", 0.3)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 1000:
                    connection.sendall(bytes([byte]))
                    if over.wait(0.05):
                        return

        threading.Thread(target=drip, daemon=True).start()
        begun = time.monotonic()
        with pytest.raises(MakerError, match=r"made nothing in 0\.5 s"):
            quick(f"http://127.0.0.1:{listener.getsockname()[1]}", "generate", seconds=0.5)
        assert time.monotonic() - begun < LONG
        over.set()


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"", MakerError, "no GLB file"),
        (b"<html>hello</html>", MakerError, "no GLB file"),
        (b"PK\x03\x04" + bytes(100), MakerError, "no GLB file"),
        (b"glTF", AssetError, "cut off after 4 bytes"),
        (GLB[: len(GLB) // 2], AssetError, "cut off"),
    ],
    ids=["nothing", "page", "zip", "magic", "half"],
)
def test_what_is_no_whole_file_is_refused(serve: Any, content: bytes, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        quick(serve(lambda *_: (200, content)).url, "generate")


def test_too_much_is_not_taken(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_http, "MAX_BYTES", 1000)
    with pytest.raises(AssetError, match="sends more than"):
        quick(serve(lambda *_: (200, bytes(5000))).url, "generate")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((200, b"not json"), "without 'uid': not json"),
        ((200, said([1])), "without 'uid'"),
        ((200, said({"uid": {"a": 1}})), "without 'uid'"),
        ((200, said({"uid": "../../etc"})), "no name of a job"),
        ((200, said({"uid": "a\r\nHost: x"})), "no name of a job"),
        ((200, b"[" * 100_000), "without 'uid'"),
    ],
)
def test_lies(serve: Any, answer: Answer, says: str) -> None:
    server = serve(lambda *_: answer)
    with pytest.raises(MakerError, match=says):
        quick(server.url, "send")
    assert len(server.asked) == 1


def test_a_model_that_is_no_base64(serve: Any) -> None:
    def script(method: str, path: str, _: Any) -> Answer:
        return 200, said({"uid": "a"} if method == "POST" else {"status": "completed", "model_base64": "§"})

    with pytest.raises(AssetError, match="no base64"):
        quick(serve(script).url, "send")


def test_terms() -> None:
    assert Server("http://a", dialect="job").terms() == ("unknown", False), "a way to speak is no licence"
    assert Server("http://a", dialect="send").terms() == ("tencent-hunyuan-community", False)
    assert Server("http://a", dialect="job", licence="MIT").terms() == ("MIT", False), (
        "what is not known allows nothing"
    )
    assert Server("http://a", dialect="job", licence="MIT", may_train=True).terms() == ("MIT", True)


def test_what_listens_is_there_whatever_it_says(serve: Callable[..., Loopback]) -> None:
    """An answer that is an error is one; nothing is asked of it."""
    mesh_http.require_reach(serve(lambda method, path, body: (500, b"")).url)


def test_where_nothing_listens_is_said_at_once() -> None:
    with pytest.raises(MakerError, match=r"Nothing answers at http://127\.0\.0\.1:1: .*Start the server"):
        mesh_http.require_reach("http://user:secret@127.0.0.1:1")
    with pytest.raises(MakerError, match="Nothing answers"):
        mesh_http.require_reach(f"http://{'a' * 80}.invalid:1")


def test_an_address_of_six_bytes_a_number_keeps_its_brackets() -> None:
    assert mesh_http.address("http://me:secret@[::1]:8080/x/") == "http://[::1]:8080/x"

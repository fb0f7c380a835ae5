"""The OpenAI-compatible backend and saved replies, against a real HTTP server on the loopback."""

from __future__ import annotations

import base64
import io
import json
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from worldgen.backends.llm_openai import LONGEST_WAIT, OpenAIDrafter, photo_uri
from worldgen.backends.llm_recorded import Recording
from worldgen.backends.llm_rules import compose
from worldgen.designer import (
    Budget,
    Designed,
    DrafterSettings,
    Request,
    design,
    make_brief,
    make_drafter,
    redesign,
)
from worldgen.errors import BudgetError, DesignError, Problem, StoreError
from worldgen.wire import WireScene

from ..llm_server import ChatServer, Reply, chat, failure

OPENING = 0.074
KEY = "sk-test-0123456789abcdef-secret"
REQUEST = Request("put the red mug on the plate", seed=3)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_MODEL", raising=False)


def scene(request: Request = REQUEST, **changes: Any) -> str:
    """Return a valid draft as a model would send it."""
    return compose(make_brief(request, OPENING)).model_copy(update=changes).model_dump_json()


def drafter(server: ChatServer, waits: list[float] | None = None, **settings: Any) -> OpenAIDrafter:
    """Return a backend that records its waits in place of sleeping."""
    sleep = (waits if waits is not None else []).append
    return OpenAIDrafter(DrafterSettings("asked-model", server.url, **settings), sleep, random.Random(0))


def designed(server: ChatServer, tmp_path: Path, budget: Budget | None = None, **settings: Any) -> Designed:
    """Design the usual request against a server."""
    return design(REQUEST, drafter(server, **settings), OPENING, budget or Budget(), tmp_path / "failures")


def test_a_good_reply_becomes_a_spec_and_is_charged(tmp_path: Path) -> None:
    budget = Budget(usd_per_million_in=1.0, usd_per_million_out=10.0, max_usd=1.0)
    with ChatServer(chat(scene())) as server:
        result = designed(server, tmp_path, budget)
    assert result.spec.family() == "pick-and-place"
    assert result.provenance.model_dump(include={"backend", "model", "rounds", "seed"}) == {
        "backend": "openai",
        "model": "served-model",
        "rounds": 0,
        "seed": 3,
    }
    assert (budget.calls, budget.tokens_in, budget.tokens_out) == (1, 1000, 200)
    assert budget.usd == pytest.approx(0.003)
    assert server.received[0].path == "/v1/chat/completions"
    assert server.received[0].headers["authorization"] == f"Bearer {KEY}"
    assert "seed" not in server.received[0].body


def test_the_schema_that_is_sent_is_strict(tmp_path: Path) -> None:
    with ChatServer(chat(scene())) as server:
        designed(server, tmp_path)
    sent = server.received[0].body["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["strict"] is True
    objects = list(_objects(sent["json_schema"]["schema"]))
    assert len(objects) == 3
    for item in objects:
        assert item["additionalProperties"] is False
        assert sorted(item["required"]) == sorted(item["properties"])
    text = json.dumps(sent)
    for keyword in ('"oneOf"', '"default"', '"allOf"', '"anyOf"', '"minLength"', '"pattern": "', '"format"'):
        assert keyword not in text


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from _objects(value)


def test_busy_servers_are_asked_again_and_retry_after_is_honoured(tmp_path: Path) -> None:
    waits: list[float] = []
    with ChatServer(failure(429, retry_after="7"), failure(500), failure(503), chat(scene())) as server:
        result = design(REQUEST, drafter(server, waits), OPENING, Budget(), tmp_path)
    assert result.provenance.rounds == 0
    assert waits[0] == 7.0
    assert 0 <= waits[1] <= 1.0
    assert 0 <= waits[2] <= 2.0
    assert len(server.received) == 4


def test_retry_after_is_capped_and_may_be_a_date(tmp_path: Path) -> None:
    waits: list[float] = []
    date = formatdate(4102444800, usegmt=True)
    with ChatServer(failure(429, retry_after="86400"), failure(429, retry_after=date), chat(scene())) as server:
        design(REQUEST, drafter(server, waits), OPENING, Budget(), tmp_path)
    assert waits == [LONGEST_WAIT, LONGEST_WAIT]


def test_jitter_is_full() -> None:
    waits: list[float] = []
    with ChatServer(failure(500)) as server:
        backend = drafter(server, waits, attempts=40)
        with pytest.raises(DesignError, match=r"failed 40 time"):
            backend.draft(make_brief(REQUEST, OPENING), Budget())
    assert max(waits) <= LONGEST_WAIT
    assert min(waits[8:]) < 0.3 * LONGEST_WAIT
    assert max(waits[8:]) > 0.7 * LONGEST_WAIT


def test_a_server_that_stays_broken_fails_with_its_status(tmp_path: Path) -> None:
    expected = pytest.raises(DesignError, match=r"failed 3 time.*HTTP 500.*exploded")
    with ChatServer(failure(500, "exploded")) as server, expected:
        designed(server, tmp_path, attempts=3)
    assert len(server.received) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_pass_is_asked_once(status: int, tmp_path: Path) -> None:
    with ChatServer(failure(status)) as server, pytest.raises(DesignError, match=f"HTTP {status}"):
        designed(server, tmp_path)
    assert len(server.received) == 1


def test_the_key_shows_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    with ChatServer(failure(500, f"bad key {KEY}"), failure(401, f"Incorrect API key provided: {KEY}.")) as server:
        backend = Recording(drafter(server), tmp_path / "replies")
        with pytest.raises(DesignError) as caught:
            design(REQUEST, backend, OPENING, Budget(), tmp_path / "failures")
        said += [str(caught.value), repr(caught.value), repr(backend.inner), repr(vars(backend))]
        assert len(server.received) == 2
    with ChatServer(chat(None, refusal=f"No, {KEY}")) as server:
        with pytest.raises(DesignError) as caught:
            designed(server, tmp_path)
        said.append(str(caught.value))
    with ChatServer(chat(scene())) as server:
        result = design(REQUEST, Recording(drafter(server), tmp_path / "replies"), OPENING, Budget())
    said += [repr(result), result.provenance.model_dump_json(), caplog.text]
    said += [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(said) > 6
    assert "[key]" in said[0]
    assert not [text for text in said if KEY in text]


def test_a_refusal_is_final(tmp_path: Path) -> None:
    expected = pytest.raises(DesignError, match=r"declined: I will not\.")
    with ChatServer(chat(None, refusal="I will not.")) as server, expected:
        designed(server, tmp_path)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        (chat('{"surface": "oak", "ro'), "Invalid JSON"),
        (chat('{"surface": "oak"', finish="length"), "cut off"),
        (chat('{"surface": "oak"}'), "objects: Field required"),
        (chat("here you are!"), "Invalid JSON"),
        (chat(scene(surface="lava")), "'lava' is not allowed"),
        (chat(scene(instruction="do something nice")), "does not name"),
    ],
)
def test_a_bad_reply_is_repaired(first: Reply, complaint: str, tmp_path: Path) -> None:
    with ChatServer(first, chat(scene())) as server:
        result = designed(server, tmp_path)
    assert result.provenance.rounds == 1
    second = server.received[1].body["messages"]
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert second[2]["content"] == first.body["choices"][0]["message"]["content"]
    assert complaint in second[3]["content"]


def test_two_failed_repairs_end_it_and_save_the_reply(tmp_path: Path) -> None:
    bad = scene(surface="lava")
    with ChatServer(chat(bad)) as server, pytest.raises(DesignError, match="still wrong after 2 repair") as caught:
        designed(server, tmp_path)
    assert len(server.received) == 3
    (saved,) = (tmp_path / "failures").iterdir()
    assert saved.read_text() == bad
    assert str(saved) in str(caught.value)
    assert "lava" in str(caught.value)


def test_later_checks_share_the_repair_rounds(tmp_path: Path) -> None:
    problem = Problem("settle", "'mug' moved 40 mm while settling.", "Place it on the table.")
    with ChatServer(chat(scene())) as server:
        backend = drafter(server)
        result = design(REQUEST, backend, OPENING, Budget(), tmp_path)
        for rounds in (1, 2):
            result = redesign(result, [problem], backend, Budget(), tmp_path)
            assert result.provenance.rounds == rounds
        with pytest.raises(DesignError, match=r"moved 40 mm"):
            redesign(result, [problem], backend, Budget(), tmp_path)
    assert "moved 40 mm" in server.received[1].body["messages"][3]["content"]
    assert len(server.received[2].body["messages"]) == 6


def asked(server: ChatServer, times: int) -> bool:
    """Return whether a server is asked so often: what was given up early may still be on its way there."""
    end = time.monotonic() + 20
    while len(server.received) < times and time.monotonic() < end:
        time.sleep(0.01)
    return len(server.received) == times


def test_a_stalled_server_is_given_up(tmp_path: Path) -> None:
    with ChatServer(Reply(stall=60.0)) as server:
        with pytest.raises(DesignError, match=r"no answer within 0\.2 s"):
            designed(server, tmp_path, timeout=0.2, attempts=2)
        assert asked(server, 2)


def test_a_server_that_drips_is_cut_off(tmp_path: Path) -> None:
    drip = replace(chat(scene()), drip=0.1)
    start = time.monotonic()
    with ChatServer(drip) as server:
        with pytest.raises(DesignError, match=r"failed 2 time.*no answer within 0\.4 s"):
            designed(server, tmp_path, timeout=0.4, attempts=2)
        assert asked(server, 2)
        with pytest.raises(BudgetError, match=r"max_seconds is 0\.5"):
            designed(server, tmp_path, Budget(max_seconds=0.5))
    assert time.monotonic() - start < 20, "all of a drip takes minutes"
    with ChatServer(drip, chat(scene())) as server:
        assert designed(server, tmp_path, timeout=1.0).spec


def test_nobody_listens(tmp_path: Path) -> None:
    with ChatServer(chat("")) as server:
        url = server.url
    backend = OpenAIDrafter(DrafterSettings("m", url, attempts=2), lambda _: None)
    with pytest.raises(DesignError, match=r"failed 2 time.*no connection"):
        design(REQUEST, backend, OPENING, Budget(), tmp_path)


@pytest.mark.parametrize("body", [b"<html>hello</html>", {"hello": 1}, []])
def test_a_server_that_speaks_something_else(body: Any, tmp_path: Path) -> None:
    with ChatServer(Reply(body=body)) as server, pytest.raises(DesignError, match=r"endpoint|understood"):
        designed(server, tmp_path)


def _photo(folder: Path, kind: str) -> Path:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(buffer, kind)
    path = folder / f"photo.{kind.lower()}"
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_photo_is_sent(kind: str, tmp_path: Path) -> None:
    photo = _photo(tmp_path, kind)
    request = Request(REQUEST.text, seed=3, photo=photo)
    with ChatServer(chat(scene())) as server:
        result = design(request, drafter(server), OPENING, Budget(), tmp_path)
    system, user = server.received[0].body["messages"]
    text, image = user["content"]
    assert text["text"] == request.text
    head, _, content = image["image_url"]["url"].partition(",")
    assert head == f"data:image/{kind.lower()};base64"
    assert base64.b64decode(content) == photo.read_bytes()
    assert "photo" in system["content"]
    assert len(result.provenance.photo_sha256) == 64


def test_photos_that_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "photo.gif"
    odd.write_bytes(b"GIF89a")
    with pytest.raises(DesignError, match="neither PNG nor JPEG"):
        photo_uri(odd)
    for content in (
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\nmore\nlines",
        b"\xff\xd8\xff\n\n",
        _photo(tmp_path, "PNG").read_bytes()[:50],
    ):
        (tmp_path / "torn.png").write_bytes(content)
        with pytest.raises(DesignError, match=r"torn\.png is damaged") as caught:
            photo_uri(tmp_path / "torn.png")
        assert "\n" not in str(caught.value)
    with pytest.raises(DesignError, match="cannot be read: No such file"):
        photo_uri(tmp_path / "gone.png")
    monkeypatch.setattr("worldgen.backends.llm_openai.MAX_PHOTO", 4)
    with pytest.raises(DesignError, match="Scale it down"):
        photo_uri(odd)


def test_budget_caps_name_themselves(tmp_path: Path) -> None:
    with ChatServer(chat(scene(surface="lava"))) as server:
        for budget, name in (
            (Budget(max_calls=2), "max_calls is 2"),
            (Budget(max_tokens=1200), "max_tokens is 1200"),
            (Budget(max_usd=0.001, usd_per_million_in=1.0), "max_usd is 0.001"),
        ):
            with pytest.raises(BudgetError, match=name):
                designed(server, tmp_path, budget)
    with ChatServer(failure(429, retry_after="30")) as server, pytest.raises(BudgetError, match="max_seconds is 5"):
        designed(server, tmp_path, Budget(max_seconds=5))


def test_wall_time_is_counted_from_the_start(tmp_path: Path) -> None:
    now = [0.0]
    budget = Budget(max_seconds=10, clock=lambda: now[0])
    with ChatServer(chat(scene())) as server:
        designed(server, tmp_path, budget)
        now[0] = 10.0
        with pytest.raises(BudgetError, match="max_seconds is 10"):
            designed(server, tmp_path, budget)
    with pytest.raises(BudgetError, match="no price"):
        Budget(max_usd=1.0)


def test_settings_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DesignError, match="OPENAI_MODEL"):
        make_drafter("openai")
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(DesignError, match="OPENAI_API_KEY is not set"):
        make_drafter("openai", DrafterSettings("m"))
    monkeypatch.setenv("OPENAI_MODEL", "from-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:hush@localhost:9/v1")
    backend = make_drafter("openai")
    assert backend.model == "from-environment"
    assert "hush" not in repr(backend)


def test_local_servers_need_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with ChatServer(chat(scene())) as server:
        designed(server, tmp_path, temperature=0.5)
    assert server.received[0].headers["authorization"] == "Bearer none"
    assert server.received[0].body["temperature"] == 0.5


def test_recording_resumes_without_paying_and_replays_offline(tmp_path: Path) -> None:
    replies = tmp_path / "replies"
    budget = Budget()
    with ChatServer(chat(scene(surface="lava")), chat(scene())) as server:
        settings = DrafterSettings("asked-model", server.url, replies)
        first = design(REQUEST, make_drafter("openai", settings), OPENING, budget)
        again = design(REQUEST, make_drafter("openai", settings), OPENING, budget)
        assert len(server.received) == budget.calls == 2
        assert again.spec == first.spec
        assert again.provenance == first.provenance
        other = DrafterSettings("other-model", server.url, replies)
        design(REQUEST, make_drafter("openai", other), OPENING, budget)
        assert len(server.received) > 2
    assert not [file for file in replies.iterdir() if file.suffix != ".json"]
    with ChatServer(chat("")) as server:
        replay = design(REQUEST, make_drafter("recorded", DrafterSettings(replies=replies)), OPENING, Budget())
        assert not server.received
    assert replay.spec == first.spec
    assert replay.provenance.model == "served-model"


def test_a_saved_reply_is_of_one_schema_model_and_temperature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer(chat(scene())) as server:
        settings = DrafterSettings("asked-model", server.url, tmp_path)
        for temperature, calls in ((None, 1), (None, 1), (0.5, 2), (0.5, 2)):
            design(REQUEST, make_drafter("openai", replace(settings, temperature=temperature)), OPENING, Budget())
            assert len(server.received) == calls
    brief = make_brief(REQUEST, OPENING)
    before = brief.digest()
    monkeypatch.setattr(WireScene, "model_json_schema", classmethod(lambda cls: {"type": "object"}))
    assert brief.digest() != before


def test_a_refusal_is_not_paid_for_twice(tmp_path: Path) -> None:
    budget = Budget()
    with ChatServer(chat(None, refusal="I will not.")) as server:
        settings = DrafterSettings("asked-model", server.url, tmp_path)
        said = []
        for backend in (
            make_drafter("openai", settings),
            make_drafter("openai", settings),
            make_drafter("recorded", settings),
        ):
            with pytest.raises(DesignError, match=r"declined: I will not\.") as caught:
                design(REQUEST, backend, OPENING, budget)
            said.append(str(caught.value))
        assert len(server.received) == budget.calls == 1
    assert len(set(said)) == 1


def test_a_reply_that_cannot_be_saved(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with ChatServer(chat(scene())) as server:
        backend = make_drafter("openai", DrafterSettings("m", server.url, tmp_path / "file"))
        with pytest.raises(StoreError, match="cannot be made"):
            design(REQUEST, backend, OPENING, Budget())


def test_replies_that_are_missing_or_damaged(tmp_path: Path) -> None:
    backend = make_drafter("recorded", DrafterSettings(replies=tmp_path))
    brief = make_brief(REQUEST, OPENING)
    with pytest.raises(DesignError, match=f"No reply {brief.digest()} in "):
        backend.draft(brief, Budget())
    (tmp_path / f"{brief.digest()}.json").write_text('{"digest": 3}')
    with pytest.raises(DesignError, match="is no saved reply"):
        backend.draft(brief, Budget())
    with pytest.raises(DesignError, match="Give their folder"):
        make_drafter("recorded")


def test_another_seed_is_another_question() -> None:
    digests = {make_brief(Request(REQUEST.text, seed=seed), OPENING).digest() for seed in range(5)}
    assert len(digests) == 5
    WireScene.model_validate_json(scene())

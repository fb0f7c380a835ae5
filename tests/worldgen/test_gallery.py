"""The gallery page: whole, self-contained, harmless, searchable."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from worldgen import gallery
from worldgen.errors import RenderError, SceneError
from worldgen.files import png
from worldgen.library import SceneLibrary

from . import handmade

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> push the mug \" onclick='x'"
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """Tags, attributes and nesting of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def values(self, tag: str, name: str) -> list[str]:
        return [value for found, key, value in self.attributes if (found, key) == (tag, name)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SceneLibrary:
    return handmade.library(tmp_path_factory.mktemp("gallery") / "a library", instruction=HOSTILE)


@pytest.fixture(scope="module")
def text(tiny: SceneLibrary) -> str:
    return gallery.write(tiny).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_page_is_well_formed_and_shows_every_scene(page: Page) -> None:
    assert not page.open
    assert page.tags["article"] == 4
    assert page.values("article", "data-status") == ["ok", "warning", "ok", "rejected"]
    assert page.tags["img"] == 3


def test_page_needs_nothing_else(page: Page, tiny: SceneLibrary, text: str) -> None:
    assert page.tags["script"] == page.tags["style"] == 1
    assert page.tags["link"] == 0
    assert all(source.startswith("data:image/") for source in page.values("img", "src"))
    assert "http://" not in text
    assert "https://" not in text
    assert str(tiny.root) not in text


def test_hostile_words_stay_words(page: Page, text: str) -> None:
    assert HOSTILE in "".join(page.words)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "'mug' <fell> over." in "".join(page.words)
    policy = next(value for value in page.values("meta", "content") if "default-src" in value)
    script = text.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy  # so the page's own script runs, and no other


def test_links_lead_to_files(page: Page, tiny: SceneLibrary) -> None:
    links = [link for link in page.values("a", "href") if not link.startswith("#")]
    assert len(links) == 3 * 3 + 1
    assert all((tiny.root / link).is_file() for link in links)


def test_page_elsewhere_links_back(tiny: SceneLibrary, tmp_path: Path) -> None:
    written = gallery.write(tiny, tmp_path)
    assert written == tmp_path / "gallery.html"
    link = next(link for link in Page(written.read_text()).values("a", "href") if link.endswith("scene.xml"))
    assert (tmp_path / link.replace("%20", " ")).resolve() == tiny.scene("0000").xml.resolve()


def test_same_library_gives_the_same_page(tiny: SceneLibrary, text: str, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny.root, tmp_path / "moved")
    assert gallery.write(SceneLibrary.open(copy)).read_text(encoding="utf-8") == text


def test_filters_offer_what_there_is(page: Page) -> None:
    assert page.values("select", "name") == ["split", "task", "category", "status"]
    options = page.values("option", "value")
    for value in ("train", "unseen-objects", "push", "mug", "drawer", "ok", "warning", "rejected"):
        assert value in options
    assert "failed" not in options


def test_checks_attempts_and_paraphrases_are_told(page: Page) -> None:
    words = " ".join(page.words)
    for part in ("2.31 mm, limit 5", "1 check passed, 1 warning", "Earlier attempts (1)", "too small", "bring the mug"):
        assert part in words
    assert "60%" in words


def test_failed_check_shows(tiny: SceneLibrary, tmp_path: Path) -> None:
    copy = SceneLibrary.open(shutil.copytree(tiny.root, tmp_path / "copy"))
    handmade.edit(copy.scene("0002"), checks=[{"name": "drift", "ok": False, "value": 9.0, "limit": 5.0, "unit": "mm"}])
    found = Page(gallery.write(copy).read_text())
    assert "failed" in found.values("article", "data-status")
    assert "failed" in found.values("option", "value")


def test_missing_and_broken_previews_do_no_harm(tiny: SceneLibrary, tmp_path: Path) -> None:
    copy = SceneLibrary.open(shutil.copytree(tiny.root, tmp_path / "copy"))
    (copy.root / "scenes/0000/preview.png").unlink()
    (copy.root / "scenes/0001/preview.png").write_bytes(b"no picture")
    assert Page(gallery.write(copy).read_text()).tags["img"] == 1


def test_pictures_are_small(tiny: SceneLibrary, tmp_path: Path) -> None:
    copy = SceneLibrary.open(shutil.copytree(tiny.root, tmp_path / "copy"))
    noise = np.random.default_rng(0).normal(128, 25, (90, 120, 3)).clip(0, 255).astype(np.uint8)
    (copy.root / "scenes/0000/preview.png").write_bytes(png(np.kron(noise, np.ones((8, 8, 1), np.uint8))))
    sources = Page(gallery.write(copy).read_text()).values("img", "src")
    assert max(map(len, sources)) <= 25_000


def test_unwritable_place_is_a_render_error(tiny: SceneLibrary, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RenderError, match="cannot be written"):
        gallery.write(tiny, tmp_path / "file" / "page.html")


def test_damaged_scene_leaves_no_half_page(tiny: SceneLibrary, tmp_path: Path) -> None:
    copy = SceneLibrary.open(shutil.copytree(tiny.root, tmp_path / "copy"))
    (copy.root / "gallery.html").unlink()
    (copy.root / "scenes/0001/scene.json").write_text("{}")
    with pytest.raises(SceneError, match="0001"):
        gallery.write(copy)
    assert not list(copy.root.glob("*gallery*"))


def test_empty_library_has_a_page(tmp_path: Path) -> None:
    empty = SceneLibrary.create(tmp_path / "empty", {})
    assert "Scene library" in gallery.write(empty).read_text()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
def test_address_sets_the_filters(tiny: SceneLibrary, text: str, tmp_path: Path) -> None:
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    address = (tiny.root / "gallery.html").resolve().as_uri()
    for state, shown in (("", 4), ("#status=rejected", 1), ("#split=train&q=mug+red", 2), ("#q=nowhere", 0)):
        dom = subprocess.run([*command, address + state], capture_output=True, text=True, timeout=60, check=True).stdout
        cards = re.findall(r"<article[^>]*>", dom)
        assert [' hidden=""' in card for card in cards].count(False) == shown
        assert "alert" not in json.dumps(re.findall(r"<title>.*?</title>", dom))


def test_what_a_picture_became_is_told_apart(tiny: SceneLibrary, tmp_path: Path) -> None:
    """A chip says who made its object where that was not drawn; a record that cannot be read says nothing."""
    shutil.copytree(tiny.root, tmp_path / "copy")
    scene = next(iter(SceneLibrary.open(tmp_path / "copy").scenes()))
    first = scene.record.spec.objects[0]
    folder = scene.root / "assets" / scene.record.assets[first.name]
    folder.mkdir(parents=True, exist_ok=True)
    for content, said in (
        ('{"provenance": {"backend": "silhouette", "model": "<b>red-mug.png"}}', True),
        ('{"provenance": {"backend": "procedural", "model": ""}}', False),
        ("[", False),
        ("[]", False),
    ):
        (folder / "asset.json").write_text(content)
        page = gallery.write(SceneLibrary.open(tmp_path / "copy"), tmp_path / "page.html").read_text()
        assert ("by silhouette, &lt;b&gt;red-mug.png" in page) == said
        (tmp_path / "page.html").unlink()

"""The preview as files and as a real browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from kie_ray.decoding.fields import build_fields
from kie_ray.drawing import PreviewPage, write_preview
from kie_ray.errors import Category, ErrorItem, Stage
from kie_ray.records import Document, Line, Link, Page, PageImage
from tests.kie_ray.drawing.outline import Outline

EVIL = "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">"


def line(line_id: int, text: str, x: float, y: float, label: str = "OTHER", score: float = 0.9) -> Line:
    return Line(line_id, text, (x, y, x + 200, y, x + 200, y + 30, x, y + 30), label=label, label_score=score)


def form(index: int = 0, width: int = 1600, evil: str = "") -> Page:
    page = Page(
        index,
        width,
        2000,
        [
            line(4, "姓名", 100, 100, "QUESTION"),
            line(7, f"张三{evil}", 400, 100, "ANSWER"),
            line(9, "Form A", 100, 20, "HEADER"),
            line(12, "see overleaf", 100, 900),
            line(15, " ", 100, 1000),
        ],
        [Link(4, 7, 0.8)],
    )
    page.fields = build_fields(page)
    return page


def picture(page: Page, name: str) -> PreviewPage:
    pixels = np.full((page.height, page.width, 3), 230, np.uint8)
    return PreviewPage(name, PageImage(pixels, page.index, name), page)


def failed(uri: str, message: str, pages: list[Page] | None = None, page: int | None = None) -> Document:
    return Document(uri, uri, pages or [], ErrorItem.of(Stage.READ, Category.CORRUPT, message, page=page))


@pytest.fixture
def preview(tmp_path: Path) -> Path:
    pages = [
        picture(form(0, evil=EVIL), f"s3://b/{EVIL}.png"),
        picture(form(3), "b.tiff"),
        picture(Page(0, 50, 40), "blank.png"),
    ]
    broken = [failed("s3://b/broken.jpg", f"cut off {EVIL}"), failed("c.pdf", "page is damaged", [form()], page=4)]
    count = write_preview(tmp_path / "preview", iter(pages), broken, classes=["OTHER", "QUESTION", "ANSWER", "HEADER"])
    assert count == 3
    return tmp_path / "preview"


def html_files(folder: Path) -> list[Path]:
    return [folder / "index.html", *sorted((folder / "pages").iterdir())]


def test_files_and_pictures(preview: Path) -> None:
    names = sorted(str(path.relative_to(preview)) for path in preview.rglob("*") if path.is_file())
    numbers = ("0001", "0002", "0003")
    expected = [
        f"{folder}/{number}.{end}"
        for folder, end in (("images", "jpg"), ("pages", "html"), ("thumbs", "jpg"))
        for number in numbers
    ]
    assert names == sorted(["index.html", *expected])
    assert cv2.imread(str(preview / "images/0001.jpg")).shape == (1750, 1400, 3)
    assert cv2.imread(str(preview / "thumbs/0001.jpg")).shape == (675, 540, 3)
    assert cv2.imread(str(preview / "images/0003.jpg")).shape == (40, 50, 3)


def test_every_file_that_is_named_exists_and_nothing_is_loaded_from_elsewhere(preview: Path) -> None:
    for file in html_files(preview):
        outline = Outline(file.read_text(encoding="utf-8"))
        links = [attributes["href"] for attributes in outline.all("a")] + [a["src"] for a in outline.all("img")]
        assert links
        for link in links:
            assert link is not None
            if not link.startswith("#"):
                assert (file.parent / link).resolve().is_file(), link
        assert not outline.all("link")
        assert not re.search(r"(?:src|href|url\()\W{0,2}(?:https?:)?//", file.read_text(encoding="utf-8"))


def test_text_of_documents_is_escaped(preview: Path) -> None:
    for file in html_files(preview):
        outline = Outline(file.read_text(encoding="utf-8"))
        assert len(outline.all("script")) == 1
        assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
        assert all("onerror" not in attributes for attributes in outline.all("img"))
    assert EVIL in Outline((preview / "pages/0001.html").read_text(encoding="utf-8")).text


def test_tables_hold_the_page(preview: Path) -> None:
    outline = Outline((preview / "pages/0002.html").read_text(encoding="utf-8"))
    rows = {row["id"]: row["data-lines"] for row in outline.all("tr") if "data-lines" in row}
    assert rows == {"field-1": "4 7", **{f"line-{line_id}": str(line_id) for line_id in (4, 7, 9, 12, 15)}}
    shapes = outline.all("polygon")
    assert sorted(int(shape["data-line"] or "") for shape in shapes) == [4, 7, 9, 12, 15]
    assert outline.all("svg")[0]["viewbox"] == "0 0 1600 2000"
    assert [(path["data-key"], path["data-value"]) for path in outline.all("path") if "data-key" in path] == [
        ("4", "7")
    ]
    text = outline.text
    assert "page 4" in text
    assert "blank" in text
    assert [a["href"] for a in outline.all("a") if a.get("rel")] == ["0001.html", "0003.html"]


def test_index_names_failures_and_pages_without_fields(preview: Path) -> None:
    outline = Outline((preview / "index.html").read_text(encoding="utf-8"))
    text = outline.text
    for part in ("s3://b/broken.jpg", "corrupt", "c.pdf (page 5)", "partial", "page is damaged"):
        assert part in text
    blank = Outline((preview / "pages/0003.html").read_text(encoding="utf-8")).text
    assert "No fields were found" in blank


def test_it_can_be_read_without_seeing_it(preview: Path) -> None:
    for file in html_files(preview):
        outline = Outline(file.read_text(encoding="utf-8"))
        assert outline.all("html")[0]["lang"] == "en"
        assert all(cell.get("scope") in ("row", "col") for cell in outline.all("th"))
        assert all("alt" in image for image in outline.all("img"))
        assert len(outline.all("h1")) == len(outline.all("main")) == 1
        ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        for _, attributes in outline.tags:
            assert attributes.get("aria-labelledby", ids[0]) in ids


def test_empty_preview_and_any_writer() -> None:
    stored: dict[str, bytes] = {}
    assert write_preview(stored.__setitem__, [], title="Nothing <yet>") == 0
    assert list(stored) == ["index.html"]
    assert "No page to show" in stored["index.html"].decode()
    assert "Nothing &lt;yet&gt;" in stored["index.html"].decode()


def test_pages_are_streamed() -> None:
    alive: list[int] = []

    def write(name: str, content: bytes) -> None:
        if name.startswith("images/"):
            alive.append(len(made))

    made: list[PreviewPage] = []

    def pages() -> Iterator[PreviewPage]:
        for index in range(3):
            made.append(picture(form(index, width=300), "x"))
            yield made[-1]

    write_preview(write, pages())
    assert alive == [1, 2, 3]


def test_a_document_without_error_is_not_failed() -> None:
    with pytest.raises(ValueError, match=r"fine\.png"):
        write_preview({}.__setitem__, [], [Document("d", "fine.png")])


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def browse(address: str, profile: Path) -> Outline:
    """The page as a headless browser ends up with it, its script run."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: the preview is not checked in a browser")
    offline = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *offline]
    command += [
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        "--dump-dom",
        address,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    # Console messages: script errors, and everything that the content security policy refused.
    assert "CONSOLE" not in done.stderr, done.stderr
    return Outline(done.stdout)


def test_the_browser_shows_the_row_that_the_address_names(preview: Path, tmp_path: Path) -> None:
    outline = browse(f"{(preview / 'pages/0001.html').as_uri()}#field-1", tmp_path / "profile")
    lit = [shape["data-line"] for shape in outline.all("polygon") if "on" in (shape["class"] or "").split()]
    assert sorted(lit) == ["4", "7"]
    (link,) = [path for path in outline.all("path") if "data-key" in path]
    assert "on" in (link["class"] or "").split()
    pinned = [row["id"] for row in outline.all("tr") if "pinned" in (row.get("class") or "").split()]
    assert pinned == ["field-1"]
    assert all(row["tabindex"] == "0" for row in outline.all("tr") if "data-lines" in row)
    titles = outline.text
    assert EVIL in titles
    assert len(outline.all("script")) == 1


def test_the_browser_opens_the_lines_when_a_line_is_named(preview: Path, tmp_path: Path) -> None:
    outline = browse(f"{(preview / 'pages/0002.html').as_uri()}#line-12", tmp_path / "profile")
    assert all("open" in details for details in outline.all("details"))
    assert [s["data-line"] for s in outline.all("polygon") if "on" in (s["class"] or "").split()] == ["12"]


def test_the_browser_filters_the_index(preview: Path, tmp_path: Path) -> None:
    outline = browse(f"{(preview / 'index.html').as_uri()}#find=b.tiff%20%E5%A7%93%E5%90%8D", tmp_path / "profile")
    cards = [item for item in outline.all("li") if "data-text" in item]
    assert ["hidden" in card for card in cards] == [True, False, True]
    assert "1 of 3 pages" in outline.text


def test_the_browser_decodes_every_picture(preview: Path, tmp_path: Path) -> None:
    """A page of our own measures the pictures; the policy of the preview lets no foreign script in."""
    probe = preview / "probe.html"
    sources = [f"{folder}/{number:04d}.jpg" for folder in ("images", "thumbs") for number in (1, 2, 3)]
    probe.write_text(
        f"<!doctype html><html><body><pre></pre><script>for (const s of {json.dumps(sources)}) {{"
        "const i = new Image();"
        "i.onload = () => document.querySelector('pre').append(`${i.naturalWidth}x${i.naturalHeight} `); i.src = s; }"
        "</script></body></html>",
        encoding="utf-8",
    )
    outline = browse(probe.as_uri(), tmp_path / "profile")
    sizes = re.findall(r"\b\d+x\d+\b", outline.text)
    assert sorted(sizes) == sorted(["1400x1750", "1400x1750", "50x40", "540x675", "540x675", "50x40"])

"""errors.html as files and as a real browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from kie_ray.drawing.errors_page import write_errors_page
from kie_ray.records import Line, Link, Page, PageImage
from tests.kie_ray.drawing.outline import Outline

EVIL = "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">"
PAIRS = [("QUESTION", "ANSWER")]


def line(line_id: int, text: str, x: float, y: float, label: str = "OTHER", score: float = 0.9) -> Line:
    return Line(line_id, text, (x, y, x + 200, y, x + 200, y + 30, x, y + 30), label=label, label_score=score)


def gold_page(source: str) -> Page:
    lines = [
        line(4, "姓名", 100, 100, "QUESTION"),
        line(7, f"张三{EVIL}", 400, 100, "ANSWER"),
        line(9, "Form A", 100, 20, "HEADER"),
        line(12, "see overleaf", 100, 900),
    ]
    return Page(0, 1600, 2000, lines, [Link(4, 7)], source=source)


def wrong(page: Page, labels: dict[int, str], links: list[Link]) -> Page:
    lines = [replace(one, label=labels.get(one.id, one.label), label_score=0.6) for one in page.lines]
    return replace(page, lines=lines, links=links)


def scan(page: Page) -> PageImage | None:
    return None if "noscan" in page.source else PageImage(np.full((2000, 1600, 3), 230, np.uint8), 0, page.source)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    gold = [gold_page("right.png"), gold_page("b_noscan.png"), gold_page("a.png"), gold_page(f"{EVIL}.png")]
    predicted = [
        wrong(gold[0], {}, [Link(4, 7, 0.8)]),
        wrong(gold[1], {12: "ANSWER"}, [Link(4, 7, 0.8)]),
        wrong(gold[2], {4: "OTHER"}, [Link(4, 7, 0.8)]),
        wrong(gold[3], {9: EVIL}, [Link(4, 12, 0.7)]),
    ]
    classes = ["OTHER", "QUESTION", "ANSWER", "HEADER"]
    shown = write_errors_page(
        tmp_path / "out", gold, predicted, relation_pairs=PAIRS, image_of=scan, classes=classes, title="Errors <of> it"
    )
    assert shown == 3
    return tmp_path / "out"


def outline(folder: Path) -> Outline:
    return Outline((folder / "errors.html").read_text(encoding="utf-8"))


def test_worst_first_ties_by_name_and_right_pages_never(folder: Path) -> None:
    page = outline(folder)
    anchors = [attributes["href"] for attributes in page.all("a") if "page-" in (attributes["href"] or "")]
    assert anchors == ["#page-1", "#page-2", "#page-3"]
    headings = [page.text.index(name) for name in (f"1. {EVIL}", "2. a.png", "3. b_noscan.png")]
    assert headings == sorted(headings)
    assert "right.png" not in page.text
    assert "1 of 4 lines wrong" in page.text
    assert "1 link missed, 1 wrong" in page.text


def test_pictures_lie_beside_it(folder: Path) -> None:
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["errors.html", "errors/0001.jpg", "errors/0002.jpg"]
    assert cv2.imread(str(folder / "errors/0001.jpg")).shape == (1750, 1400, 3)
    page = outline(folder)
    assert [image["href"] for image in page.all("image")] == ["errors/0001.jpg", "errors/0002.jpg"]
    assert "drawn without its scan" in page.text
    assert len([text for text in page.all("text") if text["fill"] == "#4a4f57"]) == 4  # the third page as text
    html = (folder / "errors.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href|url\()\W{0,2}(?:https?:)?//", html)


def test_text_of_documents_is_escaped(folder: Path) -> None:
    page = outline(folder)
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "Errors <of> it" in page.text
    assert page.text.count(EVIL) >= 4  # name of the file, label, texts of lines
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_errors_are_drawn_and_numbered_as_in_the_table(folder: Path) -> None:
    html = (folder / "errors.html").read_text(encoding="utf-8")
    first = html[html.index('<h2 id="page-1"') : html.index('<h2 id="page-2"')]
    table = Outline(first[first.index("<table") : first.index("</table>") + len("</table>")]).text
    assert re.search(
        r"1 label Form A HEADER .* 0\.60 2 missed link 姓名 → .* 3 wrong link 姓名 → see overleaf 0\.70", table
    )
    picture = Outline(first[first.index("<svg") : first.index("</svg>") + len("</svg>")])
    assert "HEADER → " in picture.text
    # Gold is the outline, the prediction the filling: the label that is wrong has two colours.
    wrong_box = next(box for box in picture.all("polygon") if box["stroke-width"] == "3")
    assert wrong_box["stroke"] == "#cc79a7"
    assert wrong_box["fill"] != wrong_box["stroke"]
    links = {path["marker-end"]: path for path in picture.all("path") if "marker-end" in path}
    assert set(links) == {"url(#p1-missed-link)", "url(#p1-wrong-link)"}
    assert "stroke-dasharray" in links["url(#p1-missed-link)"]
    assert "stroke-dasharray" not in links["url(#p1-wrong-link)"]


def test_only_the_worst_are_shown_and_only_their_scans_are_read() -> None:
    gold = [gold_page(f"{index}.png") for index in range(5)]
    predicted = [
        wrong(page, {4: "OTHER", 7: "OTHER"} if index == 3 else {4: "OTHER"}, []) for index, page in enumerate(gold)
    ]
    read: list[str] = []
    stored: dict[str, bytes] = {}

    def image_of(page: Page) -> PageImage | None:
        read.append(page.source)
        return scan(page)

    shown = write_errors_page(stored.__setitem__, gold, predicted, relation_pairs=[], image_of=image_of, worst=2)
    assert (shown, read) == (2, ["3.png", "0.png"])
    assert sorted(stored) == ["errors.html", "errors/0001.jpg", "errors/0002.jpg"]
    text = Outline(stored["errors.html"].decode()).text
    assert "The 2 worst of 5 pages with errors" in text
    assert "missed link" not in text.lower()


def test_without_errors_or_pages_it_says_so() -> None:
    for pages in ([gold_page("a.png")], []):
        stored: dict[str, bytes] = {}
        assert write_errors_page(stored.__setitem__, pages, pages, relation_pairs=PAIRS) == 0
        assert list(stored) == ["errors.html"]
        assert "No page has an error." in Outline(stored["errors.html"].decode()).text


def test_lines_that_ocr_missed_or_invented_are_shown() -> None:
    gold = gold_page("a.png")
    read = replace(gold, lines=[gold.lines[0], line(-1, "smudge", 50, 50, "ANSWER")], links=[Link(4, -1, 0.5)])
    stored: dict[str, bytes] = {}
    write_errors_page(stored.__setitem__, [gold], [read], relation_pairs=PAIRS)
    text = Outline(stored["errors.html"].decode()).text
    assert "smudge (no line) ANSWER 0.90" in text
    assert "Form A HEADER (no line) 0.00" in text
    assert "姓名 → smudge" in text


def test_lines_at_the_edges_and_pages_without_size_are_drawn() -> None:
    gold = Page(0, 0, 0, [line(0, "x", -500, -500, "ANSWER"), line(1, "", 5000, 10, "QUESTION")], [Link(1, 0)])
    stored: dict[str, bytes] = {}
    assert write_errors_page(stored.__setitem__, [gold], [wrong(gold, {0: "OTHER"}, [])], relation_pairs=PAIRS) == 1
    assert "1. page, page 1" in Outline(stored["errors.html"].decode()).text


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_the_browser_runs_nothing_of_it_and_refuses_nothing(folder: Path, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: errors.html is not checked in a browser")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars"]
    picture = tmp_path / "shot.png"
    command += ["--window-size=1400,1500", f"--screenshot={picture}", (folder / "errors.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr  # script errors, and what the content security policy refused
    shot = cv2.imread(str(picture)).astype(int)
    # The scan is grey 230, which nothing else on the page is: a picture that did not load would leave white.
    assert (np.abs(shot - 230).max(axis=2) <= 1).mean() > 0.15
    assert (np.abs(shot - (167, 121, 204)).max(axis=2) <= 8).sum() > 200  # the gold label's outline (BGR)

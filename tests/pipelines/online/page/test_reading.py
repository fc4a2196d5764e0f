"""From a file to pages and fields: the real endpoint, the real models, a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from kie_ray.drawing.overlay import link_ends
from kie_ray.drawing.palette import Palette
from kie_ray.records import Document
from tests.pipelines.online.page.conftest import Open, Remembering
from tests.pipelines.online.page.probes import ARROWS, GIVE, LIT_IS_SEEN, SHAPES, STATES


@pytest.fixture(scope="module")
def expected(backend: Remembering, english: Path) -> Document:
    """What the library says about the same file."""
    document = backend.found(english)
    assert len(document.fields) >= 6
    return document


def test_the_table_shows_what_the_extractor_finds(visit: Open, english: Path, expected: Document) -> None:
    tab = visit()
    tab.send(english)
    assert tab.rows == [(field.key, field.value) for field in expected.fields]
    scores = tab.page.locator("#fields tr.row .score > span:last-child").all_inner_texts()
    assert [float(score.split()[0]) for score in scores] == [round(field.score, 2) for field in expected.fields]
    assert tab.page.inner_text("#fields-title") == f"{len(expected.fields)} fields"
    assert tab.page.inner_text("h1:visible") == "order, part 1.png"
    assert f"{len(expected.pages[0].lines)} lines" in tab.page.inner_text("#doc-facts")
    tab.page.wait_for_function("() => document.querySelector('.canvas img').naturalWidth === 1074")


def test_boxes_and_arrows_lie_where_the_library_draws_them(visit: Open, english: Path, expected: Document) -> None:
    tab = visit()
    tab.send(english)
    (page,) = expected.pages
    palette = Palette(list(tab.page.evaluate("async () => (await (await fetch('v1/models')).json()).models[0].labels")))
    by_id = {line.id: line for line in page.lines}
    tab.page.wait_for_selector(".shape", state="attached")
    for zoom in ("", "Zoom in", "Zoom in", "Fit page"):
        if zoom:
            tab.page.get_by_role("button", name=zoom).click()
        tab.page.get_by_role("button", name="OTHER").click()  # their boxes come and go, the others stay where they are
        shapes = [shape for shape in tab.page.evaluate(SHAPES) if shape["box"][2] > shape["box"][0]]
        assert {shape["line"] for shape in shapes} >= {line.id for line in page.lines if line.label != "OTHER"}
        for shape in shapes:
            x0, y0, x1, y1 = by_id[shape["line"]].box
            right = (x0 / page.width, y0 / page.height, x1 / page.width, y1 / page.height)
            assert shape["box"] == pytest.approx(right, abs=0.002)
            assert shape["colour"] == palette.css(by_id[shape["line"]].label)
    arrows = {(key, value): path for key, value, path in tab.page.evaluate(ARROWS)}
    assert len(arrows) == len(page.links) > 0
    for link in page.links:
        (x0, y0), (x1, y1) = link_ends(by_id[link.key_line], by_id[link.value_line])
        drawn = arrows[str(link.key_line), str(link.value_line)].replace("M", "").replace("L", " ").split()
        assert [float(number) for number in drawn] == pytest.approx([x0, y0, x1, y1], abs=0.051)


def test_rows_light_their_boxes_and_boxes_their_rows(visit: Open, english: Path, expected: Document) -> None:
    tab = visit(height=600)
    tab.send(english)
    by_id = {line.id: line.text for line in expected.pages[0].lines}
    field = expected.fields[-1]
    texts = sorted(by_id[line] for line in [*field.key_lines, *field.value_lines])
    for _ in range(8):  # so large that the box is out of sight
        tab.page.click("#zoom-in")
    row = tab.page.locator("#fields tr.row").nth(len(expected.fields) - 1)
    row.locator("th").hover()
    assert tab.lit() == texts
    assert tab.lit(".link") == sorted(f"{k} {v}" for k in field.key_lines for v in field.value_lines)
    tab.page.wait_for_function(LIT_IS_SEEN)  # the page moves until it is
    tab.page.mouse.move(5, 5)
    assert tab.lit() == []

    tab.page.click("#fit-width")
    first = expected.fields[0]
    box = tab.page.locator(f".shape[data-line='{first.value_lines[0]}']")
    box.hover()
    assert tab.page.locator("#fields tr.on").count() >= 1
    assert tab.page.locator("#fields tr.on th").first.inner_text() == first.key
    box.click()
    chosen = tab.page.locator("#fields tr.chosen")
    assert chosen.get_attribute("aria-selected") == "true"
    assert tab.page.evaluate("() => document.activeElement.innerText") == first.value
    tab.page.mouse.move(5, 5)
    assert by_id[first.value_lines[0]] in tab.lit()  # chosen: it stays lit when the mouse has gone


def test_pages_of_a_pdf(visit: Open, backend: Remembering, two_pages: Path) -> None:
    tab = visit(height=620)
    tab.send(two_pages)
    document = backend.found(two_pages)
    assert [len(page.fields) > 2 for page in document.pages] == [True, True]
    assert tab.rows == [(field.key, field.value) for page in document.pages for field in page.fields]
    assert tab.page.locator("#fields .part").all_inner_texts() == ["Page 1", "Page 2"]
    assert tab.page.locator(".leaf").count() == tab.page.locator("#rail button").count() == 2
    assert tab.page.inner_text("#page-now") == "Page 1 of 2"
    tab.page.get_by_role("button", name="Fit page").click()
    tab.page.get_by_role("button", name="Next page").click()
    tab.page.wait_for_function("() => document.querySelector('#page-now').textContent === 'Page 2 of 2'")
    assert tab.page.locator("#rail [aria-current=true]").inner_text() == "2"
    tab.page.locator("#rail button").first.focus()
    tab.page.keyboard.press("ArrowDown")
    assert tab.page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Page 2"
    # A field of the first page brings its page back.
    tab.page.locator("#fields tr.row").first.locator("th").click()
    tab.page.wait_for_function("() => document.querySelector('#page-now').textContent === 'Page 1 of 2'")
    lines = {line.id: line.text for line in document.pages[0].lines}
    field = document.pages[0].fields[0]
    assert tab.lit() == sorted(lines[line] for line in [*field.key_lines, *field.value_lines])


def test_files_that_are_dropped_and_pasted_are_read_in_turn(visit: Open, english: Path, expected: Document) -> None:
    tab = visit()
    content = list(english.read_bytes())
    tab.page.evaluate(GIVE, ["dragenter", "a.png", content])
    assert tab.page.locator("#dropping").is_visible()
    tab.page.evaluate(GIVE, ["drop", "a.png", content])
    assert tab.page.locator("#dropping").is_hidden()
    tab.page.evaluate(GIVE, ["paste", "image.png", content])
    tabs = tab.page.locator("#tabs button")
    both = ", ".join([f"{len(expected.fields)} fields"] * 2)
    tab.page.wait_for_function(f"(both) => ({STATES})() === both", arg=both)
    names = tabs.locator(".name").all_inner_texts()
    assert names[0] == "a.png"
    assert names[1].startswith("pasted ")
    assert tab.page.inner_text("h1:visible") == names[1]
    tabs.first.click()
    assert tab.page.inner_text("h1:visible") == "a.png"
    assert tab.rows == [(field.key, field.value) for field in expected.fields]
    tab.page.get_by_role("button", name="Close this document").click()
    assert tab.page.inner_text("h1:visible") == names[1]
    tab.page.get_by_role("button", name="Close this document").click()
    assert tab.page.inner_text("h1:visible") == "Drop a form, get its fields"


def test_lines_without_a_field_can_be_shown(visit: Open, english: Path, expected: Document) -> None:
    tab = visit()
    tab.send(english)
    used = {line for field in expected.fields for line in [*field.key_lines, *field.value_lines]}
    bare = [line for line in expected.pages[0].lines if line.id not in used]
    assert bare
    assert not tab.page.locator("#fields .pill:visible").count()
    tab.page.get_by_label("Lines without a field").check()
    shown = tab.page.locator("#fields tr.row:has(.pill):visible td[dir=auto]").all_inner_texts()
    assert shown == [line.text for line in bare]
    assert tab.page.get_by_role("button", name="OTHER").get_attribute("aria-pressed") == "true"
    tab.page.get_by_label("Lines without a field").uncheck()
    # Its box on the page brings the rows back, and its own is chosen.
    labelled = next(line for line in bare if line.label != "OTHER")
    tab.page.locator(f".shape[data-line='{labelled.id}']").click()
    assert tab.page.locator("#fields tr.chosen td[dir=auto]").inner_text() == labelled.text

"""Without a mouse, without sight, on a phone, in the dark, on paper."""

from __future__ import annotations

import io
from pathlib import Path

import pypdf
import pytest

from tests.pipelines.online.page.conftest import Open, Serve
from tests.pipelines.online.page.probes import CUT_OFF, IN_SIGHT, MOVING, POOR_CONTRAST
from tests.pipelines.online.page.scripted import Pictured, document, table


def form() -> Pictured:
    pairs = [("Name", "Ada Lovelace"), ("A rather long key of a form:", "x" * 60), ("Date", "10.12.1815")]
    return Pictured(
        document(table(pairs, scores=[0.95, 0.6, 0.3], spare=["Not part of any field"]), table(pairs, index=1))
    )


def test_everything_can_be_done_with_the_keyboard(visit: Open, served: Serve, english: Path) -> None:
    tab = visit(served(form()))
    page, keys = tab.page, tab.page.keyboard
    page.on("filechooser", lambda chooser: chooser.set_files(str(english)))
    page.wait_for_selector("#model option", state="attached")

    def tab_to(condition: str, back: bool = False) -> None:
        for _ in range(40):
            keys.press("Shift+Tab" if back else "Tab")
            if page.evaluate(f"() => document.activeElement?.matches({condition!r}) === true"):
                assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") != "none"
                return
        raise AssertionError(f"the Tab key does not reach {condition}")

    tab_to("#choose")
    keys.press("Enter")
    page.wait_for_selector("#fields tr.row")
    assert page.evaluate("() => document.activeElement.id") == "doc-title"
    assert page.inner_text("#live") == f"{english.name}: 6 fields on 2 pages"
    tab_to("#viewer")
    zoom = page.inner_text("#zoom-now")
    keys.press("+")
    assert page.inner_text("#zoom-now") != zoom
    keys.press("0")
    assert page.inner_text("#zoom-now") == zoom
    tab_to("#fields [data-cell]")
    assert page.evaluate("() => document.activeElement.innerText") == "Name"
    assert tab.lit() == ["Ada Lovelace", "Name"]
    keys.press("ArrowRight")
    keys.press("Enter")
    keys.type("Countess")
    keys.press("Enter")
    assert tab.rows[0] == ("Name", "Countess")
    keys.press("Control+c")
    assert tab.clipboard() == "Countess"
    keys.press("Control+z")
    assert tab.rows[0] == ("Name", "Ada Lovelace")
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    keys.press(" ")
    assert page.locator("tr.chosen th").inner_text() == "Date"
    keys.press("Control+End")
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Copy row Date"
    keys.press("Enter")
    assert tab.clipboard() == "Date\t10.12.1815"
    tab_to("#save-csv", back=True)
    with page.expect_download() as caught:
        keys.press("Enter")
    assert caught.value.suggested_filename == "order, part 1.csv"
    keys.press("Tab")
    tab_to("#close")
    keys.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "choose"


def test_every_control_has_a_name_and_every_place_a_landmark(visit: Open, served: Serve, english: Path) -> None:
    tab = visit(served(form()))
    assert tab.page.get_attribute("html", "lang") == "en"
    tab.page.wait_for_selector("#model option", state="attached")
    for step in ("start", "fields", "key", "help"):
        if step == "fields":
            tab.send(english)
            tab.page.get_by_label("Lines without a field").check()
        elif step != "start":
            tab.page.click(f"#{step}-button")
        found = tab.named_controls()
        unnamed = [role for role, name in found if not name and role not in ("main", "banner")]
        assert not unnamed, (step, unnamed)
        roles = {role for role, _ in found}
        if step in ("key", "help"):
            assert "dialog" in roles
            tab.page.keyboard.press("Escape")
            assert tab.page.evaluate("() => document.activeElement.id") == f"{step}-button"
        else:
            assert {"main", "banner", "button"} <= roles
    assert {"grid", "navigation", "region", "slider", "checkbox", "combobox"} <= {
        role for role, _ in tab.named_controls()
    }
    ids = tab.page.evaluate("() => [...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_its_ground(
    visit: Open, served: Serve, english: Path, tmp_path: Path, scheme: str
) -> None:
    tab = visit(served(form()), color_scheme=scheme)
    tab.statuses = (415,)
    tab.page.wait_for_selector("#model option", state="attached")
    assert tab.page.evaluate(POOR_CONTRAST) == []
    tab.send(english)
    tab.page.get_by_label("Lines without a field").check()
    tab.page.locator("[data-part=value]").first.dblclick()
    tab.page.keyboard.type("edited")
    tab.page.keyboard.press("Enter")
    assert tab.page.evaluate(POOR_CONTRAST) == []
    unknown = tmp_path / "notes.xyz"
    unknown.write_bytes(b"not a form")
    tab.page.set_input_files("#file", str(unknown))
    tab.page.wait_for_selector(".card .trouble")
    assert tab.page.evaluate(POOR_CONTRAST) == []


@pytest.mark.parametrize(("width", "height"), [(400, 800), (820, 1100), (1366, 480), (1920, 1080)])
def test_it_fits_the_screen(visit: Open, served: Serve, english: Path, width: int, height: int) -> None:
    tab = visit(served(form()), width=width, height=height)
    overflow = "() => document.scrollingElement.scrollWidth - innerWidth"
    assert tab.page.evaluate(overflow) <= 0
    tab.send(english)
    assert tab.page.evaluate(overflow) <= 0
    assert tab.page.evaluate(CUT_OFF) == []
    tab.page.locator("#fields tr.row [data-part=value]").last.click()
    assert tab.page.evaluate(IN_SIGHT) == {"cell": True, "viewer": True}


def test_less_motion(visit: Open, served: Serve, english: Path) -> None:
    tab = visit(served(form()), reduced_motion="reduce")
    tab.send(english)
    assert tab.page.evaluate(MOVING) == 0
    tab.page.get_by_role("button", name="Fit page").click()
    tab.page.get_by_role("button", name="Next page").click()
    assert tab.page.evaluate("() => document.querySelector('#viewer').scrollTop") > 0  # at once


def test_on_paper(visit: Open, served: Serve, english: Path) -> None:
    tab = visit(served(form()))
    tab.send(english)
    paper = pypdf.PdfReader(io.BytesIO(tab.page.pdf(format="A4", print_background=True)))
    text = "\n".join(page.extract_text() for page in paper.pages)
    assert 2 <= len(paper.pages) <= 5
    for part in (english.name, "Ada Lovelace", "10.12.1815", "Page 2"):
        assert part in text
    assert "Copy table" not in text

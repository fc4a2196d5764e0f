"""Correcting, copying and saving what was read."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from pipelines.online.api.backend import ModelInfo
from tests.pipelines.online.api.support import MODEL
from tests.pipelines.online.page.conftest import Open, Serve
from tests.pipelines.online.page.probes import STATES
from tests.pipelines.online.page.scripted import Pictured, document, table

FORMULAS = [
    '=HYPERLINK("http://x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\u200b=1",
    "\uff1d1+1",
]
HARMLESS = ["-12.50", "+49", "a=b", "line 1\nline 2"]


def test_a_value_is_changed_in_place_and_put_back(visit: Open, english: Path) -> None:
    tab = visit()
    tab.send(english)
    before = tab.rows
    key, value = before[1]
    cell = tab.row(key).locator("[data-part=value]")
    cell.dblclick()
    tab.page.keyboard.type("Ada & Söhne")
    tab.page.keyboard.press("Enter")
    assert tab.rows[1] == (key, "Ada & Söhne")
    assert cell.locator(".edited-mark").inner_text().startswith("edited")
    assert cell.get_attribute("title") == f"Read as: {value}"

    tab.row(key).locator("[data-part=key]").dblclick()
    tab.page.keyboard.type("dropped")
    tab.page.keyboard.press("Escape")
    assert tab.rows[1] == (key, "Ada & Söhne")

    tab.page.get_by_role("button", name="Undo", exact=True).click()
    assert tab.rows == before
    assert not tab.page.locator(".edited-mark").count()
    assert tab.page.get_by_role("button", name="Undo", exact=True).is_disabled()

    cell.dblclick()
    tab.page.keyboard.type("again")
    tab.page.keyboard.press("Tab")  # keeps the change and goes on to the next key
    assert tab.page.evaluate("() => document.activeElement.innerText") == before[2][0]
    tab.page.get_by_role("button", name=f"Put back what was read for {key}").click()
    assert tab.rows == before
    tab.page.keyboard.press("Control+z")  # putting back is a change like any other
    assert tab.rows[1] == (key, "again")


def test_copies(visit: Open, english: Path) -> None:
    tab = visit()
    tab.send(english)
    key, value = tab.rows[0]
    tab.row(key).locator("[data-part=value]").click()
    tab.page.keyboard.press("Control+c")
    assert tab.clipboard() == value
    tab.row(key).get_by_role("button", name=f"Copy row {key}").click()
    assert tab.clipboard() == f"{key}\t{value}"
    tab.page.get_by_role("button", name="Copy table").click()
    assert tab.clipboard().splitlines() == ["\t".join(row) for row in tab.rows]
    assert tab.page.inner_text("#toast") == "Table copied"


def test_copies_where_the_browser_has_no_clipboard_for_scripts(visit: Open, served: Serve, english: Path) -> None:
    """As on a page from plain http."""
    tab = visit(served(Pictured(document(table([("a", "1"), ("b", "2")])))))
    tab.page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    tab.send(english)
    tab.page.get_by_role("button", name="Copy table").click()
    tab.row("a").locator("[data-part=value]").dblclick()
    tab.page.keyboard.press("Control+v")
    tab.page.keyboard.press("Enter")
    assert tab.rows[0] == ("a", "a\t1\nb\t2")


def test_downloads_hold_the_record_and_the_changes(visit: Open, english: Path) -> None:
    tab = visit()
    with tab.page.expect_response("**/v1/extract*") as caught:
        tab.send(english)
    record = caught.value.json()
    record.pop("pictures")
    before = tab.rows
    cell = tab.row(before[1][0]).locator("[data-part=value]")
    cell.dblclick()
    tab.page.keyboard.type("=changed")
    tab.page.keyboard.press("Enter")

    name, content = tab.download("Download JSON")
    assert name == "order, part 1.json"
    saved = json.loads(content)
    changed = saved["fields"][1]
    assert changed.pop("edited") is True
    assert changed.pop("original") == {"key": before[1][0], "value": before[1][1]}
    assert changed["value"] == "=changed"
    changed["value"] = before[1][1]
    assert saved == record

    name, content = tab.download("Download CSV")
    assert name == "order, part 1.csv"
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [row["key"] for row in rows] == [key for key, _ in before]
    assert [row["value"] for row in rows] == [
        value if place != 1 else "'=changed" for place, (_, value) in enumerate(before)
    ]
    assert [row["edited"] for row in rows] == ["yes" if place == 1 else "no" for place in range(len(rows))]
    assert {(row["file"], row["page_number"]) for row in rows} == {("order, part 1.png", "1")}
    assert [round(float(row["score"]), 4) for row in rows] == [round(field["score"], 4) for field in record["fields"]]


def test_what_a_spreadsheet_would_run_is_text(visit: Open, served: Serve, english: Path) -> None:
    pairs = [(f"key {place}", text) for place, text in enumerate([*FORMULAS, *HARMLESS])]
    pairs[-1] = ('a "quoted", key', pairs[-1][1])
    tab = visit(served(Pictured(document(table(pairs)))))
    tab.send(english)
    assert tab.rows == pairs
    _, content = tab.download("Download CSV")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    safe = [*(f"'{text}" for text in FORMULAS), *HARMLESS]
    assert [row["value"] for row in rows] == safe
    assert rows[-1]["key"] == 'a "quoted", key'
    tab.page.get_by_role("button", name="Copy table").click()
    assert list(csv.reader(io.StringIO(tab.clipboard(), newline=""), delimiter="\t")) == [
        [key, value] for (key, _), value in zip(pairs, safe, strict=True)
    ]


def test_the_score_slider_hides_fields_and_downloads_follow(visit: Open, served: Serve, english: Path) -> None:
    pairs = [("a", "1"), ("b", "2"), ("c", "3")]
    tab = visit(served(Pictured(document(table(pairs, scores=[0.95, 0.6, 0.3])))))
    tab.send(english)
    assert tab.page.locator("tr.low th").all_inner_texts() == ["c"]
    check = tab.page.get_by_role("button", name="1 field with a low score")
    check.click()
    assert tab.page.locator("tr.chosen th").inner_text() == "c"
    slider = tab.page.get_by_role("slider", name="Min score")
    slider.focus()
    for _ in range(4):
        tab.page.keyboard.press("PageUp")
    assert slider.input_value() == "0.4"
    assert tab.rows == pairs[:2]
    assert tab.page.inner_text("#fields-title") == "2 of 3 fields"
    assert check.is_hidden()
    assert tab.page.locator("path.link:not(.off)").count() == 2
    saved = json.loads(tab.download("Download JSON")[1])
    assert [field["key"] for field in saved["fields"]] == ["a", "b"]
    assert [link["score"] for link in saved["pages"][0]["links"]] == [0.95, 0.6]


def test_another_model_reads_the_file_again(visit: Open, served: Serve, english: Path) -> None:
    other = ModelInfo(
        "receipts", "cd" * 32, ["ser", "re"], ["OTHER", "TOTAL", "DATE"], False, False, "scripted", "receipts"
    )
    backend = Pictured(document(table([("Total", "12")], labels=("TOTAL", "DATE"))), served=(MODEL, other))
    tab = visit(served(backend))
    tab.send(english)
    assert backend.seen[-1].model == "default"
    tab.page.get_by_role("combobox", name="Model").select_option("receipts")
    tab.page.get_by_role("button", name="Read with receipts").click()
    tab.page.wait_for_function(f"() => ({STATES})() === '1 field, 1 field'")
    assert backend.seen[-1].model == "receipts"
    assert backend.seen[-1].name == english.name
    assert "model receipts" in tab.page.inner_text("#doc-facts")
    _, content = tab.download("All as CSV")
    assert [row["value"] for row in csv.DictReader(io.StringIO(content.decode("utf-8-sig")))] == ["12", "12"]

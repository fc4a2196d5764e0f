"""report.html of a run: what it says, that no text becomes markup, and that a browser refuses nothing in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kie_ray.drawing.advice import ADVICE, advice
from kie_ray.drawing.run_page import run_html
from kie_ray.errors import Category
from tests.kie_ray.drawing.outline import Outline
from tests.kie_ray.drawing.test_preview import browse

EVIL = "<script>document.title='owned'</script>\"'><img src=x onerror=\"document.title='owned'\">"


def sample(start: int, seconds: float, pages: int) -> dict[str, Any]:
    return {
        "start": start,
        "seconds": seconds,
        "rows": pages,
        "pages": pages,
        "failed": 0,
        "busy": {"ocr": 0.7 * seconds},
    }


def stage(workers: int, share: float) -> dict[str, Any]:
    return {
        "busy_seconds": 100 * workers * share,
        "pages_per_second": 1.0,
        "seconds_per_page": 0.5,
        "workers": workers,
        "busy_share": share,
    }


def run(**changes: Any) -> dict[str, Any]:
    pool = {"min_size": 1, "max_size": 4, "num_cpus": 0.5, "num_gpus": 0.0, "threads": 1}
    return {
        "documents": 1200,
        "succeeded": 1180,
        "failed": 20,
        "partial": 3,
        "pages": 2400,
        "fields": 30_000,
        "entities": 90_000,
        "seconds": 100.0,
        "pages_per_second": 24.0,
        "machines": {"cpus": 8, "gpus": 0},
        "stages": {"read": stage(4, 0.1), "ocr": stage(4, 0.9), "ser": stage(2, 0.0004)},
        "errors": {"corrupt": 15, "encrypted": 5},
        "scores": {"ocr_score": [*[0] * 15, 10, 20, 30, 40, 900], "label_score": [1] * 20, "field_score": [0] * 20},
        "finished": "2026-01-02T03:04:05+00:00",
        "fingerprint": "0123456789abcdef",
        "ocr": "rapidocr",
        "bundle": {"name": f"forms {EVIL}", "fingerprint": "ff"},
        "pools": {"ocr": pool, "ser": {**pool, "min_size": 4}, "re": None},
        "settings": {"ocr.annotations": EVIL},
        "versions": {"ray": "2.60.0"},
        "timeline": [sample(0, 5, 0), sample(0, 40, 1000), sample(1, 50, 1000), sample(1, 98, 2400)],
        **changes,
    }


def failure(category: str, uri: str = "s3://b/a.pdf", page: int | None = None) -> dict[str, Any]:
    return {
        "doc_id": "d",
        "uri": uri,
        "stage": "read",
        "category": category,
        "message": f"cut off {EVIL}",
        "retryable": False,
        "status": "failed" if page is None else "partial",
        "page": page,
    }


FAILURES = [failure("corrupt"), failure("corrupt", f"/x/{EVIL}.png", 4), failure("encrypted")]


def test_what_it_says() -> None:
    text = Outline(run_html(run(), FAILURES)).text
    for part in (
        "documents 1,200",
        "with errors 20",
        "pages per second 24.00",
        "time 1 min 40 s",
        "finished 2026-01-02 03:04 UTC",
        "2 starts",
        "started again",
        "mean 24.00",
        "OCR sets the pace",
        "< 0.1%",
        "corrupt 15 documents, 1.2% of all",
        advice("encrypted"),
        "(page 5)",
        "2 of 15; the others stand in errors/",
        "1,000 lines, 0.0% below 0.5",
        "20 labelled lines, 50.0% below 0.5",
        "There is no field.",
        "Pools on 8 CPUs and 0 GPUs",
        "1-4",
    ):
        assert part in text, part
    assert "cost of a million pages" not in text


def test_costs_are_there_where_prices_are() -> None:
    priced = run(cost_per_million_pages=1234.5)
    priced["stages"]["ocr"]["cost_per_million_pages"] = 900.25
    text = Outline(run_html(priced, [])).text
    assert "cost of a million pages 1,234.50" in text
    assert "900.25" in text


def test_what_a_calibration_has_timed_stands_beside_the_pools() -> None:
    timed = {"ocr": 1.25, "models": {"ser": 0.0812}, "pages": 8}
    text = Outline(run_html(run(calibration=timed), [])).text
    assert "Timed a page" in text
    assert "1.25 s" in text
    assert "81.2 ms" in text
    assert "Timed a page" not in Outline(run_html(run(calibration=None), [])).text


def test_text_is_escaped_and_nothing_is_loaded() -> None:
    html = run_html(run(), FAILURES, links=[("Pages", "preview/index.html")])
    outline = Outline(html)
    assert len(outline.all("script")) == 1
    assert not outline.all("img")
    assert not any(name.startswith("on") or name == "style" for _, attributes in outline.tags for name in attributes)
    assert EVIL in outline.text
    assert not re.search(r"(?:src|href|url\()\W{0,2}(?:https?:)?//", html)


def test_it_can_be_read_without_seeing_it() -> None:
    outline = Outline(run_html(run(), FAILURES))
    assert outline.all("html")[0]["lang"] == "en"
    assert all(cell.get("scope") in ("row", "col") for cell in outline.all("th"))
    assert len(outline.all("h1")) == len(outline.all("main")) == 1
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in outline.tags:
        assert attributes.get("aria-labelledby", ids[0]) in ids
    named = [picture for picture in outline.all("svg") if picture.get("role") == "img"]
    assert len(named) == 3  # the throughput and two histograms; bars and sparklines repeat a number beside them
    assert all(picture["aria-label"] for picture in named)
    assert "24.00 on average" in (named[0]["aria-label"] or "")


@pytest.mark.parametrize(
    "changes",
    [
        {"timeline": [], "errors": {}, "failed": 0, "settings": {}},
        {"timeline": [sample(0, 0.0, 0)], "pages": 0, "pages_per_second": 0.0},
        {"seconds": 0.0},
        {"seconds": 400_000.0, "stages": {"ocr": stage(1, 0.0)}},
    ],
)
def test_a_run_of_nothing_or_of_days_has_a_page_too(changes: dict[str, Any]) -> None:
    outline = Outline(run_html(run(**changes), []))
    assert len(outline.all("section")) == 5
    assert "nan" not in outline.text.lower()
    if not changes.get("errors", True):
        assert "Every document was read completely." in outline.text


def test_there_is_advice_for_every_category() -> None:
    assert set(ADVICE) == set(Category)
    with pytest.raises(ValueError, match="no-such"):
        advice("no-such")


def test_a_browser_refuses_nothing_in_it(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(run_html(run(), FAILURES), encoding="utf-8")
    outline = browse(page.as_uri(), tmp_path / "profile")
    assert outline.text.startswith("Extraction run ")  # no script has changed the title
    assert len(outline.all("script")) == 1

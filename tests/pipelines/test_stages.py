from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from kie_ray.limits import Limits
from kie_ray.ocr.annotations import AnnotationEngine
from kie_ray.reading import Reader
from kie_ray.records import Line, Page, PageImage
from kie_ray.schemas import error_to_row
from pipelines.attempts import AttemptLedger, remove_ledger
from pipelines.config import ExtractConfig, FetchSettings
from pipelines.fetch import FetchStage
from pipelines.kie_stage import KieStage, load_annotator
from pipelines.ocr_stage import OcrStage
from tests.job_support import LINES, draw_page, make_bundle, make_pages


def fetched(uri: str, data: bytes | None, error: ErrorItem | None = None) -> dict[str, Any]:
    return {
        "row_id": f"{Path(uri).name}-000000",
        "doc_id": Path(uri).name,
        "uri": uri,
        "size": len(data or b""),
        "etag": None,
        "media_type": None,
        "first_page": 0,
        "last_page": None,
        "error": error_to_row(error),
        "fetch_seconds": 0.5,
        "data": data,
    }


def tiff(pages: int) -> bytes:
    stream = io.BytesIO()
    first, *others = [draw_page(number) for number in range(pages)]
    first.save(stream, "TIFF", save_all=True, append_images=others)
    return stream.getvalue()


def png(number: int) -> bytes:
    stream = io.BytesIO()
    draw_page(number).save(stream, "PNG")
    return stream.getvalue()


class CountingEngine:
    """An engine that gives one line a page; fails where it is told to."""

    name = "counting"

    def __init__(self, failing: Sequence[tuple[str, int]] = (), error: Exception | None = None) -> None:
        self.calls: list[list[tuple[str, int]]] = []
        self._failing = set(failing)
        self._error = error or ValueError("secret contents")

    def read_lines(self, images: Sequence[PageImage]) -> list[list[Line]]:
        call = [(Path(image.source).name, image.index) for image in images]
        self.calls.append(call)
        if self._failing & set(call):
            raise self._error
        return [[Line(0, f"{name} {index}", (0.0,) * 8)] for name, index in call]


def test_fetch_keeps_order_and_turns_failures_into_rows(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"aa")
    (tmp_path / "b").write_bytes(b"b" * 50)
    rows = [fetched(str(tmp_path / name), None) for name in ("b", "missing", "a")]
    earlier = ErrorItem.of(Stage.MANIFEST, Category.TOO_MANY_PAGES, "too long")
    rows.append(fetched(str(tmp_path / "a"), None, earlier))
    done = list(FetchStage(FetchSettings(), max_bytes=10).process(rows))
    assert [row["uri"] for row in done] == [row["uri"] for row in rows]
    assert [row["data"] for row in done] == [None, None, b"aa", None]
    categories = [row["error"] and row["error"]["category"] for row in done]
    assert categories == ["too_large", "not_found", None, "too_many_pages"]


def test_fetch_tries_again_only_while_the_storage_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: dict[str, int] = {}

    def read(uri: str, max_bytes: int) -> bytes:
        tries[uri] = tries.get(uri, 0) + 1
        if uri == "flaky" and tries[uri] == 3:
            return b"ok"
        category = Category.FORBIDDEN if uri == "forbidden" else Category.UNAVAILABLE
        raise DocumentError(ErrorItem.of(Stage.FETCH, category, uri))

    monkeypatch.setattr("pipelines.fetch.read_bytes", read)
    stage = FetchStage(FetchSettings(attempts=3, backoff_seconds=0.001), 10)
    done = list(stage.process([fetched(uri, None) for uri in ("flaky", "down", "forbidden")]))
    assert [row["data"] for row in done] == [b"ok", None, None]
    assert tries == {"flaky": 3, "down": 3, "forbidden": 1}
    assert done[1]["error"]["retryable"] is True


def test_ocr_groups_pages_across_documents_and_keeps_every_row() -> None:
    engine = CountingEngine()
    missing = ErrorItem.of(Stage.FETCH, Category.NOT_FOUND, "gone")
    rows = [
        fetched("a.png", png(1)),
        fetched("gone.png", None, missing),
        fetched("b.tiff", tiff(3)),
        fetched("c.png", b""),
    ]
    with Reader(Limits()) as reader:
        done = {row["doc_id"]: row for row in OcrStage(reader, engine, pages_per_call=2).process(rows)}
    # the first page does not wait for a second one
    assert engine.calls == [[("a.png", 0)], [("b.tiff", 0), ("b.tiff", 1)], [("b.tiff", 2)]]
    assert {name: row["status"] for name, row in done.items()} == {
        "a.png": "ok",
        "gone.png": "failed",
        "b.tiff": "ok",
        "c.png": "failed",
    }
    assert [page["lines"][0]["text"] for page in done["b.tiff"]["pages"]] == [f"b.tiff {index}" for index in range(3)]
    assert done["gone.png"]["error"]["category"] == "not_found"
    assert done["c.png"]["error"]["category"] == "empty"
    assert done["b.tiff"]["media_type"] == "image/tiff"
    assert done["a.png"]["timings"]["fetch"] == 0.5
    assert done["a.png"]["timings"]["ocr"] > 0
    assert "data" not in done["a.png"]


def test_a_page_that_ocr_cannot_read_costs_nobody_but_itself() -> None:
    engine = CountingEngine(failing=[("b.tiff", 1)])
    rows = [fetched("a.png", png(1)), fetched("b.tiff", tiff(3)), fetched("c.png", png(2))]
    with Reader(Limits()) as reader:
        done = {row["doc_id"]: row for row in OcrStage(reader, engine, pages_per_call=4).process(rows)}
    assert [row["status"] for row in done.values()].count("ok") == 2
    broken = done["b.tiff"]
    assert broken["status"] == "partial"
    assert [page["index"] for page in broken["pages"]] == [0, 2]
    assert broken["error"] == {
        "stage": "ocr",
        "category": "internal",
        "message": "ValueError in the ocr stage",
        "retryable": True,
        "page": 1,
    }


def test_several_bad_pages_are_all_named() -> None:
    engine = CountingEngine([("b.tiff", 0), ("b.tiff", 2)])
    with Reader(Limits()) as reader:
        (row,) = OcrStage(reader, engine).process([fetched("b.tiff", tiff(3))])
    assert row["error"]["message"].startswith("2 pages failed (0, 2); the first: ")
    assert [page["index"] for page in row["pages"]] == [1]


def test_a_page_without_annotation_is_an_error_row(tmp_path: Path) -> None:
    labels = make_pages(tmp_path, 1)
    good = tmp_path / "image/page_00000.png"
    rows = [fetched(str(good), good.read_bytes()), fetched("/elsewhere/other.png", png(3))]
    with Reader(Limits()) as reader:
        first, second = OcrStage(reader, AnnotationEngine(labels), pages_per_call=2).process(rows)
    assert [line["id"] for line in first["pages"][0]["lines"]] == [10, 20, 30, 40]
    assert (second["status"], second["error"]["category"]) == ("failed", "no_annotation")


def test_an_abandoned_stage_leaves_no_thread() -> None:
    import threading

    with Reader(Limits()) as reader:
        rows = OcrStage(reader, CountingEngine()).process(fetched(f"{number}.png", png(number)) for number in range(20))
        next(rows)
        rows.close()
        assert not [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_a_document_that_killed_its_process_is_not_tried_a_third_time() -> None:
    ledger = AttemptLedger("test-ledger", "ocr", max_attempts=2)
    try:
        ledger.begin(["a.png-000000", "b.png-000000"])  # a first process died with both in one call
        engine = CountingEngine()
        rows = [fetched(f"{name}.png", png(1)) for name in "abc"]
        with Reader(Limits()) as reader:
            done = list(OcrStage(reader, engine, pages_per_call=4, ledger=ledger).process(rows))
            assert [row["status"] for row in done] == ["ok"] * 3
            assert engine.calls == [[("a.png", 0)], [("b.png", 0)], [("c.png", 0)]]  # suspects alone
            assert not ledger.is_suspect("a.png-000000")
            ledger.begin(["a.png-000000"])
            ledger.begin(["a.png-000000"])
            done = list(OcrStage(reader, engine, pages_per_call=4, ledger=ledger).process(rows))
        assert {row["doc_id"]: row["status"] for row in done} == {"a.png": "failed", "b.png": "ok", "c.png": "ok"}
        (killer,) = [row for row in done if row["status"] == "failed"]
        assert (killer["error"]["stage"], killer["error"]["category"]) == ("ocr", "crash")
    finally:
        remove_ledger("test-ledger")


class FailingAnnotator:
    """Labels every line KEY, except on pages whose first line says so."""

    def __init__(self) -> None:
        self.timings = {"ser": 0.0}

    def annotate(self, pages: Sequence[Page]) -> None:
        self.timings["ser"] += len(pages)
        for page in pages:
            if page.lines and page.lines[0].text == "b.tiff 1":
                raise RuntimeError("secret contents")
            for line in page.lines:
                line.label = "KEY"


def test_a_page_that_the_models_cannot_take_costs_nobody_but_itself() -> None:
    rows = [fetched("a.png", png(1)), fetched("b.tiff", tiff(2)), fetched("empty.png", b"")]
    with Reader(Limits()) as reader:
        read = list(OcrStage(reader, CountingEngine()).process(rows))
    done = {row["doc_id"]: row for row in KieStage(FailingAnnotator(), pages_per_call=8).process(read)}
    assert {name: row["status"] for name, row in done.items()} == {
        "a.png": "ok",
        "b.tiff": "partial",
        "empty.png": "failed",
    }
    assert done["b.tiff"]["error"]["message"] == "RuntimeError in the ser stage"
    assert done["b.tiff"]["error"]["page"] == 1
    assert done["a.png"]["pages"][0]["lines"][0]["label"] == "KEY"
    assert done["empty.png"] == next(row for row in read if row["doc_id"] == "empty.png")
    assert done["a.png"]["timings"]["ser"] > 0


def test_the_real_models_fill_labels_links_and_fields(tmp_path: Path) -> None:
    labels = make_pages(tmp_path, 3)
    annotator = load_annotator(str(make_bundle(tmp_path / "bundle")), ExtractConfig(), "cpu")
    rows = [fetched(str(file), file.read_bytes()) for file in sorted((tmp_path / "image").iterdir())]
    with Reader(Limits()) as reader:
        read = list(OcrStage(reader, AnnotationEngine(labels), pages_per_call=2).process(rows))
    together = list(KieStage(annotator, pages_per_call=8).process(read))
    for row, read_row in zip(together, read, strict=True):
        (alone,) = KieStage(annotator, pages_per_call=1).process([read_row])
        lines = row["pages"][0]["lines"]
        assert len(lines) == len(LINES)
        assert all(0 < line["label_score"] <= 1 for line in lines)
        assert [line["label"] for line in lines] == [line["label"] for line in alone["pages"][0]["lines"]]
        assert row["timings"]["ser"] > 0

"""The small picture of a page goes from the OCR stage to the models, and no further."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from kie_ray.encoding.page_image import IMAGE_SHAPE, ImageKind, resize_page
from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from kie_ray.ocr.annotations import AnnotationEngine
from kie_ray.reading import Reader
from kie_ray.records import Page
from kie_ray.schemas import DOCUMENT_SCHEMA, PICTURED_SCHEMA, row_to_document
from pipelines import tables
from pipelines.kie_stage import KieStage
from pipelines.ocr_stage import OcrStage
from pipelines.tables import table_rows, to_tables
from tests.job_support import draw_page, label_row


def frames() -> list[Image.Image]:
    return [draw_page(number, (200, 70 + number)) for number in range(3)]


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Rows of the OCR stage for one document of three pages, the second without annotation, and a broken one."""
    (tmp_path / "labels.txt").write_text(label_row("a.tif", 0) + label_row("a.tif#2", 2), encoding="utf-8")
    stream = io.BytesIO()
    first, *others = frames()
    first.save(stream, "TIFF", save_all=True, append_images=others)
    common = {"first_page": 0, "last_page": None, "error": None, "fetch_seconds": 0.0}
    rows = [
        {"row_id": f"{name}-000000", "doc_id": name, "uri": name, "data": data, **common}
        for name, data in (("a.tif", stream.getvalue()), ("empty.png", b""))
    ]

    def run(image: ImageKind) -> list[dict[str, Any]]:
        with Reader() as reader:
            return list(OcrStage(reader, AnnotationEngine(tmp_path / "labels.txt"), image=image).process(rows))

    return run


class Looking:
    """Fails on pages without pixels and says what the others look like: the mean of their pixels as a score."""

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}

    def annotate(self, pages: Sequence[Page]) -> None:
        for page in pages:
            if page.pixels is None:
                raise DocumentError(ErrorItem.of(Stage.SER, Category.INTERNAL, "no pixels", page=page.index))
            assert page.pixels.shape == IMAGE_SHAPE
            for line in page.lines:
                line.label_score = float(page.pixels.mean())


def test_through_two_model_stages(read: Any) -> None:
    kept = KieStage(Looking(), keep_pixels=True)
    rows = read("bgr")
    for stage, schema in ((None, PICTURED_SCHEMA), (kept, PICTURED_SCHEMA), (KieStage(Looking()), DOCUMENT_SCHEMA)):
        if stage is not None:
            rows = list(stage.process(rows))
        table = pa.concat_tables(to_tables(rows, schema))
        assert table.schema == schema
        rows = list(table_rows(table))
        document, empty = map(row_to_document, rows)
        assert [page.index for page in document.pages] == [0, 2]
        assert (empty.status, empty.pages) == ("failed", [])
        for page in document.pages:
            expected = resize_page(np.array(frames()[page.index]), "bgr")
            if schema is PICTURED_SCHEMA:
                np.testing.assert_array_equal(page.pixels, expected)
            else:
                assert page.pixels is None
            if stage is not None:
                assert page.lines[0].label_score == pytest.approx(expected.mean())


def test_text_only_bundles_carry_no_pixels(read: Any) -> None:
    assert all("pixels" not in row for row in read("none"))


def test_a_page_whose_pixels_were_lost_is_an_error_row(read: Any) -> None:
    document, _ = read("bgr")
    document |= {"error": None, "pixels": [document["pixels"][0], None]}
    (row,) = KieStage(Looking()).process([document])
    assert (row["status"], row["error"]["message"], row["error"]["page"]) == ("partial", "no pixels", 2)
    assert [page["index"] for page in row["pages"]] == [0]
    del document["pixels"]
    (row,) = KieStage(Looking()).process([document])
    assert (row["status"], row["error"]["page"], row["pages"]) == ("failed", 0, [])


def test_tables_stay_small_with_pixels(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    document, _ = read("bgr")
    monkeypatch.setattr(tables, "_BYTES_PER_TABLE", 3 * 150_528)
    sizes = [table.num_rows for table in to_tables([document] * 5, PICTURED_SCHEMA)]
    assert sizes == [2, 2, 1]

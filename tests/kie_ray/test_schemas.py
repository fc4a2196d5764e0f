from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kie_ray import schemas
from kie_ray.errors import Category, ErrorItem, Stage
from kie_ray.records import Document, Field, Line, Link, Page

ORIGIN = {
    "row_id": "ab-000000",
    "doc_id": "ab",
    "uri": "/x/a.png",
    "size": 5,
    "etag": None,
    "media_type": "image/png",
    "first_page": 0,
    "last_page": None,
    "error": None,
}


def full_document() -> Document:
    lines = [
        Line(10, "Name", (0.5, 0.0, 9.0, 0.0, 9.0, 4.0, 0.5, 4.0), 0.75, "QUESTION", 0.5),
        Line(20, "", (0.0,) * 8, 0.0),
        Line(30, "艾达", (10.0, 0.0, 19.0, 0.0, 19.0, 4.0, 10.0, 4.0), 1.0, "ANSWER", 0.25),
    ]
    field = Field("Name", "艾达", 0.125, [10], [30], (0.5, 0.0, 9.0, 4.0), (10.0, 0.0, 19.0, 4.0))
    page = Page(0, 20, 30, lines, [Link(10, 30, 0.5)], [field], source="/x/a.png")
    error = ErrorItem.of(Stage.READ, Category.CORRUPT, "page 2 of 3 is cut off", page=1)
    return Document("ab", "/x/a.png", [page, Page(2, 8, 9, source="/x/a.png")], error, {"ocr": 1.5, "ser": 0.25})


@pytest.mark.parametrize("through_parquet", [False, True])
def test_a_document_survives_arrow_and_parquet(tmp_path, through_parquet: bool) -> None:  # type: ignore[no-untyped-def]
    document = full_document()
    table = pa.Table.from_pylist([schemas.document_to_row(document, ORIGIN)], schema=schemas.DOCUMENT_SCHEMA)
    if through_parquet:
        pq.write_table(table, tmp_path / "d.parquet")
        table = pq.read_table(tmp_path / "d.parquet")
        assert table.schema.equals(schemas.DOCUMENT_SCHEMA)
    row = table.to_pylist()[0]
    assert row["status"] == "partial"
    assert row["row_id"] == "ab-000000"
    assert schemas.row_to_document(row) == document


def test_a_failed_document_keeps_its_place_and_reason() -> None:
    error = ErrorItem.of(Stage.FETCH, Category.UNAVAILABLE, "no answer")
    row = schemas.document_to_row(Document("ab", "/x/a.png", error=error), ORIGIN)
    assert (row["status"], row["pages"], row["fields"]) == ("failed", [], [])
    table = pa.Table.from_pylist([row], schema=schemas.DOCUMENT_SCHEMA)
    assert schemas.row_to_document(table.to_pylist()[0]).error == error
    assert row["error"]["retryable"] is True


def test_tables_have_the_contract_s_columns_and_types() -> None:
    expected = {
        "fields": "doc_id string, uri string, page int32, key string, value string, score float, "
        "key_lines list<item: int32>, value_lines list<item: int32>, "
        "key_box fixed_size_list<item: float>[4], value_box fixed_size_list<item: float>[4]",
        "entities": "doc_id string, uri string, page int32, line_id int32, text string, ocr_score float, label string, "
        "label_score float, points fixed_size_list<item: float>[8]",
        "errors": "doc_id string, uri string, stage string, category string, message string, retryable bool",
    }
    for name, text in expected.items():
        schema = getattr(schemas, f"{name.upper()}_SCHEMA")
        shown = ", ".join(f"{item.name} {item.type}" for item in schema)
        assert shown.startswith(text), name

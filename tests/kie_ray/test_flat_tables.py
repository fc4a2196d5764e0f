"""The tables against rows made one by one in Python, by a rule of their own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from kie_ray import schemas
from kie_ray.errors import Category, ErrorItem, Stage
from kie_ray.flat_tables import entities_table, errors_table, fields_table
from kie_ray.records import Document, Field, Line, Link, Page

Row = dict[str, Any]


def random_rows(count: int, seed: int) -> list[Row]:
    """Documents with 0 to 3 pages of 0 to 4 lines and 0 to 2 fields, some failed, some in part."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        pages = []
        for index in range(draw.randrange(4)):
            lines = [
                Line(
                    10 * n, f"文{draw.random()}", tuple(draw.random() * 100 for _ in range(8)), draw.random(), "A", 0.5
                )
                for n in range(draw.randrange(5))
            ]
            box = (0.0, 1.0, 2.0, 3.0)
            fields = [
                Field(f"k{n}", "v" * n, draw.random(), [n], list(range(n)), box, box) for n in range(draw.randrange(3))
            ]
            pages.append(Page(2 * index, 9, 9, lines, [Link(0, 1)] * draw.randrange(2), fields))
        failed = draw.random() < 0.3 or not pages
        error = ErrorItem.of(Stage.READ, Category.CORRUPT, f"reason {number}", page=number) if failed else None
        origin = {"row_id": f"{number}-0", "doc_id": f"d{number}", "uri": f"/u/{number}", "first_page": 0}
        rows.append(schemas.document_to_row(Document(f"d{number}", f"/u/{number}", pages, error), origin))
    return rows


def expected_fields(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        for item in row["fields"]:
            yield {"doc_id": row["doc_id"], "uri": row["uri"], **item}


def expected_entities(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        for page in row["pages"]:
            for line in page["lines"]:
                renamed = {name: value for name, value in line.items() if name != "id"}
                yield {
                    "doc_id": row["doc_id"],
                    "uri": row["uri"],
                    "page": page["index"],
                    "line_id": line["id"],
                    **renamed,
                }


def expected_errors(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        if row["error"] is not None:
            yield {"doc_id": row["doc_id"], "uri": row["uri"], "status": row["status"], **row["error"]}


TABLES = [
    (fields_table, expected_fields, schemas.FIELDS_SCHEMA),
    (entities_table, expected_entities, schemas.ENTITIES_SCHEMA),
    (errors_table, expected_errors, schemas.ERRORS_SCHEMA),
]


@pytest.mark.parametrize(("derive", "oracle", "schema"), TABLES)
@pytest.mark.parametrize("shape", ["whole", "slice", "chunks", "none"])
def test_the_same_as_row_by_row(derive: Any, oracle: Any, schema: pa.Schema, shape: str) -> None:
    rows = random_rows(60, seed=3)
    table = pa.Table.from_pylist(rows, schema=schemas.DOCUMENT_SCHEMA)
    if shape == "slice":
        table, rows = table.slice(17, 30), rows[17:47]
    elif shape == "chunks":
        table = pa.concat_tables([table.slice(0, 20), table.slice(20, 1), table.slice(21)])
    elif shape == "none":
        table, rows = table.slice(60), []
    found = derive(table)
    wanted = pa.Table.from_pylist(list(oracle(rows)), schema=schema)
    assert found.schema.equals(schema)
    assert found.to_pylist() == wanted.to_pylist()
    assert found.num_rows > 10 or shape == "none"


def test_columns_without_a_value_are_rows_of_nothing() -> None:
    (row,) = random_rows(1, seed=1)
    table = pa.Table.from_pylist([{**row, "pages": None, "fields": None}], schema=schemas.DOCUMENT_SCHEMA)
    assert fields_table(table).num_rows == entities_table(table).num_rows == 0


def test_blank_lines_and_lines_without_a_label_are_rows_too() -> None:
    lines = [Line(10, "Name", (0.0,) * 8, 0.75, "QUESTION", 0.5), Line(20, "", (0.0,) * 8, 0.0)]
    origin = {"row_id": "a-0", "doc_id": "a", "uri": "/a", "first_page": 0}
    row = schemas.document_to_row(Document("a", "/a", [Page(0, 5, 5, lines)]), origin)
    entities = entities_table(pa.Table.from_pylist([row], schema=schemas.DOCUMENT_SCHEMA))
    assert entities["line_id"].to_pylist() == [10, 20]
    assert entities["label"].to_pylist() == ["QUESTION", "OTHER"]
    assert [len(points) for points in entities["points"].to_pylist()] == [8, 8]

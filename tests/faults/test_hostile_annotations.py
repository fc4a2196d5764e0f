"""Whatever a label file holds: lines that the models can take, or one error that names the place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kie_ray.annotator import Annotator
from kie_ray.errors import Category, ConfigError, DocumentError
from kie_ray.loading import load_annotator
from kie_ray.models.bundle import Bundle
from kie_ray.ocr.annotations import AnnotationEngine
from kie_ray.records import Document, Page, PageImage
from kie_ray.schemas import DOCUMENT_SCHEMA, document_to_row, row_to_document
from tests.job_support import label_row, make_bundle

ROWS = "".join(label_row(f"page_{number}.png", number) for number in range(3))
QUICK = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@pytest.fixture(scope="module")
def annotator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Annotator]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_annotator(Bundle.load(make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")))
    torch.set_num_threads(threads)


def check(file: Path, annotator: Annotator) -> None:
    """All the way from the file to fields, for every page that it may annotate."""
    try:
        engine = AnnotationEngine(file)
    except ConfigError:
        return
    for number in range(3):
        image = PageImage(np.zeros((70, 200, 3), np.uint8), 0, f"/in/page_{number}.png")
        try:
            (lines,) = engine.read_lines([image])
        except DocumentError as error:
            if error.item.category != Category.NO_ANNOTATION:
                raise
            continue
        page = Page(index=0, source=image.source, width=200, height=70, lines=lines)
        row = document_to_row(Document("d", image.source, [page]), {"row_id": "r", "uri": image.source})
        (row,) = pa.Table.from_pylist([row], schema=DOCUMENT_SCHEMA).to_pylist()  # as it travels between the stages
        document = row_to_document(row)
        annotator.annotate(document.pages)
        assert len(document.pages[0].lines) == len(lines)
        pa.Table.from_pylist([document_to_row(document, row)], schema=DOCUMENT_SCHEMA)


@settings(max_examples=150, **QUICK)  # type: ignore[arg-type]
@given(
    changes=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 12),
            st.sampled_from(["", "\t", "\n", "[", "{", '"', "-", "1e308", "\\u0000"]),
        ),
        max_size=6,
    ),
    raw=st.binary(max_size=3),
)
def test_no_mutation_of_a_label_file_breaks_the_reader_or_the_models(
    tmp_path: Path, annotator: Annotator, changes: list[tuple[float, int, str]], raw: bytes
) -> None:
    text = ROWS
    for place, length, replacement in changes:
        start = int(place * len(text))
        text = text[:start] + replacement + text[start + length :]
    file = tmp_path / "labels.txt"
    file.write_bytes(text.encode() + raw)
    check(file, annotator)


numbers = st.floats(-1e4, 1e4) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**33), 2**33)
corner = st.tuples(numbers, numbers).map(list)
quadrilaterals = st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)).map(list), min_size=4, max_size=4)


@settings(max_examples=150, **QUICK)  # type: ignore[arg-type]
@given(
    lines=st.lists(
        st.fixed_dictionaries(
            {"transcription": st.text(max_size=40), "points": quadrilaterals | st.lists(corner, max_size=6)},
            optional={
                "id": st.integers(0, 9) | st.integers(-(2**70), 2**70),
                "label": st.text(max_size=9),
                "linking": st.just([]),
            },
        ),
        max_size=6,
    )
)
def test_no_text_box_or_id_breaks_the_models(tmp_path: Path, annotator: Annotator, lines: list[object]) -> None:
    file = tmp_path / "labels.txt"
    file.write_text(f"page_0.png\t{json.dumps(lines)}\n", encoding="utf-8")
    check(file, annotator)

"""How a page finds its lines in a label file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kie_ray.errors import Category, ConfigError, DocumentError, Stage
from kie_ray.ocr.engine import OcrEngine, OcrSettings, build_engine
from kie_ray.records import PageImage


def row(name: str, text: str) -> str:
    line = {
        "transcription": text,
        "label": "question",
        "points": [[1, 2], [31, 2], [31, 12], [1, 12]],
        "id": 7,
        "linking": [[7, 9]],
    }
    value = {**line, "transcription": "", "label": "answer", "id": 9}
    return f"{name}\t{json.dumps([line, value])}\n"


def engine_for(folder: Path, *names: str) -> OcrEngine:
    """An engine whose annotation of each image starts with the image's own name as text."""
    file = folder / "labels.txt"
    file.write_text("".join(row(name, name) for name in names), encoding="utf-8")
    return build_engine(OcrSettings(engine="annotations", annotations=str(file)))


def page(source: str, index: int = 0) -> PageImage:
    return PageImage(np.zeros((20, 40, 3), dtype=np.uint8), index, source)


def found(engine: OcrEngine, source: str, index: int = 0) -> str:
    return engine.read_lines([page(source, index)])[0][0].text


def missing(engine: OcrEngine, source: str, index: int = 0) -> str:
    with pytest.raises(DocumentError) as caught:
        engine.read_lines([page(source, index)])
    item = caught.value.item
    assert (item.stage, item.category, item.page, item.retryable) == (Stage.OCR, Category.NO_ANNOTATION, index, False)
    return item.message


def test_lines_keep_ids_and_points_but_not_the_gold(tmp_path: Path) -> None:
    first, blank = engine_for(tmp_path, "a.jpg").read_lines([page("a.jpg")])[0]
    assert (first.id, first.text, first.points) == (7, "a.jpg", (1, 2, 31, 2, 31, 12, 1, 12))
    assert (first.label, first.label_score, first.ocr_score) == ("OTHER", 0.0, 1.0)
    assert (blank.id, blank.text, blank.label) == (9, "", "OTHER")


def test_pages_come_in_the_order_of_the_call(tmp_path: Path) -> None:
    engine = engine_for(tmp_path, "a.jpg", "b.jpg")
    assert [lines[0].text for lines in engine.read_lines([page("b.jpg"), page("a.jpg"), page("b.jpg")])] == [
        "b.jpg",
        "a.jpg",
        "b.jpg",
    ]


def test_lines_of_one_call_are_not_shared_with_the_next(tmp_path: Path) -> None:
    engine = engine_for(tmp_path, "a.jpg")
    engine.read_lines([page("a.jpg")])[0][0].label = "ANSWER"
    assert engine.read_lines([page("a.jpg")])[0][0].label == "OTHER"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://forms/val/a.jpg", "s3://forms/val/a.jpg"),  # the exact uri beats every shorter name
        ("s3://forms/test/a.jpg", "test/a.jpg"),
        ("/data/new/test/a.jpg", "new/test/a.jpg"),  # the longest suffix wins
        ("file:///data/new/test/a.jpg", "new/test/a.jpg"),
        ("s3://other/val/a.jpg", "a.jpg"),
        ("/data/latest/a.jpg", "a.jpg"),  # whole components only: not test/a.jpg
        ("/somewhere/else/b.jpg", "elsewhere/b.jpg"),  # the last name, because it is unique
        ("b.jpg", "elsewhere/b.jpg"),
        ("/forms/caf\u00e9.jpg", "cafe\u0301.jpg"),  # the same letters in another Unicode form
    ],
)
def test_lookup(tmp_path: Path, uri: str, name: str) -> None:
    names = ["s3://forms/val/a.jpg", "test/a.jpg", "new/test/a.jpg", "a.jpg", "elsewhere/b.jpg", "cafe\u0301.jpg"]
    assert found(engine_for(tmp_path, *names), uri) == name


def test_ambiguous_last_name_is_an_error_that_lists_the_choices(tmp_path: Path) -> None:
    message = missing(engine_for(tmp_path, "train/1.jpg", "val/1.jpg"), "s3://forms/test/1.jpg")
    assert "s3://forms/test/1.jpg" in message
    assert "'train/1.jpg'" in message
    assert "'val/1.jpg'" in message


def test_unknown_page_is_an_error_that_names_file_and_page(tmp_path: Path) -> None:
    message = missing(engine_for(tmp_path, "a.jpg"), "s3://forms/c.jpg")
    assert "s3://forms/c.jpg" in message
    assert "labels.txt" in message


def test_pages_of_a_document(tmp_path: Path) -> None:
    engine = engine_for(tmp_path, "scan.tif", "scan.tif#2", "deep/other.pdf#0", "deep/other.pdf#1")
    assert found(engine, "/in/scan.tif") == "scan.tif"
    assert found(engine, "/in/scan.tif", 2) == "scan.tif#2"
    assert "scan.tif#1" in missing(engine, "/in/scan.tif", 1)
    assert [found(engine, "s3://b/deep/other.pdf", index) for index in (0, 1)] == [
        "deep/other.pdf#0",
        "deep/other.pdf#1",
    ]
    assert "other.pdf#5" in missing(engine, "s3://b/deep/other.pdf", 5)


def test_two_names_of_one_page_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'a\.tif' and 'a\.tif#0' name the same page 0"):
        engine_for(tmp_path, "a.tif", "a.tif#0")


def test_a_missing_label_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.txt"):
        build_engine(OcrSettings(engine="annotations", annotations=str(tmp_path / "nowhere.txt")))


def test_engine_and_label_file_belong_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--annotations"):
        build_engine(OcrSettings(engine="annotations"))
    with pytest.raises(ConfigError, match="only read by the engine 'annotations'"):
        build_engine(OcrSettings(annotations="labels.txt"))


def test_real_label_file_serves_every_page(xfund_zh: Path) -> None:
    labels = xfund_zh / "zh_val" / "val.json"
    engine = build_engine(OcrSettings(engine="annotations", annotations=str(labels)))
    names = sorted(path.name for path in (xfund_zh / "zh_val" / "image").iterdir())
    pages = engine.read_lines([page(f"s3://forms/zh_val/image/{name}") for name in names])
    assert sum(len(lines) for lines in pages) == 58 + 1253 + 1732 + 586

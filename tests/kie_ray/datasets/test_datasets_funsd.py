from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kie_ray.datasets import LabelFileError, read_funsd
from kie_ray.encoding.reading_order import order_tb_yx_paddle


def word(text: str, x0: int, y0: int, x1: int) -> dict[str, Any]:
    return {"text": text, "box": [x0, y0, x1, y0 + 10]}


def entity(identity: int, label: str, words: list[dict[str, Any]], linking: list[list[int]]) -> dict[str, Any]:
    boxes = [item["box"] for item in words] or [[0, 0, 1, 1]]
    hull = [min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)]
    text = " ".join(item["text"] for item in words)
    return {"id": identity, "label": label, "text": text, "words": words, "box": hull, "linking": linking}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    link = [[10, 20]]
    form = [
        # two visual lines: "date" starts 10 left of the end of "the"
        entity(10, "question", [word("the", 10, 200, 40), word("date", 30, 225, 60), word("of", 62, 225, 80)], link),
        entity(20, "answer", [word("May", 100, 200, 130), word("5", 121, 200, 140), word("1999", 100, 250, 140)], link),
        entity(30, "header", [word("FORM", 10, 10, 60)], [[30, 10], [30, 99]]),
        entity(40, "other", [word("", 10, 300, 20)], [[40, 10]]),
        entity(50, "answer", [], []),
    ]  # fmt: skip
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations/one.json").write_text(json.dumps({"form": form}))
    Image.new("L", (300, 400)).save(tmp_path / "images/one.png")
    return tmp_path


def test_entities_split_into_visual_lines(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        (page,) = read_funsd(folder)
    assert (page.source, page.width, page.height) == ("one.png", 300, 400)
    assert [line.text for line in page.lines] == ["FORM", "the", "May 5", "date of", "1999"]
    assert [line.label for line in page.lines] == ["HEADER", "QUESTION", "ANSWER", "QUESTION", "ANSWER"]
    assert page.lines[3].box == (30, 225, 80, 235)
    by_id = {line.id: line.text for line in page.lines}
    assert {(by_id[link.key_line], by_id[link.value_line]) for link in page.links} == {
        ("the", "May 5"), ("the", "1999"), ("date of", "May 5"), ("date of", "1999"),
        ("FORM", "the"), ("FORM", "date of"),
    }  # fmt: skip
    assert "1 entities or pieces" in caplog.text
    assert "2 links dropped" in caplog.text


def test_entity_level(folder: Path) -> None:
    (page,) = read_funsd(folder, level="entity")
    assert [line.text for line in page.lines] == ["the date of", "May 5 1999", "FORM"]
    by_id = {line.id: line.text for line in page.lines}
    assert {(by_id[link.key_line], by_id[link.value_line]) for link in page.links} == {
        ("the date of", "May 5 1999"),
        ("FORM", "the date of"),
    }


def test_wrong_folders_and_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"no annotations/\*\.json"):
        read_funsd(tmp_path / "images")
    (folder / "annotations/two.json").write_text('{"form": [{"text": "a"}]}')
    with pytest.raises(LabelFileError, match=r"two\.json is not a FUNSD annotation"):
        read_funsd(folder)


def test_funsd_itself(funsd: Path) -> None:
    for split, count in (("training_data", 149), ("testing_data", 50)):
        lines, entities = read_funsd(funsd / split), read_funsd(funsd / split, level="entity")
        assert len(lines) == len(entities) == count
        assert sum(len(page.lines) for page in lines) > sum(len(page.lines) for page in entities)
        for page in lines:
            assert page.width > 100
            assert len({line.id for line in page.lines}) == len(page.lines)
            assert {end for link in page.links for end in (link.key_line, link.value_line)} <= {
                line.id for line in page.lines
            }
            by_file = sorted(page.lines, key=lambda line: line.id)
            assert [by_file[k].id for k in order_tb_yx_paddle([line.box for line in by_file])] == [
                line.id for line in page.lines
            ]

"""`read_annotations`: the format is chosen from the content, and no content breaks it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kie_ray.datasets import LabelFileError, LabelReport, read_annotations, read_funsd, read_labels, write_labels
from kie_ray.datasets.statistics import describe, gather

SQUARE = [[1, 2], [30, 2], [30, 12], [1, 12]]
LABELS = [
    {"transcription": "No.", "label": "question", "points": SQUARE, "id": 1, "linking": [[1, 2]]},
    {"transcription": "17", "key_cls": "answer", "points": SQUARE, "id": 2, "linking": [[1, 2]]},
]
XFUND = {
    "lang": "zh",
    "documents": [
        {
            "img": {"fname": "a.png", "width": 90, "height": 80},
            "document": [
                {"box": [1, 2, 30, 12], "text": "No.", "label": "question", "linking": [[1, 2]], "id": 1},
                {"box": [1, 22, 30, 32], "text": "17", "label": "answer", "linking": [], "id": 2},
            ],
        }
    ],
}
BOX = {"x": 1, "y": 2, "width": 30, "height": 10, "rotation": 5}
SIZE = {"original_width": 90, "original_height": 80, "image_rotation": 0}
LABEL_STUDIO = [
    {
        "id": 3,
        "data": {"image": "/data/upload/1/0f3d2a1b-a.png"},
        "annotations": [
            {
                "id": 4,
                "updated_at": "2024-01-01",
                "result": [
                    {"id": "q", "type": "rectanglelabels", "value": {**BOX, "rectanglelabels": ["question"]}, **SIZE},
                    {"id": "q", "type": "textarea", "from_name": "t", "value": {**BOX, "text": ["No."]}, **SIZE},
                    {"id": "a", "type": "polygon", "value": {"points": SQUARE, "labels": ["answer"]}, **SIZE},
                    {"id": "a", "type": "textarea", "from_name": "t", "value": {"text": ["17"]}},
                    {"type": "relation", "from_id": "q", "to_id": "a", "direction": "right"},
                ],
            }
        ],
    }
]
FUNSD = {
    "form": [
        {"id": 1, "label": "question", "text": "No.", "box": [1, 2, 30, 12], "linking": [[1, 2]]}
        | {"words": [{"text": "No.", "box": [1, 2, 30, 12]}]},
        {"id": 2, "label": "answer", "text": "1 7", "box": [40, 2, 60, 12], "linking": [[1, 2]]}
        | {"words": [{"text": "1", "box": [40, 2, 45, 12]}, {"text": "7", "box": [50, 2, 60, 12]}]},
    ]
}


def write(folder: Path, kind: str, tree: Any) -> Path:
    """`tree` as a file (or folder) of that format; json.dumps escapes lone surrogates and writes NaN."""
    if kind == "funsd":
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "images").mkdir(exist_ok=True)
        if not (folder / "images/a.png").exists():
            Image.new("L", (90, 80)).save(folder / "images/a.png")
        (folder / "annotations/a.json").write_text(json.dumps(tree))
        return folder
    file = folder / kind
    file.write_text(f"a.png\t{json.dumps(tree)}\n" if kind == "labels" else json.dumps(tree, indent=1))
    return file


KINDS = {"labels": LABELS, "xfund": XFUND, "label_studio": LABEL_STUDIO, "funsd": FUNSD}


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_page(tmp_path: Path, kind: str) -> None:
    (page,), report = read_annotations(write(tmp_path, kind, KINDS[kind]))
    assert page.source == "a.png"
    assert [line.label for line in page.lines] == ["QUESTION", "ANSWER"]
    assert [line.text.replace(" ", "") for line in page.lines] == ["No.", "17"]
    assert [(link.key_line, link.value_line) for link in page.links] == [(page.lines[0].id, page.lines[1].id)]
    assert (page.width, page.height) == ((0, 0) if kind == "labels" else (90, 80))
    assert report == LabelReport()


def test_image_names_that_start_with_a_bracket(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    for name in ("[1].png", "{1}.png"):
        file.write_text(f"{name}\t{json.dumps(LABELS)}\n")
        assert read_annotations(file)[0][0].source == read_labels(file)[0].source == name


def test_what_is_no_annotation_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for text, reason in (
        ('{"documents": [', "not valid json"),
        ('[\n\t{"id": 1},', "not valid json"),
        ('{"form": []}', "give the folder that holds annotations/"),
        ("[" * 100_000, "not valid json"),
        ('{"documents": ' + "1" * 5000 + "}", "not valid json"),
        ("a.png\t" + "[" * 100_000, "x.json:1: not valid json"),
    ):
        file.write_text(text)
        with pytest.raises(LabelFileError, match=reason):
            read_annotations(file)
    with pytest.raises(LabelFileError, match=r"no annotations/\*\.json"):
        read_annotations(tmp_path)
    with pytest.raises(LabelFileError, match="does not exist"):
        read_annotations(tmp_path / "none")


def test_the_trainers_reader_says_what_to_do_with_an_export(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"python -m kie_ray\.datasets convert"):
        read_labels(write(tmp_path, "label_studio", LABEL_STUDIO))


def test_level_is_for_funsd(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match="level 'entity' is for FUNSD"):
        read_annotations(write(tmp_path, "labels", LABELS), level="entity")
    (page,), _ = read_annotations(write(tmp_path, "funsd", FUNSD), level="entity")
    assert [line.text for line in page.lines] == ["No.", "1 7"]


def test_funsd_reports_and_skips_when_not_strict(tmp_path: Path) -> None:
    folder = write(tmp_path, "funsd", FUNSD)
    blank = {**FUNSD["form"][0], "id": 3, "text": "", "words": [{"text": "", "box": [1, 2, 3, 4]}]}
    (folder / "annotations/b.json").write_text(json.dumps({"form": [FUNSD["form"][0], blank]}))
    (folder / "annotations/c.json").write_text('{"form": [{"id": 1}]}')
    Image.new("L", (90, 80)).save(folder / "images/c.png")
    with pytest.raises(LabelFileError, match=r"b\.json: image of page 'b\.png' is missing"):
        read_annotations(folder)
    pages, report = read_annotations(folder, strict=False)
    assert [page.source for page in pages] == ["a.png"]
    assert len(report.bad_lines) == 2
    assert "c.json is not a FUNSD annotation: KeyError" in report.bad_lines[1]
    Image.new("L", (90, 80)).save(folder / "images/b.png")
    pages, report = read_annotations(folder, strict=False)
    assert [page.source for page in pages] == ["a.png", "b.png"]
    assert [note.partition("b.json: ")[2] for note in report.left_out] == ["entity 3: '' starts without text"]
    assert report.dropped_links == [
        f"{folder / 'annotations/b.json'}: link 1-2 names entity 2, which is missing or without text"
    ]


def test_funsd_of_the_data_set(funsd: Path) -> None:
    """The same pages as `read_funsd`, with the count of what is left out (which the logs of `read_funsd` show)."""
    for level, left_out, dropped in (("line", 87, 19), ("entity", 62, 18)):
        pages, report = read_annotations(funsd / "testing_data", level=level)  # type: ignore[arg-type]
        assert pages == read_funsd(funsd / "testing_data", level)  # type: ignore[arg-type]
        assert (len(report.left_out), len(report.dropped_links)) == (left_out, dropped)


def test_xfund_zh_survives_the_way_through_xfund_json(xfund_zh: Path, tmp_path: Path) -> None:
    """The project's copy is a label file; the same content as XFUND's json must give the same pages."""
    pages, report = read_annotations(xfund_zh / "zh_val" / "val.json")
    documents = []
    for row in (xfund_zh / "zh_val" / "val.json").read_text(encoding="utf-8").splitlines():
        name, _, payload = row.partition("\t")
        lines = [
            {**item, "text": item["transcription"], "box": [*item["points"][0], *item["points"][2]]}
            for item in json.loads(payload)
        ]
        for line in lines:
            del line["points"], line["transcription"]
        documents.append({"img": {"fname": name}, "document": lines})
    file = tmp_path / "xfund.json"
    file.write_text(json.dumps({"documents": documents}), encoding="utf-8")
    again, report_again = read_annotations(file)
    assert again == pages
    assert len(report.dropped_links) == len(report_again.dropped_links) == 1


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 2**31])
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["\ud800", "\t", "", "q", "relation", "left", "a.png"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "text", "label", "points", "form", "documents", "data", "value", "x"]), inner
        )
    ),
    max_leaves=6,
)


def nodes(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from nodes(value, (*path, key))


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    tree = copy.deepcopy(tree)
    inner = tree
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return tree


def check_reading(file: Path, folder: Path) -> None:
    """Only `LabelFileError`; strict fails exactly where the report names a bad line; what is read can be used."""
    try:
        pages, report = read_annotations(file, strict=False)
    except LabelFileError:
        with pytest.raises(LabelFileError):
            read_annotations(file)
        return
    if report.bad_lines:
        with pytest.raises(LabelFileError):
            read_annotations(file)
    else:
        assert read_annotations(file) == (pages, report)
    describe(gather(pages, report, images=folder))
    write_labels(pages, folder / "out.txt")
    again = read_labels(folder / "out.txt")
    assert [page.lines for page in again] == [page.lines for page in pages]


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_changed_node_raises_nothing_but_a_label_file_error(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(nodes(KINDS[kind]))))
    tree = changed(KINDS[kind], path, data.draw(json_values))
    check_reading(write(tmp_path, kind, tree), tmp_path)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"])) | json_values.map(json.dumps) | st.binary())
def test_any_file_raises_nothing_but_a_label_file_error(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "any"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    check_reading(file, tmp_path)

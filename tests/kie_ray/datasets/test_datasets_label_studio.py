from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kie_ray.datasets import LabelFileError, LabelReport, read_annotations, read_label_studio, with_sizes
from kie_ray.records import Link, Page

UPLOAD = "/data/upload/7/0f3d2a1b-form.png"


def region(
    identity: str, *, label: str | None = "question", text: Any = "x", rectangle: bool = False, **more: Any
) -> list[dict[str, Any]]:
    """The results that Label Studio writes for one box of its OCR template: each control repeats the box."""
    box = {"x": 10.0, "y": 20.0, "width": 30.0, "height": 5.0, "rotation": 0, **more.pop("box", {})}
    common = {"id": identity, "original_width": 200, "original_height": 100, "image_rotation": 0, "to_name": "image"}
    common |= {"origin": "manual", **more}
    results = []
    if not rectangle:
        results.append({**common, "from_name": "bbox", "type": "rectangle", "value": box})
    if label is not None:
        kind = "rectanglelabels" if rectangle else "labels"
        results.append({**common, "from_name": "label", "type": kind, "value": {**box, kind: [label]}})
    if text is not None:
        value = {**box, "text": text if isinstance(text, list) else [text]}
        results.append({**common, "from_name": "transcription", "type": "textarea", "value": value})
    return results


def relation(a: str, b: str, direction: str = "right") -> dict[str, Any]:
    return {"from_id": a, "to_id": b, "type": "relation", "direction": direction, "labels": []}


def task(*results: Any, image: str = UPLOAD, identity: int = 41, **more: Any) -> dict[str, Any]:
    flat = [one for result in results for one in (result if isinstance(result, list) else [result])]
    annotation = {"id": 5, "completed_by": 1, "result": flat, "was_cancelled": False, "ground_truth": False}
    return {"id": identity, "data": {"ocr": image}, "annotations": [annotation], "predictions": [], **more}


def write(folder: Path, *tasks: Any) -> Path:
    file = folder / "export.json"
    file.write_text(json.dumps(tasks), encoding="utf-8")
    return file


def one(folder: Path, *results: Any) -> Page:
    pages, _ = read_label_studio(write(folder, task(*results)))
    assert len(pages) == 1
    return pages[0]


def test_boxes_labels_texts_and_relations_are_joined_by_id(tmp_path: Path) -> None:
    page = one(
        tmp_path,
        region("q", label="Question", text=["Invoice", "no."]),
        region("a", label="answer", text="17", box={"x": 50.0}),
        region("o", label=None, text=None, box={"y": 60.0}),
        relation("q", "a"),
    )
    assert (page.source, page.width, page.height) == ("form.png", 200, 100)
    assert [(line.id, line.label, line.text) for line in page.lines] == [
        (0, "QUESTION", "Invoice no."),
        (1, "ANSWER", "17"),
        (2, "OTHER", ""),
    ]
    assert page.lines[0].points == pytest.approx((20, 20, 80, 20, 80, 25, 20, 25))
    assert page.lines[1].box == pytest.approx((100, 20, 160, 25))
    assert page.links == [Link(0, 1)]


def test_rectanglelabels_and_polygons(tmp_path: Path) -> None:
    common = {"id": "p", "original_width": 200, "original_height": 100}
    corners = [[10, 10], [40, 12], [40, 22], [10, 20]]
    page = one(
        tmp_path,
        region("r", label="header", rectangle=True),
        {**common, "type": "polygonlabels", "value": {"points": corners, "polygonlabels": ["other"]}},
        {**common, "id": "t", "type": "polygon", "value": {"points": [[0, 0], [50, 10], [25, 40]]}},
    )
    assert [(line.label, line.text) for line in page.lines] == [("HEADER", "x"), ("OTHER", ""), ("OTHER", "")]
    assert page.lines[1].points == pytest.approx((20, 10, 80, 12, 80, 22, 20, 20))
    assert page.lines[2].points == pytest.approx((0, 0, 100, 0, 100, 40, 0, 40))


def test_rotation_is_clockwise_about_the_top_left_corner_in_pixels(tmp_path: Path) -> None:
    box = {"x": 50.0, "y": 20.0, "width": 10.0, "height": 10.0}
    page = one(tmp_path, region("a", box={**box, "rotation": 90}), region("b", box={**box, "rotation": 330.0}))
    assert page.lines[0].points == pytest.approx((100, 20, 100, 40, 90, 40, 90, 20))
    # 20 px wide, turned 30 degrees against the clock: the right end rises by 10
    assert page.lines[1].points[2:4] == pytest.approx((100 + 20 * 3**0.5 / 2, 10))


def test_direction_of_a_relation_counts_where_labels_leave_it_open(tmp_path: Path) -> None:
    boxes = [region(name, label=label) for name, label in (("q", "question"), ("a", "answer"), ("s", "sum"))]
    page = one(tmp_path, *boxes, relation("a", "q", "right"), relation("q", "s", "left"), relation("s", "a", "bi"))
    assert set(page.links) == {Link(0, 1), Link(2, 0), Link(2, 1)}


def test_relations_to_nowhere_are_dropped_and_named(tmp_path: Path) -> None:
    file = write(tmp_path, task(region("q"), relation("q", "gone"), relation("q", "q")))
    pages, report = read_label_studio(file)
    assert pages[0].links == []
    assert len(report.dropped_links) == 2
    assert report.dropped_links[0] == f"{file}:task 1 (id 41): relation 'q'-'gone' names 'gone', which is no text line"
    assert "joins a line to itself" in report.dropped_links[1]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (UPLOAD, "form.png"),
        ("http://localhost:8080/data/upload/7/0f3d2a1b-form.png", "form.png"),
        ("/data/upload/7/0f3d2a1b-12345678-form.png", "12345678-form.png"),
        ("/data/upload/form_a7Bx.png", "form_a7Bx.png"),
        ("s3://bucket/scans/0f3d2a1b-form.png", "0f3d2a1b-form.png"),
        ("/data/local-files/?d=scans/my%20form.png", "my form.png"),
        ("/data/local-files/?d=scans\\form.png", "form.png"),
        ("https://host/a/form%201.png?X-Amz-Expires=60#top", "form 1.png"),
        ("form.png", "form.png"),
    ],
)
def test_the_image_is_named_as_it_was_before_the_upload(tmp_path: Path, path: str, name: str) -> None:
    (page,), _ = read_label_studio(write(tmp_path, task(region("q"), image=path)))
    assert page.source == name


def test_two_uploads_of_one_name_keep_their_prefix(tmp_path: Path) -> None:
    tasks = [task(region("q"), image=f"/data/upload/7/{prefix}-form.png") for prefix in ("0f3d2a1b", "1f3d2a1b")]
    pages, _ = read_label_studio(write(tmp_path, *tasks, task(region("q"), image="/data/upload/7/2f3d2a1b-b.png")))
    assert [page.source for page in pages] == ["0f3d2a1b-form.png", "1f3d2a1b-form.png", "b.png"]
    with pytest.raises(LabelFileError, match=r"task 2 \(id 41\): image 'form.png' is annotated already in task 1"):
        read_label_studio(write(tmp_path, tasks[0], tasks[0]))


def test_the_image_key_is_found(tmp_path: Path) -> None:
    data = {"page": "/data/upload/7/0f3d2a1b-form.png", "customer": "Smith"}
    (page,), _ = read_label_studio(write(tmp_path, task(region("q"), data=data)))
    assert page.source == "form.png"
    with pytest.raises(LabelFileError, match=r"needs one image path.*'back', 'front'"):
        read_label_studio(write(tmp_path, task(region("q"), data={"front": "a.png", "back": "b.png"})))


def test_which_annotation_counts(tmp_path: Path) -> None:
    def annotation(identity: int, text: str, updated: str, **more: Any) -> dict[str, Any]:
        return {"id": identity, "result": region("q", text=text), "updated_at": updated, **more}

    old, new = annotation(1, "old", "2024-01-01T00:00:00Z"), annotation(2, "new", "2024-02-01T00:00:00Z")
    cancelled = annotation(3, "cancelled", "2024-03-01T00:00:00Z", was_cancelled=True)
    truth = annotation(4, "truth", "2023-01-01T00:00:00Z", ground_truth=True)
    for several, text, left_out in (
        ([new, old, cancelled], "new", ["1 of 2 annotations; the one used has id 2"]),
        ([new, truth, old], "truth", ["2 of 3 annotations; the one used has id 4"]),
        ([old, cancelled], "old", []),
    ):
        (page,), report = read_label_studio(write(tmp_path, task(annotations=several)))
        assert page.lines[0].text == text
        assert [note.partition("(id 41): ")[2] for note in report.left_out] == left_out


def test_tasks_without_annotation_and_results_without_box_are_left_out_and_named(tmp_path: Path) -> None:
    choice = {"id": "c", "from_name": "kind", "type": "choices", "value": {"choices": ["invoice"]}}
    skipped = task(image="b.png", annotations=[{"result": [], "was_cancelled": True}])
    predicted = task(image="c.png", annotations=[], predictions=[{"result": region("q")}])
    pages, report = read_label_studio(write(tmp_path, task(region("q"), choice), skipped, predicted))
    assert [page.source for page in pages] == ["form.png"]
    assert [line.text for line in pages[0].lines] == ["x"]
    assert [note.partition("(id 41): ")[2] for note in report.left_out] == [
        "choices 'c' has no rectangle or polygon",
        "skipped by the annotator",
        "not annotated",
    ]


def two_labels() -> list[dict[str, Any]]:
    results = region("q")
    results[1]["value"]["labels"] = ["question", "answer"]
    return results


def without(key: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in result.items() if name != key} for result in region("q")]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (3, "a task needs 'data' and 'annotations'"),
        ({"ocr": UPLOAD, "id": 1, "bbox": [], "transcription": []}, "export as JSON"),
        (task(region("q"), data={"text": "no image"}), "needs one image path"),
        (task(annotations={}), "'annotations' must be a list"),
        (task(annotations=[{"result": 3}]), "'result' must be a list"),
        (task({"type": "rectangle"}), "a result needs 'id'"),
        (task(without("original_width")), "'q' needs 'original_width'"),
        (task(region("q", image_rotation=90)), "turned in Label Studio"),
        (task(region("q", item_index=1)), "a task must be one image"),
        (task(region("q"), region("r", original_width=300)), "several sizes: 200 x 100, 300 x 100"),
        (task(region("q", box={"x": "10"})), "coordinate '10'"),
        (task(region("q", box={"rotation": "left"})), "rotation: coordinate 'left'"),
        (task(region("q", box={"x": 1e308, "width": 1e308})), "coordinate inf"),
        (task(two_labels()), r"'q' has 2 labels \('question', 'answer'\)"),
        (task(region("q", text=[3])), "'text' must be a list of strings"),
        (task(region("q", text=None, label="\ud800")), "not valid Unicode"),
        (task({"id": "q", "type": "brushlabels", "value": {"labels": ["question"]}}), "no rectangle or polygon"),
        (task(region("q"), relation("q", "q", "up")), "a 'direction'"),
        (task(region("q"), {"type": "relation", "from_id": "q"}), "needs 'from_id', 'to_id'"),
        (task({"id": "p", "type": "polygon", "value": {"points": [[1, 2]]}}), "at least 3"),
    ],
)
def test_a_bad_task_is_an_error_that_names_file_task_and_reason(tmp_path: Path, bad: Any, reason: str) -> None:
    file = write(tmp_path, task(region("q"), image="good.png"), bad)
    with pytest.raises(LabelFileError, match=rf"export\.json:task 2.*: .*{reason}") as caught:
        read_label_studio(file)
    assert "\n" not in str(caught.value)
    pages, report = read_label_studio(file, strict=False)
    assert [page.source for page in pages] == ["good.png"]
    assert report.bad_lines == [str(caught.value)]


def test_several_text_areas_need_one_named_transcription(tmp_path: Path) -> None:
    translation = {**region("q", text="translated")[2], "from_name": "translation"}
    assert one(tmp_path, region("q"), translation).lines[0].text == "x"
    with pytest.raises(LabelFileError, match=r"2 text areas \('note', 'translation'\)"):
        one(tmp_path, region("q", text=None), {**translation, "from_name": "note"}, translation)


def test_a_file_that_is_no_export(tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    for text, reason in (('{"documents": []}', "no Label Studio export"), ('[{"id": 1', "not valid json")):
        file.write_text(text)
        with pytest.raises(LabelFileError, match=reason):
            read_label_studio(file)


def test_xfund_zh_survives_the_way_through_label_studio(xfund_zh: Path, tmp_path: Path) -> None:
    """Real pages written as Label Studio writes them, percent of the page, give the same pages again."""
    pages = with_sizes(read_annotations(xfund_zh / "zh_val" / "val.json")[0], xfund_zh / "zh_val" / "image")
    tasks = []
    for page in pages:
        results: list[Any] = [relation(str(link.key_line), str(link.value_line)) for link in page.links]
        size = {"original_width": page.width, "original_height": page.height}
        for line in page.lines:
            x0, y0, x1, y1 = line.box
            box = {"x": x0 / page.width * 100, "y": y0 / page.height * 100}
            box |= {"width": (x1 - x0) / page.width * 100, "height": (y1 - y0) / page.height * 100}
            results.append(region(str(line.id), label=line.label.title(), text=line.text, box=box, **size))
        tasks.append(task(*results, image=f"/data/upload/1/0f3d2a1b-{page.source}"))
    again, report = read_label_studio(write(tmp_path, *tasks))
    assert report == LabelReport()
    for before, after in zip(pages, again, strict=True):
        assert (after.source, after.width, after.height) == (before.source, before.width, before.height)
        number_of = {line.id: index for index, line in enumerate(before.lines)}
        assert [(line.text, line.label) for line in after.lines] == [(line.text, line.label) for line in before.lines]
        assert [x for line in after.lines for x in line.box] == pytest.approx(
            [x for line in before.lines for x in line.box]
        )
        assert after.links == [Link(number_of[link.key_line], number_of[link.value_line]) for link in before.links]

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kie_ray.datasets import LabelFileError, read_labels, read_labels_with_report, with_sizes, write_labels
from kie_ray.records import Line, Link, Page

SQUARE = [[1, 2], [30, 2], [30, 12], [1, 12]]


def item(identity: int | None, label: str | None = "other", text: str = "x", **more: Any) -> dict[str, Any]:
    made = {"transcription": text, "label": label, "points": SQUARE, "id": identity, "linking": [], **more}
    return {key: value for key, value in made.items() if value is not None}


def write(folder: Path, *rows: Any) -> Path:
    file = folder / "label.txt"
    text = [row if isinstance(row, str) else f"page{k}.png\t{json.dumps(row)}" for k, row in enumerate(rows)]
    file.write_text("\n".join(text) + "\n", encoding="utf-8")
    return file


def test_a_page_with_links_from_both_ends(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        [
            item(4, "header"),
            item(7, "Question", linking=[[7, 9], [4, 7]]),
            item(9, "ANSWER", linking=[[7, 9]]),
        ],
    )
    (page,) = read_labels(file)
    assert page.source == "page0.png"
    assert (page.width, page.height) == (0, 0)
    assert [(line.id, line.label) for line in page.lines] == [(4, "HEADER"), (7, "QUESTION"), (9, "ANSWER")]
    assert page.lines[0].points == (1.0, 2.0, 30.0, 2.0, 30.0, 12.0, 1.0, 12.0)
    assert [(link.key_line, link.value_line) for link in page.links] == [(7, 9), (4, 7)]


def test_links_are_turned_so_that_the_key_is_the_head(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        [
            item(1, "answer", linking=[[1, 2]]),
            item(2, "question", linking=[[2, 3]]),
            item(3, "header"),
            item(4, "total", linking=[[4, 2], [2, 4]]),
        ],
    )
    (page,) = read_labels(file)
    assert {(link.key_line, link.value_line) for link in page.links} == {(2, 1), (3, 2), (4, 2)}


def test_links_to_nowhere_are_dropped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(
        tmp_path, [item(1, "question", linking=[[1, 5], [1, 1], [1, 2], [1, 5]]), item(2, "answer", linking=[[2, 1]])]
    )
    pages, report = read_labels_with_report(file)
    assert [(link.key_line, link.value_line) for link in pages[0].links] == [(1, 2)]
    assert len(report.dropped_links) == 2
    assert "label.txt:1" in report.dropped_links[0]
    assert "id 5" in report.dropped_links[0]
    with caplog.at_level("WARNING"):
        read_labels(file)
    assert "2 links dropped" in caplog.text


def test_ppocrlabel_files(tmp_path: Path) -> None:
    lines = [
        {"transcription": "a", "points": SQUARE, "difficult": False, "key_cls": "question"},
        {"transcription": "b", "points": SQUARE, "difficult": False, "key_cls": "None"},
        {"transcription": "c", "points": SQUARE, "difficult": False},
    ]
    (page,) = read_labels(write(tmp_path, lines))
    assert [(line.id, line.label) for line in page.lines] == [(0, "QUESTION"), (1, "OTHER"), (2, "OTHER")]


@pytest.mark.parametrize("label", ["other", "Others", "IGNORE", "ignore", ""])
def test_every_spelling_of_other(tmp_path: Path, label: str) -> None:
    assert read_labels(write(tmp_path, [item(1, label)]))[0].lines[0].label == "OTHER"


def test_polygons_and_boxes_become_quadrilaterals(tmp_path: Path) -> None:
    polygon = [[5, 1], [20, 0], [30, 6], [21, 14], [4, 12]]
    (page,) = read_labels(
        write(tmp_path, [item(1, points=polygon), {"transcription": "b", "id": 2, "bbox": [1, 2, 3.5, 4]}])
    )
    assert page.lines[0].points == (4, 0, 30, 0, 30, 14, 4, 14)
    assert page.lines[1].points == (1, 2, 3.5, 2, 3.5, 4, 1, 4)
    assert page.lines[1].label == "OTHER"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("no tab here", "expected image name, tab"),
        ("\t[]", "expected image name, tab"),
        ("a.png\t[{]", "not valid json"),
        ('a.png\t{"x": 1}', "expected a json list"),
        ("a.png\t[3]", "must be an object"),
        ("a.png\t[" + "1" * 5000 + "]", "not valid json"),
        ([item(1, text="\ud800")], "text line 1 is not valid Unicode"),
        ([item(1, points=[[10**400, 2], [3, 4], [5, 6], [7, 8]])], "must be a finite number"),
        ([item(1), item(1)], "id 1 is used by several"),
        ([item(1, text=3)], "needs 'transcription'"),  # type: ignore[arg-type]
        ([item(1, points=[[1, 2], [3, 4]])], "'points' must be"),
        ([item(1, points=[[1, 2], [3, 4], [5, "6"], [7, 8]])], "coordinate '6'"),
        ("a.png\t" + json.dumps([item(1, points=[[1, 2], [3, 4], [5, float("nan")], [7, 8]])]), "coordinate nan"),
        ([item(1, points=None)], "needs 'points'"),
        ([item(1, linking=[[1]])], "pairs of ids"),
        ([item(1, linking=3)], "must be a list of pairs"),
        ([{**item(1), "id": "one"}], "id 'one'"),
        ([item(1, label=5)], "label 5"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_line_is_an_error_that_names_file_line_and_reason(tmp_path: Path, row: Any, reason: str) -> None:
    file = write(tmp_path, [item(1)], row)
    with pytest.raises(LabelFileError, match=rf"label\.txt:2: .*{reason}"):
        read_labels(file)
    pages, report = read_labels_with_report(file, strict=False)
    assert len(pages) == 1
    assert len(report.bad_lines) == 1


def test_an_image_named_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match="annotated already in 1"):
        read_labels(write(tmp_path, "a.png\t[]", "a.png\t[]"))


def test_missing_and_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"none\.txt does not exist"):
        read_labels(tmp_path / "none.txt")
    binary = tmp_path / "photo.jpg"
    binary.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(LabelFileError, match="not UTF-8"):
        read_labels(binary)


def test_bom_blank_lines_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "label.txt"
    file.write_bytes(b"\xef\xbb\xbfa.png\t[]\r\n\r\nb.png\t[]\r\n")
    assert [page.source for page in read_labels(file)] == ["a.png", "b.png"]


def test_xfund_json(tmp_path: Path) -> None:
    file = tmp_path / "zh.val.json"
    line = {"box": [1, 2, 30, 12], "text": "姓名", "label": "question", "words": [], "linking": [[1, 2]], "id": 1}
    answer = {**line, "text": "x", "label": "answer", "id": 2}
    document = {"id": "zh_0", "img": {"fname": "zh_0.jpg", "width": 90, "height": 80}, "document": [line, answer]}
    file.write_text(json.dumps({"lang": "zh", "documents": [document]}), encoding="utf-8")
    (page,) = read_labels(file)
    assert (page.source, page.width, page.height) == ("zh_0.jpg", 90, 80)
    assert page.lines[0].points == (1, 2, 30, 2, 30, 12, 1, 12)
    assert page.links == [Link(1, 2)]
    file.write_text('{"pages": []}')
    with pytest.raises(LabelFileError, match="'documents'"):
        read_labels(file)


labels = st.sampled_from(["OTHER", "QUESTION", "ANSWER", "HEADER", "TOTAL"])
numbers = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def gold_pages(draw: st.DrawFn) -> list[Page]:
    pages = []
    for number in range(draw(st.integers(0, 3))):
        ids = draw(st.lists(st.integers(0, 10**6), unique=True, max_size=6))
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
        lines = [
            Line(k, draw(texts), tuple(draw(numbers) for _ in range(8)), label=draw(labels), label_score=1.0)
            for k in ids
        ]
        rank = {"HEADER": 0, "QUESTION": 1, "ANSWER": 2}
        links: list[Link] = []
        for a in lines:
            for b in lines:
                if a.id < b.id and draw(st.booleans()):
                    turned = rank.get(a.label, 0) > rank.get(b.label, 9)
                    links.append(Link(b.id, a.id) if turned else Link(a.id, b.id))
        pages.append(Page(0, 0, 0, lines, links, source=f"folder/{number}.png"))
    return pages


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(gold_pages())
def test_what_is_written_is_read_back(tmp_path: Path, pages: list[Page]) -> None:
    file = tmp_path / "out.txt"
    write_labels(pages, file)
    again, report = read_labels_with_report(file)
    assert not report.dropped_links
    for before, after in zip(pages, again, strict=True):
        assert after.lines == before.lines
        assert after.source == before.source
        assert set(after.links) == set(before.links)
    assert list(tmp_path.iterdir()) == [file]


def test_both_ends_carry_a_written_link_and_labels_are_lower_case(tmp_path: Path) -> None:
    square = (1.0, 2.0, 30.0, 2.0, 30.0, 12.5, 1.0, 12.0)
    lines = [Line(1, "k", square, label="QUESTION"), Line(2, "v", square, label="ANSWER")]
    write_labels([Page(0, 0, 0, lines, [Link(1, 2)], source="a.png")], tmp_path / "out.txt")
    name, payload = (tmp_path / "out.txt").read_text().rstrip("\n").split("\t")
    written = json.loads(payload)
    assert name == "a.png"
    assert [entry["linking"] for entry in written] == [[[1, 2]], [[1, 2]]]
    assert [entry["label"] for entry in written] == ["question", "answer"]
    assert written[0]["points"] == [[1, 2], [30, 2], [30, 12.5], [1, 12]]
    with pytest.raises(LabelFileError, match="image name"):
        write_labels([Page(0, 0, 0, source="a\tb")], tmp_path / "bad.txt")
    with pytest.raises(LabelFileError, match="text line 1 is not valid Unicode"):
        write_labels([Page(0, 0, 0, [Line(1, "\ud800", square)], source="a")], tmp_path / "bad.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]


def test_sizes_come_from_headers_with_orientation(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "plain.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "turned.jpg", exif=turned)
    pages = [
        Page(0, 0, 0, source="plain.png"),
        Page(0, 0, 0, source="scans/turned.jpg"),
        Page(0, 7, 9, source="not-needed"),
    ]
    assert [(page.width, page.height) for page in with_sizes(pages, tmp_path)] == [(40, 30), (30, 40), (7, 9)]
    assert pages[0].width == 0


def test_missing_or_broken_image_names_page_and_path(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"'a\.png' is missing: .*a\.png does not exist"):
        with_sizes([Page(0, 0, 0, source="a.png")], tmp_path)
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(LabelFileError, match=r"'a\.png' cannot be read"):
        with_sizes([Page(0, 0, 0, source="a.png")], tmp_path)


def test_xfund_zh_counts(xfund_zh: Path) -> None:
    """The counts of the data set; the three links that are missing join a line to itself."""
    for split, name, pages_, lines, links, dropped in (
        ("zh_train", "train", 149, 10228, 6457, 2),
        ("zh_val", "val", 50, 3629, 2159, 1),
    ):
        pages, report = read_labels_with_report(xfund_zh / split / f"{name}.json")
        assert len(pages) == pages_
        assert sum(len(page.lines) for page in pages) == lines
        assert sum(len(page.links) for page in pages) == links
        assert len(report.dropped_links) == dropped
        assert all(page.width > 100 and page.height > 100 for page in with_sizes(pages, xfund_zh / split / "image"))

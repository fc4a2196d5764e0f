from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kie_ray.datasets import LabelReport, read_annotations
from kie_ray.datasets.statistics import Spread, Statistics, describe, gather
from kie_ray.encoding.labels import LabelSet
from kie_ray.records import Line, Link, Page

CLASSES = LabelSet.from_classes(["QUESTION", "ANSWER"])


def line(identity: int, label: str = "OTHER", text: str = "abc", x: float = 0) -> Line:
    return Line(identity, text, (x, 0, x + 10, 0, x + 10, 5, x, 5), label=label)


def page(name: str, *lines: Line, links: tuple[tuple[int, int], ...] = (), size: tuple[int, int] = (90, 80)) -> Page:
    return Page(0, *size, list(lines), [Link(a, b) for a, b in links], source=name)


def problems(*pages: Page, **more: Any) -> dict[str, list[str]]:
    return gather(pages, LabelReport(), **more).problems


def test_counts() -> None:
    pages = [
        page("a.png", line(0, "QUESTION"), line(1, "ANSWER", "abcdef"), line(2, "ANSWER"), links=((0, 1), (0, 2))),
        page("b.png", line(7, text="  "), size=(0, 0)),
        page("c.png", line(0, "TOTAL", "ab"), line(1, "ANSWER", ""), links=((0, 1),)),
    ]
    found = gather(pages, LabelReport(left_out=["x: why"]), classes=LabelSet.from_classes(["ANSWER", "TOTAL", "DATE"]))
    assert (found.pages, found.blank_lines) == (3, 2)
    assert list(found.lines.items()) == [("ANSWER", 3), ("QUESTION", 1), ("OTHER", 1), ("TOTAL", 1)]
    assert found.links == {"QUESTION -> ANSWER": 2, "TOTAL -> ANSWER": 1}
    assert found.lines_per_page == Spread(1, 2, 3)
    assert found.characters_per_page == Spread(2, 2, 12)
    assert found.pages_without_links == ["b.png"]
    assert found.pages_without_size == ["b.png"]
    assert found.unused_classes == ["DATE"]
    assert found.left_out == ["x: why"]
    assert list(found.problems) == ["labelled or linked lines without text", "labels outside the classes"]
    assert found.problems["labels outside the classes"][0].endswith("nearest is 'TOTAL' (1 lines)")


def test_a_line_without_text_is_a_problem_where_work_is_lost() -> None:
    blank = [line(0, text=" "), line(1, text=""), line(2, "QUESTION", ""), line(3, "QUESTION")]
    assert problems(page("a.png", *blank, links=((3, 1),))) == {
        "labelled or linked lines without text": [
            "a.png: line 1 (OTHER) has no text",
            "a.png: line 2 (QUESTION) has no text",
        ]
    }


def test_boxes_outside_the_page() -> None:
    inside, rounded, right, left = line(0, x=80), line(1, x=80.9), line(2, x=82), line(3, x=-2)
    found = problems(page("a.png", inside, rounded, right, left), page("b.png", right, size=(0, 0)))
    assert [text.partition(" at ")[0] for text in found["boxes outside the page"]] == ["a.png: line 2", "a.png: line 3"]
    assert found["boxes outside the page"][0].endswith("(82, 0, 92, 5) on a page of 90 x 80")


def test_images_are_looked_for_and_measured(tmp_path: Path) -> None:
    for name in ("good.png", "sized.png", "turned.png"):
        Image.new("L", (50, 40)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes((tmp_path / "good.png").read_bytes()[:20])
    (tmp_path / "text.png").write_text("no image")
    unknown = (0, 0)
    found = problems(
        page("folder/good.png", line(0), size=unknown),
        page("sized.png", line(0, x=45), size=unknown),
        page("turned.png", size=(40, 50)),
        page("broken.png", size=unknown),
        page("text.png", size=unknown),
        page("gone.png", size=unknown),
        page("n" * 300, size=unknown),
        images=tmp_path,
    )
    assert [text.partition(":")[0] for text in found["images missing"]] == ["gone.png", "n" * 300]
    assert [text.split()[0] for text in found["images of unreadable size"]] == ["broken.png", "text.png"]
    assert found["images of another size"] == [
        f"turned.png: annotated as 40 x 50, {tmp_path / 'turned.png'} is 50 x 40"
    ]
    assert [text.partition(" at ")[0] for text in found["boxes outside the page"]] == ["sized.png: line 0"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_image_headers_never_raise(tmp_path: Path) -> None:
    """Any one byte of a header with EXIF may be wrong."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png", "tif", "webp", "bmp"):
        good = tmp_path / f"good.{suffix}"
        Image.new("RGB", (4, 3)).save(good, **({} if suffix == "bmp" else {"exif": exif}))
        content = bytearray(good.read_bytes())
        for position in range(0, len(content), 3):
            damaged = bytearray(content)
            damaged[position] ^= 0xFF
            (tmp_path / f"bad.{suffix}").write_bytes(damaged)
            assert "images missing" not in problems(page(f"bad.{suffix}", size=(0, 0)), images=tmp_path)


def test_what_is_printed(tmp_path: Path) -> None:
    report = LabelReport(bad_lines=[f"labels.txt:{k}: wrong" for k in range(30)], dropped_links=["labels.txt:1: gone"])
    text = describe(gather([page("a.png", line(0, "QUESTION"))], report, classes=CLASSES))
    assert "pages 1, lines 1, links 0" in text
    assert "PROBLEM bad lines: 30\n  labels.txt:0: wrong" in text
    assert "labels.txt:19: wrong\n  ... and 10 more\n" in text
    assert "labels.txt:20" not in text
    assert "classes without a line: ANSWER" in text
    assert text.endswith("31 problems")
    assert describe(gather([page("a.png", line(0))], LabelReport())).endswith("no problems")
    assert describe(gather([], LabelReport())).endswith("there is no page\n1 problem")


def run(*arguments: str | Path) -> int:
    from kie_ray.datasets.__main__ import main

    return main([str(argument) for argument in arguments])


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Two good pages, a bad line, a link to nowhere, and images of both pages."""
    square = [[1, 2], [30, 2], [30, 12], [1, 12]]
    rows = [
        [
            {"transcription": "No.", "label": "question", "points": square, "id": 1, "linking": [[1, 2]]},
            {"transcription": "17", "label": "answer", "points": square, "id": 2, "linking": [[1, 2]]},
        ],
        [{"transcription": "No.", "label": "question"}],
        [{"transcription": "x", "label": "other", "points": square, "id": 1, "linking": [[1, 5]]}],
    ]
    file = tmp_path / "labels.txt"
    file.write_text("".join(f"{k}.png\t{json.dumps(row)}\n" for k, row in enumerate(rows)))
    (tmp_path / "images").mkdir()
    for k in range(3):
        Image.new("L", (90, 80)).save(tmp_path / f"images/{k}.png")
    return file


def test_validate(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert run("validate", labels, "--images", tmp_path / "images", "--classes", "question, answer", "--json", out) == 1
    printed = capsys.readouterr().out
    assert f"PROBLEM bad lines: 1\n  {labels}:2: text line 0 needs 'points'" in printed
    assert f"PROBLEM dropped links: 1\n  {labels}:3: link 1-5 names id 5" in printed
    assert printed.endswith("2 problems\n")
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["file"] == str(labels)
    assert written["lines"] == {"QUESTION": 1, "ANSWER": 1, "OTHER": 1}
    assert written["lines_per_page"] == {"min": 1, "median": 1.5, "max": 2}
    assert list(written["problems"]) == ["bad lines", "dropped links"]


def test_validate_of_a_clean_file_and_of_a_broken_one(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = tmp_path / "clean.txt"
    clean.write_text(labels.read_text().splitlines()[0] + "\n")
    assert run("validate", clean, "--images", tmp_path / "images") == 0
    assert capsys.readouterr().out.endswith("no problems\n")
    clean.write_text('{"documents": [')
    assert run("validate", clean) == 1
    assert "not valid json" in capsys.readouterr().out


def test_convert_writes_what_the_trainer_reads(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.txt"
    assert run("convert", labels, "--output", out) == 1
    printed = capsys.readouterr().out
    assert printed.startswith(f"wrote {out}: pages 2, lines 3, links 1\nbad lines: 1\n  {labels}:2: ")
    assert "dropped links: 1" in printed
    assert read_annotations(out)[0] == read_annotations(labels, strict=False)[0]
    assert run("convert", out, "--output", tmp_path / "again.txt") == 0
    assert (tmp_path / "again.txt").read_bytes() == out.read_bytes()


def test_convert_writes_nothing_when_no_page_can_be_read(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.write_text("no label file\n")
    assert run("convert", labels, "--output", tmp_path / "out.txt") == 1
    assert f"{labels}:1: expected image name" in capsys.readouterr().out
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "command '' should be validate or convert"),
        (["check", "LABELS"], "command 'check' should be"),
        (["validate"], "needs one FILE, found 0"),
        (["validate", "LABELS", "LABELS"], "needs one FILE, found 2"),
        (["validate", "none.txt"], "none.txt does not exist"),
        (["validate", "LABELS", "--images", "none"], "--images none is not a folder"),
        (["validate", "LABELS", "--classes", "A,a"], "names A more than once"),
        (["validate", "LABELS", "--output", "x"], "option --output not recognized"),
        (["validate", "LABELS", "--json", "none/out.json"], "none/out.json"),
        (["convert", "LABELS"], "needs --output"),
        (["convert", "LABELS", "--output", "LABELS"], "must be another file"),
        (["convert", "LABELS", "--output", "none/out.txt"], "No such file"),
        (["convert", "LABELS", "--output", "out.txt", "--level", "word"], "--level 'word' should be line or entity"),
        (["convert", "LABELS", "--output", "out.txt", "--level", "entity"], "--level is for FUNSD"),
    ],
)
def test_bad_arguments(
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = labels.read_bytes()
    assert run(*(str(labels) if argument == "LABELS" else argument for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert reason in error
    assert error.count("\n") == 1
    assert labels.read_bytes() == before
    assert not (tmp_path / "out.txt").exists()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("validate", "--help") == 0
    assert "convert FILE --output" in capsys.readouterr().out


def test_xfund_zh(xfund_zh: Path) -> None:
    """The counts of reference_kie_behaviour.md: of 6459 links two join a line to itself."""
    pages, report = read_annotations(xfund_zh / "zh_train" / "train.json")
    found: Statistics = gather(
        pages,
        report,
        images=xfund_zh / "zh_train" / "image",
        classes=LabelSet.from_classes(["QUESTION", "ANSWER", "HEADER"]),
    )
    assert found.pages == 149
    assert found.lines == {"HEADER": 229, "QUESTION": 3692, "ANSWER": 4641, "OTHER": 1666}
    assert sum(found.links.values()) + len(found.problems["dropped links"]) == 6459
    assert list(found.problems) == ["dropped links"]
    assert (found.blank_lines, found.pages_without_size, found.unused_classes) == (0, [], [])


def test_funsd_both_levels(funsd: Path, tmp_path: Path) -> None:
    for level, lines in (("line", 2646), ("entity", 2270)):
        out = tmp_path / f"{level}.txt"
        assert run("convert", funsd / "testing_data", "--level", level, "--output", out) == 0
        pages, report = read_annotations(out)
        assert (len(pages), sum(len(page.lines) for page in pages)) == (50, lines)
        assert not report.dropped_links
        found = gather(pages, report, images=funsd / "testing_data" / "images")
        assert not found.problems

"""SER + RE + fields over pages: nothing is lost on long, blank or empty pages, and batching changes nothing."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest

from kie_ray.annotator import Annotator
from kie_ray.models.bundle import Bundle
from kie_ray.records import OTHER, Line, Page
from tests.job_support import make_bundle


@pytest.fixture(scope="module")
def annotator(tmp_path_factory: pytest.TempPathFactory) -> Annotator:
    return Annotator.from_bundle(Bundle.load(make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")))


def page_of(texts: list[str]) -> Page:
    lines = []
    for index, text in enumerate(texts):
        x, y = 20.0 + 300 * (index % 3), 20.0 + 25 * (index // 3)
        lines.append(Line(100 + index, text, (x, y, x + 250, y, x + 250, y + 20, x, y + 20)))
    return Page(0, 1000, 1400, lines, source=f"{len(texts)}.png")


def test_every_line_of_a_long_page_gets_a_label(annotator: Annotator) -> None:
    page = page_of([f"Ada {index} Lovelace Date" for index in range(150)])
    windows = annotator.encoder.encode(page).windows
    assert len(windows) > 5
    annotator.annotate([page])
    assert [line.id for line in page.lines] == [100 + index for index in range(150)]
    assert all(0 < line.label_score <= 1 for line in page.lines)
    assert all(line.label in annotator.labels.classes for line in page.lines)


def test_a_blank_line_keeps_its_place(annotator: Annotator) -> None:
    texts = ["Name", "Ada", "Date", "1843"]
    plain, gapped = page_of(texts), page_of(texts)
    blank = Line(7, "   ", gapped.lines[1].points)
    gapped.lines.insert(1, blank)
    annotator.annotate([plain, gapped])
    assert (blank.label, blank.label_score) == (OTHER, 0.0)
    without = [line for line in gapped.lines if line.id != 7]
    assert [line.label for line in without] == [line.label for line in plain.lines]
    assert [line.label_score for line in without] == pytest.approx([line.label_score for line in plain.lines])
    assert all(7 not in (link.key_line, link.value_line) for link in gapped.links)


def test_pages_without_lines_or_text(annotator: Annotator) -> None:
    empty, blank = page_of([]), page_of(["", " "])
    annotator.annotate([empty, blank])
    assert empty.links == empty.fields == blank.links == blank.fields == []
    annotator.annotate([])


def test_batching_changes_no_answer(annotator: Annotator) -> None:
    pages = [page_of([f"Name {i} Ada" for i in range(count)]) for count in (3, 40, 0, 11)]
    together, alone = deepcopy(pages), deepcopy(pages)
    annotator.annotate(together)
    small = Annotator(annotator.info, annotator.encoder, annotator.models, tokens_per_batch=64)
    for page in alone:
        small.annotate([page])
    for first, second in zip(together, alone, strict=True):
        assert [line.label for line in first.lines] == [line.label for line in second.lines]
        assert [line.label_score for line in first.lines] == pytest.approx(
            [line.label_score for line in second.lines], abs=1e-5
        )
        assert {(k.key_line, k.value_line) for k in first.links} == {(k.key_line, k.value_line) for k in second.links}


def test_relate_uses_the_labels_that_the_lines_have(annotator: Annotator) -> None:
    page = page_of(["Name", "Ada", "Date", "1843"])
    for line, label in zip(page.lines, ["QUESTION", "ANSWER", "QUESTION", "ANSWER"], strict=True):
        line.label, line.label_score = label, 1.0
    annotator.relate([page])
    # The tiny bundle's threshold is 0, so each answer goes to its best-scored question.
    assert sorted(link.value_line for link in page.links) == [101, 103]
    assert {link.key_line for link in page.links} <= {100, 102}
    assert {(f.key_lines[0], v) for f in page.fields for v in f.value_lines} == {
        (link.key_line, link.value_line) for link in page.links
    }


def test_stage_seconds_are_counted(annotator: Annotator) -> None:
    before = dict(annotator.timings)
    annotator.annotate([page_of(["Name", "Ada"])])
    assert all(annotator.timings[stage] > before.get(stage, 0.0) for stage in ("ser", "re", "fields"))


def test_separate_models_run_their_own_encoders(tmp_path: Path) -> None:
    """A bundle of two models answers like the joint one when the weights are the same."""
    from kie_ray.models.bundle_models import KieModels

    joint = Annotator.from_bundle(Bundle.load(make_bundle(tmp_path / "tiny")))
    separate = Annotator(joint.info, joint.encoder, KieModels(joint.models.ser, joint.models.re, shared=False))
    first, second = page_of(["Name", "Ada", "Date", "1843"]), page_of(["Name", "Ada", "Date", "1843"])
    joint.annotate([first])
    separate.annotate([second])
    assert first.links == second.links
    assert first.fields == second.fields

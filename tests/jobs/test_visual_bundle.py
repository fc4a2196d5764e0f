"""A bundle that looks at page images: the notebook, the batch job with two pools and the evaluation say the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.evaluate import main as evaluate
from kie_ray import Extractor
from kie_ray.datasets import read_labels, with_sizes
from kie_ray.encoding.page_image import ImageKind
from kie_ray.metrics.calibration import label_calibration
from kie_ray.ocr import OcrSettings
from kie_ray.records import Page
from kie_ray.schemas import DOCUMENT_SCHEMA, row_to_document
from tests.job_support import run_file, run_job, table
from tests.visual_support import COLOURS, make_coloured_pages, make_visual_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("visual")
    make_coloured_pages(base)
    make_visual_bundle(base / "bgr")
    make_visual_bundle(base / "two", two_models=True)
    return base


@pytest.fixture(scope="module")
def pages(folder: Path) -> list[Page]:
    """What the notebook's call says, in the order of the files and their pages."""
    return notebook(folder, "bgr")


def notebook(folder: Path, bundle: str) -> list[Page]:
    settings = OcrSettings(engine="annotations", annotations=str(folder / "labels.txt"))
    with Extractor.load(folder / bundle, device="cpu", ocr=settings) as extractor:
        documents = [extractor.extract(file) for file in sorted((folder / "image").iterdir())]
    assert [document.status for document in documents] == ["ok"] * len(documents)
    return [page for document in documents for page in document.pages]


def scores(pages: Sequence[Page]) -> list[float]:
    found = [[line.label_score for line in page.lines] + [link.score for link in page.links] for page in pages]
    return [score for page in found for score in page]


def answers(pages: Sequence[Page]) -> list[Any]:
    return [
        ([line.label for line in page.lines], [(link.key_line, link.value_line) for link in page.links])
        for page in pages
    ]


@pytest.mark.parametrize(("image", "change"), [("bgr", 0.01), ("paddle", 1e-4), ("imagenet", 0.01)])
def test_what_a_page_looks_like_changes_what_is_said(folder: Path, image: ImageKind, change: float) -> None:
    if not (folder / image).exists():
        make_visual_bundle(folder / image, image=image)
    found = notebook(folder, image)
    assert len(found) == len(COLOURS)
    said = np.array([[line.label_score for line in page.lines] for page in found])
    assert np.abs(said[1:] - said[0]).max(1).min() > change


def test_the_batch_job_with_a_pool_for_each_model(folder: Path, pages: list[Page]) -> None:
    arguments = ("--output", folder / "out", "--model", folder / "two", "--annotations", folder / "labels.txt")
    result = run_job(folder / "image", *arguments)
    assert result.returncode == 0, result.stderr
    assert run_file(folder / "out")["pools"]["re"] is not None
    written = table(folder / "out", "documents")
    assert written.schema.equals(DOCUMENT_SCHEMA)
    rows = sorted(written.to_pylist(), key=lambda row: row["uri"])
    batch = [page for row in rows for page in row_to_document(row).pages]
    assert any(page.links for page in batch)
    for others in (batch, notebook(folder, "two")):
        assert answers(others) == answers(pages)
        np.testing.assert_allclose(scores(others), scores(pages), atol=1e-4)


def run_evaluation(folder: Path, *arguments: str) -> dict[str, Any]:
    out = folder / "scores.json"
    common = ["--annotations", str(folder / "single.txt"), "--images", str(folder / "image"), "--json", str(out)]
    assert evaluate(["--model", str(folder / "bgr"), "--device", "cpu", *common, *arguments]) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_the_evaluation_says_it_too(folder: Path, pages: list[Page]) -> None:
    gold = with_sizes(read_labels(folder / "single.txt"), folder / "image")
    assert [page.source for page in gold] == [Path(page.source).name for page in pages[: len(gold)]]
    gold = [replace(page, source="") for page in gold]  # the notebook calls them by their paths
    found = run_evaluation(folder, "--task", "ser")
    wanted = label_calibration(gold, pages[: len(gold)]).to_dict()
    assert found["ece"] == pytest.approx(wanted["ece"], abs=1e-4)
    wrong = label_calibration(gold, [pages[0]] * len(gold)).to_dict()
    assert abs(found["ece"] - wrong["ece"]) > 1e-3  # one page's picture for all would show


@pytest.mark.parametrize(
    "arguments",
    [["re"], ["fields"], ["ser", "--protocol", "paddle"], ["re", "--protocol", "paddle"], ["ser", "--ocr", "rapidocr"]],
)
def test_every_way_of_evaluating_looks(folder: Path, arguments: list[str]) -> None:
    assert run_evaluation(folder, "--limit", "1", "--task", *arguments)["pages"] == 1

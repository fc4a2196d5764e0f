"""`jobs/evaluate.py` on made-up forms with a tiny bundle: figures follow from predictions; exit statuses."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.evaluate import main
from kie_ray.annotator import Annotator
from kie_ray.datasets import read_labels, with_sizes, write_labels
from kie_ray.datasets.synthetic import generate_page
from kie_ray.models.bundle import Bundle
from tests.job_support import make_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("evaluate")
    make_bundle(base / "tiny")
    (base / "images").mkdir()
    pages = []
    for index in range(3):
        page = generate_page(random.Random(index), language="en").page
        page.source = f"{index}.png"
        Image.fromarray(np.full((page.height, page.width), 255, np.uint8)).save(base / "images" / page.source)
        pages.append(page)
    write_labels(pages, base / "labels.txt")
    return base


def run(folder: Path, *arguments: str) -> dict[str, object]:
    out = folder / "scores.json"
    common = ["--model", str(folder / "tiny"), "--annotations", str(folder / "labels.txt")]
    assert main([*common, "--images", str(folder / "images"), "--json", str(out), *arguments]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize("task", ["ser", "re", "fields"])
def test_lines_protocol_has_the_promised_keys(folder: Path, task: str) -> None:
    scores = run(folder, "--task", task)
    assert {"precision", "recall", "hmean", "pages", "pages_per_second", "protocol"} <= set(scores)
    assert scores["pages"] == 3
    assert scores["protocol"] == ("fields" if task == "fields" else "lines")


def test_ser_figures_follow_from_the_predictions(folder: Path) -> None:
    scores = run(folder, "--task", "ser")
    gold = with_sizes(read_labels(folder / "labels.txt"), folder / "images")
    predicted = with_sizes(read_labels(folder / "labels.txt"), folder / "images")
    Annotator.from_bundle(Bundle.load(folder / "tiny")).label(predicted)
    pairs = [
        (a.label, b.label) for p, q in zip(gold, predicted, strict=True) for a, b in zip(p.lines, q.lines, strict=True)
    ]
    hits = sum(a == b != "OTHER" for a, b in pairs)
    assert scores["precision"] == pytest.approx(hits / max(1, sum(b != "OTHER" for _, b in pairs)))
    assert scores["recall"] == pytest.approx(hits / sum(a != "OTHER" for a, _ in pairs))


@pytest.mark.parametrize("task", ["ser", "re"])
def test_paddle_protocol(folder: Path, task: str) -> None:
    scores = run(folder, "--task", task, "--protocol", "paddle")
    assert scores["protocol"] == "paddle"
    assert 0 <= scores["hmean"] <= 1  # type: ignore[operator]
    assert scores["support"] > 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "fields", "--protocol", "paddle"], "fields"),
        (["--task", "ser", "--protocol", "paddle", "--ocr", "rapidocr"], "gold lines"),
        (["--task", "ser", "--model", "nowhere"], "no model bundle"),
        (["--task", "ser", "--annotations", "nowhere.txt"], "nowhere.txt does not exist"),
        (["--task", "ser", "--images", "nowhere"], "is not a directory"),
    ],
)
def test_wrong_arguments_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    common = ["--model", str(folder / "tiny"), "--annotations", str(folder / "labels.txt")]
    common += ["--images", str(folder / "images")]
    assert main([*common, *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1

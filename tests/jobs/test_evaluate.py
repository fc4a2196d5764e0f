"""`jobs/evaluate.py` on made-up forms with a tiny bundle: figures follow from predictions; exit statuses."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.evaluate import calibration_text, main
from kie_ray.annotator import Annotator
from kie_ray.datasets import read_labels, with_sizes, write_labels
from kie_ray.datasets.synthetic import generate_page
from kie_ray.drawing.evaluation_report import report_evaluation
from kie_ray.errors import ConfigError
from kie_ray.evaluation import evaluate_lines, evaluate_paddle
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_models import KieModels
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


@pytest.mark.parametrize("task", ["ser", "re", "fields"])
def test_scores_come_with_their_calibration(folder: Path, capsys: pytest.CaptureFixture[str], task: str) -> None:
    scores = run(folder, "--task", task)
    printed = capsys.readouterr().out
    rows = [scores, *([scores["own_ser"]] if task == "re" else [])]
    for row in rows:
        filled = [one for one in row["reliability"] if one["count"]]  # type: ignore[index]
        total = sum(one["count"] for one in filled)
        error = sum(one["count"] * abs(one["accuracy"] - one["score"]) for one in filled) / total
        assert row["ece"] == pytest.approx(error)  # type: ignore[index]
        assert len(row["reliability"]) == 15  # type: ignore[index]
        assert f"ECE {error:.3f}" in printed
    if task == "ser":
        gold = read_labels(folder / "labels.txt")
        assert total == sum(bool(line.text.strip()) for page in gold for line in page.lines)
        assert np.sum(scores["confusion"]["counts"]) == sum(len(page.lines) for page in gold)  # type: ignore[index]
    elif task == "re":
        assert [sum(one["count"] for one in row["reliability"]) for row in rows] == [row["predicted"] for row in rows]  # type: ignore[index]
    assert "languages" not in scores


def test_the_threshold_in_words() -> None:
    threshold = {"precision": 0.95, "score": 0.8341, "kept": 0.666}
    words = calibration_text({"ece": 0.0312, "threshold": threshold})
    assert words == "ECE 0.031; a score of at least 0.835 gives precision 0.95 and keeps 67%"
    assert "at least 0.999613 " in calibration_text({"ece": 0.1, "threshold": {**threshold, "score": 0.9996127}})
    assert "no score" in calibration_text({"ece": 0.5, "threshold": {**threshold, "score": None}})
    assert calibration_text({"ece": None, "threshold": threshold}) == "nothing was predicted"


@pytest.mark.parametrize("arguments", [["ser"], ["re"], ["fields"], ["ser", "--protocol", "paddle"]])
def test_a_row_for_each_language(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    pages = with_sizes(read_labels(folder / "labels.txt"), folder / "images")
    for page, name in zip(pages, ("zh_val_0.png", "zh_val_1.png", "form.png"), strict=True):
        (tmp_path / name).write_bytes((folder / "images" / page.source).read_bytes())
        page.source = name
    write_labels(pages, tmp_path / "labels.txt")
    there = ["--annotations", str(tmp_path / "labels.txt"), "--images", str(tmp_path)]
    scores = run(folder, "--task", *arguments, *there)
    languages: dict[str, dict[str, int]] = scores["languages"]  # type: ignore[assignment]
    assert {name: row["pages"] for name, row in languages.items()} == {"latin": 1, "zh": 2}
    for count in ("support", "predicted", "correct"):
        assert sum(row[count] for row in languages.values()) == scores[count]
    assert "zh (2 pages)" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["ser", "re", "fields"])
def test_report(folder: Path, tmp_path: Path, task: str) -> None:
    report = tmp_path / "new" / "report"
    run(folder, "--task", task, "--report", str(report))
    assert sorted(path.name for path in report.iterdir()) == [
        "confusion.png",
        "errors",
        "errors.html",
        "reliability.png",
    ]
    html = (report / "errors.html").read_text(encoding="utf-8")
    assert [f"{index}.png" in html for index in range(3)] == [True] * 3
    assert html.count("<image ") == 3
    assert ("missed link" in html) == (task != "ser")


def test_report_for_a_trainer(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gold = with_sizes(read_labels(folder / "labels.txt"), folder / "images")
    annotator = Annotator.from_bundle(Bundle.load(folder / "tiny"))
    report_evaluation(annotator, gold, None, tmp_path / "drawn")
    assert not (tmp_path / "drawn" / "errors").exists()
    assert "drawn without its scan" in (tmp_path / "drawn" / "errors.html").read_text(encoding="utf-8")
    (tmp_path / "0.png").write_bytes(b"no picture")
    report_evaluation(annotator, gold, tmp_path, tmp_path / "broken")
    assert caplog.text.count("drawn without its scan") == 3
    relate_only = KieModels(None, annotator.models.re, shared=False)
    annotator.models = relate_only
    report_evaluation(annotator, gold, folder / "images", tmp_path / "re")
    html = (tmp_path / "re" / "errors.html").read_text(encoding="utf-8")
    assert ">label<" not in html  # gold labels were given
    assert "missed link" in html
    assert all(line.label_score == 1.0 for page in gold for line in page.lines)  # the gold stays as it was


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
        (["--task", "ser", "--protocol", "paddle", "--report", "report"], "use --protocol lines"),
        (["--task", "ser", "--report", __file__], "is a file"),
        (["--task", "ser", "--model", "nowhere"], "no model bundle"),
        (["--task", "ser", "--annotations", "nowhere.txt"], "nowhere.txt does not exist"),
        (["--task", "ser", "--images", "nowhere"], "is not a directory"),
        (["--task", "ser", "--set", "ocr.min_score=0.5"], "no OCR engine runs"),
        (["--task", "ser", "--ocr", "rapidocr", "--set", "pdf_dpi=100"], "takes the keys ocr.*"),
        (["--task", "ser", "--ocr", "rapidocr", "--set", "ocr.min_scor=0.5"], "did you mean 'min_score'"),
        (["--task", "ser", "--ocr", "paddleocr", "--set", "ocr.paddleocr.detection_dir=/nowhere"], "/nowhere"),
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


def test_a_bundle_without_the_model_is_an_error_that_names_it(folder: Path) -> None:
    gold = with_sizes(read_labels(folder / "labels.txt"), folder / "images")
    annotator = Annotator.from_bundle(Bundle.load(folder / "tiny"))
    annotator.models = KieModels(None, annotator.models.re, shared=False)
    for task in ("ser", "fields"):
        with pytest.raises(ConfigError, match=f"tiny-random .* the task {task} needs one for ser"):
            evaluate_lines(annotator, gold, task)
    with pytest.raises(ConfigError, match="needs one for ser"):
        evaluate_paddle(annotator, gold, "ser")
    scores, _ = evaluate_lines(annotator, gold, "re")
    assert "own_ser" not in scores

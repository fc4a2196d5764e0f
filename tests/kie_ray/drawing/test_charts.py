"""Pictures are checked by what they show: ink of a series' colour, sizes, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kie_ray.drawing.charts import _read_curves, write_confusion, write_curves, write_reliability
from kie_ray.errors import ConfigError
from kie_ray.metrics.calibration import Calibration
from kie_ray.metrics.confusion import Confusion

BLUE, VERMILLION, SKY, BLACK = (0, 114, 178), (213, 94, 0), (86, 180, 233), (23, 25, 28)


def picture(file: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(file))
    assert image is not None
    assert image.shape[1] == 1200
    return np.asarray(image[:, :, ::-1], np.uint8)


def ink(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    return int((np.abs(image.astype(int) - colour).max(axis=2) < 12).sum())


def metrics(folder: Path, *records: dict[str, object] | str) -> Path:
    file = folder / "metrics.jsonl"
    rows = [record if isinstance(record, str) else json.dumps(record) for record in records]
    file.write_text("\n".join(rows), encoding="utf-8")
    return file


def test_the_last_value_of_a_repeated_step_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = metrics(
        tmp_path,
        {"step": 10, "loss": 3.0, "ser_hmean": 0.5, "phase": "x", "lr": None},
        {"step": 20, "loss": 2.0, "lr": 0.1},
        {"step": 30, "loss": 9.0},
        {"step": 20, "loss": 1.0},
        {"step": 30, "loss": 0.5},
        '{"step": 40, "lo',
    )
    curves = _read_curves(file)
    assert curves["loss"] == ([10, 20, 30], [3.0, 1.0, 0.5])
    assert curves["ser_hmean"] == ([10], [0.5])
    assert curves["lr"] == ([20], [0.1])
    assert "phase" not in curves
    assert "1 lines are no JSON object" in caplog.text


def test_curves_show_what_there_is(tmp_path: Path) -> None:
    steps = range(10, 1010, 10)
    rows: list[dict[str, object]] = [
        {"step": s, "lr": 1e-4, "loss": 300 / s, "loss_ser": 200 / s, "loss_re": 100 / s} for s in steps
    ]
    write_curves(metrics(tmp_path, *rows), tmp_path / "plain.png")
    plain = picture(tmp_path / "plain.png")
    assert min(ink(plain, BLACK), ink(plain, BLUE), ink(plain, VERMILLION)) > 1000
    for row in rows[9::10]:
        row |= {"ser_hmean": 0.9, "re_hmean": 0.7}
    write_curves(metrics(tmp_path, *rows), tmp_path / "made" / "scored.png")
    scored = picture(tmp_path / "made" / "scored.png")
    assert scored.shape[0] > plain.shape[0]
    assert ink(scored, VERMILLION) > 1.3 * ink(plain, VERMILLION)


@pytest.mark.parametrize(
    "record", [{"step": 1, "loss": 2.0}, {"step": 1, "lr": 0.0}, {"step": 5, "re_hmean": 0.0}, {"step": 5, "loss": -1}]
)
def test_one_value_is_a_curve(tmp_path: Path, record: dict[str, object]) -> None:
    write_curves(metrics(tmp_path, record), tmp_path / "curves.png")
    assert max(ink(picture(tmp_path / "curves.png"), colour) for colour in (BLUE, BLACK)) > 10


def test_a_loss_that_went_to_nan_is_drawn_up_to_there(tmp_path: Path) -> None:
    rows = [{"step": s, "loss": 5.0 if s < 50 else float("nan"), "ser_hmean": float("nan")} for s in range(100)]
    write_curves(metrics(tmp_path, *rows), tmp_path / "curves.png")
    assert ink(picture(tmp_path / "curves.png"), BLACK) > 500


def test_no_curve_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"metrics\.jsonl does not exist"):
        write_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    with pytest.raises(ConfigError, match=r"metrics\.jsonl holds no loss"):
        write_curves(metrics(tmp_path, {"step": 1, "ips": 3.0}), tmp_path / "curves.png")


def test_confusion_is_dark_where_the_lines_are(tmp_path: Path) -> None:
    write_confusion(Confusion(("A", "B"), np.array([[90, 10], [0, 0]])), tmp_path / "one.png")
    image = picture(tmp_path / "one.png").astype(int).sum(axis=2)
    dark = np.argwhere(image < 300)[:, 1]
    assert np.median(dark[dark < 950]) < 500  # the diagonal cell on the left, not the colour bar


@pytest.mark.parametrize("size", [1, 7, 30])
def test_any_number_of_classes_and_any_name_fits(tmp_path: Path, size: int) -> None:
    names = tuple(["$\\frac{$"] + [f"CLASS_NUMBER_{index}" for index in range(size - 1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_confusion(Confusion(names, np.eye(size, dtype=np.int64)), tmp_path / "some.png")
    assert 300 < picture(tmp_path / "some.png").shape[0] < 2000


def test_reliability_shows_both_kinds_of_gaps(tmp_path: Path) -> None:
    modest = Calibration.of([0.5] * 10, [True] * 10)
    boastful = Calibration.of([0.9] * 10, [False] * 10)
    for name, calibration in (("modest", modest), ("boastful", boastful)):
        write_reliability({name: calibration}, tmp_path / f"{name}.png")
    light = [ink(picture(tmp_path / f"{name}.png"), SKY) for name in ("modest", "boastful")]
    hatched = [ink(picture(tmp_path / f"{name}.png"), VERMILLION) for name in ("modest", "boastful")]
    assert light[0] > 5 * light[1]
    assert hatched[1] > 3 * hatched[0]
    write_reliability({"nothing": Calibration.of([], []), "some": modest}, tmp_path / "two.png")
    assert ink(picture(tmp_path / "two.png"), SKY) > light[1]


def test_matplotlib_is_loaded_only_to_draw() -> None:
    code = "import sys, kie_ray.drawing.charts; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

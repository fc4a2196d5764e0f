"""Progress: the fields of PaddleOCR's log, files that a resumed run goes on with, events that TensorBoard reads."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from kie_ray.training.watch import METRICS_FILE, Meter, RunLog, progress_line, read_metrics


def line(step: int, **more: float) -> dict[str, float | int]:
    return {
        **{"step": step, "steps": 200, "epoch": step / 10, "lr": 5e-5, "loss": 1.25, "loss_ser": 1.0},
        **{"reader_cost": 0.02, "batch_cost": 0.4, "samples": 8.0, "ips": 20.0, "eta": 65, "padding": 0.04},
        **more,
    }


def test_a_line_has_the_fields_of_paddleocrs_log() -> None:
    text = progress_line(line(40, ser_hmean=0.5))
    for part in (
        *("epoch: 4.00", "global_step: 40/200", "lr: 0.000050", "loss: 1.2500", "avg_reader_cost: 0.0200 s"),
        *("avg_batch_cost: 0.4000 s", "avg_samples: 8", "ips: 20.00 samples/s", "eta: 0:01:05", "ser_hmean: 0.5000"),
    ):
        assert part in text


def test_a_resumed_run_replaces_the_lines_that_it_repeats(tmp_path: Path) -> None:
    shown: list[str] = []
    log = RunLog(tmp_path, show=shown.append)
    for step in (10, 20, 30):
        log.add(line(step))
    log.close()
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 3')  # a kill in the middle of a line
    resumed = RunLog(tmp_path, step=20, show=shown.append)
    resumed.add(line(30, loss=7.0))
    resumed.close()
    lines = read_metrics(tmp_path / METRICS_FILE)
    assert [(item["step"], item["loss"]) for item in lines] == [(10, 1.25), (20, 1.25), (30, 7.0)]
    assert len(shown) == 4
    events = b"".join(item.read_bytes() for item in (tmp_path / "tensorboard").iterdir())
    assert b"loss_ser" in events


def test_the_meter_averages_and_goes_on_after_a_checkpoint() -> None:
    meter = Meter()
    meter.add({"loss": torch.tensor(1.0)}, [], 4, reader=0.1, batch=0.5)
    copy = Meter()
    copy.restore(json.loads(json.dumps(meter.state(), default=float)) | {"losses": meter.state()["losses"]})
    for each in (meter, copy):
        each.add({"loss": torch.tensor(3.0)}, [], 8, reader=0.3, batch=1.5)
    metrics = meter.metrics(lambda tensor: tensor * 2, 2, 10)
    assert metrics["loss"] == 4.0
    assert (metrics["samples"], metrics["ips"], metrics["eta"]) == (6.0, 6.0, 8)
    assert copy.metrics(lambda tensor: tensor * 2, 2, 10) == metrics

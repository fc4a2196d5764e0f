"""What a finished run leaves: the model and pictures of how it went and where it still errs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kie_ray.drawing.charts import write_curves
from kie_ray.drawing.evaluation_report import report_evaluation
from kie_ray.training.export import write_bundle, write_encoder
from kie_ray.training.progress import annotator_of, score_pages
from kie_ray.training.watch import METRICS_FILE

if TYPE_CHECKING:
    from kie_ray.training.trainer import Trainer


def write_results(trainer: Trainer, folder: Path) -> dict[str, Any]:
    """Write bundle (or encoder), curves.png and, where pages are held out, what they show; gives the last metrics."""
    metrics: dict[str, Any] = {"step": trainer.step}
    if trainer.config.keep == "best":
        trainer.resume("best")
        metrics["best_step"] = trainer.step
    if "mlm" in trainer.config.tasks:
        write_encoder(trainer, folder / "encoder")
    else:
        write_bundle(trainer, folder / "bundle")
    write_curves(folder / METRICS_FILE, folder / "curves.png")
    held_out = trainer.corpus.held_out
    if held_out:
        metrics |= score_pages(trainer, held_out)
        if "mlm" not in trainer.config.tasks:
            report = folder / "evaluation"
            shutil.rmtree(report, ignore_errors=True)
            folders = set(trainer.corpus.images.values())
            images = folders.pop() if len(folders) == 1 else None  # the report takes one folder
            report_evaluation(annotator_of(trainer), held_out, images, report)
    return metrics

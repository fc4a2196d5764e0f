"""The finished model as a bundle with its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml
from torch import nn

from kie_ray.models.bundle import Bundle, save_bundle
from kie_ray.training.progress import bundle_info

if TYPE_CHECKING:
    from kie_ray.training.trainer import Trainer


def write_bundle(trainer: Trainer, path: Path) -> Bundle:
    """Save the trainer's final model, tokenizer and model card at `path`, replacing an earlier bundle there."""
    model = trainer.final_model()
    nn.Module.to(model, "cpu")
    return save_bundle(
        path,
        bundle_info(trainer),
        trainer.tokenizer,
        {"kie": model},
        model_card(trainer),
        half=trainer.config.weights_dtype == "float16",
        overwrite=True,
    )


def model_card(trainer: Trainer) -> str:
    """What the model is, what it learned from and how to make it again. Scores are added by whoever measures them."""
    config = trainer.config
    parameters = sum(value.numel() for value in trainer.objective.model.parameters())
    sources = [f"- `{name}`: {len(pages)} pages" for name, pages in trainer.corpus.train.items()]
    recipe = yaml.safe_dump(config.model_dump(mode="json", exclude={"data_root"}), sort_keys=False, allow_unicode=True)
    return "\n".join(
        [
            f"# {config.name}",
            "",
            f"VI-LayoutXLM architecture (text and layout, no visual tokens), {parameters / 1e6:.1f} M parameters, one "
            "encoder with an SER and an RE head, started from random weights.",
            "",
            f"Licence of the weights: {config.licence}",
            "",
            "## Data",
            "",
            *sources,
            f"- held out of training: {len(trainer.corpus.held_out)} pages",
            "",
            "## Recipe",
            "",
            f"Seed {config.seed}, {trainer.step} steps, torch {torch.__version__.split('+')[0]}. `jobs/train.py` with "
            "this configuration makes the model again:",
            "",
            "```yaml",
            recipe.rstrip(),
            "```",
            "",
        ]
    )

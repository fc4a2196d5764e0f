"""The finished model as a bundle with its card."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import nn

from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_models import save_bundle
from kie_ray.training.progress import bundle_info
from kie_ray.training.start import ENCODER_DIR, ENCODING_FILE

if TYPE_CHECKING:
    from kie_ray.training.trainer import Trainer


def write_bundle(trainer: Trainer, path: Path) -> Bundle:
    """Save the trainer's final model, tokenizer and model card at `path`, replacing an earlier bundle there."""
    model = trainer.final_model()
    nn.Module.to(model, "cpu")
    folder = "kie" if model.has_ser and model.has_re else "ser" if model.has_ser else "re"
    return save_bundle(
        path,
        bundle_info(trainer),
        trainer.encoder.tokenizer,
        {folder: model},
        model_card(trainer),
        half=trainer.config.weights_dtype == "float16",
        overwrite=True,
    )


def write_encoder(trainer: Trainer, path: Path) -> Path:
    """Save a pre-trained encoder with its masked-token head and tokenizer, for `start` of a recipe (see `start.py`).

    The heads of text-image alignment and matching stay behind, in the checkpoints.
    """
    model = trainer.final_model()
    nn.Module.to(model, "cpu")
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    model.save_pretrained(work / ENCODER_DIR)
    trainer.encoder.tokenizer.save(work / "tokenizer")
    (work / ENCODING_FILE).write_text(trainer.encoding.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (work / "README.md").write_text(model_card(trainer), encoding="utf-8")
    work.chmod(0o755)
    shutil.rmtree(path, ignore_errors=True)
    work.rename(path)
    return path


def model_card(trainer: Trainer) -> str:
    """What the model is, what it learned from and how to make it again. Scores are added by whoever measures them."""
    config = trainer.config
    parameters = sum(value.numel() for value in trainer.model.parameters())
    job = "pretrain" if "mlm" in config.tasks else "train"
    heads = {"ser": "a SER head", "re": "an RE head", "mlm": "a masked-token head"}
    sources = [f"- `{name}`: {len(pages)} pages" for name, pages in trainer.corpus.train.items()]
    recipe = yaml.safe_dump(config.model_dump(mode="json", exclude={"data_root"}), sort_keys=False, allow_unicode=True)
    return "\n".join(
        [
            f"# {config.name}",
            "",
            f"{_architecture(trainer)}, {parameters / 1e6:.1f} M parameters, one "
            f"encoder with {' and '.join(heads[task] for task in config.tasks)}, started from "
            f"{f'`{config.start}`' if config.start else 'random weights'}.",
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
            f"Seed {config.seed}, {trainer.step} steps, torch {torch.__version__.split('+')[0]}. `jobs/{job}.py` with "
            "this configuration makes the model again:",
            "",
            "```yaml",
            recipe.rstrip(),
            "```",
            "",
        ]
    )


def _architecture(trainer: Trainer) -> str:
    """The published model whose layers these are; sizes may differ."""
    settings: Any = trainer.model.config
    image = f"sees the page image ({trainer.encoding.image})" if trainer.model.uses_image else "sees no image"
    if settings.model_type == "layoutlm":
        return f"LayoutLM architecture ({image})"
    if trainer.model.uses_image:
        return f"{'LayoutXLM' if settings.has_visual_segment_embedding else 'LayoutLMv2'} architecture ({image})"
    return "VI-LayoutXLM architecture (text and layout, no visual tokens)"

"""What the ONNX files compute against what torch computes, on the sample forms that come with the package."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kie_ray.annotator import page_encoder
from kie_ray.datasets import read_labels, with_sizes
from kie_ray.datasets.page_images import with_pixels
from kie_ray.encoding import EncodedPage
from kie_ray.encoding.batching import Batch, collate
from kie_ray.encoding.page_image import model_images
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_models import KieModels
from kie_ray.models.kie_model import KieModel
from kie_ray.models.onnx_models import OnnxKieModel, OnnxModels
from kie_ray.records import Page

TOLERANCE = 1e-4
"""Largest difference of a float32 logit."""

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


class ExportError(RuntimeError):
    """The exported files do not compute what torch does; the message says where and by how much."""


@dataclass(frozen=True)
class Comparison:
    """`largest`: absolute difference by output, such as "ser logits", over all tokens or pairs of `pages` pages.

    `same_labels`: share of the tokens with the same best SER label; 1 without a SER model.
    """

    pages: int
    largest: dict[str, float]
    same_labels: float

    def require(self, tolerance: float = TOLERANCE) -> None:
        """Raises ExportError where logits differ by more, or are no numbers. Hidden states have no such promise."""
        for name, value in self.largest.items():
            if name.endswith("logits") and not value <= tolerance:
                raise ExportError(f"{name}: ONNX Runtime and torch differ by {value:.2g}, above {tolerance:g}")


@torch.inference_mode()
def compare(bundle: Bundle, models: KieModels, exported: OnnxModels) -> Comparison:
    """Run both over the sample pages, the windows of a page as one batch."""
    pages = with_pixels(with_sizes(read_labels(SAMPLES / "labels.txt"), SAMPLES), SAMPLES, bundle.info.image)
    encoder = page_encoder(bundle)
    seen: dict[str, list[float]] = defaultdict(list)
    same: list[Tensor] = []
    for page, item in zip(pages, encoder.encode_pages(pages), strict=True):
        batch = collate(item.windows, encoder.tokenizer.pad_id)
        used = batch.attention_mask.bool()
        for task, ours, theirs in (("ser", models.ser, exported.ser), ("re", models.re, exported.re)):
            if ours is None or theirs is None:
                continue
            hidden, there = (_encode(bundle, model, page, batch) for model in (ours, theirs))
            if task == "ser" or not models.shared:
                seen[f"{task} hidden"].append(_largest(hidden[used], there[used]))
            if task == "ser":
                logits, found = ours.ser_logits(hidden)[used], theirs.ser_logits(there)[used]
                seen["ser logits"].append(_largest(logits, found))
                same.append(logits.argmax(-1) == found.argmax(-1))
            else:
                given = _entities(bundle, page, item, hidden)
                seen["re logits"].append(_largest(ours.re_logits(*given), theirs.re_logits(*given)))
    # max() would pass over a NaN that does not come first
    largest = {name: float(np.max(values)) for name, values in seen.items()}
    return Comparison(len(pages), largest, float(torch.cat(same).float().mean()) if same else 1.0)


def _encode(bundle: Bundle, model: KieModel | OnnxKieModel, page: Page, batch: Batch) -> Tensor:
    features = None
    if model.uses_image:
        assert page.pixels is not None
        features = model.image_features(model_images([page.pixels], bundle.info.image)).repeat_interleave(len(batch), 0)
    return model.encode(batch.input_ids, batch.bbox, batch.attention_mask, image_features=features)


def _entities(bundle: Bundle, page: Page, item: EncodedPage, hidden: Tensor) -> tuple[Tensor, ...]:
    """Every line with text as an entity, labels in turn, and every pair of them: what `re_logits` takes."""
    lines = sorted(item.first_token)
    states = torch.stack([hidden[item.entity_positions(line)[0]] for line in lines])
    labels = torch.arange(len(lines)) % len(bundle.info.entity_labels)
    grid = np.stack(np.divmod(np.arange(len(lines) ** 2), len(lines)), axis=1)
    pairs = torch.from_numpy(grid[grid[:, 0] != grid[:, 1]])
    boxes = torch.tensor([page.lines[line].box for line in lines]) * torch.tensor(
        [1000 / page.width, 1000 / page.height] * 2
    )
    order = torch.tensor([item.order.index(line) for line in lines])
    return states, labels, pairs, boxes, order


def _largest(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max()) if ours.numel() else 0.0

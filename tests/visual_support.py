"""Tiny random bundles whose models look at page images, and pages that differ in nothing but their pixels."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageChops
from transformers.configuration_utils import PreTrainedConfig

from kie_ray.encoding.page_image import ImageKind
from kie_ray.encoding.train_tokenizer import train_tokenizer
from kie_ray.models.bundle_info import BundleInfo
from kie_ray.models.bundle_models import save_bundle
from kie_ray.models.families import model_class
from kie_ray.models.layoutlm import LayoutLMConfig
from kie_ray.models.layoutlmv2 import LayoutLMv2Config
from kie_ray.models.resnext_fpn import BackboneSize
from tests.job_support import LINES, draw_page, label_row

ENTITIES = ("QUESTION", "ANSWER", "HEADER")
COLOURS = ((255, 255, 255), (250, 90, 90), (60, 200, 60), (40, 40, 250), (20, 20, 20))


def make_visual_bundle(folder: Path, *, image: ImageKind = "bgr", two_models: bool = False) -> Path:
    """A joint SER and RE model: LayoutLM with its image branch for `imagenet`, else LayoutLMv2 with a small backbone.

    `two_models`: the same weights as a SER and an RE model of their own.
    """
    torch.manual_seed(13)
    tokenizer = train_tokenizer([text for text, _ in LINES] * 3, 400)
    info = BundleInfo(
        name="tiny-visual",
        tasks=["ser", "re"],
        labels=["OTHER", *ENTITIES],
        entity_labels=list(ENTITIES),
        # any entity may be linked to any other, so that random labels leave pairs to score
        relation_pairs=[(key, value) for key in ENTITIES for value in ENTITIES],
        max_tokens=64,
        overlap_tokens=16,
        re_threshold=0.0,
        image=image,
    )
    config = _config(image, tokenizer.vocab_size)
    joint = model_class("kie", config.model_type)(config)
    models = {"kie": joint}
    if two_models:
        weights = joint.state_dict()
        models = {name: model_class(name, config.model_type)(config) for name in ("ser", "re")}
        for model in models.values():
            model.load_state_dict({name: weights[name] for name in model.state_dict()})
    save_bundle(folder, info, tokenizer, models, "Random weights for tests.")
    return folder


def _config(image: ImageKind, vocab_size: int) -> PreTrainedConfig:
    size = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_labels": 7,
        "initializer_range": 0.3,  # large enough that what a page looks like changes labels
    }
    if image == "imagenet":
        return LayoutLMConfig(**size, use_image_branch=True, image_branch_blocks=[1, 1, 1])
    backbone = BackboneSize(depth=50, groups=2, width_per_group=4, stem_channels=8, res2_channels=16, fpn_channels=16)
    return LayoutLMv2Config(
        **size,
        coordinate_size=5,
        shape_size=6,
        use_visual_backbone=True,
        detectron2_config_args=backbone.to_detectron2(),
        image_feature_pool_shape=[7, 7, 16],
    )


def make_coloured_pages(folder: Path) -> None:
    """Pages in `folder`/image of the same text on paper of several colours, the last two in one TIFF; all of their
    labels in `folder`/labels.txt, those of the single pages in `folder`/single.txt."""
    (folder / "image").mkdir(parents=True)
    frames = [ImageChops.multiply(draw_page(0), Image.new("RGB", (200, 70), colour)) for colour in COLOURS]
    names = [f"page_{number}.png" for number in range(len(frames) - 2)]
    for name, frame in zip(names, frames, strict=False):
        frame.save(folder / "image" / name)
    frames[-2].save(folder / "image/two.tif", save_all=True, append_images=frames[-1:])
    for file, annotated in (("single.txt", names), ("labels.txt", [*names, "two.tif", "two.tif#1"])):
        (folder / file).write_text("".join(label_row(name, 0) for name in annotated), encoding="utf-8")

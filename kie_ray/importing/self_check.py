"""The end of every import: the written model reads a sample page of the package."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kie_ray.annotator import Annotator
from kie_ray.datasets import read_labels, with_sizes
from kie_ray.datasets.page_images import with_pixels
from kie_ray.decoding.re import candidate_pairs
from kie_ray.encoding import PageEncoder, PageTokenizer
from kie_ray.encoding.batching import collate
from kie_ray.encoding.page_image import ImageKind, model_images
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import BundleError
from kie_ray.models.kie_model import KieModel
from kie_ray.records import Page

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SAMPLE = "en_purchase_order.png"


@torch.inference_mode()
def check_bundle(bundle: Bundle) -> str:
    """Run a bundle on the sample page, step by step and as users do; one line that says what it found.

    Raises:
        BundleError: it does not load, or an output has another shape than it should or is not finite.
    """
    annotator = Annotator.from_bundle(bundle)
    page = sample_page(bundle.info.image)
    for model in {id(m): m for m in (annotator.models.ser, annotator.models.re) if m is not None}.values():
        hidden = encoder_output(model, annotator.encoder, page, bundle.info.image)
        if model.has_ser:
            _expect("SER logits", model.ser_logits(hidden), (*hidden.shape[:2], annotator.labels.num_labels))
        if model.has_re:
            _check_pairs(model, hidden, bundle.info.entity_labels, bundle.info.relation_pairs)
    annotator.annotate([page])  # without a SER model the gold labels stay, and are what is linked
    text = describe_tokens(annotator.encoder.tokenizer, page)
    if annotator.models.ser is not None:
        counts = Counter(line.label for line in page.lines)
        text += ", " + ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
    if annotator.models.re is not None:
        text += f", {len(page.links)} links" + (" of gold entities" if annotator.models.ser is None else "")
    return text


@torch.inference_mode()
def check_encoder(model: KieModel, tokenizer: PageTokenizer, max_tokens: int, image: ImageKind) -> str:
    """The same of an encoder without heads. Raises BundleError as `check_bundle`."""
    page = sample_page(image)
    encoder_output(model, PageEncoder(tokenizer, max_tokens=max_tokens, overlap_tokens=0), page, image)
    return describe_tokens(tokenizer, page)


def sample_page(image: ImageKind) -> Page:
    """The sample page with its gold lines and, where models look at it, its pixels."""
    pages = with_sizes([page for page in read_labels(SAMPLES / "labels.txt") if page.source == SAMPLE], SAMPLES)
    (page,) = with_pixels(pages, SAMPLES, image)
    return page


def describe_tokens(tokenizer: PageTokenizer, page: Page) -> str:
    """How many tokens the page has, and how many are unknown: many of them mean that the tokenizer is wrong."""
    ids = [token for line in tokenizer.encode_lines([line.text for line in page.lines]) for token in line]
    unknown = sum(token == tokenizer.unk_id for token in ids)
    return f"{SAMPLE}: {len(page.lines)} lines, {len(ids)} tokens ({unknown} unknown)"


def encoder_output(model: KieModel, encoder: PageEncoder, page: Page, image: ImageKind) -> Tensor:
    """Hidden states of the page's first window, float [1, T, H]; finite, or BundleError."""
    window = encoder.encode(page).windows[0]
    batch = collate([window], encoder.tokenizer.pad_id)
    features = None
    if model.uses_image and page.pixels is not None:
        features = model.image_features(model_images([page.pixels], image))
    hidden = model.encode(batch.input_ids, batch.bbox, batch.attention_mask, image_features=features)
    hidden = hidden[:, : len(window)]
    _expect("encoder output", hidden, (1, len(window), model.config.hidden_size))
    return hidden


def _check_pairs(model: KieModel, hidden: Tensor, entity_labels: list[str], relation_pairs: list[Any]) -> None:
    """Pairs of made-up entities, a token and a label each, so that every label is tried."""
    count = min(hidden.shape[1], 4 * len(entity_labels))
    labels = torch.arange(count) % len(entity_labels)
    pairs = torch.from_numpy(candidate_pairs([entity_labels[label] for label in labels.tolist()], relation_pairs))
    boxes = torch.tensor([[0.0, 20.0 * row, 100.0, 20.0 * row + 10] for row in range(count)])
    logits = model.re_logits(hidden[0, :count], labels, pairs, boxes=boxes, order=torch.arange(count))
    _expect("RE logits", logits, (len(pairs), 2))


def _expect(what: str, values: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(values.shape) != shape:
        raise BundleError(f"self-check: {what} of {SAMPLE} have shape {list(values.shape)}, expected {list(shape)}")
    if not bool(torch.isfinite(values).all()):
        raise BundleError(f"self-check: {what} of {SAMPLE} are not finite; the checkpoint's weights are damaged")

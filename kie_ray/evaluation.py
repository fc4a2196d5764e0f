"""Scores of a bundle on gold pages: protocols `lines`, `paddle` and the `fields` task of docs and model cards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from kie_ray.annotator import Annotator
from kie_ray.decoding.fields import build_fields
from kie_ray.decoding.re import DEFAULT_RELATION_PAIRS, candidate_pairs
from kie_ray.encoding.paddle_protocol import encode_re_paddle, encode_ser_paddle
from kie_ray.errors import ConfigError, ErrorItem
from kie_ray.metrics import (
    aligned_to_gold,
    field_scores,
    line_coverage,
    re_scores,
    ser_scores,
    span_relation_scores,
    token_scores,
)
from kie_ray.ocr import OcrSettings, build_engine
from kie_ray.reading import Reader
from kie_ray.records import OTHER, Page

Task = Literal["ser", "re", "fields"]
PAGES_AT_ONCE = 16


def evaluate_lines(
    annotator: Annotator, gold: Sequence[Page], task: Task, read: Sequence[Page] | None
) -> dict[str, Any]:
    """Every line of every page counts, labels are those of whole lines, windows are merged: what a user gets.

    Args:
        gold: annotated pages.
        task: ser; re (with gold lines: gold entities, and `own_ser` beside it); fields (key and value texts).
        read: the pages as OCR read them, or None for the gold lines. A read line stands for the gold line that it
            matches by box (IoU >= 0.5).
    """
    started = time.perf_counter()
    predicted = _blank(read if read is not None else gold)
    result: dict[str, Any] = {}
    if task == "re" and read is None:
        predicted = deepcopy(list(gold))
        _by_chunks(annotator.relate, predicted)
    elif task == "ser":
        _by_chunks(annotator.label, predicted)
    else:
        _by_chunks(annotator.annotate, predicted)
    seconds = time.perf_counter() - started
    aligned = predicted if read is None else [aligned_to_gold(g, p) for g, p in zip(gold, predicted, strict=True)]
    pairs = annotator.info.relation_pairs
    if task == "ser":
        result |= ser_scores(gold, aligned).to_dict()
    elif task == "re":
        result |= re_scores(gold, aligned, relation_pairs=pairs).to_dict()
        if read is None:
            own = _blank(gold)
            _by_chunks(annotator.annotate, own)
            result["own_ser"] = re_scores(gold, own, relation_pairs=pairs).to_dict()
    else:
        wanted = [build_fields(page, relation_pairs=pairs) for page in gold]
        result |= field_scores(wanted, [page.fields for page in predicted]).to_dict()
    if read is not None:
        result["gold_lines_covered"] = line_coverage(gold, read)
    return result | {"pages": len(gold), "pages_per_second": len(gold) / max(seconds, 1e-9)}


def read_pages(gold: Sequence[Page], images: Path, engine: str) -> list[Page]:
    """The gold pages' images as an OCR engine reads them: lines without labels.

    Raises:
        ConfigError: an image is missing or cannot be read.
    """
    ocr = build_engine(OcrSettings.model_validate({"engine": engine}))
    found = []
    with Reader() as reader:
        for page in gold:
            path = images / page.source
            if not path.is_file():
                raise ConfigError(f"{path} does not exist; the annotations name {page.source}")
            image = next(reader.read(path.read_bytes(), page.source, page.index, page.index))
            if isinstance(image, ErrorItem):
                raise ConfigError(f"{path}: {image.message}")
            lines = ocr.read_lines([image])[0]
            found.append(Page(page.index, image.width, image.height, lines, source=page.source))
    return found


def evaluate_paddle(annotator: Annotator, gold: Sequence[Page], task: Literal["ser", "re"]) -> dict[str, Any]:
    """PaddleOCR's rules, for comparison with published figures: the first window of `max_tokens` tokens of each page,
    token-level seqeval for SER, gold entities and spans for RE. Pages that the reference cannot encode are left out of
    the scores, as there, but counted in `pages_without_sample`.
    """
    started = time.perf_counter()
    score, missing = (_paddle_ser if task == "ser" else _paddle_re)(annotator, gold)
    seconds = time.perf_counter() - started
    return score | {
        "pages": len(gold),
        "pages_without_sample": missing,
        "pages_per_second": len(gold) / max(seconds, 1e-9),
    }


def _order_method(annotator: Annotator) -> str | None:
    return None if annotator.info.reading_order == "none" else "tb-yx"


@torch.inference_mode()
def _paddle_ser(annotator: Annotator, gold: Sequence[Page]) -> tuple[dict[str, Any], int]:
    model = annotator.models.ser
    assert model is not None
    golds, predictions = [], []
    for page in gold:
        sample = encode_ser_paddle(
            page,
            annotator.encoder.tokenizer,
            annotator.labels,
            order_method=_order_method(annotator),
            max_seq_len=annotator.info.max_tokens,
        )
        hidden = model.encode(*_inputs(sample, model.device))
        golds.append(sample.labels)
        predictions.append(model.ser_logits(hidden)[0].argmax(-1).cpu().numpy())
    return token_scores(golds, predictions, annotator.labels.names).to_dict(), 0


@torch.inference_mode()
def _paddle_re(annotator: Annotator, gold: Sequence[Page]) -> tuple[dict[str, Any], int]:
    model = annotator.models.re
    assert model is not None
    names = annotator.info.entity_labels
    wanted, given, missing = [], [], 0
    for page in gold:
        sample = encode_re_paddle(
            page,
            annotator.encoder.tokenizer,
            annotator.labels,
            order_method=_order_method(annotator),
            max_seq_len=annotator.info.max_tokens,
            entity_labels={name: index for index, name in enumerate(names)},
        )
        if sample is None:
            missing += 1
            continue
        entities = sample.entities
        spans = [(int(start), int(end)) for start, end, _ in entities]
        wanted.append({(spans[head], spans[tail]) for head, tail in sample.relations.tolist()})
        pairs = candidate_pairs([names[label] for label in entities[:, 2]], DEFAULT_RELATION_PAIRS)
        hidden = model.encode(*_inputs(sample, model.device))[0]
        starts = torch.from_numpy(entities[:, 0].astype(np.int64))
        logits = model.re_logits(
            hidden[starts],
            torch.from_numpy(entities[:, 2].astype(np.int64)),
            torch.from_numpy(pairs),
            boxes=torch.from_numpy(sample.bbox[entities[:, 0]].astype(np.float32)),
            order=torch.arange(len(entities)),
        )
        linked = pairs[logits.argmax(-1).cpu().numpy() == 1]
        given.append({(spans[head], spans[tail]) for head, tail in linked.tolist()})
    return span_relation_scores(wanted, given).to_dict(), missing


def _inputs(sample: Any, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    arrays = (sample.input_ids, np.clip(sample.bbox, 0, 1000), sample.attention_mask)
    return tuple(torch.from_numpy(array)[None].to(device) for array in arrays)  # type: ignore[return-value]


def _blank(pages: Sequence[Page]) -> list[Page]:
    """Copies without any gold."""
    return [
        replace(
            page,
            lines=[replace(line, label=OTHER, label_score=0.0) for line in page.lines],
            links=[],
            fields=[],
        )
        for page in pages
    ]


def _by_chunks(run: Any, pages: Sequence[Page]) -> None:
    for start in range(0, len(pages), PAGES_AT_ONCE):
        run(pages[start : start + PAGES_AT_ONCE])

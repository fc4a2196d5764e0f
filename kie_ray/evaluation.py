"""Scores of a bundle on gold pages: protocols `lines`, `paddle` and the `fields` task of docs and model cards."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from kie_ray.annotator import Annotator
from kie_ray.datasets.page_images import page_image
from kie_ray.decoding.fields import build_fields
from kie_ray.decoding.re import DEFAULT_RELATION_PAIRS, candidate_pairs
from kie_ray.encoding.paddle_protocol import encode_re_paddle, encode_ser_paddle
from kie_ray.encoding.page_image import ImageKind, read_page
from kie_ray.errors import ConfigError
from kie_ray.metrics import (
    ClassScores,
    Score,
    aligned_to_gold,
    field_scores,
    line_coverage,
    re_scores,
    ser_scores,
    span_relation_scores,
    token_scores,
)
from kie_ray.metrics.calibration import Calibration, field_calibration, label_calibration, link_calibration
from kie_ray.metrics.confusion import ser_confusion
from kie_ray.metrics.language import by_language
from kie_ray.ocr import OcrSettings, build_engine
from kie_ray.reading import Reader
from kie_ray.records import OTHER, Field, Page

Task = Literal["ser", "re", "fields"]
PAGES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Findings:
    """What an evaluation has to show.

    `gold`, `predicted`: the same pages in the same order, lines paired by id. `relation_pairs`: the links that were
    asked for; without any, links are not compared. `calibrations`: by what they are of, such as "line labels".
    """

    gold: list[Page]
    predicted: list[Page]
    relation_pairs: list[tuple[str, str]]
    calibrations: dict[str, Calibration]


def evaluate_lines(
    annotator: Annotator, gold: Sequence[Page], task: Task, read: Sequence[Page] | None = None
) -> tuple[dict[str, Any], Findings]:
    """Every line of every page counts, labels are those of whole lines, windows are merged: what a user gets.

    Args:
        gold: annotated pages; with `pixels` where the models look at page images (`with_pixels`) and `read` is None.
        task: ser; re (with gold lines: gold entities, and `own_ser` beside it); fields (key and value texts).
        read: the pages as OCR read them, or None for the gold lines. A read line stands for the gold line that it
            matches by box (IoU >= 0.5).

    Returns:
        The scores that `jobs/evaluate.py --json` stores, and what a person wants to see of them.

    Raises:
        ConfigError: the bundle has no model for the task.
        DocumentError: the models look at page images, and a page has no `pixels`.
    """
    _require(annotator, task, gold_labels=read is None)
    pairs = annotator.info.relation_pairs
    gold = list(gold)
    gold_entities = task == "re" and read is None
    started = time.perf_counter()
    if gold_entities:
        predicted = deepcopy(gold)
        _by_chunks(annotator.relate, predicted)
    else:
        predicted = _blank(read if read is not None else gold)
        _by_chunks(annotator.label if task == "ser" else annotator.annotate, predicted)
    seconds = time.perf_counter() - started
    shown = predicted if read is None else [aligned_to_gold(g, p) for g, p in zip(gold, predicted, strict=True)]

    calibrations: dict[str, Calibration] = {}
    pooled: Callable[[Sequence[Page], Sequence[Page]], Score]
    if task == "ser":
        calibrations["line labels"] = label_calibration(gold, shown)
        scores = ser_scores(gold, shown).to_dict()
        scores["confusion"] = ser_confusion(gold, shown, annotator.labels.classes).to_dict()
        pooled = _ser_score
    elif task == "re":
        calibrations["links of gold entities" if gold_entities else "links"] = link_calibration(gold, shown, pairs)
        pooled = partial(re_scores, relation_pairs=pairs)
        scores = dict(pooled(gold, shown).to_dict())
    else:
        calibrations["fields"] = field_calibration([_gold_fields(page, pairs) for page in gold], _fields_of(shown))
        pooled = partial(_field_score, pairs)
        scores = dict(pooled(gold, shown).to_dict())
    (calibration,) = calibrations.values()
    scores |= calibration.to_dict() | by_language(
        gold, lambda rows: pooled([gold[row] for row in rows], [shown[row] for row in rows])
    )
    if gold_entities and annotator.models.ser is not None:
        shown = predict(annotator, gold)
        calibrations["links of own entities"] = own = link_calibration(gold, shown, pairs)
        scores["own_ser"] = re_scores(gold, shown, relation_pairs=pairs).to_dict() | own.to_dict()
    if read is not None:
        scores["gold_lines_covered"] = line_coverage(gold, read)
    scores |= {"pages": len(gold), "pages_per_second": len(gold) / max(seconds, 1e-9)}
    compared = pairs if task != "ser" and annotator.models.re is not None else []
    return scores, Findings(gold, shown, compared, calibrations)


def predict(annotator: Annotator, gold: Sequence[Page]) -> list[Page]:
    """The gold lines with the labels and links that the bundle gives them; without a SER model, with gold labels."""
    pages = deepcopy(list(gold)) if annotator.models.ser is None else _blank(gold)
    _by_chunks(annotator.annotate, pages)
    return pages


def read_pages(gold: Sequence[Page], images: Path, settings: OcrSettings, kind: ImageKind = "none") -> list[Page]:
    """The gold pages' images as an OCR engine reads them: lines without labels, `pixels` as the bundle's `image` says.

    Raises:
        ConfigError: the engine cannot be had; an image is missing or cannot be read.
    """
    ocr = build_engine(settings)
    found = []
    with Reader() as reader:
        for page in gold:
            image = page_image(reader, page, images)
            found.append(read_page(image, ocr.read_lines([image])[0], kind))
    return found


def evaluate_paddle(annotator: Annotator, gold: Sequence[Page], task: Literal["ser", "re"]) -> dict[str, Any]:
    """PaddleOCR's rules, for comparison with published figures: the first window of `max_tokens` tokens of each page,
    token-level seqeval for SER, gold entities and spans for RE. Pages that the reference cannot encode are left out of
    the scores, as there, but counted in `pages_without_sample`.

    Raises:
        ConfigError: the bundle has no model for the task.
        DocumentError: the models look at page images, and a page has no `pixels`.
    """
    _require(annotator, task, gold_labels=True)
    started = time.perf_counter()
    samples = [(_paddle_ser if task == "ser" else _paddle_re)(annotator, page) for page in gold]
    seconds = time.perf_counter() - started

    def score(rows: Sequence[int]) -> ClassScores | Score:
        found = [sample for row in rows if (sample := samples[row]) is not None]
        wanted, given = [sample[0] for sample in found], [sample[1] for sample in found]
        if task == "ser":
            return token_scores(wanted, given, annotator.labels.names)
        return span_relation_scores(wanted, given)

    def pooled(rows: Sequence[int]) -> Score:
        result = score(rows)
        return result.overall if isinstance(result, ClassScores) else result

    return {
        **score(range(len(gold))).to_dict(),
        **by_language(gold, pooled),
        "pages": len(gold),
        "pages_without_sample": sum(sample is None for sample in samples),
        "pages_per_second": len(gold) / max(seconds, 1e-9),
    }


def _require(annotator: Annotator, task: Task, *, gold_labels: bool) -> None:
    """Raises ConfigError where the bundle lacks a model of the task."""
    needed = {"ser": ["ser"], "re": ["re"] if gold_labels else ["ser", "re"], "fields": ["ser", "re"]}[task]
    for name in needed:
        if getattr(annotator.models, name) is None:
            raise ConfigError(
                f"bundle {annotator.info.name} holds models for {', '.join(annotator.info.tasks)}; "
                f"the task {task} needs one for {name}"
            )


def _order_method(annotator: Annotator) -> str | None:
    return None if annotator.info.reading_order == "none" else "tb-yx"


@torch.inference_mode()
def _paddle_ser(annotator: Annotator, page: Page) -> tuple[Any, Any]:
    """Gold and predicted label ids of one page, int64 [T] each."""
    model = annotator.models.ser
    assert model is not None
    sample = encode_ser_paddle(
        page,
        annotator.encoder.tokenizer,
        annotator.labels,
        order_method=_order_method(annotator),
        max_seq_len=annotator.info.max_tokens,
    )
    hidden = model.encode(*_inputs(sample, model.device), image_features=annotator.image_features(model, [page]))
    return sample.labels, model.ser_logits(hidden)[0].argmax(-1).cpu().numpy()


@torch.inference_mode()
def _paddle_re(annotator: Annotator, page: Page) -> tuple[Any, Any] | None:
    """Gold and predicted relations of one page as sets of (head span, tail span); None where it cannot be encoded."""
    model = annotator.models.re
    assert model is not None
    names = annotator.info.entity_labels
    sample = encode_re_paddle(
        page,
        annotator.encoder.tokenizer,
        annotator.labels,
        order_method=_order_method(annotator),
        max_seq_len=annotator.info.max_tokens,
        entity_labels={name: index for index, name in enumerate(names)},
    )
    if sample is None:
        return None
    entities = sample.entities
    spans = [(int(start), int(end)) for start, end, _ in entities]
    pairs = candidate_pairs([names[label] for label in entities[:, 2]], DEFAULT_RELATION_PAIRS)
    hidden = model.encode(*_inputs(sample, model.device), image_features=annotator.image_features(model, [page]))[0]
    starts = torch.from_numpy(entities[:, 0].astype(np.int64))
    logits = model.re_logits(
        hidden[starts],
        torch.from_numpy(entities[:, 2].astype(np.int64)),
        torch.from_numpy(pairs),
        boxes=torch.from_numpy(sample.bbox[entities[:, 0]].astype(np.float32)),
        order=torch.arange(len(entities)),
    )
    linked = pairs[logits.argmax(-1).cpu().numpy() == 1]
    wanted = {(spans[head], spans[tail]) for head, tail in sample.relations.tolist()}
    return wanted, {(spans[head], spans[tail]) for head, tail in linked.tolist()}


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


def _ser_score(gold: Sequence[Page], predicted: Sequence[Page]) -> Score:
    return ser_scores(gold, predicted).overall


def _field_score(pairs: Sequence[tuple[str, str]], gold: Sequence[Page], predicted: Sequence[Page]) -> Score:
    return field_scores([_gold_fields(page, pairs) for page in gold], _fields_of(predicted))


def _gold_fields(page: Page, pairs: Sequence[tuple[str, str]]) -> list[Field]:
    return build_fields(page, relation_pairs=pairs)


def _fields_of(pages: Sequence[Page]) -> list[list[Field]]:
    return [page.fields for page in pages]


def _by_chunks(run: Any, pages: Sequence[Page]) -> None:
    for start in range(0, len(pages), PAGES_AT_ONCE):
        run(pages[start : start + PAGES_AT_ONCE])

"""PaddleOCR's own encoding of a page, rule by rule, for figures that compare with published ones.

Follows `VQATokenLabelEncode`, `VQATokenPad`, `VQASerTokenChunk`, `VQAReTokenRelation` and `VQAReTokenChunk` of
PaddleOCR 2.10: one window, entities that cross its border lost, boxes truncated and not clamped, question-answer links
only. Use `PageEncoder` for everything else. Where PaddleOCR raises on a link to an unknown or blank line and then
silently takes another sample, the link is dropped here and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kie_ray.encoding.batching import IGNORED_LABEL
from kie_ray.encoding.labels import LabelSet
from kie_ray.encoding.page_encoder import BOX_SCALE
from kie_ray.encoding.reading_order import integer_box, order_tb_yx_paddle
from kie_ray.encoding.tokenizer import PageTokenizer
from kie_ray.errors import ConfigError
from kie_ray.records import Page

Int64Array = NDArray[np.int64]

ENTITY_LABELS = {"HEADER": 0, "QUESTION": 1, "ANSWER": 2}
"""Rows of the RE head's entity-label embedding."""


@dataclass(frozen=True, slots=True)
class PaddleLine:
    """One element of a label file as written: PaddleOCR compares raw labels, so their case matters."""

    text: str
    label: str
    points: tuple[float, ...]
    id: int
    linking: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> PaddleLine:
        """From an element of the json list: transcription, label, points, id, linking."""
        points = tuple(float(value) for point in item["points"] for value in point)
        linking = tuple((int(a), int(b)) for a, b in item.get("linking", ()))
        return cls(item["transcription"], item["label"], points, int(item.get("id", -1)), linking)


@dataclass(slots=True)
class PaddleSample:
    """One window of `max_seq_len` tokens (an RE window after the first may be shorter), right-padded.

    `input_ids`, `attention_mask`, `token_type_ids` int64 [T]; `bbox` int64 [T, 4]; `labels` int64 [T], -100 in padding,
    empty when inferring. `order`: indices of the kept lines in reading order. `segments`: (start, end) token offsets
    within the whole page of every line with tokens, `segment_lines` their line indices; neither is cut.
    """

    input_ids: Int64Array
    bbox: Int64Array
    attention_mask: Int64Array
    token_type_ids: Int64Array
    labels: Int64Array
    order: list[int]
    segments: list[tuple[int, int]]
    segment_lines: list[int]

    @property
    def segment_offsets(self) -> list[int]:
        """PaddleOCR's `segment_offset_id`: end offset of every line with tokens."""
        return [end for _, end in self.segments]


@dataclass(slots=True)
class PaddleReSample(PaddleSample):
    """`entities` int64 [n, 3]: start, end (exclusive), label, local to the window; `entity_lines`: line index of each;
    `relations` int64 [m, 2]: head (question) and tail (answer) as entity indices. `start`: where the window starts in
    the page. `dropped_links`: links to unknown or blank lines."""

    entities: Int64Array
    relations: Int64Array
    entity_lines: list[int]
    start: int
    dropped_links: int


def paddle_lines(page: Page) -> list[PaddleLine]:
    """Lines of a gold page as PaddleOCR's converters write them (labels in lower case)."""
    linking: dict[int, list[tuple[int, int]]] = {line.id: [] for line in page.lines}
    for link in page.links:
        for end in {link.key_line, link.value_line}:
            linking[end].append((link.key_line, link.value_line))
    return [PaddleLine(x.text, x.label.lower(), x.points, x.id, tuple(linking[x.id])) for x in page.lines]


def encode_ser_paddle(
    page: Page,
    tokenizer: PageTokenizer,
    labels: LabelSet,
    *,
    order_method: str | None = "tb-yx",
    max_seq_len: int = 512,
    infer: bool = False,
) -> PaddleSample:
    """First window of a page for SER; `infer` leaves the labels empty."""
    return encode_ser_lines(
        paddle_lines(page),
        page.width,
        page.height,
        tokenizer,
        labels,
        order_method=order_method,
        max_seq_len=max_seq_len,
        infer=infer,
    )


def encode_re_paddle(
    page: Page,
    tokenizer: PageTokenizer,
    labels: LabelSet,
    *,
    order_method: str | None = "tb-yx",
    max_seq_len: int = 512,
    entity_labels: Mapping[str, int] = ENTITY_LABELS,
) -> PaddleReSample | None:
    """First window that holds an entity, with gold entities and relations; None where no window holds one."""
    return encode_re_lines(
        paddle_lines(page),
        page.width,
        page.height,
        tokenizer,
        labels,
        order_method=order_method,
        max_seq_len=max_seq_len,
        entity_labels=entity_labels,
    )


def encode_ser_lines(
    lines: Sequence[PaddleLine],
    width: int,
    height: int,
    tokenizer: PageTokenizer,
    labels: LabelSet,
    *,
    order_method: str | None = "tb-yx",
    max_seq_len: int = 512,
    infer: bool = False,
    textline_boxes: bool = True,
    line_marks: tuple[int, int] | None = None,
) -> PaddleSample:
    """As `encode_ser_paddle` on raw lines.

    Args:
        textline_boxes: False spreads the line's box over its words by character count (no shipped configuration).
        line_marks: ids put before and after every line (`add_special_ids`; no shipped configuration).
    """
    order = _order(lines, order_method)
    run = _encode(lines, order, width, height, tokenizer, labels, textline_boxes, line_marks)
    arrays = _padded(run, tokenizer.pad_id, max_seq_len)
    ids, bbox, mask, types, token_labels = (array[:max_seq_len] for array in arrays)
    if infer:
        token_labels = np.empty(0, np.int64)
    return PaddleSample(ids, bbox, mask, types, token_labels, order, run.segments, run.segment_lines)


def encode_re_lines(
    lines: Sequence[PaddleLine],
    width: int,
    height: int,
    tokenizer: PageTokenizer,
    labels: LabelSet,
    *,
    order_method: str | None = "tb-yx",
    max_seq_len: int = 512,
    entity_labels: Mapping[str, int] = ENTITY_LABELS,
) -> PaddleReSample | None:
    """As `encode_re_paddle` on raw lines.

    Raises:
        ConfigError: an entity's label is not in `entity_labels`.
    """
    empty = {line.id for line in lines if not line.text}
    order = [index for index in _order(lines, order_method) if lines[index].text]
    run = _encode(lines, order, width, height, tokenizer, labels, True, None)
    entities = [
        (start, end, line)
        for (start, end), line in zip(run.segments, run.segment_lines, strict=True)
        if labels.class_id(lines[line].label)
    ]
    pairs, dropped = _relations(lines, order, entities, empty)
    arrays = _padded(run, tokenizer.pad_id, max_seq_len)
    for begin in range(0, len(arrays[0]), max_seq_len):
        end = begin + max_seq_len
        inside = {
            number: local
            for local, number in enumerate(
                k for k, (first, last, _) in enumerate(entities) if begin <= first and last < end and first < end
            )
        }
        if not inside:
            continue
        rows = [
            (entities[k][0] - begin, entities[k][1] - begin, _entity_label(lines[entities[k][2]].label, entity_labels))
            for k in inside
        ]
        kept = [(inside[head], inside[tail]) for head, tail in pairs if head in inside and tail in inside]
        ids, bbox, mask, types, token_labels = (array[begin:end] for array in arrays)
        return PaddleReSample(
            ids,
            bbox,
            mask,
            types,
            token_labels,
            order,
            run.segments,
            run.segment_lines,
            np.array(rows, np.int64).reshape(-1, 3),
            np.array(kept, np.int64).reshape(-1, 2),
            [entities[k][2] for k in inside],
            begin,
            dropped,
        )
    return None


@dataclass(slots=True)
class _Run:
    """The whole page's tokens: PaddleOCR's lists before padding. `boxes` may be longer or shorter than `ids`."""

    ids: list[int]
    boxes: list[Sequence[int]]
    labels: list[int]
    segments: list[tuple[int, int]]
    segment_lines: list[int]


def _order(lines: Sequence[PaddleLine], method: str | None) -> list[int]:
    if method is None:
        return list(range(len(lines)))
    if method != "tb-yx":
        raise ConfigError(f"PaddleOCR knows the reading orders None and 'tb-yx', not {method!r}")
    return order_tb_yx_paddle([integer_box(line.points) for line in lines])


def _encode(
    lines: Sequence[PaddleLine],
    order: Sequence[int],
    width: int,
    height: int,
    tokenizer: PageTokenizer,
    labels: LabelSet,
    textline_boxes: bool,
    marks: tuple[int, int] | None,
) -> _Run:
    if lines and (width <= 0 or height <= 0):
        raise ConfigError(f"page size is {width} x {height}: it must be known")
    run = _Run([], [], [], [], [])
    spoken = [index for index in order if lines[index].text]
    for index, plain in zip(spoken, tokenizer.encode_lines([lines[k].text for k in spoken]), strict=True):
        line = lines[index]
        ids = plain if marks is None else [marks[0], *plain, marks[1]]
        box = integer_box(line.points)
        boxes = [box] * len(ids) if textline_boxes else _word_boxes(box, line.text, tokenizer)
        if not boxes or not ids:
            continue
        scaled: list[Sequence[int]] = [_scaled(one, width, height) for one in boxes]
        run.boxes.extend(scaled if marks is None else [(0, 0, 0, 0), *scaled, (0, 0, 0, 0)])
        start = len(run.ids)
        run.ids.extend(ids)
        run.labels.extend([labels.begin_id(line.label), *[labels.inside_id(line.label)] * (len(ids) - 1)])
        run.segments.append((start, len(run.ids)))
        run.segment_lines.append(index)
    return run


def _scaled(box: Sequence[float], width: int, height: int) -> tuple[int, ...]:
    return tuple(int(value * BOX_SCALE / size) for value, size in zip(box, (width, height) * 2, strict=True))


def _word_boxes(box: Sequence[float], text: str, tokenizer: PageTokenizer) -> list[Sequence[float]]:
    x, top, right, bottom = box
    unit = (right - x) / len(text)
    boxes: list[Sequence[float]] = []
    words = text.split()
    for word, ids in zip(words, tokenizer.encode_lines(words), strict=True):
        boxes.extend([(x, top, x + len(word) * unit, bottom)] * len(ids))
        x += (len(word) + 1) * unit
    return boxes


def _padded(run: _Run, pad_id: int, max_seq_len: int) -> list[Int64Array]:
    """input_ids, bbox, attention_mask, token_type_ids, labels; padded by what `ids` lacks, as PaddleOCR does."""
    length = len(run.ids)
    padding = max(0, max_seq_len - length)
    return [
        np.array(run.ids + [pad_id] * padding, np.int64),
        np.array([*run.boxes, *[(0, 0, 0, 0)] * padding], np.int64).reshape(-1, 4),
        np.array([1] * length + [0] * padding, np.int64),
        np.zeros(length + padding, np.int64),
        np.array(run.labels + [IGNORED_LABEL] * padding, np.int64),
    ]


def _relations(
    lines: Sequence[PaddleLine], order: Sequence[int], entities: Sequence[tuple[int, int, int]], empty: set[int]
) -> tuple[list[tuple[int, int]], int]:
    raw_label = {lines[index].id: lines[index].label for index in order}
    entity_of = {lines[line].id: number for number, (_, _, line) in enumerate(entities)}
    # a set on purpose: PaddleOCR's order among relations of one head is the order of this set
    links = {(min(pair), max(pair)) for index in order for pair in lines[index].linking if not empty & set(pair)}
    found, dropped = [], 0
    for a, b in links:
        sides = (raw_label.get(a), raw_label.get(b))
        if None in sides or (set(sides) == {"question", "answer"} and not {a, b} <= entity_of.keys()):
            dropped += 1
        elif sides == ("question", "answer"):
            found.append((entity_of[a], entity_of[b]))
        elif sides == ("answer", "question"):
            found.append((entity_of[b], entity_of[a]))
    return sorted(found, key=lambda pair: pair[0]), dropped


def _entity_label(label: str, ids: Mapping[str, int]) -> int:
    found = ids.get(label.upper())
    if found is None:
        raise ConfigError(f"entity label {label!r} has no id; entity_labels names {', '.join(ids)}")
    return found

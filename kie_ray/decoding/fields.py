"""From links to key-value fields: pieces of one key or one value are joined in reading order."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from kie_ray.decoding.re import DEFAULT_RELATION_PAIRS
from kie_ray.encoding.reading_order import order_lines
from kie_ray.records import Box, Field, Line, Page

NO_BOX: Box = (0.0, 0.0, 0.0, 0.0)
"""`value_box` of a field without a value."""

_SPACELESS_NAMES = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH", "YI SYLLABLE")


def build_fields(
    page: Page,
    *,
    order: Sequence[int] | None = None,
    relation_pairs: Sequence[tuple[str, str]] = DEFAULT_RELATION_PAIRS,
    keep_unanswered: bool = False,
) -> list[Field]:
    """Group the links of `page` into fields.

    Value lines with the same set of key lines form one field: the answer lines of one question become one value, and an
    answer whose question is split over several lines (all linked to it, as in FUNSD converted to lines) gets the whole
    question as its key. Predicted pages link each answer to one question, so there a field is simply one question.

    The score of one (key line, value line) pair is link score x label score of the key x label score of the value: the
    probability that all three decisions are right, taken as independent. A field scores the minimum over its pairs,
    because it is only right when every piece is.

    Args:
        page: lines, labels and links.
        order: line indices in reading order, a permutation of [L]; `order_lines(page.lines)` when not given.
        relation_pairs: (key label, value label) of links that make a field. Gold pages also hold others (a header and
            its questions), which stay links.
        keep_unanswered: also give a field with an empty value (no value lines, box `NO_BOX`, score of the label) for
            every line with a key label that is in no field. Off by default: a table of pairs holds pairs, and the
            unlinked questions stay readable among the page's lines.

    Returns:
        Fields in reading order of their first key line, then first value line.

    Raises:
        ValueError: a link names a line that the page does not have.
    """
    in_order = order_lines(page.lines) if order is None else order
    position = {page.lines[index].id: place for place, index in enumerate(in_order)}
    by_id = {line.id: line for line in page.lines}
    keys_of: dict[int, set[int]] = defaultdict(set)
    score_of: dict[tuple[int, int], float] = {}
    for link in page.links:
        for line_id in (link.key_line, link.value_line):
            if line_id not in by_id:
                raise ValueError(f"{page.source} page {page.index}: a link names line {line_id}, which does not exist")
        if (by_id[link.key_line].label, by_id[link.value_line].label) not in relation_pairs:
            continue
        keys_of[link.value_line].add(link.key_line)
        score_of[link.key_line, link.value_line] = link.score

    values_of: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for value_id in sorted(keys_of, key=position.__getitem__):
        values_of[tuple(sorted(keys_of[value_id], key=position.__getitem__))].append(value_id)

    fields = []
    for key_ids, value_ids in values_of.items():
        pairs = [(by_id[key], by_id[value], score_of[key, value]) for key in key_ids for value in value_ids]
        score = min(link_score * key.label_score * value.label_score for key, value, link_score in pairs)
        fields.append(_field([by_id[key] for key in key_ids], [by_id[value] for value in value_ids], score))
    if keep_unanswered:
        used = {line_id for pair in score_of for line_id in pair}
        key_labels = {key_label for key_label, _ in relation_pairs}
        fields += [
            _field([line], [], line.label_score)
            for line in page.lines
            if line.label in key_labels and line.id not in used
        ]
    end = len(page.lines)
    return sorted(
        fields,
        key=lambda item: (position[item.key_lines[0]], position[item.value_lines[0]] if item.value_lines else end),
    )


def join_texts(texts: Iterable[str]) -> str:
    """Join the texts of consecutive lines the way their script does.

    Outer whitespace is stripped and blank pieces are skipped. Between two pieces stands one space, except (a) where a
    character of a script written without spaces (Han, kana, bopomofo, full-width and ideographic punctuation; not
    Hangul) meets the seam on either side, and (b) after a hyphen that directly follows a letter or digit ("010-" +
    "1234").
    """
    joined = ""
    for text in texts:
        piece = text.strip()
        if joined and piece and not _seamless(joined, piece):
            joined += " "
        joined += piece
    return joined


def _seamless(left: str, right: str) -> bool:
    if _spaceless(left[-1]) or _spaceless(right[0]):
        return True
    return len(left) > 1 and left[-1] == "-" and left[-2].isalnum() and right[0].isalnum()


def _spaceless(character: str) -> bool:
    return unicodedata.name(character, "").startswith(_SPACELESS_NAMES)


def hull(lines: Sequence[Line]) -> Box:
    """Smallest axis-aligned box around all `lines` (at least one), pixels of the page."""
    boxes = np.array([line.box for line in lines], dtype=np.float64)
    (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _field(key_lines: Sequence[Line], value_lines: Sequence[Line], score: float) -> Field:
    return Field(
        key=join_texts(line.text for line in key_lines),
        value=join_texts(line.text for line in value_lines),
        score=score,
        key_lines=[line.id for line in key_lines],
        value_lines=[line.id for line in value_lines],
        key_box=hull(key_lines),
        value_box=hull(value_lines) if value_lines else NO_BOX,
    )

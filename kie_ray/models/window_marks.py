"""A begin and an end token around every window, as Hugging Face's processors put them (`[CLS]` and `[SEP]`).

Models fine-tuned with them expect them; PaddleOCR and layoutlmft use none. The encoder adds and removes them itself, so
that nothing else has to know.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kie_ray.errors import ConfigError

BEGIN_BOX, END_BOX = 0, 1000
"""All four coordinates of the two tokens' boxes (LayoutLM's recipe, and the processors of its successors)."""


def check_marks(marks: Sequence[int] | None) -> tuple[int, int] | None:
    """Ids of the begin and the end token. Raises ConfigError unless there are two, or None for none."""
    if marks is None:
        return None
    if len(marks) != 2:
        raise ConfigError(f"window_marks = {list(marks)} must be two token ids, the begin's and the end's")
    return int(marks[0]), int(marks[1])


def add_marks(
    marks: tuple[int, int],
    input_ids: Tensor,
    bbox: Tensor,
    attention_mask: Tensor | None,
    token_type_ids: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """int64 [B, T], [B, T, 4], [B, T], [B, T] -> the same with T + 2 tokens; text token i is token i + 1 there.

    Windows are padded on the right; the end token follows a window's last token. Both marks are of type 0.
    """
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    begin, end = (torch.full_like(input_ids[:, :1], mark) for mark in marks)
    last = attention_mask.sum(1, keepdim=True) + 1
    place = torch.arange(input_ids.shape[1] + 2, device=input_ids.device)[None]
    is_end = place == last
    ids = torch.where(is_end, end, torch.cat([begin, input_ids, end], dim=1))
    first_box = torch.full_like(bbox[:, :1], BEGIN_BOX)
    boxes = torch.cat([first_box, bbox, first_box], dim=1)
    boxes = torch.where(is_end[..., None], torch.full_like(boxes, END_BOX), boxes)
    mask = (place <= last).to(attention_mask.dtype)
    if token_type_ids is not None:
        none = torch.zeros_like(token_type_ids[:, :1])
        token_type_ids = torch.cat([none, token_type_ids, none], dim=1).masked_fill(is_end, 0)
    return ids, boxes, mask, token_type_ids

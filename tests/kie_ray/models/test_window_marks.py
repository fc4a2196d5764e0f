"""Begin and end tokens around a window: as Hugging Face's processors put them, and gone from what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LayoutLMConfig as TheirConfig
from transformers import LayoutLMForTokenClassification

from kie_ray.errors import ConfigError
from kie_ray.models.from_huggingface import load_huggingface
from kie_ray.models.kie_model import KieModel
from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForSer
from kie_ray.models.window_marks import add_marks

MARKS = (101, 102)


def windows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two windows of 5 and 3 tokens, the second padded."""
    ids = torch.tensor([[7, 8, 9, 10, 11], [20, 21, 22, 0, 0]])
    bbox = torch.arange(1, 6)[None, :, None].expand(2, 5, 4) * torch.tensor([10, 10, 20, 20])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    return ids, bbox * mask[..., None], mask


def test_marks_stand_before_the_first_and_behind_the_last_token() -> None:
    ids, bbox, mask = windows()
    marked, boxes, wider, kinds = add_marks(MARKS, ids, bbox, mask, torch.ones_like(ids))
    assert marked[0].tolist() == [101, 7, 8, 9, 10, 11, 102]
    assert marked[1, :5].tolist() == [101, 20, 21, 22, 102]
    assert wider.tolist() == [[1] * 7, [1] * 5 + [0, 0]]
    assert boxes[0, 0].tolist() == [0] * 4
    assert boxes[0, 6].tolist() == boxes[1, 4].tolist() == [1000] * 4
    assert torch.equal(boxes[:, 1:4], bbox[:, :3])
    assert kinds is not None
    assert kinds[0].tolist() == [0, 1, 1, 1, 1, 1, 0]
    assert kinds[1, 4] == 0


def test_no_mask_means_no_padding() -> None:
    ids, bbox, _ = windows()
    marked, _, mask, kinds = add_marks(MARKS, ids[:1], bbox[:1], None, None)
    assert marked[0, -1] == 102
    assert mask.tolist() == [[1] * 7]
    assert kinds is None


@pytest.fixture
def theirs(tmp_path: Path) -> LayoutLMForTokenClassification:
    torch.manual_seed(1)
    config = TheirConfig(
        vocab_size=200,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
        num_labels=5,
        initializer_range=0.2,
    )
    model = LayoutLMForTokenClassification(config).eval()
    model.save_pretrained(tmp_path)
    return model


def test_text_tokens_get_what_the_other_model_gives_between_its_marks(
    tmp_path: Path, theirs: LayoutLMForTokenClassification
) -> None:
    ours = load_huggingface(tmp_path).model
    assert isinstance(ours, KieModel)
    ours.set_window_marks(MARKS)
    ids, bbox, mask = windows()
    with torch.inference_mode():
        found = ours(ids, bbox, mask).ser_logits
        _, layers = ours.encode(ids, bbox, mask, layers=[0])
        for row, length in enumerate((5, 3)):
            written = torch.tensor([[101, *ids[row, :length].tolist(), 102]])
            boxes = torch.cat([torch.zeros(1, 4), bbox[row, :length].float(), torch.full((1, 4), 1000.0)])[None].long()
            wanted = theirs(written, boxes, output_hidden_states=True)
            torch.testing.assert_close(found[row, :length], wanted.logits[0, 1:-1], atol=1e-5, rtol=0)
            torch.testing.assert_close(layers[0][row, :length], wanted.hidden_states[1][0, 1:-1], atol=1e-5, rtol=0)


def test_marks_are_saved_with_the_model(tmp_path: Path, theirs: LayoutLMForTokenClassification) -> None:
    ours = load_huggingface(tmp_path).model
    assert isinstance(ours, KieModel)
    ours.set_window_marks(MARKS)
    ours.save_pretrained(tmp_path / "marked")
    assert LayoutLMForSer.from_pretrained(tmp_path / "marked").window_marks == MARKS
    ours.set_window_marks(None)
    ours.save_pretrained(tmp_path / "plain")
    assert LayoutLMForSer.from_pretrained(tmp_path / "plain").window_marks is None


def test_three_marks_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"window_marks = \[1, 2, 3\] must be two token ids"):
        LayoutLMForSer(LayoutLMConfig(vocab_size=9, num_hidden_layers=1, window_marks=[1, 2, 3], hidden_size=24))

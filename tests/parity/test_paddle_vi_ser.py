"""SER without visual backbone against PaddleNLP's recorded outputs: both saved generations and plain arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kie_ray.models.heads import ser_loss
from kie_ray.models.layoutlmv2 import LayoutLMv2ForSer
from tests.parity.paddle_ser import CASES, SOURCES, load
from tests.parity.recorded import tensors

VARIANTS = ("relpos", "plain", "fastqkv")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_recorded_case(fixtures_dir: Path, variant: str, source: str) -> None:
    folder = fixtures_dir / "paddle_vi_ser" / variant
    model = load(folder, source).model
    assert isinstance(model, LayoutLMv2ForSer)
    cases = [case for case in CASES if (folder / f"{case}.npz").is_file()]
    assert "main" in cases
    for case in cases:
        recorded = tensors(folder / f"{case}.npz")
        inputs = {name: recorded[name] for name in ("input_ids", "bbox", "attention_mask", "token_type_ids")}
        with torch.inference_mode():
            output = model.layoutlmv2(**inputs, output_hidden_states=True)
            logits = model.ser_logits(model.encode(*inputs.values()))
        used = recorded["attention_mask"] != 0
        torch.testing.assert_close(logits[used], recorded["logits"][used], atol=1e-4, rtol=0)
        torch.testing.assert_close(output.pooler_output, recorded["pooled"], atol=1e-4, rtol=0)
        length = used.shape[1]
        assert len(output.hidden_states) == len(recorded["hidden_states"])
        for ours, theirs in zip(output.hidden_states, recorded["hidden_states"], strict=True):
            torch.testing.assert_close(ours[used], theirs[:, :length][used], atol=1e-4, rtol=0)
        expected = float(tensors(folder / f"{case}_loss.npz")["loss"])
        assert float(ser_loss(logits, recorded["labels"], recorded["attention_mask"])) == pytest.approx(
            expected, abs=1e-4
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_left_overs_of_the_visual_branch_are_skipped(fixtures_dir: Path, variant: str) -> None:
    folder = fixtures_dir / "paddle_vi_ser" / variant
    result = load(folder, "weights.npz")
    with np.load(folder / "weights.npz") as arrays:
        names = set(arrays.files)
    assert set(result.skipped) < names
    assert all("visual" in name or name.endswith("position_ids") for name in result.skipped)
    assert len(names) - len(result.skipped) == len(result.model.state_dict())


def test_id0_is_a_zero_embedding(fixtures_dir: Path) -> None:
    """Paddle gives zeros for id 0 although the file's row is not zero; without that rule `with_id0` would not match."""
    folder = fixtures_dir / "paddle_vi_ser" / "plain"
    with np.load(folder / "weights.npz") as arrays:
        stored = arrays["layoutxlm.embeddings.word_embeddings.weight"]
    words = load(folder, "weights.npz").model.get_input_embeddings()
    assert isinstance(words, torch.nn.Embedding)
    assert not words.weight[0].any()
    np.testing.assert_array_equal(words.weight[1:].detach().numpy(), stored[1:])
    assert (tensors(folder / "with_id0.npz")["input_ids"] == 0).any()

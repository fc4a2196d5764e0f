"""SER with the visual backbone against PaddleNLP's recorded outputs: both saved generations and plain arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from kie_ray.models.heads import ser_loss
from kie_ray.models.layoutlmv2 import LayoutLMv2ForSer
from kie_ray.models.resnext_fpn import normalised
from tests.parity.paddle_ser import CASES, SOURCES, load
from tests.parity.recorded import VISUAL_TOKENS, tensors, text_inputs

VARIANTS = ("relpos", "plain")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_recorded_case(fixtures_dir: Path, variant: str, source: str) -> None:
    folder = fixtures_dir / "paddle_full_ser" / variant
    model = load(folder, source).model
    assert isinstance(model, LayoutLMv2ForSer)
    cases = [case for case in CASES if (folder / f"{case}.npz").is_file()]
    assert "main" in cases
    for case in cases:
        recorded = tensors(folder / f"{case}.npz")
        used = recorded["attention_mask"] != 0
        with torch.inference_mode():
            features = model.image_features(recorded["image"])
            output = model.layoutlmv2(*text_inputs(recorded), features, output_hidden_states=True)
            logits = model(*text_inputs(recorded), image=recorded["image"]).ser_logits
        torch.testing.assert_close(features, recorded["visual_features"], atol=1e-4, rtol=0)
        torch.testing.assert_close(logits[used], recorded["logits"][used], atol=1e-4, rtol=0)
        torch.testing.assert_close(output.pooler_output, recorded["pooled"], atol=1e-4, rtol=0)
        kept = F.pad(used, (0, VISUAL_TOKENS), value=True)
        assert len(output.hidden_states) == len(recorded["hidden_states"])
        for ours, theirs in zip(output.hidden_states, recorded["hidden_states"], strict=True):
            torch.testing.assert_close(ours[kept], theirs[kept], atol=1e-4, rtol=0)
        expected = float(tensors(folder / f"{case}_loss.npz")["loss"])
        assert float(ser_loss(logits, recorded["labels"], recorded["attention_mask"])) == pytest.approx(
            expected, abs=1e-4
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_finest_level_of_the_pyramid(fixtures_dir: Path, variant: str) -> None:
    folder = fixtures_dir / "paddle_full_ser" / variant
    model = load(folder, "weights.npz").model
    assert isinstance(model, LayoutLMv2ForSer)
    recorded = tensors(folder / "main.npz")
    with torch.inference_mode():
        p2 = model.layoutlmv2.visual.backbone(normalised(recorded["image"]))
    torch.testing.assert_close(p2, recorded["backbone_p2"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_constants_are_skipped(fixtures_dir: Path, variant: str) -> None:
    folder = fixtures_dir / "paddle_full_ser" / variant
    result = load(folder, "weights.npz")
    with np.load(folder / "weights.npz") as arrays:
        names = set(arrays.files)
    assert result.skipped == [
        f"layoutxlm.{name}" for name in ("embeddings.position_ids", "visual.pixel_mean", "visual.pixel_std")
    ]
    assert len(names) - len(result.skipped) == len(result.model.state_dict())

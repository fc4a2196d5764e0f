"""LayoutLMv2 and LayoutXLM against Hugging Face's recorded outputs, its visual backbone being detectron2's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from kie_ray.models.layoutlmv2 import LayoutLMv2ForSer
from kie_ray.models.resnext_fpn import normalised
from tests.parity.recorded import VISUAL_TOKENS, tensors, text_inputs

VARIANTS = ("v2", "layoutxlm", "layoutxlm_relpos")
CASES = ("main", "with_id0", "seq512")


def load(folder: Path) -> LayoutLMv2ForSer:
    model, report = LayoutLMv2ForSer.from_pretrained(str(folder), output_loading_info=True)
    assert not any(report.values())
    assert isinstance(model, LayoutLMv2ForSer)
    return model.eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_recorded_case(fixtures_dir: Path, variant: str) -> None:
    folder = fixtures_dir / "layoutlmv2_ser" / variant
    model = load(folder / "saved_hf")
    cases = [case for case in CASES if (folder / f"{case}.npz").is_file()]
    assert "main" in cases
    for case in cases:
        recorded = tensors(folder / f"{case}.npz")
        used = recorded["attention_mask"] != 0
        with torch.inference_mode():
            features = model.image_features(recorded["image"])
            encoded = model.layoutlmv2(*text_inputs(recorded), features, output_hidden_states=True)
            output = model(*text_inputs(recorded), labels=recorded["labels"], image=recorded["image"])
        torch.testing.assert_close(features, recorded["visual_features"], atol=1e-4, rtol=0)
        torch.testing.assert_close(output.ser_logits[used], recorded["logits"][used], atol=1e-4, rtol=0)
        torch.testing.assert_close(output.loss, recorded["loss"], atol=1e-4, rtol=0)
        torch.testing.assert_close(encoded.pooler_output, recorded["pooled"], atol=1e-4, rtol=0)
        kept = F.pad(used, (0, VISUAL_TOKENS), value=True)
        assert len(encoded.hidden_states) == len(recorded["hidden_states"])
        for ours, theirs in zip(encoded.hidden_states, recorded["hidden_states"], strict=True):
            torch.testing.assert_close(ours[kept], theirs[kept], atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_finest_level_of_the_pyramid(fixtures_dir: Path, variant: str) -> None:
    folder = fixtures_dir / "layoutlmv2_ser" / variant
    recorded = tensors(folder / "main.npz")
    with torch.inference_mode():
        p2 = load(folder / "saved_hf").layoutlmv2.visual.backbone(normalised(recorded["image"]))
    torch.testing.assert_close(p2, recorded["backbone_p2"], atol=1e-4, rtol=0)


def test_the_directory_holds_exactly_the_published_names(fixtures_dir: Path, tmp_path: Path) -> None:
    """Ours, saved, has the names and shapes that Hugging Face's has, and reads back the same."""
    folder = fixtures_dir / "layoutlmv2_ser" / "layoutxlm" / "saved_hf"
    model = load(folder)
    model.save_pretrained(tmp_path)
    ours, theirs = load_file(tmp_path / "model.safetensors"), load_file(folder / "model.safetensors")
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
    again = load(tmp_path)
    assert again.config.to_dict() | {"_name_or_path": ""} == model.config.to_dict() | {"_name_or_path": ""}
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_constants_and_counters_of_older_files_are_passed_over(fixtures_dir: Path, tmp_path: Path) -> None:
    source = fixtures_dir / "layoutlmv2_ser" / "v2" / "saved_hf"
    state = load_file(source / "model.safetensors")
    backbone = "layoutlmv2.visual.backbone.bottom_up"
    state |= {
        "layoutlmv2.embeddings.position_ids": torch.arange(512)[None],
        "layoutlmv2.visual.pixel_mean": torch.zeros(3, 1, 1),
        "layoutlmv2.visual.pixel_std": torch.ones(3, 1, 1),
        f"{backbone}.stem.conv1.norm.num_batches_tracked": torch.tensor(0),
    }
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    load(tmp_path)
    save_file(state | {f"{backbone}.res2.3.conv1.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    _, report = LayoutLMv2ForSer.from_pretrained(str(tmp_path), output_loading_info=True)
    assert report["unexpected_keys"] == {f"{backbone}.res2.3.conv1.weight"}

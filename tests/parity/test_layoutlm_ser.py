"""LayoutLM against Hugging Face's recorded outputs: the saved directory and plain arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kie_ray.models.layoutlm import LayoutLMConfig, LayoutLMForSer, LayoutLMModel

CASES = ("main", "seq512")


def load(folder: Path, source: str) -> LayoutLMForSer:
    if source == "saved_hf":
        model, report = LayoutLMForSer.from_pretrained(str(folder / source), output_loading_info=True)
        assert not any(report.values())
        return model.eval()
    fields: dict[str, Any] = json.loads((folder / "meta.json").read_text())["config"]
    known = {name: value for name, value in fields.items() if name in LayoutLMConfig.__annotations__}
    model = LayoutLMForSer(LayoutLMConfig(**known, num_labels=len(fields["id2label"])))
    arrays = tensors(folder / source)
    unused = model.load_state_dict(arrays, strict=False)
    assert not unused.missing_keys
    assert all(name.endswith("position_ids") for name in unused.unexpected_keys)
    return model.eval()


def tensors(file: Path) -> dict[str, torch.Tensor]:
    with np.load(file) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture
def folder(fixtures_dir: Path) -> Path:
    return fixtures_dir / "layoutlm_ser"


@pytest.mark.parametrize("source", ["saved_hf", "weights.npz"])
@pytest.mark.parametrize("case", CASES)
def test_every_recorded_case(folder: Path, source: str, case: str) -> None:
    model = load(folder, source)
    recorded = tensors(folder / f"{case}.npz")
    inputs = [recorded[name] for name in ("input_ids", "bbox", "attention_mask", "token_type_ids")]
    with torch.inference_mode():
        output = model(*inputs, labels=recorded["labels"])
        encoded = model.layoutlm(*inputs, output_hidden_states=True)
    used = recorded["attention_mask"] != 0
    torch.testing.assert_close(output.ser_logits[used], recorded["logits"][used], atol=1e-4, rtol=0)
    torch.testing.assert_close(output.loss, recorded["loss"], atol=1e-4, rtol=0)
    torch.testing.assert_close(encoded.pooler_output, recorded["pooled"], atol=1e-4, rtol=0)
    torch.testing.assert_close(encoded.last_hidden_state[used], recorded["last_hidden_state"][used], atol=1e-4, rtol=0)
    assert len(encoded.hidden_states) == len(recorded["hidden_states"])
    for ours, theirs in zip(encoded.hidden_states, recorded["hidden_states"], strict=True):
        torch.testing.assert_close(ours[used], theirs[used], atol=1e-4, rtol=0)


def test_the_bare_encoder_loads_from_the_same_directory(folder: Path) -> None:
    model, report = LayoutLMModel.from_pretrained(str(folder / "saved_hf"), output_loading_info=True)
    assert not report["missing_keys"]
    recorded = tensors(folder / "main.npz")
    inputs = [recorded[name] for name in ("input_ids", "bbox", "attention_mask", "token_type_ids")]
    with torch.inference_mode():
        hidden = model.eval()(*inputs).last_hidden_state
    used = recorded["attention_mask"] != 0
    torch.testing.assert_close(hidden[used], recorded["last_hidden_state"][used], atol=1e-4, rtol=0)

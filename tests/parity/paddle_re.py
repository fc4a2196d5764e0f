"""PaddleNLP's recorded RE cases run through our model; with and without visual backbone they are recorded alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kie_ray.decoding.re import candidate_pairs
from kie_ray.models.from_paddle import from_arrays, load_paddle, make_config
from kie_ray.models.layoutlmv2 import LayoutLMv2ForRe
from kie_ray.models.task_models import KieOutput
from tests.parity.recorded import tensors, text_inputs

SOURCES = ("saved_paddlenlp252", "saved_paddlenlp281", "weights.npz")
QUESTION, ANSWER = 1, 2
NAMES = ("HEADER", "QUESTION", "ANSWER")
DUMMY_BELOW = 3
"""Both references replace a page of fewer entities by dummies: it then has no candidate, even with one Q and one A."""


def candidates(labels: Tensor, min_entities: int = 0) -> Tensor:
    """Our candidates of one page, int64 [P, 2]; none on a page of fewer than `min_entities`."""
    names = [NAMES[label] for label in labels.tolist()] if len(labels) >= min_entities else []
    return torch.from_numpy(candidate_pairs(names))


def load(folder: Path, source: str) -> LayoutLMv2ForRe:
    if source == "weights.npz":
        fields: dict[str, Any] = json.loads((folder / "meta_252.json").read_text())["config"]
        with np.load(folder / source) as arrays:
            config = make_config(fields, "LayoutXLMForRelationExtraction")
            model = from_arrays(dict(arrays), config, LayoutLMv2ForRe).model
    else:
        model = load_paddle(folder / source).model
    assert isinstance(model, LayoutLMv2ForRe)
    return model


def rows(table: Tensor) -> Tensor:
    """The used rows of a padded table whose row 0 holds their count."""
    return table[1 : 1 + int(table[0, 0])]


def run(model: LayoutLMv2ForRe, case: dict[str, Tensor], min_entities: int = 0) -> tuple[KieOutput, Tensor, Tensor]:
    """Output, pairs [P, 2] (index within their page) and page of each pair, all pages of the case in one call."""
    tokens, labels, pairs, targets, pages, first = [], [], [], [], [], 0
    for page, entities in enumerate(map(rows, case["entities"])):
        gold = {tuple(pair) for pair in rows(case["relations"][page]).tolist()}
        found = candidates(entities[:, 2], min_entities)
        tokens.append(torch.stack([torch.full_like(entities[:, 0], page), entities[:, 0]], dim=-1))
        labels.append(entities[:, 2])
        pairs.append(found + first)
        targets.append(torch.tensor([int(tuple(pair) in gold) for pair in found.tolist()], dtype=torch.int64))
        pages.append(torch.full((len(found),), page))
        first += len(entities)
    page_of = torch.cat(pages)
    output = model(
        case["input_ids"],
        case["bbox"],
        case["attention_mask"],
        case["token_type_ids"],
        entity_tokens=torch.cat(tokens),
        entity_labels=torch.cat(labels),
        pairs=torch.cat(pairs),
        pair_labels=torch.cat(targets),
        image=case.get("image"),
    )
    starts = torch.tensor([0, *(len(item) for item in tokens)]).cumsum(0)
    return output, torch.cat(pairs) - starts[page_of][:, None], page_of


def decoded(table: Tensor, entities: Tensor) -> set[tuple[int, int]]:
    """Head and tail of PaddleNLP's prediction blocks of 7 rows; their spans and labels must be the entities'."""
    found = set()
    for head, head_span, head_label, tail, tail_span, tail_label, kind in table.tolist():
        assert kind[0] == 1
        assert [*head_span, head_label[0]] == entities[head[0]].tolist()
        assert [*tail_span, tail_label[0]] == entities[tail[0]].tolist()
        found.add((head[0], tail[0]))
    return found


def check_pairs(folder: Path, source: str, case_name: str) -> None:
    """Candidates, their logits, the predicted pairs and the loss of every page."""
    case = tensors(folder / f"{case_name}.npz")
    with torch.inference_mode():
        output, pairs, page_of = run(load(folder, source), case)
    assert output.re_logits is not None
    assert output.re_loss is not None
    for page, entities in enumerate(map(rows, case["entities"])):
        ours = dict(
            zip(map(tuple, pairs[page_of == page].tolist()), output.re_logits[page_of == page].tolist(), strict=True)
        )
        theirs = dict(
            zip(map(tuple, case[f"pairs_{page}"][:, :2].tolist()), case[f"pair_logits_{page}"].tolist(), strict=True)
        )
        assert ours.keys() == theirs.keys()
        for pair, logits in theirs.items():
            assert ours[pair] == pytest.approx(logits, abs=1e-4)
        predicted = {pair for pair, logits in ours.items() if logits[1] > logits[0]}
        assert predicted == decoded(case[f"pred_relations_{page}"], entities)
    assert float(output.re_loss) == pytest.approx(float(case["loss"]), abs=1e-4)


def check_hidden_states(folder: Path) -> None:
    """Every layer's output at the text tokens that are not padding."""
    case = tensors(folder / "main.npz")
    model = load(folder, "weights.npz")
    features = model.image_features(case["image"]) if "image" in case else None
    layers = range(model.config.num_hidden_layers)
    assert len(layers) == case["hidden_states"].shape[1]
    with torch.inference_mode():
        _, kept = model.encode(*text_inputs(case), features, layers=layers)
    used, length = case["attention_mask"] != 0, case["input_ids"].shape[1]
    for layer, states in enumerate(kept):
        theirs = case["hidden_states"][:, layer, :length]
        torch.testing.assert_close(states[used], theirs[used], atol=1e-4, rtol=0)


def check_page_on_which_the_reference_raises(folder: Path, case_name: str) -> None:
    """With the reference's rule (more than two entities) there is no pair, and a loss that can still be trained on."""
    model = load(folder, "weights.npz").train()
    output, pairs, _ = run(model, tensors(folder / f"{case_name}_inputs_only.npz"), min_entities=DUMMY_BELOW)
    assert pairs.shape == (0, 2)
    assert output.re_logits is not None
    assert output.re_logits.shape == (0, 2)
    assert output.loss is not None
    assert output.loss.item() == 0.0
    output.loss.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def check_default_candidates(folder: Path, case_name: str) -> None:
    """No pair is invented, and none is lost either: exactly the questions times the answers of the page."""
    case = tensors(folder / f"{case_name}_inputs_only.npz")
    labels = [entities[:, 2] for entities in map(rows, case["entities"])]
    expected = sum(int((page == QUESTION).sum() * (page == ANSWER).sum()) for page in labels)
    with torch.inference_mode():
        output, pairs, _ = run(load(folder, "weights.npz"), case)
    assert len(pairs) == expected
    assert output.loss is not None
    assert bool(torch.isfinite(output.loss))

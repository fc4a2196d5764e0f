"""The RE head alone against Microsoft's `REDecoder` (layoutlmft).

On pages without candidates the reference scores an invented pair (0, 1); ours gives no pair and loss 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kie_ray.decoding.re import candidate_pairs
from kie_ray.models.heads import ReHead, entity_states, relation_loss

EMPTY_CASES = ("no_pairs", "two_entities", "zero_entities")
NAMES = ("HEADER", "QUESTION", "ANSWER")
DUMMY_BELOW = 3
"""Both references replace a page of fewer entities by dummies: it then has no candidate, even with one Q and one A."""


def candidates(labels: Tensor, min_entities: int = 0) -> Tensor:
    """Our candidates of one page, int64 [P, 2]; none on a page of fewer than `min_entities`."""
    names = [NAMES[label] for label in labels.tolist()] if len(labels) >= min_entities else []
    return torch.from_numpy(candidate_pairs(names))


@pytest.fixture(scope="module")
def folder(fixtures_dir: Path) -> Path:
    return fixtures_dir / "ms_re"


@pytest.fixture(scope="module")
def cases(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "meta.json").read_text())["cases"])


@pytest.fixture(scope="module")
def head(folder: Path) -> ReHead:
    with np.load(folder / "weights.npz") as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    labels, hidden = state["entity_emb.weight"].shape
    head = ReHead(hidden, labels, dropout=0.1)
    head.load_state_dict(state)
    return head.eval()


def score(head: ReHead, hidden: Tensor, entities: list[dict[str, Any]]) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Logits [P, 2], pairs [P, 2] counted over all pages, page of each pair, first entity of each page."""
    tokens, labels, pairs, pages, starts = [], [], [], [], [0]
    for page, item in enumerate(entities):
        start, label = (torch.tensor(item[name], dtype=torch.int64) for name in ("start", "label"))
        found = candidates(label, DUMMY_BELOW)
        numbers = torch.arange(len(start)) + starts[-1]
        tokens.append(torch.stack([page * hidden.shape[1] + start, numbers], dim=-1))
        labels.append(label)
        pairs.append(found + starts[-1])
        pages.append(torch.full((len(found),), page))
        starts.append(starts[-1] + len(start))
    states = entity_states(hidden.flatten(0, 1), torch.cat(tokens), starts[-1])
    together = torch.cat(pairs)
    return head(states, torch.cat(labels), together), together, torch.cat(pages), starts


@pytest.mark.parametrize("name", ["main", "infer_no_gold", "large"])
def test_pairs_logits_predictions_and_loss(folder: Path, cases: dict[str, Any], head: ReHead, name: str) -> None:
    case, recorded = cases[name], np.load(folder / f"{name}.npz")
    with torch.inference_mode():
        logits, pairs, pages, starts = score(head, torch.from_numpy(recorded["hidden_states"]), case["entities"])
    targets = torch.zeros(len(pairs), dtype=torch.int64)
    for page, relations in enumerate(case["relations"]):
        gold = set(zip(relations["head"], relations["tail"], strict=True))
        mine = (pages == page).nonzero().flatten()
        local = [tuple(pair) for pair in (pairs[mine] - starts[page]).tolist()]
        theirs = {
            tuple(pair): values
            for pair, values in zip(
                recorded[f"pairs_{page}"][:, :2].tolist(), recorded[f"pair_logits_{page}"].tolist(), strict=True
            )
        }
        assert set(local) == theirs.keys()
        for pair, values in zip(local, logits[mine].tolist(), strict=True):
            assert values == pytest.approx(theirs[pair], abs=1e-4)
        predicted = {pair for pair, row in zip(local, mine, strict=True) if logits[row, 1] > logits[row, 0]}
        assert predicted == {(item["head_id"], item["tail_id"]) for item in case["pred_relations"][page]}
        targets[mine] = torch.tensor([int(pair in gold) for pair in local])
    loss = float(relation_loss(logits, targets, pages))
    assert loss == pytest.approx(case["loss"], abs=1e-4)


@pytest.mark.parametrize("name", EMPTY_CASES)
def test_no_pair_is_invented(folder: Path, cases: dict[str, Any], head: ReHead, name: str) -> None:
    recorded = np.load(folder / f"{name}.npz")
    hidden = torch.from_numpy(recorded["hidden_states"]).requires_grad_()
    logits, pairs, pages, _ = score(head, hidden, cases[name]["entities"])
    assert pairs.shape == (0, 2)
    assert logits.shape == (0, 2)
    loss = relation_loss(logits, torch.zeros(0, dtype=torch.int64), pages)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert hidden.grad is not None
    assert not hidden.grad.any()

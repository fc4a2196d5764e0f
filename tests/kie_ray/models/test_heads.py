"""The vectorised RE head against its definition pair by pair, and its edge cases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kie_ray.models import heads
from kie_ray.models.geometry import PAIR_FEATURES, pair_geometry
from kie_ray.models.heads import ReHead, entity_states, relation_loss


def published(head: ReHead, states: Tensor, labels: Tensor, pairs: Tensor) -> Tensor:
    """The network as published, one pair after the other."""
    entities = torch.cat([states, head.entity_emb(labels)], dim=-1)
    rows = []
    for first, second in pairs.tolist():
        left, right = head.ffnn_head(entities[first]), head.ffnn_tail(entities[second])
        rows.append(
            head.rel_classifier.bilinear(left, right) + head.rel_classifier.linear(torch.cat([left, right], dim=-1))
        )
    return torch.stack(rows)


@pytest.mark.parametrize("waste", [0, 10**6], ids=["by pair", "by grid"])
def test_equals_the_published_network(waste: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "GRID_WASTE", waste)
    torch.manual_seed(0)
    head = ReHead(16, 3, dropout=0.1).eval()
    states, labels = torch.randn(7, 16), torch.tensor([1, 2, 0, 1, 2, 2, 1])
    pairs = torch.tensor([[0, 1], [6, 1], [3, 5], [0, 5], [4, 2]])
    torch.testing.assert_close(head(states, labels, pairs), published(head, states, labels, pairs))


def test_pairs_do_not_influence_each_other() -> None:
    torch.manual_seed(0)
    head = ReHead(16, 3, dropout=0.0, geometry=8).eval()
    states, labels, boxes = (
        torch.randn(6, 16),
        torch.randint(0, 3, (6,)),
        torch.randint(0, 1000, (6, 4)).sort(-1).values,
    )
    pairs, order = torch.cartesian_prod(torch.arange(3), torch.arange(3, 6)), torch.arange(6)
    together = head(states, labels, pairs, boxes, order)
    for row, pair in enumerate(pairs):
        torch.testing.assert_close(head(states, labels, pair[None], boxes, order)[0], together[row])


@pytest.mark.parametrize("geometry", [0, 8])
@pytest.mark.parametrize("entities", [0, 4])
def test_no_pair_gives_a_trainable_zero(entities: int, geometry: int) -> None:
    head = ReHead(16, 3, dropout=0.1, geometry=geometry)
    states = torch.randn(entities, 16, requires_grad=True)
    none = torch.zeros((0, 2), dtype=torch.int64)
    logits = head(states, torch.zeros(entities, dtype=torch.int64), none, torch.zeros(entities, 4))
    assert logits.shape == (0, 2)
    loss = relation_loss(logits, none[:, 0], none[:, 0])
    loss.backward()
    assert loss.item() == 0.0
    assert all(not value.grad.any() for value in head.parameters() if value.grad is not None)


def test_geometry_needs_boxes() -> None:
    head = ReHead(16, 3, dropout=0.1, geometry=8)
    with pytest.raises(ValueError, match="pass boxes"):
        head(torch.randn(2, 16), torch.tensor([1, 2]), torch.tensor([[0, 1]]))


def test_pair_geometry_is_bounded_and_directed() -> None:
    boxes = torch.tensor([[0, 0, 1000, 1000], [0, 0, 0, 0], [100, 100, 200, 120], [210, 100, 300, 120]])
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    features = pair_geometry(boxes, pairs, torch.tensor([0, 500, 1, 2]))
    assert features.shape == (16, PAIR_FEATURES)
    assert features.isfinite().all()
    assert float(features.abs().max()) < 3
    forth, back = features[pairs.tolist().index([2, 3])], features[pairs.tolist().index([3, 2])]
    torch.testing.assert_close(forth[:6], -back[:6])
    assert float(forth[0]) == pytest.approx(0.11)
    without_order = pair_geometry(boxes, pairs)
    assert not without_order[:, -4:].any()
    assert torch.equal(without_order[:, :-4], features[:, :-4])


def test_entity_states_average_over_windows() -> None:
    hidden = torch.arange(12.0).view(6, 2)
    occurrences = torch.tensor([[1, 0], [5, 0], [3, 1]])
    states = entity_states(hidden, occurrences, 2)
    assert states.tolist() == [[6.0, 7.0], [6.0, 7.0]]
    with pytest.raises(ValueError, match=r"entities \[2\] of 3 have no token"):
        entity_states(hidden, occurrences, 3)
    assert entity_states(hidden, occurrences[:0], 0).shape == (0, 2)


def test_relation_loss_is_a_mean_a_page_summed_over_pages() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 2), torch.tensor([1, 0, 0, 1, 0])
    pages = torch.tensor([7, 7, 7, 3, 3])
    expected = F.cross_entropy(logits[:3], targets[:3]) + F.cross_entropy(logits[3:], targets[3:])
    torch.testing.assert_close(relation_loss(logits, targets, pages), expected)
    doubled = relation_loss(logits, targets, pages, positive_weight=2.0) - expected
    extra = F.cross_entropy(logits[[0]], targets[[0]]) / 3 + F.cross_entropy(logits[[3]], targets[[3]]) / 2
    torch.testing.assert_close(doubled, extra)

"""Groups of windows waste little; the flat losses are those of a plainly padded batch."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_ray.datasets.synthetic import generate_page
from kie_ray.encoding import LabelSet, PageEncoder, train_tokenizer
from kie_ray.encoding.batching import IGNORED_LABEL, collate, padded_length
from kie_ray.models.heads import ser_loss
from kie_ray.training.batches import PADDING_WASTE, build_batch, group_windows
from kie_ray.training.config import AugmentConfig
from kie_ray.training.losses import LossCounts, batch_counts
from kie_ray.training.trainer import Trainer
from tests.kie_ray.training.test_trainer import tiny_config, trainer_of

QUIET = AugmentConfig(token_mask=0.0, token_drop=0.0)


@settings(max_examples=200, deadline=None)
@given(lengths=st.lists(st.integers(1, 512), min_size=1, max_size=40))
def test_groups_hold_every_window_once_and_waste_little(lengths: list[int]) -> None:
    groups = group_windows(lengths)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        sizes = [padded_length(lengths[index], 8) for index in group]
        computed = max(sizes) * len(sizes)
        assert computed - sum(sizes) <= PADDING_WASTE * computed + 1e-9


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return trainer_of(tiny_config())


def test_the_flat_loss_is_that_of_a_padded_batch(trainer: Trainer) -> None:
    pages = [generate_page(random.Random(seed), language="en").page for seed in range(3)]
    batch = build_batch(pages, trainer.encoder, trainer.labels, [("QUESTION", "ANSWER")], QUIET, random.Random(1))
    assert len(batch.groups) > 1
    counts = LossCounts.of(batch_counts(batch))
    objective = trainer.objective.eval()
    with torch.inference_mode():
        flat = objective(batch, trainer.phases[0], counts)["loss_ser"]
        rng = random.Random(1)
        windows = [
            window
            for number, page in enumerate(pages)
            for window in trainer.encoder.encode(
                page, True, offset=rng.randrange(1, trainer.encoder.max_tokens), page_number=number
            ).windows
        ]
        padded = collate(windows, trainer.encoder.tokenizer.pad_id)
        hidden = trainer.model.encode(padded.input_ids, padded.bbox, padded.attention_mask)
        expected = ser_loss(trainer.model.ser_logits(hidden), padded.labels, padded.attention_mask)
    assert batch.num_tokens == int(padded.lengths.sum())
    assert counts.labelled == int((padded.labels != IGNORED_LABEL).sum())
    torch.testing.assert_close(flat, expected, rtol=1e-5, atol=1e-6)


def test_every_gold_link_is_a_candidate_and_masks_hide_whole_lines() -> None:
    page = generate_page(random.Random(5), language="en").page
    tokenizer = train_tokenizer([line.text for line in page.lines] * 3, 500)
    labels = LabelSet.from_classes(["OTHER", "QUESTION", "ANSWER", "HEADER"])
    encoder = PageEncoder(tokenizer, labels, max_tokens=64, overlap_tokens=16)
    pairs = [("QUESTION", "ANSWER")]
    batch = build_batch([page], encoder, labels, pairs, QUIET, random.Random(0))
    label_of = {line.id: line.label for line in page.lines}
    links = [link for link in page.links if (label_of[link.key_line], label_of[link.value_line]) == pairs[0]]
    assert int(batch.pair_targets.sum()) == len(links)
    assert batch.num_tails == len(set(batch.pair_tails.tolist()))

    hidden = build_batch([page], encoder, labels, pairs, AugmentConfig(token_mask=0, token_drop=1), random.Random(0))
    ids = torch.cat([group.input_ids[group.attention_mask.bool()] for group in hidden.groups])
    assert set(ids.tolist()) == {tokenizer.mask_id}
    assert set(hidden.mlm_targets.tolist()) == {IGNORED_LABEL}

"""Batches of consecutive steps: the same whether made ahead or not, and after a checkpoint."""

from __future__ import annotations

import random

import pytest
import torch

from kie_ray.records import Page
from kie_ray.training import stream as stream_module
from kie_ray.training.batches import TrainBatch
from kie_ray.training.corpus import load_corpus
from kie_ray.training.stream import BatchStream, PageSampler
from kie_ray.training.trainer import Trainer
from tests.kie_ray.training.test_trainer import tiny_config


def new_stream(steps: int = 6) -> BatchStream:
    config = tiny_config(steps)
    return Trainer(config, load_corpus(config)).stream


def content(pieces: list[TrainBatch]) -> list[torch.Tensor]:
    return [tensor for piece in pieces for tensor in (piece.ser_targets, piece.mlm_targets, piece.pairs)]


def same(one: list[TrainBatch], two: list[TrainBatch]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(content(one), content(two), strict=True))


def test_a_stream_goes_on_where_another_one_was() -> None:
    stream = new_stream()
    batches = [stream.take(step) for step in range(6)]
    later = new_stream()
    later.restore(batches[2].position)
    for batch in batches[3:]:
        assert same(later.take(batch.step).pieces, batch.pieces)
    assert not same(batches[0].pieces, batches[1].pieces)


def test_the_position_is_that_of_the_batch_given_and_not_of_the_one_made_ahead() -> None:
    stream = new_stream()
    first = stream.take(0)
    assert stream.position == first.position
    assert sum(first.position.values()) == first.pages
    second = stream.take(1)
    assert sum(second.position.values()) == first.pages + second.pages


def test_restoring_forgets_the_batch_that_was_made_ahead() -> None:
    stream = new_stream()
    first, second = stream.take(0), stream.take(1)
    stream.restore(first.position)
    assert same(stream.take(1).pieces, second.pieces)


def test_an_error_while_making_ahead_is_raised_at_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = new_stream()

    def broken(page: Page, *_: object) -> Page:
        raise ValueError(f"page {page.source} is broken")

    stream.take(0)
    stream.take(1)
    monkeypatch.setattr(stream_module, "augment_page", broken)
    stream.restore(stream.position)
    with pytest.raises(ValueError, match="is broken"):
        stream.take(2)


def test_the_sampler_shows_every_page_equally_often() -> None:
    pages = {"a": [object() for _ in range(5)]}
    sampler = PageSampler(pages, seed=1)  # type: ignore[arg-type]
    drawn = [sampler.draw({"a": 1.0}, random.Random(i))[1] for i in range(15)]
    assert all(drawn.count(page) == 3 for page in pages["a"])  # type: ignore[arg-type]
    again = PageSampler(pages, seed=1)  # type: ignore[arg-type]
    again.position = {"a": 7}
    assert again.draw({"a": 1.0}, random.Random(7))[1] is drawn[7]

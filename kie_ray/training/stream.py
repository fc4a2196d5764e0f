"""The batches of a run, one a step: pages drawn, changed and encoded, the next one while this one is trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from kie_ray.encoding import LabelSet, PageEncoder
from kie_ray.encoding.page_image import ImageKind
from kie_ray.records import Page
from kie_ray.training.alignment import mismatch
from kie_ray.training.augment import ValuePool, augment_page
from kie_ray.training.batches import TrainBatch, build_batch
from kie_ray.training.config import PhaseConfig, TrainConfig
from kie_ray.training.corpus import Corpus
from kie_ray.training.schedule import phase_at


@dataclass(frozen=True, slots=True)
class StepBatch:
    """What one optimiser step sees: this worker's pieces, and the number of pages over all workers.

    `position`: pages drawn of each source up to and with this step, what a checkpoint keeps.
    """

    step: int
    pieces: list[TrainBatch]
    pages: int
    position: dict[str, int]


class PageSampler:
    """Draws pages by mix: each source is shuffled anew whenever it runs out, so every page is seen equally often.

    The sequence follows from `seed` alone; `position` is what a checkpoint keeps.
    """

    def __init__(self, sources: dict[str, list[Page]], seed: int) -> None:
        self._sources = sources
        self._seed = seed
        self.position: dict[str, int] = dict.fromkeys(sources, 0)
        self._orders: dict[str, tuple[int, list[int]]] = {}

    def draw(self, mix: dict[str, float], rng: random.Random) -> tuple[str, Page]:
        """One page of a source chosen by the weights of `mix`, and the source's name."""
        names = list(mix)
        name = rng.choices(names, weights=[mix[n] for n in names])[0]
        pages = self._sources[name]
        epoch, index = divmod(self.position[name], len(pages))
        self.position[name] += 1
        known = self._orders.get(name)
        if known is None or known[0] != epoch:
            order = list(range(len(pages)))
            random.Random(f"{self._seed}/{name}/{epoch}").shuffle(order)
            self._orders[name] = known = (epoch, order)
        return name, pages[known[1][index]]


class BatchStream:
    """Gives the batch of each step in turn. A step's batch follows from seed, step and position alone.

    Args:
        config: the recipe. `corpus`: its pages. `phases`: with their lengths in steps.
        encoder, labels: prepare pages for the model.
        rank, world: the pieces `rank`, `rank + world`, ... of every batch are encoded.
        image: how a page becomes the model's image; not none: the pages of the corpus have `pixels`.
    """

    def __init__(
        self,
        config: TrainConfig,
        corpus: Corpus,
        phases: Sequence[PhaseConfig],
        encoder: PageEncoder,
        labels: LabelSet,
        rank: int = 0,
        world: int = 1,
        image: ImageKind = "none",
    ) -> None:
        self._config = config
        self._phases = phases
        self._encoder = encoder
        self._labels = labels
        self._rank, self._world = rank, world
        self._image = image
        self._pages = corpus.train
        self._sampler = PageSampler(corpus.train, config.seed)
        self._pools = {name: ValuePool(pages) for name, pages in corpus.train.items()}
        self._token_counts: dict[int, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: Future[StepBatch] | None = None
        self.position = dict(self._sampler.position)
        """Of the batch that was given last."""

    def take(self, step: int) -> StepBatch:
        """The batch of `step`, 0-based; the one after it is begun in a thread."""
        batch = self._ahead.result() if self._ahead is not None else self._make(step)
        assert batch.step == step, f"batch of step {batch.step} taken for step {step}"
        self.position = batch.position
        last = step + 1 == sum(phase.steps for phase in self._phases)
        self._ahead = None if last else self._thread.submit(self._make, step + 1)
        return batch

    def restore(self, position: dict[str, int]) -> None:
        """Go on behind the batch that was given at `position`."""
        if self._ahead is not None:
            wait([self._ahead])
            self._ahead = None
        self.position = dict(position)
        self._sampler.position = dict(position)

    def _make(self, step: int) -> StepBatch:
        phase, _ = phase_at(self._phases, step)
        seed = self._config.seed
        drawn = self._draw(phase, random.Random(f"{seed}/{step}"))
        pieces = []
        for piece in range(self._rank, self._config.micro_batches, self._world):
            pieces.append(self._piece(drawn[piece], phase, random.Random(f"{seed}/{step}/{piece}")))
        return StepBatch(step, pieces, sum(map(len, drawn)), dict(self._sampler.position))

    def _piece(self, drawn: Sequence[tuple[str, Page]], phase: PhaseConfig, rng: random.Random) -> TrainBatch:
        augment = phase.augment
        matched: list[bool] | None = None
        if phase.tim_weight:
            # First, so that another page's image is moved as this page's own would be.
            pairs = [mismatch(page, self._pages[name], augment, rng) for name, page in drawn]
            drawn = [(name, page) for (name, _), (page, _) in zip(drawn, pairs, strict=True)]
            matched = [own for _, own in pairs]
        changed = [augment_page(page, augment, self._pools[name], rng) for name, page in drawn]
        pairs_of_labels = self._config.relation_pairs
        return build_batch(changed, self._encoder, self._labels, pairs_of_labels, augment, rng, self._image, matched)

    def _draw(self, phase: PhaseConfig, rng: random.Random) -> list[list[tuple[str, Page]]]:
        """Pages of every piece: the next page goes to the piece with the fewest tokens so far."""
        pieces: list[list[tuple[str, Page]]] = [[] for _ in range(self._config.micro_batches)]
        tokens = [0] * len(pieces)
        pages = 0
        while not self._enough(phase, pages, sum(tokens)):
            source = self._sampler.draw(phase.mix, rng)
            lightest = min(range(len(pieces)), key=lambda index: (tokens[index], index))
            pieces[lightest].append(source)
            tokens[lightest] += self._tokens(source[1])
            pages += 1
        return pieces

    def _enough(self, phase: PhaseConfig, pages: int, tokens: int) -> bool:
        if pages < self._config.micro_batches:
            return False  # every piece needs a page
        return pages >= phase.pages_per_batch if phase.pages_per_batch else tokens >= phase.tokens_per_batch

    def _tokens(self, page: Page) -> int:
        """Tokens of a page of the corpus, at least 1; counted once."""
        known = self._token_counts.get(id(page))
        if known is None:
            known = max(1, sum(map(len, self._encoder.tokenize([page])[0])))
            self._token_counts[id(page)] = known
        return known

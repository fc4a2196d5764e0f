"""The annotated pages of a run, by source, and the order in which they are drawn."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kie_ray.datasets import read_funsd, read_labels, with_sizes
from kie_ray.datasets.synthetic import generate_page
from kie_ray.errors import ConfigError
from kie_ray.records import Page
from kie_ray.training.config import SourceConfig, TrainConfig


@dataclass(slots=True)
class Corpus:
    """`train` pages by source name and the `held_out` pages that progress is measured on."""

    train: dict[str, list[Page]]
    held_out: list[Page]

    def texts(self) -> Iterator[str]:
        """Every line's text of the training pages, for the tokenizer."""
        for pages in self.train.values():
            for page in pages:
                for line in page.lines:
                    yield line.text


def load_corpus(config: TrainConfig) -> Corpus:
    """Read every source; of each real one a seeded share is held out.

    Raises:
        ConfigError: a source cannot be read, holds no page, or has a label outside `classes`.
    """
    train: dict[str, list[Page]] = {}
    held_out: list[Page] = []
    for source in config.sources:
        pages = _load_source(source, config)
        if not pages:
            raise ConfigError(f"source {source.name!r} holds no page")
        _check_labels(source.name, pages, config.classes)
        if source.kind != "synthetic" and config.holdout > 0:
            shuffled = random.Random(f"{config.seed}/{source.name}").sample(pages, len(pages))
            count = max(1, round(len(pages) * config.holdout))
            held_out += shuffled[:count]
            pages = shuffled[count:]
        train[source.name] = pages
    return Corpus(train, held_out)


def check_sources(config: TrainConfig) -> None:
    """Read the real sources and a few synthetic pages, so that a wrong path or label shows before any worker starts.

    Raises:
        ConfigError: as `load_corpus`.
    """
    few = [source.model_copy(update={"pages": min(source.pages, 3)}) for source in config.sources]
    load_corpus(config.model_copy(update={"sources": few}))


def _load_source(source: SourceConfig, config: TrainConfig) -> list[Page]:
    if source.kind == "synthetic":
        # The seed's text keeps these pages apart from the sample forms, which use integer seeds.
        return [
            generate_page(random.Random(f"train/{config.seed}/{source.name}/{i}"), language=source.language).page
            for i in range(source.pages)
        ]
    path = config.resolve(source.path)
    if not path.exists():
        raise ConfigError(f"source {source.name!r}: {path} does not exist; set data_root or the source's path")
    if source.kind == "funsd":
        return read_funsd(path)
    images = config.resolve(source.images)
    if not images.is_dir():
        raise ConfigError(f"source {source.name!r}: image folder {images} does not exist")
    return with_sizes(read_labels(path), images)


def _check_labels(name: str, pages: Sequence[Page], classes: Sequence[str]) -> None:
    known = {label.upper() for label in classes}
    for page in pages:
        for line in page.lines:
            if line.label.upper() not in known:
                where = f"source {name!r}, {page.source}, line {line.id}"
                raise ConfigError(f"{where}: label {line.label!r} is not one of {sorted(known)}")


class PageSampler:
    """Draws pages by mix: each source is shuffled anew whenever it runs out, so every page is seen equally often.

    The sequence follows from `seed` and `rank` alone; `position` is what a checkpoint keeps.
    """

    def __init__(self, sources: dict[str, list[Page]], seed: int, rank: int = 0) -> None:
        self._sources = sources
        self._seed = seed
        self._rank = rank
        self.position: dict[str, int] = dict.fromkeys(sources, 0)
        self._orders: dict[str, tuple[int, list[int]]] = {}

    def draw(self, mix: dict[str, float], rng: random.Random) -> Page:
        """One page of a source chosen by the weights of `mix`."""
        names = list(mix)
        name = rng.choices(names, weights=[mix[n] for n in names])[0]
        pages = self._sources[name]
        epoch, index = divmod(self.position[name], len(pages))
        self.position[name] += 1
        known = self._orders.get(name)
        if known is None or known[0] != epoch:
            order = list(range(len(pages)))
            random.Random(f"{self._seed}/{self._rank}/{name}/{epoch}").shuffle(order)
            self._orders[name] = known = (epoch, order)
        return pages[known[1][index]]

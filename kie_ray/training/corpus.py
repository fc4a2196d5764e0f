"""The annotated pages of a run, by source, and the order in which they are drawn."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from kie_ray.datasets import read_annotations, with_sizes
from kie_ray.datasets.synthetic import generate_page
from kie_ray.errors import ConfigError
from kie_ray.records import OTHER, Page
from kie_ray.schemas import row_to_document
from kie_ray.training.config import PhaseConfig, SourceConfig, TrainConfig

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Corpus:
    """`train` pages by source name and the `held_out` pages that progress is measured on.

    `images`: folder of the held-out pages' images by page source, where there is one. `left_out`: why something that
    the files hold is in no training page, one line each.
    """

    train: dict[str, list[Page]]
    held_out: list[Page]
    images: dict[str, Path] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def texts(self) -> Iterator[str]:
        """Every line's text of the training pages, for the tokenizer."""
        for pages in self.train.values():
            for page in pages:
                for line in page.lines:
                    yield line.text

    def phases(self, config: TrainConfig) -> list[PhaseConfig]:
        """The phases of `config`, epochs turned into steps."""
        return [phase.resolved(sum(len(self.train[name]) for name in phase.mix)) for phase in config.phases]


def load_corpus(config: TrainConfig) -> Corpus:
    """Read every source; of each real one a seeded share is held out, unless `config.validation` names pages.

    Raises:
        ConfigError: a source cannot be read, holds no page, or has a label outside `classes`. A malformed line names
            file, line number and reason.
    """
    corpus = Corpus({}, [])
    for source in config.sources:
        pages = _load_source(source, config, corpus)
        if source.kind not in ("synthetic", "extracted") and config.holdout > 0 and not config.validation:
            shuffled = random.Random(f"{config.seed}/{source.name}").sample(pages, len(pages))
            count = max(1, round(len(pages) * config.holdout))
            if count >= len(pages):
                raise ConfigError(f"source {source.name!r}: holdout {config.holdout} leaves none of {len(pages)} pages")
            _hold_out(corpus, shuffled[:count], source, config)
            pages = shuffled[count:]
        corpus.train[source.name] = pages
    for source in config.validation:
        _hold_out(corpus, _load_source(source, config, corpus), source, config)
    return corpus


def check_sources(config: TrainConfig) -> Corpus:
    """Read the real sources and a few synthetic pages, so that a wrong path or label shows before any worker starts.

    Raises:
        ConfigError: as `load_corpus`.
    """
    few = [
        source.model_copy(update={"pages": min(source.pages, 3)}) if source.kind == "synthetic" else source
        for source in config.sources
    ]
    return load_corpus(config.model_copy(update={"sources": few}))


def _hold_out(corpus: Corpus, pages: Sequence[Page], source: SourceConfig, config: TrainConfig) -> None:
    corpus.held_out += pages
    folder = config.resolve(source.path) / "images" if source.kind == "funsd" else config.resolve(source.images)
    if source.images or source.kind == "funsd":
        corpus.images |= {page.source: folder for page in pages}


def _load_source(source: SourceConfig, config: TrainConfig, corpus: Corpus) -> list[Page]:
    pages = _read_source(source, config, corpus)
    if "mlm" in config.tasks:
        for page in pages:
            page.links = []
            page.lines = [replace(line, label=OTHER) for line in page.lines]
    _check_labels(source.name, pages, config.classes)
    filled = [page for page in pages if any(line.text.strip() for line in page.lines)]
    corpus.left_out += [f"source {source.name!r}: {page.source}: no text" for page in pages if page not in filled]
    if not filled:
        raise ConfigError(f"source {source.name!r} holds no page with text")
    if source.pages and source.kind != "synthetic":
        if source.pages > len(filled):
            raise ConfigError(f"source {source.name!r}: pages = {source.pages}, it holds {len(filled)}")
        filled = random.Random(f"{config.seed}/{source.name}/pages").sample(filled, source.pages)
    return filled


def _read_source(source: SourceConfig, config: TrainConfig, corpus: Corpus) -> list[Page]:
    if source.kind == "synthetic":
        # The seed's text keeps these pages apart from the sample forms, which use integer seeds.
        return [
            generate_page(random.Random(f"train/{config.seed}/{source.name}/{i}"), language=source.language).page
            for i in range(source.pages)
        ]
    path = config.resolve(source.path)
    if not path.exists():
        raise ConfigError(f"source {source.name!r}: {path} does not exist; set data_root or the source's path")
    if source.kind == "extracted":
        return _read_extracted(source.name, path)
    pages, report = read_annotations(path)
    corpus.left_out += [f"source {source.name!r}: {reason}" for reason in (*report.left_out, *report.dropped_links)]
    if source.kind == "funsd":
        return pages
    images = config.resolve(source.images)
    if not images.is_dir():
        raise ConfigError(f"source {source.name!r}: image folder {images} does not exist")
    return with_sizes(pages, images)


def _read_extracted(name: str, output: Path) -> list[Page]:
    """Pages of a batch job's documents/, as OCR read them."""
    files = sorted((output / "documents").glob("*.parquet"))
    if not files:
        raise ConfigError(f"source {name!r}: {output} is no output of the batch job: it has no documents/*.parquet")
    pages = []
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=8):
            for row in batch.to_pylist():
                document = row_to_document(row)
                for page in document.pages:
                    page.source = f"{document.uri}#{page.index}"
                    pages.append(page)
    return pages


def _check_labels(name: str, pages: Sequence[Page], classes: Sequence[str]) -> None:
    known = {label.upper() for label in classes}
    for page in pages:
        for line in page.lines:
            if line.label.upper() not in known:
                where = f"source {name!r}, {page.source}, line {line.id}"
                raise ConfigError(f"{where}: label {line.label!r} is not one of {sorted(known)}")


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

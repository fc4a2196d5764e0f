"""The annotated pages of a run, by source."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq

from kie_ray.datasets import read_annotations, with_sizes
from kie_ray.datasets.synthetic import generate_page
from kie_ray.datasets.synthetic.fonts import find_fonts
from kie_ray.encoding.page_image import ImageKind
from kie_ray.errors import ConfigError
from kie_ray.records import OTHER, Page
from kie_ray.schemas import row_to_document
from kie_ray.training.config import PhaseConfig, SourceConfig, TrainConfig
from kie_ray.training.corpus_images import check_images, drawn, image_folder, read_images
from kie_ray.training.start import image_kind

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Corpus:
    """`train` pages by source name and the `held_out` pages that progress is measured on.

    All have `pixels` where the model sees page images: 150 kB a page, in the memory of every worker.
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

    Where the model sees page images they are read as well.

    Raises:
        ConfigError: a source or an image cannot be read, a source holds no page, or has a label outside `classes`. A
            malformed line names file, line number and reason.
    """
    return _load(config, image_kind(config), read=True)


def _load(config: TrainConfig, image: ImageKind, read: bool) -> Corpus:
    """`read`: read the images; else only look whether they exist."""
    corpus = Corpus({}, [])
    for source in config.sources:
        pages = _load_source(source, config, corpus, image, read)
        if source.kind not in ("synthetic", "extracted") and config.holdout > 0 and not config.validation:
            shuffled = random.Random(f"{config.seed}/{source.name}").sample(pages, len(pages))
            count = max(1, round(len(pages) * config.holdout))
            if count >= len(pages):
                raise ConfigError(f"source {source.name!r}: holdout {config.holdout} leaves none of {len(pages)} pages")
            _hold_out(corpus, shuffled[:count], source, config)
            pages = shuffled[count:]
        corpus.train[source.name] = pages
    for source in config.validation:
        _hold_out(corpus, _load_source(source, config, corpus, image, read), source, config)
    return corpus


def check_sources(config: TrainConfig) -> Corpus:
    """Read the real sources and a few synthetic pages, so that a wrong path or label shows before any worker starts.

    Of images only their existence is checked: the pages of the corpus have no `pixels`.

    Raises:
        ConfigError: as `load_corpus`.
    """
    few = [
        source.model_copy(update={"pages": min(source.pages, 3)}) if source.kind == "synthetic" else source
        for source in config.sources
    ]
    return _load(config.model_copy(update={"sources": few}), image_kind(config), read=False)


def _hold_out(corpus: Corpus, pages: Sequence[Page], source: SourceConfig, config: TrainConfig) -> None:
    corpus.held_out += pages
    if source.images or source.kind == "funsd":
        corpus.images |= {page.source: image_folder(source, config) for page in pages}


def _load_source(source: SourceConfig, config: TrainConfig, corpus: Corpus, image: ImageKind, read: bool) -> list[Page]:
    pages = _read_source(source, config, corpus, image if read else "none")
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
    if image == "none":
        return filled
    if read:
        return read_images(filled, source, config, image)
    check_images(filled, source, config)
    return filled


def _read_source(source: SourceConfig, config: TrainConfig, corpus: Corpus, image: ImageKind) -> list[Page]:
    """`image`: how synthetic pages are drawn at once; none: they are not."""
    if source.kind == "synthetic":
        # The seed's text keeps these pages apart from the sample forms, which use integer seeds.
        made = (
            generate_page(random.Random(f"train/{config.seed}/{source.name}/{i}"), language=source.language)
            for i in range(source.pages)
        )
        if image == "none":
            return [page.page for page in made]
        fonts = find_fonts(cjk=source.language != "en")
        return [drawn(page, fonts, image) for page in made]
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

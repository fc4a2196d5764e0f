"""One import from end to end: read, number the labels, write the bundle, check it on a sample page."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kie_ray.encoding.page_image import ImageKind
from kie_ray.encoding.reading_order import ReadingOrder
from kie_ray.encoding.tokenizer import PageTokenizer, load_tokenizer
from kie_ray.errors import ConfigError
from kie_ray.importing.card import model_card
from kie_ray.importing.labels import PADDLE_CLASSES, LabelRows, wanted_names
from kie_ray.importing.options import ImportOptions, image_kind, reading_order, window_marks
from kie_ray.importing.parts import Part, number_entities, number_labels, read_huggingface, read_paddle
from kie_ray.importing.self_check import check_bundle, check_encoder
from kie_ray.importing.sources import find_tokenizer, local_directory
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_info import CARD_FILE, TOKENIZER_DIR, WEIGHTS_FILE, BundleInfo, Task
from kie_ray.models.bundle_models import save_bundle
from kie_ray.records import OTHER
from kie_ray.training.config import EncodingConfig
from kie_ray.training.start import ENCODER_DIR, ENCODING_FILE

LONGEST_WINDOW = 512
"""Tokens of the windows that the published models are trained with; LayoutXLM has 514 positions and uses 512."""

_TASKS: dict[str, list[Task]] = {"ser": ["ser"], "re": ["re"], "kie": ["ser", "re"]}


@dataclass(frozen=True)
class ImportResult:
    """`path`: the bundle, or the encoder that training can start from (`encoder`). `summary`: lines for a person."""

    path: Path
    encoder: bool
    summary: list[str]


@dataclass(frozen=True)
class _Pages:
    """How the model's pages are prepared."""

    tokenizer: PageTokenizer
    tokenizer_file: Path
    image: ImageKind
    reading_order: ReadingOrder
    max_tokens: int
    marks: tuple[int, int] | None

    @property
    def overlap_tokens(self) -> int:
        return self.max_tokens // 4

    def described(self) -> dict[str, str]:
        between = f" between tokens {self.marks[0]} and {self.marks[1]}" if self.marks else ""
        return {
            "tokenizer": self.tokenizer_file.name,
            "reading order": self.reading_order,
            "image": self.image,
            "windows": f"{self.max_tokens} tokens{between}",
        }


def import_model(options: ImportOptions) -> ImportResult:
    """Import a checkpoint. Nothing is left at `output` unless the written model passes its self-check.

    Raises:
        ConfigError: files, tensors, labels or tokenizer are missing or wrong; BundleError: the self-check failed.
    """
    target = Path(options.output).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.import-{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="kie_ray_import_") as work:
        parts = _read_parts(options, Path(work))
        pages = _prepare(options, parts, Path(work))
        encoder = parts[0].folder == "mlm"
        try:
            write = _write_encoder if encoder else _write_bundle
            summary = write(options, parts, pages, staged)
            _put_in_place(staged, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return ImportResult(target, encoder, summary)


def _read_parts(options: ImportOptions, work: Path) -> list[Part]:
    given = (("ser", options.paddle_ser), ("re", options.paddle_re), ("mlm", options.paddle_encoder))
    parts = [read_paddle(uri, local_directory(uri, work), folder) for folder, uri in given if uri]
    parts += [read_huggingface(uri, local_directory(uri, work)) for uri in options.huggingface]
    if len(parts) == 2:
        first, second = parts
        if {first.folder, second.folder} != {"ser", "re"}:
            raise ConfigError(f"{first.source} and {second.source} must be one SER and one RE model")
        if first.architecture != second.architecture or first.vocab_size != second.vocab_size:
            raise ConfigError(
                f"{first.source} is a {first.architecture} of {first.vocab_size} tokens, {second.source} a "
                f"{second.architecture} of {second.vocab_size}: a bundle prepares pages one way; make a bundle of each"
            )
    return parts


def _prepare(options: ImportOptions, parts: Sequence[Part], work: Path) -> _Pages:
    named = [local_directory(options.tokenizer, work)] if options.tokenizer else []
    places = named or [part.directory for part in parts]
    tokenizer, file = find_tokenizer(places, parts[0].vocab_size, "LayoutXLM" in parts[0].architecture)
    longest = min(LONGEST_WINDOW, *(part.model.config.max_position_embeddings for part in parts))
    marks = window_marks(options, parts, tokenizer)
    if marks is not None:
        longest = min(longest, *(part.model.config.max_position_embeddings - len(marks) for part in parts))
        for part in parts:
            part.model.set_window_marks(marks)
    return _Pages(tokenizer, file, image_kind(options, parts[0]), reading_order(options, parts[0]), longest, marks)


def _write_bundle(options: ImportOptions, parts: list[Part], pages: _Pages, path: Path) -> list[str]:
    entries = wanted_names(options.labels) if options.labels else []
    orders = [number_labels(part, entries, options.paddle) for part in parts]
    order = next((found for found in orders if found is not None), None)
    info = _bundle_info(options, parts, order, pages)
    card = model_card(info.name, parts, order, pages.described(), options.licence)
    summary = _summary(parts, pages)
    if order is not None:
        change = "the classifier's rows were reordered" if order.changed else "in the checkpoint's own order"
        summary.append(f"labels: {', '.join(order.labels.names)} ({change})")
    models = {part.folder: part.model for part in parts}
    parts.clear()
    save_bundle(path, info, pages.tokenizer, models, card, half=options.half)
    models.clear()  # the check loads what was written: the models need not be in memory twice
    return [*summary, f"self-check: {check_bundle(Bundle.load(path, verify=False))}"]


def _write_encoder(options: ImportOptions, parts: list[Part], pages: _Pages, path: Path) -> list[str]:
    """The layout that `jobs/pretrain.py` leaves, see `kie_ray.training.start`."""
    (part,) = parts
    if options.labels:
        raise ConfigError(f"--labels: {part.source} is an encoder without a SER head")
    name = options.name or Path(options.output).name
    part.model.save_pretrained(path / ENCODER_DIR)
    (path / ENCODER_DIR / WEIGHTS_FILE).chmod(0o644)  # safetensors writes files that only the owner can read
    pages.tokenizer.save(path / TOKENIZER_DIR)
    encoding = EncodingConfig(
        vocab_size=part.vocab_size,
        max_tokens=pages.max_tokens,
        overlap_tokens=pages.overlap_tokens,
        reading_order=pages.reading_order,
        image=pages.image,
    )
    (path / ENCODING_FILE).write_text(encoding.model_dump_json(indent=2) + "\n", encoding="utf-8")
    card = model_card(name, parts, None, pages.described(), options.licence)
    (path / CARD_FILE).write_text(card, encoding="utf-8")
    written = type(part.model).from_pretrained(path / ENCODER_DIR, local_files_only=True, use_safetensors=True).eval()
    tokenizer = load_tokenizer(path / TOKENIZER_DIR)
    return [*_summary(parts, pages), f"self-check: {check_encoder(written, tokenizer, pages.max_tokens, pages.image)}"]


def _bundle_info(options: ImportOptions, parts: Sequence[Part], order: LabelRows | None, pages: _Pages) -> BundleInfo:
    """PaddleOCR's models get PaddleOCR's rules of decoding."""
    named = [label.strip().upper() for label in options.entity_labels]
    if order is not None:
        classes = [OTHER, *order.labels.entities]
    else:
        classes = list(PADDLE_CLASSES) if set(named) == set(PADDLE_CLASSES[1:]) else [OTHER, *named]
    entity_labels = number_entities(parts, named, classes[1:])
    return BundleInfo(
        name=options.name or Path(options.output).name,
        tasks=[task for part in parts for task in _TASKS[part.folder]],
        labels=classes,
        entity_labels=entity_labels,
        relation_pairs=options.pairs,
        reading_order=pages.reading_order,
        max_tokens=pages.max_tokens,
        overlap_tokens=pages.overlap_tokens,
        image=pages.image,
        ser_rule="vote" if options.paddle else "mean",
        re_rule="first" if options.paddle else "best",
    )


def _summary(parts: Sequence[Part], pages: _Pages) -> list[str]:
    lines = []
    for part in parts:
        lines.append(
            f"{part.title}: {part.architecture} of {part.parameters / 1e6:.1f} M parameters from {part.source}, "
            f"{part.used} tensors used, {len(part.skipped)} left over"
        )
        lines += [f"  {note}" for note in part.notes]
    return [*lines, "pages: " + ", ".join(f"{name} {value}" for name, value in pages.described().items())]


def _put_in_place(staged: Path, target: Path) -> None:
    aside = target.with_name(f".{target.name}.old-{os.getpid()}")
    if target.exists():
        target.rename(aside)
    staged.rename(target)
    shutil.rmtree(aside, ignore_errors=True)

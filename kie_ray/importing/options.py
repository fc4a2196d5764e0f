"""What an import is asked for, and what follows from the checkpoint where nothing is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from kie_ray.encoding.page_image import ImageKind
from kie_ray.encoding.reading_order import ReadingOrder
from kie_ray.encoding.tokenizer import PageTokenizer
from kie_ray.errors import ConfigError
from kie_ray.importing.parts import Part
from kie_ray.models.bundle_info import INFO_FILE
from kie_ray.storage.places import scheme_of
from kie_ray.training.start import ENCODING_FILE

ENTITY_LABELS = ("HEADER", "QUESTION", "ANSWER")
"""Rows of the label embedding of the published RE head."""


@dataclass(frozen=True)
class ImportOptions:
    """What `jobs/import_model.py` was asked for; directories are local or `s3://`, `output` is local.

    `paddle_ser` and `paddle_re` (either or both), `paddle_encoder`, or `huggingface` (one directory, or one for SER and
    one for RE). `labels`: see `kie_ray.importing.labels.wanted_names`. `image` and `reading_order`: auto, or a value of
    the bundle's field. `window_marks`: auto, none or begin-end. `entity_labels`, `relation_pairs` (KEY:VALUE): of the
    RE head. `half`: store float16.
    """

    output: str
    paddle_ser: str | None = None
    paddle_re: str | None = None
    paddle_encoder: str | None = None
    huggingface: Sequence[str] = ()
    tokenizer: str | None = None
    labels: str | None = None
    name: str | None = None
    image: str = "auto"
    reading_order: str = "auto"
    window_marks: str = "auto"
    entity_labels: Sequence[str] = ENTITY_LABELS
    relation_pairs: Sequence[str] = ("QUESTION:ANSWER",)
    licence: str = "see source"
    half: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for options that contradict each other or cannot be."""
        sources = (self.paddle_ser or self.paddle_re, self.paddle_encoder, self.huggingface)
        given = sum(map(bool, sources))
        if given != 1:
            names = "--paddle-ser and/or --paddle-re, or --paddle-encoder, or --huggingface"
            raise ConfigError(f"name one source: {names}" + (", not several of these" if given else ""))
        if len(self.huggingface) > 2:
            raise ConfigError(
                f"--huggingface takes one directory, or a SER model's and an RE model's, not {len(self.huggingface)}"
            )
        _one_of("--image", self.image, get_args(ImageKind))
        _one_of("--reading-order", self.reading_order, get_args(ReadingOrder))
        _one_of("--window-marks", self.window_marks, ("none", "begin-end"))
        for pair in self.relation_pairs:
            if len(pair.split(":")) != 2 or not all(part.strip() for part in pair.split(":")):
                raise ConfigError(f"--relation-pairs {pair!r} should be KEY:VALUE, such as QUESTION:ANSWER")
        self._check_output()

    @property
    def paddle(self) -> bool:
        """The weights come from PaddleOCR."""
        return not self.huggingface

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """`relation_pairs`, upper-case."""
        halves = [pair.upper().split(":") for pair in self.relation_pairs]
        return [(key.strip(), value.strip()) for key, value in halves]

    def _check_output(self) -> None:
        try:
            local = scheme_of(self.output) == "file" and "://" not in self.output
        except ValueError:
            local = False
        if not local:
            raise ConfigError(f"--output {self.output} must be a local directory")
        target = Path(self.output)
        ours = (target / INFO_FILE).is_file() or (target / ENCODING_FILE).is_file()
        if target.exists() and not (self.overwrite and ours):
            hint = ", and it is no bundle" if self.overwrite else "; name another, or add --overwrite"
            raise ConfigError(f"--output {target} exists already{hint}")


def image_kind(options: ImportOptions, part: Part) -> ImageKind:
    """How pages become images for this model: as asked, or as the system prepares them that it comes from.

    PaddleOCR normalises an image twice, and the heads it trains are used to that; all others feed LayoutLMv2 raw BGR
    values, and so were the encoders pre-trained that PaddleNLP publishes. The common recipe for LayoutLM's image
    branch, known by its rounding of boxes, does not normalise. Files do not tell whether somebody who copied it did, so
    the part gets a note.

    Raises:
        ConfigError: an image was asked for and the model looks at none, or the other way round.
    """
    found = "none"
    if part.model.uses_image:
        if part.model.config.model_type == "layoutlm":
            found = "unit" if part.model.config.image_branch_pixel_boxes else "imagenet"
        else:
            found = "paddle" if options.paddle and part.folder != "mlm" else "bgr"
    if options.image == "auto" and found == "unit":
        part.notes.append(
            "pixels go in from 0 to 1, as in the common recipe; if they were normalised by ImageNet's statistics when "
            "this model was tuned, name --image imagenet"
        )
    asked = found if options.image == "auto" else options.image
    if (asked == "none") != (found == "none"):
        truth = "looks at no page image" if found == "none" else f"looks at the page image ({found})"
        raise ConfigError(f"--image {asked}: {part.source} is a {part.architecture}, which {truth}")
    return cast(ImageKind, asked)


def reading_order(options: ImportOptions, part: Part) -> ReadingOrder:
    """As asked, or as the recipe of the model does it: of PaddleOCR's, only those of VI models sort the lines."""
    if options.reading_order != "auto":
        return cast(ReadingOrder, options.reading_order)
    if not options.paddle:
        return "tb-yx"
    return "tb-yx-paddle" if part.architecture.startswith("VI-") else "none"


def window_marks(options: ImportOptions, parts: Sequence[Part], tokenizer: PageTokenizer) -> tuple[int, int] | None:
    """Ids of the tokens around every window, None for none: as asked, or as the model was tuned.

    Hugging Face's processors put them around a text, and its SER models are tuned with them. PaddleOCR's models,
    layoutlmft's RE models, and encoders, which `jobs/train.py` tunes, know none.

    Raises:
        ConfigError: marks were asked for, and the tokenizer has none.
    """
    asked = options.window_marks
    tuned_with = not options.paddle and all(part.folder == "ser" for part in parts)
    if asked == "none" or (asked == "auto" and not tuned_with):
        return None
    if asked == "begin-end" and tokenizer.mark_ids is None:
        raise ConfigError("--window-marks begin-end: the tokenizer has neither [CLS] and [SEP] nor <s> and </s>")
    return tokenizer.mark_ids


def _one_of(option: str, value: str, known: Sequence[str]) -> None:
    if value != "auto" and value not in known:
        raise ConfigError(f"{option} {value!r} must be auto or one of {', '.join(known)}")

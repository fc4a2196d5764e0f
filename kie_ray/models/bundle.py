"""The model bundle: one directory with everything that a model needs to run.

    bundle.json    what the model is, how pages must be prepared for it, and the sha256 of every other file
    tokenizer/     `tokenizer.json` or a SentencePiece model
    kie/           one encoder with both heads: config.json, model.safetensors
    ser/ re/       or a model a task
    README.md      model card

Weights are safetensors only. They may be stored in float16; loading casts them.

This module does not import torch, which takes seconds: the driver of a job reads and checks a bundle without running
it. `kie_ray.models.bundle_models` loads the models and writes bundles.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from kie_ray.encoding.labels import LabelSet
from kie_ray.encoding.tokenizer import PageTokenizer, load_tokenizer
from kie_ray.models.bundle_info import (
    CARD_FILE,
    INFO_FILE,
    TOKENIZER_DIR,
    BundleError,
    BundleInfo,
    check_files,
    default_bundle_path,
    parse_info,
    write_info,
)


@dataclass(frozen=True)
class Bundle:
    """A bundle on the local disk; `fingerprint` identifies its whole content."""

    path: Path
    info: BundleInfo
    fingerprint: str

    @classmethod
    def load(cls, path: str | Path | None = None, verify: bool = True) -> Bundle:
        """Open a bundle directory; None opens the model that is bundled with the package.

        Args:
            verify: also compute every file's sha256 (about a second a gigabyte).

        Raises:
            BundleError: no bundle there, another format version, an unknown field or task, a file that is missing, not
                listed, changed or outside the directory.
        """
        folder = default_bundle_path() if path is None else Path(path)
        info_file = folder / INFO_FILE
        if not info_file.is_file():
            raise BundleError(f"{folder} is no model bundle: it has no {INFO_FILE}")
        raw = info_file.read_bytes()
        bundle = cls(folder, parse_info(raw, info_file), hashlib.sha256(raw).hexdigest())
        check_files(folder, bundle.info, verify)
        return bundle

    @property
    def shared(self) -> bool:
        """One encoder with both heads."""
        return (self.path / "kie").is_dir()

    @property
    def label_set(self) -> LabelSet:
        return LabelSet.from_classes(self.info.labels)

    def load_tokenizer(self) -> PageTokenizer:
        """Raises ConfigError when the tokenizer directory cannot be read."""
        return load_tokenizer(self.path / TOKENIZER_DIR, self.info.special_tokens)


def rewrite_card(path: str | Path, card: str) -> Bundle:
    """Give a bundle another model card (scores are measured after the bundle exists); its fingerprint changes.

    Raises:
        BundleError: there is no intact bundle at `path`.
    """
    bundle = Bundle.load(path)
    (bundle.path / CARD_FILE).write_text(card, encoding="utf-8")
    write_info(bundle.path, bundle.info)
    return Bundle.load(path)

"""BERT's WordPiece tokenizer (Devlin et al. 2019) from a `vocab.txt`, as LayoutLM and LayoutLMv2 use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from kie_ray.errors import ConfigError

VOCAB_FILE = "vocab.txt"
SETTINGS_FILE = "tokenizer_config.json"
UNKNOWN = "[UNK]"
SPECIALS = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]")


def read_wordpiece(vocab_file: str | Path) -> tokenizers.Tokenizer:
    """The tokenizer of a vocabulary, one token a line in the order of the ids.

    Text is lower-cased and loses its accents unless `do_lower_case` is false in the `tokenizer_config.json` beside the
    vocabulary; `strip_accents` and `tokenize_chinese_chars` are read there too. PaddleNLP's files of these names mean
    the same.

    Raises:
        ConfigError: a file cannot be read, or the vocabulary has no [UNK].
    """
    path = Path(vocab_file)
    try:
        tokens = path.read_text(encoding="utf-8").split("\n")  # splitlines would cut at U+2028, which may be a token
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not a vocabulary of one token a line in UTF-8: {error}") from error
    if tokens[-1] == "":
        tokens.pop()
    vocab = {token: index for index, token in enumerate(tokens)}
    if UNKNOWN not in vocab:
        raise ConfigError(f"{path} is no WordPiece vocabulary: none of its {len(tokens)} lines is {UNKNOWN}")
    settings = read_settings(path.parent)
    backend = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=UNKNOWN))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
        strip_accents=settings.get("strip_accents"),
        lowercase=bool(settings.get("do_lower_case", True)),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.add_special_tokens([token for token in SPECIALS if token in vocab])
    return backend


def apply_settings(backend: tokenizers.Tokenizer, directory: str | Path) -> None:
    """Let the `do_lower_case` of a `tokenizer_config.json` win over the normaliser of the `tokenizer.json` beside it,
    as transformers does. Tokenizers without BERT's normaliser stay as they are.

    Raises:
        ConfigError: the settings file cannot be read.
    """
    lower = read_settings(directory).get("do_lower_case")
    normalizer = backend.normalizer
    if isinstance(lower, bool) and isinstance(normalizer, normalizers.BertNormalizer) and normalizer.lowercase != lower:
        normalizer.lowercase = lower
        backend.normalizer = normalizer


def read_settings(directory: str | Path) -> dict[str, Any]:
    """The contents of `tokenizer_config.json`; empty where there is none.

    Raises:
        ConfigError: the file is not a JSON object.
    """
    path = Path(directory) / SETTINGS_FILE
    if not path.is_file():
        return {}
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds a {type(tree).__name__}, it should be a JSON object of settings")
    return tree

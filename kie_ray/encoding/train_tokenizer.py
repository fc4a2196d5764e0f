"""Train the subword tokenizer that a bundle of ours carries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers

from kie_ray.encoding.tokenizer import SubwordTokenizer, _bucket_name
from kie_ray.errors import ConfigError

SPECIALS = ("[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]")
"""Ids 0 to 4."""

_ALONE = (
    r"\u2E80-\u2FDF\u3005-\u3007\u3040-\u30FF\u3100-\u312F\u31A0-\u31BF\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF"
    r"\uAC00-\uD7AF\U00020000-\U0003FFFF\p{N}\p{P}\p{S}"
)
"""Characters that are a token each: Han, kana, bopomofo, hangul (no visible word border), digits, punctuation, symbols
(a tick box right before its word)."""


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int = 8000,
    *,
    min_character_count: int = 2,
    min_pair_count: int = 2,
    unknown_buckets: int = 64,
    lowercase: bool = True,
) -> SubwordTokenizer:
    """Byte-pair encoding (Sennrich et al. 2016) over words, with characters as fallback.

    NFKC and lower case; CJK characters, digits, punctuation and symbols stand alone, other words split into subwords
    whose continuation carries `##`. A character seen fewer than `min_character_count` times is unknown: it takes one of
    `unknown_buckets` ids by its code point, so those ids are trained too.

    Args:
        texts: text lines; kept in memory.
        vocab_size: upper bound, specials and buckets included.

    Raises:
        ConfigError: `vocab_size` is too small for the characters of `texts`.
    """
    normalizer = normalizers.Sequence([normalizers.NFKC(), *([normalizers.Lowercase()] if lowercase else [])])
    lines = [normalizer.normalize_str(text) for text in texts]
    counts = Counter(character for line in lines for character in line if not character.isspace())
    known = {character for character, count in counts.items() if count >= min_character_count}
    known |= {chr(code) for code in range(0x21, 0x7F) if not (lowercase and chr(code).isupper())}
    blank = str.maketrans({character: " " for character in counts if character not in known})
    lines = [line.translate(blank) for line in lines]
    backend = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##", fuse_unk=False))
    backend.normalizer = normalizer
    # one expression rather than a sequence of splitters: it halves the passes over every line
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(rf"[{_ALONE}]|[^{_ALONE}\s]+"), "removed", invert=True)
    specials = [*SPECIALS, *(_bucket_name(index) for index in range(unknown_buckets))]
    continuations = _continuations(backend.pre_tokenizer, lines, known)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_pair_count,
        # the trainer would number the continuations in the order of a hash map, other in each process, and ties between
        # merges follow those numbers: they are given here, and made ordinary tokens again below
        special_tokens=[*specials, *continuations],
        initial_alphabet=sorted(known),
        continuing_subword_prefix="##",
        show_progress=False,
    )
    backend.train_from_iterator(lines, trainer)
    if backend.get_vocab_size() > vocab_size:
        raise ConfigError(
            f"vocab_size = {vocab_size} is too small: specials and single characters alone take "
            f"{backend.get_vocab_size()}; raise it or min_character_count = {min_character_count}"
        )
    tree = json.loads(backend.to_str())
    tree["added_tokens"] = [token for token in tree["added_tokens"] if token["content"] in specials]
    return SubwordTokenizer(tokenizers.Tokenizer.from_str(json.dumps(tree)))


def _continuations(splitter: pre_tokenizers.PreTokenizer, lines: list[str], known: set[str]) -> list[str]:
    """Every letter as a continuation, seen as one or not, so that a new spelling never ends in an unknown token."""
    inside = {
        character for character in known if character.isalpha() and len(splitter.pre_tokenize_str(character * 2)) == 1
    }
    for line in lines:
        for word, _ in splitter.pre_tokenize_str(line):
            inside.update(word[1:])
    return [f"##{character}" for character in sorted(inside)]

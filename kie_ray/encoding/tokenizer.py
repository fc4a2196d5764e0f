"""Text lines to token ids: our own subword tokenizer, any `tokenizers` file, BERT's vocabulary, XLM-R's SentencePiece.

OCR text is untrusted: a literal `</s>` or `[MASK]` on a form is text. Every backend encodes it as such unless
`special_tokens="parse"` asks for the reference's behaviour (a literal special token becomes its special id).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import tokenizers

from kie_ray.encoding.wordpiece import VOCAB_FILE, apply_settings, read_wordpiece
from kie_ray.errors import ConfigError

SpecialTokens = Literal["neutralise", "parse"]
TOKENIZER_FILE = "tokenizer.json"
SENTENCEPIECE_FILE = "sentencepiece.bpe.model"


class PageTokenizer(Protocol):
    """What the encoder needs of a tokenizer. No special token is added around a line; blank text gives no token."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def pad_id(self) -> int: ...
    @property
    def unk_id(self) -> int: ...
    @property
    def mask_id(self) -> int: ...
    @property
    def mark_ids(self) -> tuple[int, int] | None:
        """Ids of the tokens that begin and end a text ([CLS] and [SEP], <s> and </s>); None where there are none."""

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that no text should be predicted as: padding, mask, begin and end marks, unknown."""

    def encode_lines(self, lines: Sequence[str]) -> list[list[int]]:
        """Token ids of every line, each line on its own."""

    def save(self, directory: str | Path) -> None:
        """Write everything that `load_tokenizer` needs into `directory`."""


def load_tokenizer(directory: str | Path, special_tokens: SpecialTokens = "neutralise") -> PageTokenizer:
    """Load `sentencepiece.bpe.model` (XLM-R, LayoutXLM), `tokenizer.json` or `vocab.txt` (BERT, LayoutLM, LayoutLMv2).

    The first of them that the directory has. Whether WordPiece lower-cases, a `tokenizer_config.json` may say.

    Raises:
        ConfigError: none of these files is there, or it cannot be read.
    """
    folder = Path(directory)
    if (folder / SENTENCEPIECE_FILE).is_file():
        return XlmrTokenizer(folder / SENTENCEPIECE_FILE, special_tokens)
    if (folder / TOKENIZER_FILE).is_file():
        return SubwordTokenizer.from_file(folder / TOKENIZER_FILE, special_tokens)
    if (folder / VOCAB_FILE).is_file():
        return SubwordTokenizer(read_wordpiece(folder / VOCAB_FILE), special_tokens)
    names = f"{SENTENCEPIECE_FILE}, {TOKENIZER_FILE} nor {VOCAB_FILE}"
    raise ConfigError(f"tokenizer directory {folder} holds neither {names}")


class SubwordTokenizer:
    """A tokenizer of the `tokenizers` library.

    Where the vocabulary holds buckets `[UNK_0]`, `[UNK_1]`, ... an unknown character takes the bucket of its code
    point, so that two different unknown characters usually stay different.
    """

    def __init__(self, backend: tokenizers.Tokenizer, special_tokens: SpecialTokens = "neutralise") -> None:
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = special_tokens == "neutralise"
        self._backend = backend
        self._special_tokens = special_tokens
        self._vocab_size = backend.get_vocab_size()
        self._ids = {
            role: next((found for name in names if (found := backend.token_to_id(name)) is not None), None)
            for role, names in _ROLES.items()
        }
        missing = [f"{role} ({' or '.join(_ROLES[role])})" for role, found in self._ids.items() if found is None]
        if missing:
            raise ConfigError(f"tokenizer has no token for {', '.join(missing)}")
        self._buckets: list[int] = []
        while (found := backend.token_to_id(_bucket_name(len(self._buckets)))) is not None:
            self._buckets.append(found)
        added = {index: token.content for index, token in backend.get_added_tokens_decoder().items() if token.special}
        self._special = frozenset(added)
        allowed = {self._ids["unk"], *self._buckets}
        self._forbidden = self._special - allowed if special_tokens == "neutralise" else frozenset()
        self._literals = re.compile("|".join(re.escape(added[index]) for index in sorted(self._forbidden)))

    @classmethod
    def from_file(cls, path: str | Path, special_tokens: SpecialTokens = "neutralise") -> SubwordTokenizer:
        """Load a `tokenizer.json`, and what `tokenizer_config.json` beside it says of lower case."""
        try:
            backend = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ConfigError(f"{path} is not a tokenizer.json of the tokenizers library: {error}") from error
        apply_settings(backend, Path(path).parent)
        return cls(backend, special_tokens)

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def pad_id(self) -> int:
        return self._id("pad")

    @property
    def unk_id(self) -> int:
        return self._id("unk")

    @property
    def mask_id(self) -> int:
        return self._id("mask")

    @property
    def mark_ids(self) -> tuple[int, int] | None:
        for names in (("[CLS]", "[SEP]"), ("<s>", "</s>")):
            begin, end = map(self._backend.token_to_id, names)
            if begin is not None and end is not None:
                return begin, end
        return None

    @property
    def special_ids(self) -> frozenset[int]:
        return self._special | frozenset(self._buckets)

    def encode_lines(self, lines: Sequence[str]) -> list[list[int]]:
        encodings = self._backend.encode_batch(list(lines), add_special_tokens=False)
        result = []
        for text, encoding in zip(lines, encodings, strict=True):
            ids = self._bucketed(text, encoding)
            result.append(ids if self._forbidden.isdisjoint(ids) else self._encode_literal(text))
        return result

    def save(self, directory: str | Path) -> None:
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        self._backend.save(str(folder / TOKENIZER_FILE))

    def _bucketed(self, text: str, encoding: tokenizers.Encoding) -> list[int]:
        unk, ids = self.unk_id, encoding.ids
        if not self._buckets or unk not in ids:
            return ids
        return [
            self._bucket(text[start:end]) if token == unk else token
            for token, (start, end) in zip(ids, encoding.offsets, strict=True)
        ]

    def _encode_literal(self, text: str) -> list[int]:
        """A line whose literal special token is an ordinary piece of the model too, as `</s>` is of XLM-R's Unigram
        model: a space after its first character breaks it. Normalised before, so that full-width forms are found."""
        normalizer = self._backend.normalizer
        plain = text if normalizer is None else normalizer.normalize_str(text)
        broken = self._literals.sub(lambda match: f"{match[0][0]} {match[0][1:]}", plain)
        ids = self._bucketed(broken, self._backend.encode(broken, add_special_tokens=False))
        return [self.unk_id if token in self._forbidden else token for token in ids]

    def _id(self, role: str) -> int:
        found = self._ids[role]
        assert found is not None
        return found

    def _bucket(self, text: str) -> int:
        # Knuth's multiplicative hash: neighbours in a Unicode block spread over all buckets
        spread = (ord(text[0]) * 2654435761 & 0xFFFFFFFF) >> 16 if text else 0
        return self._buckets[spread % len(self._buckets)]

    def __getstate__(self) -> dict[str, Any]:
        return {"json": self._backend.to_str(), "special_tokens": self._special_tokens}

    def __setstate__(self, state: dict[str, Any]) -> None:
        SubwordTokenizer.__init__(self, tokenizers.Tokenizer.from_str(state["json"]), state["special_tokens"])


class XlmrTokenizer:
    """XLM-R's SentencePiece model with fairseq's ids, as LayoutXLM uses it.

    `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3; a piece has its SentencePiece id plus one, SentencePiece's 0 is `<unk>`;
    `<mask>` is the last id; vocabulary = SentencePiece size + 2. Nothing is lower-cased.
    """

    _SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")

    def __init__(self, model_file: str | Path, special_tokens: SpecialTokens = "neutralise") -> None:
        import sentencepiece

        self._file = Path(model_file)
        self._special_tokens = special_tokens
        try:
            self._model = sentencepiece.SentencePieceProcessor(model_file=str(model_file))
        except (OSError, RuntimeError, TypeError) as error:
            raise ConfigError(f"{model_file} is not a SentencePiece model: {error}") from error
        self._vocab_size = self._model.get_piece_size() + 2
        self._special = dict(zip(self._SPECIAL, (0, 1, 2, 3, self._vocab_size - 1), strict=True))
        self._split = re.compile("(" + "|".join(map(re.escape, self._SPECIAL)) + ")")

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def bos_id(self) -> int:
        return 0

    @property
    def pad_id(self) -> int:
        return 1

    @property
    def eos_id(self) -> int:
        return 2

    @property
    def unk_id(self) -> int:
        return 3

    @property
    def mask_id(self) -> int:
        return self._vocab_size - 1

    @property
    def mark_ids(self) -> tuple[int, int]:
        return self.bos_id, self.eos_id

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self._special.values())

    def encode_lines(self, lines: Sequence[str]) -> list[list[int]]:
        if self._special_tokens == "parse":
            return [self._encode_parsed(line) for line in lines]
        return [[piece + 1 if piece else 3 for piece in pieces] for pieces in self._model.encode(list(lines))]

    def save(self, directory: str | Path) -> None:
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / SENTENCEPIECE_FILE
        if target.resolve() != self._file.resolve():
            shutil.copyfile(self._file, target)

    def _encode_parsed(self, line: str) -> list[int]:
        ids: list[int] = []
        for part in self._split.split(line):
            if part in self._special:
                ids.append(self._special[part])
            elif part:
                ids.extend(piece + 1 if piece else 3 for piece in self._model.encode(part))
        return ids


_ROLES = {"pad": ("[PAD]", "<pad>"), "unk": ("[UNK]", "<unk>"), "mask": ("[MASK]", "<mask>")}


def _bucket_name(index: int) -> str:
    return f"[UNK_{index}]"

"""WordPiece from `vocab.txt` and `tokenizer.json` against transformers' BertTokenizer; special tokens stay text."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers
from transformers import BertTokenizer

from kie_ray.encoding import load_tokenizer
from kie_ray.encoding.tokenizer import SubwordTokenizer
from kie_ray.errors import ConfigError

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "name date of birth total amount 申 请 人 姓 caf cafe café Name NAME [ ] mask MASK cls : - / 2 0 4 ##th ##s ##é"
LETTERS = [mark + letter for letter in "abcdefghijklmnopqrstuvwxyz" for mark in ("", "##")]
VOCAB = [*SPECIALS, *dict.fromkeys([*WORDS.split(), *LETTERS])]
TEXTS = [
    "Name of birth: 2024-02/04",
    "NAME  totals\tamount",
    "申请人姓Name",
    "Café cafés CAFE",
    "日期 unknown 龘",
    "a" * 120,
    "x\u200by\x00z\ufffd \u3000 name",
    "",
    "   ",
]


def write(folder: Path, settings: dict[str, object] | None = None, end: str = "\n") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + end, encoding="utf-8")
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        None,
        {"do_lower_case": True},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
    ],
)
def test_vocabulary_gives_the_ids_of_transformers(tmp_path: Path, settings: dict[str, bool] | None) -> None:
    reference = BertTokenizer(vocab={token: index for index, token in enumerate(VOCAB)}, **(settings or {}))
    ours = load_tokenizer(write(tmp_path, settings))
    assert ours.encode_lines(TEXTS) == [reference(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    assert (ours.vocab_size, ours.pad_id, ours.unk_id, ours.mask_id) == (len(VOCAB), 0, 1, 4)
    assert ours.special_ids == frozenset(range(5))


def test_a_vocabulary_without_final_newline_and_with_a_line_separator_as_token(tmp_path: Path) -> None:
    assert load_tokenizer(write(tmp_path / "a", end="")).vocab_size == len(VOCAB)
    folder = write(tmp_path / "b", end="\n\u2028\nlast\n")
    ours = load_tokenizer(folder)
    assert ours.vocab_size == len(VOCAB) + 2
    assert ours.encode_lines(["last"]) == [[len(VOCAB) + 1]]


def test_the_saved_copy_needs_neither_vocabulary_nor_settings(tmp_path: Path) -> None:
    ours = load_tokenizer(write(tmp_path / "source", {"do_lower_case": False}))
    ours.save(tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["tokenizer.json"]
    expected = ours.encode_lines(TEXTS)
    assert load_tokenizer(tmp_path / "copy").encode_lines(TEXTS) == expected
    assert pickle.loads(pickle.dumps(ours)).encode_lines(TEXTS) == expected


def test_settings_win_over_the_normaliser_of_a_tokenizer_json(tmp_path: Path) -> None:
    load_tokenizer(write(tmp_path / "lower")).save(tmp_path)
    assert load_tokenizer(tmp_path).encode_lines(["NAME"]) == [[VOCAB.index("name")]]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert load_tokenizer(tmp_path).encode_lines(["NAME"]) == [[VOCAB.index("NAME")]]


def test_special_tokens_on_a_form_are_text_unless_parsed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (neutral,) = load_tokenizer(folder).encode_lines(["[MASK] name [CLS]"])
    assert neutral == [VOCAB.index(token) for token in ("[", "mask", "]", "name", "[", "cls", "]")]
    (parsed,) = load_tokenizer(folder, "parse").encode_lines(["[MASK] name [CLS]"])
    assert parsed == [4, VOCAB.index("name"), 2]


@pytest.mark.parametrize("text", ["a</s>a", "<mask>", "a ＜/s＞", "<s></s><pad>"])
def test_special_tokens_that_are_pieces_of_the_model_are_text_too(text: str) -> None:
    """XLM-R's tokenizer.json: its Unigram model holds `</s>` as the cheapest piece of all."""
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [(token, 0.0) for token in specials] + [(letter, -4.0) for letter in "▁</>asp"]
    backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=3))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.add_special_tokens(specials)
    copy = tokenizers.Tokenizer.from_str(backend.to_str())
    copy.encode_special_tokens = True
    assert {0, 1, 2, 4} & set(copy.encode(text, add_special_tokens=False).ids), "the library neutralises this by itself"
    ours = SubwordTokenizer(backend)
    (ids,) = ours.encode_lines([text])
    assert ids
    assert not {0, 1, 2, 4} & set(ids)
    assert ours.encode_lines(["sap", text, "pass"]) == [
        ours.encode_lines(["sap"])[0],
        ids,
        ours.encode_lines(["pass"])[0],
    ]
    (parsed,) = SubwordTokenizer(backend, "parse").encode_lines([text])
    assert {0, 1, 2, 4} & set(parsed)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", b"one\ntwo\n", r"vocab\.txt is no WordPiece vocabulary: none of its 2 lines is \[UNK\]"),
        ("vocab.txt", b"\xff\xfe", r"vocab\.txt is not a vocabulary"),
        ("vocab.txt", b"[UNK]\n[PAD]\n", r"no token for mask \(\[MASK\] or <mask>\)"),
        ("tokenizer_config.json", b"{", r"tokenizer_config\.json cannot be read"),
        ("tokenizer_config.json", b"[]", r"tokenizer_config\.json holds a list"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (write(tmp_path) / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_tokenizer(tmp_path)

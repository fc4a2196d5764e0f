from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_ray.encoding import load_tokenizer, train_tokenizer
from kie_ray.encoding.tokenizer import SubwordTokenizer, XlmrTokenizer
from kie_ray.errors import ConfigError

CORPUS = [
    *[
        "Name of applicant",
        "Date of birth: 2024-01-31",
        "Total amount",
        "申请人姓名",
        "出生日期：二〇二四年",
        "金额合计",
    ]
    * 20,
    "龘",
]


@pytest.fixture(scope="module")
def trained() -> SubwordTokenizer:
    return train_tokenizer(CORPUS, 600)


def test_ids_of_the_specials(trained: SubwordTokenizer) -> None:
    assert (trained.pad_id, trained.unk_id, trained.mask_id) == (0, 1, 2)
    assert trained.special_ids == frozenset(range(5 + 64))
    assert trained.vocab_size <= 600


def test_words_merge_and_cjk_digits_and_punctuation_stand_alone(trained: SubwordTokenizer) -> None:
    words, chinese, mixed = trained.encode_lines(["Name of applicant", "申请人", "2024-01：a"])
    assert (len(words), len(chinese), len(mixed)) == (3, 3, 9)
    assert trained.encode_lines(["NAME OF  APPLICANT"])[0] == words
    ticked, box, word = trained.encode_lines(["☑name", "☑", "name"])
    assert ticked == box + word
    assert trained.encode_lines(["Ｎａｍｅ\u3000ｏｆ applicant"])[0] == words


def test_an_unseen_word_is_spelled_not_unknown(trained: SubwordTokenizer) -> None:
    for ids in trained.encode_lines(["zyxwvutsrqponmlkjihgfedcba", "qQzZ#%&", "0123456789"]):
        assert ids
        assert not trained.special_ids & set(ids)


def test_unknown_characters_differ(trained: SubwordTokenizer) -> None:
    characters = "张伟王芳李娜龘鱻"
    ids = [line[0] for line in trained.encode_lines(list(characters))]
    assert trained.unk_id not in ids
    assert len(set(ids)) >= 6
    (joined,) = trained.encode_lines([characters])
    assert joined == ids


@pytest.mark.parametrize("text", ["[MASK]", "</s>", "[PAD] [UNK_3]", "a[CLS]b"])
def test_special_tokens_on_a_form_are_text(trained: SubwordTokenizer, text: str) -> None:
    (ids,) = trained.encode_lines([text])
    assert ids
    assert not trained.special_ids & set(ids)


def test_parse_mode_reads_special_tokens(trained: SubwordTokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    parsing = load_tokenizer(tmp_path, special_tokens="parse")
    assert parsing.encode_lines(["[MASK]"]) == [[parsing.mask_id]]


def test_blank_text_has_no_token(trained: SubwordTokenizer) -> None:
    assert trained.encode_lines(["", " ", "\t\n", "\u3000"]) == [[], [], [], []]


def test_saved_and_pickled_copies_agree(trained: SubwordTokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    texts = [*CORPUS[-8:], "张伟 [MASK]"]
    expected = trained.encode_lines(texts)
    assert load_tokenizer(tmp_path).encode_lines(texts) == expected
    assert pickle.loads(pickle.dumps(trained)).encode_lines(texts) == expected


def test_training_is_reproducible_in_another_process(trained: SubwordTokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path / "here")
    code = (
        "import sys, json; from kie_ray.encoding import train_tokenizer;"
        "train_tokenizer(json.load(sys.stdin), 600).save(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "there")]
    subprocess.run(command, input=json.dumps(CORPUS), text=True, check=True)
    ours, theirs = ((tmp_path / name / "tokenizer.json").read_bytes() for name in ("here", "there"))
    assert ours == theirs


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=8))
def test_lines_do_not_influence_each_other(trained: SubwordTokenizer, lines: list[str]) -> None:
    together = trained.encode_lines(lines)
    assert together == [trained.encode_lines([text])[0] for text in lines]
    assert all(0 <= token < trained.vocab_size for ids in together for token in ids)


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigError, match="vocab_size = 80 is too small"):
        train_tokenizer(CORPUS, 80)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds neither sentencepiece.bpe.model, tokenizer.json nor vocab.txt"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"tokenizer\.json is not"):
        load_tokenizer(tmp_path)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"not a model")
    with pytest.raises(ConfigError, match="not a SentencePiece model"):
        load_tokenizer(tmp_path)


def test_xlmr_ids_are_shifted_by_one(tmp_path: Path) -> None:
    spm = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=90, hard_vocab_limit=False, minloglevel=2
    )
    (tmp_path / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    raw = spm.SentencePieceProcessor(model_proto=model.getvalue())
    ours = load_tokenizer(tmp_path)
    assert isinstance(ours, XlmrTokenizer)
    assert ours.vocab_size == raw.get_piece_size() + 2
    assert ours.mask_id == ours.vocab_size - 1
    text = "Name of applicant 申请人 Ω"
    assert ours.encode_lines([text])[0] == [3 if k == 0 else k + 1 for k in raw.encode(text)]
    assert 3 in ours.encode_lines([text])[0]

    special = "a</s>b <mask>"
    assert not {0, 1, 2, ours.mask_id} & set(ours.encode_lines([special])[0])
    parsed = load_tokenizer(tmp_path, special_tokens="parse").encode_lines([special])[0]
    assert parsed.count(2) == 1
    assert parsed[-1] == ours.mask_id

    ours.save(tmp_path / "copy")
    assert load_tokenizer(tmp_path / "copy").encode_lines([text]) == ours.encode_lines([text])

"""Our encoding against PaddleOCR's, recorded: every tokenizer case, reading order, encoded page.

`image_pre.npz` is read by `test_page_image.py`. Left out: the token ids of BERT WordPiece, which only LayoutLM and
LayoutLMv2 use; the recordings hold none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kie_ray.datasets import read_labels
from kie_ray.encoding import LabelSet, PageEncoder, PageTokenizer, load_tokenizer
from kie_ray.encoding.paddle_protocol import (
    PaddleLine,
    PaddleReSample,
    PaddleSample,
    encode_re_lines,
    encode_re_paddle,
    encode_ser_lines,
    encode_ser_paddle,
)
from kie_ray.encoding.reading_order import order_tb_yx_paddle
from kie_ray.encoding.tokenizer import XlmrTokenizer

ARRAYS = ("input_ids", "bbox", "attention_mask", "token_type_ids", "labels")


@pytest.fixture(scope="module")
def folder(fixtures_dir: Path) -> Path:
    return fixtures_dir / "ppocr_encode"


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PageTokenizer:
    return load_tokenizer(folder, special_tokens="parse")


@pytest.fixture(scope="module")
def labels(folder: Path) -> LabelSet:
    return LabelSet.from_file(folder / "class_list_xfun.txt")


@pytest.fixture(scope="module")
def documents(folder: Path) -> dict[str, Any]:
    return {item["name"]: item for item in _json(folder / "annotations.json")}


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _json(folder / "encoded.json")["runs"]
    assert found
    return found


def test_tokenizer_cases(folder: Path, tokenizer: PageTokenizer) -> None:
    recorded = _json(folder / "tokenizer.json")
    special = recorded["special"]
    assert tokenizer.vocab_size == recorded["vocab_size"]
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.mask_id) == (
        special["pad"],
        special["unk"],
        special["mask"],
    )
    encoded = tokenizer.encode_lines([case["text"] for case in recorded["cases"]])
    for case, ids in zip(recorded["cases"], encoded, strict=True):
        assert [special["bos"], *ids, special["eos"]] == case["input_ids"], case["text"]


def test_default_neutralises_special_tokens_and_agrees_elsewhere(folder: Path) -> None:
    neutral = load_tokenizer(folder / "tokenizer_dir")
    assert isinstance(neutral, XlmrTokenizer)
    marks = neutral.special_ids - {neutral.unk_id}
    literal = 0
    for case in _json(folder / "tokenizer.json")["cases"]:
        ids = neutral.encode_lines([case["text"]])[0]
        assert not marks & set(ids), case["text"]
        if any(token in case["text"] for token in ("<s>", "</s>", "<pad>", "<unk>", "<mask>")):
            literal += 1
            assert ids
        else:
            assert ids == case["input_ids"][1:-1], case["text"]
    assert literal


def test_reading_order(folder: Path) -> None:
    for case in _json(folder / "order_by_tbyx.json"):
        assert order_tb_yx_paddle(case["bboxes"]) == case["order"]


def test_ser_runs(
    runs: list[dict[str, Any]], documents: dict[str, Any], tokenizer: PageTokenizer, labels: LabelSet
) -> None:
    checked = 0
    for run in runs:
        if run["pipeline"] not in ("ser_train", "ser_infer") or "output" not in run:
            continue
        options, document = run["options"], documents[run["doc"]]
        sample = encode_ser_lines(
            [PaddleLine.of(item) for item in document["annotation"]],
            document["width"],
            document["height"],
            tokenizer,
            labels,
            order_method=options.get("order_method"),
            max_seq_len=run["max_seq_len"],
            infer=options.get("infer_mode", False),
            textline_boxes=options.get("use_textline_bbox_info", True),
            line_marks=(0, 2) if options.get("add_special_ids") else None,
        )
        _assert_same(sample, run, document)
        entities = [(item["start"], item["end"]) for item in run["output"]["entities"]]
        assert sample.segments == entities, _name(run)
        checked += 1
    assert checked


def test_re_runs(
    runs: list[dict[str, Any]], documents: dict[str, Any], tokenizer: PageTokenizer, labels: LabelSet
) -> None:
    checked = 0
    for run in runs:
        if run["pipeline"] != "re_train":
            continue
        document = documents[run["doc"]]
        sample = encode_re_lines(
            [PaddleLine.of(item) for item in document["annotation"]],
            document["width"],
            document["height"],
            tokenizer,
            labels,
            order_method=run["options"].get("order_method"),
            max_seq_len=run["max_seq_len"],
        )
        if "raises" in run:
            # a link to a line without tokens: the reference fails and takes another page, ours drops that link
            assert sample is not None, _name(run)
            assert sample.dropped_links > 0, _name(run)
            continue
        if run["output"] is None:
            assert sample is None, _name(run)
            continue
        assert isinstance(sample, PaddleReSample), _name(run)
        _assert_same(sample, run, document)
        # row 0 of the recorded tables holds the count
        assert run["output"]["entities"][0] == [len(sample.entities)] * 3
        assert run["output"]["relations"][0] == [len(sample.relations)] * 2
        assert sample.entities.tolist() == run["output"]["entities"][1:], _name(run)
        # relations of one head stand in the order of a python set there
        expected = {tuple(pair) for pair in run["output"]["relations"][1:]}
        assert {tuple(pair) for pair in sample.relations.tolist()} == expected, _name(run)
        assert len(sample.relations) == len(expected), _name(run)
        heads = sample.relations[:, 0].tolist()
        assert heads == [pair[0] for pair in run["output"]["relations"][1:]], _name(run)
        checked += 1
    assert checked


def test_pages_of_the_label_file_encode_like_the_raw_annotation(
    folder: Path, runs: list[dict[str, Any]], documents: dict[str, Any], tokenizer: PageTokenizer, labels: LabelSet
) -> None:
    """The way that evaluation takes: label file, `Page`, paddle protocol."""
    pages = {Path(page.source).stem: page for page in read_labels(folder / "annotations_ppocr_format.txt")}
    checked = 0
    for run in runs:
        document = documents[run["doc"]]
        page = pages[run["doc"]]
        page.width, page.height = document["width"], document["height"]
        if "output" not in run or run["options"].get("order_method") != "tb-yx":
            continue
        if run["pipeline"] == "re_train":
            found = encode_re_paddle(page, tokenizer, labels, max_seq_len=run["max_seq_len"])
            assert found is not None
            assert found.entities.tolist() == run["output"]["entities"][1:], _name(run)
            if all(item["label"].islower() for item in document["annotation"]):
                expected = sorted(run["output"]["relations"][1:])
                assert sorted(found.relations.tolist()) == expected, _name(run)
        else:
            infer = run["options"].get("infer_mode", False)
            sample = encode_ser_paddle(page, tokenizer, labels, max_seq_len=run["max_seq_len"], infer=infer)
            _assert_same(sample, run, document)
        checked += 1
    assert checked


def test_page_encoder_in_parity_mode_gives_the_same_first_window(
    folder: Path, runs: list[dict[str, Any]], documents: dict[str, Any], tokenizer: PageTokenizer, labels: LabelSet
) -> None:
    pages = {Path(page.source).stem: page for page in read_labels(folder / "annotations_ppocr_format.txt")}
    checked = 0
    for run in runs:
        options = run["options"]
        if run["pipeline"] != "ser_train" or "output" not in run or options.get("add_special_ids"):
            continue
        if not options.get("use_textline_bbox_info", True):
            continue
        page, document, length = pages[run["doc"]], documents[run["doc"]], run["max_seq_len"]
        page.width, page.height = document["width"], document["height"]
        order = "tb-yx-paddle" if options["order_method"] == "tb-yx" else "none"
        encoder = PageEncoder(tokenizer, labels, order, length, 0, clamp=False, first_window_only=True)
        (window,) = encoder.encode(page, gold=True).windows
        tokens = sum(run["output"]["attention_mask"])
        assert len(window) == tokens, _name(run)
        assert window.input_ids.tolist() == run["output"]["input_ids"][:tokens], _name(run)
        assert window.bbox.tolist() == run["output"]["bbox"][:tokens], _name(run)
        assert window.labels is not None
        assert window.labels.tolist() == run["output"]["labels"][:tokens], _name(run)
        checked += 1
    assert checked


def _assert_same(sample: PaddleSample, run: dict[str, Any], document: dict[str, Any]) -> None:
    output = run["output"]
    for name in ARRAYS:
        ours = getattr(sample, name)
        assert ours.dtype == np.int64
        assert ours.tolist() == output[name], f"{_name(run)}: {name}"
    assert sample.segment_offsets == output["segment_offset_id"], _name(run)
    texts = [document["annotation"][index]["transcription"] for index in sample.order]
    assert texts == [item["transcription"] for item in output["ocr_info"]], _name(run)


def _name(run: dict[str, Any]) -> str:
    return f"{run['pipeline']} {run['doc']} {run['max_seq_len']} {run['options']}"


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))

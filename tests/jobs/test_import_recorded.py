"""What the fixtures recorded, through `jobs/import_model.py` and `jobs/evaluate.py`: the same logits and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import models, pre_tokenizers

from jobs import evaluate
from jobs.import_model import main
from kie_ray.models.bundle import Bundle
from kie_ray.models.bundle_models import load_models

Arrays = dict[str, NDArray[Any]]

CLASSES = ("other", "question", "answer", "header")
ENTITIES = ("header", "question", "answer")


@pytest.mark.parametrize(
    ("ser", "re_model"),
    [
        ("plain/saved_paddlenlp252", "plain/saved_paddlenlp281"),
        ("relpos/saved_paddlenlp281", "relpos/saved_paddlenlp252"),
        ("fastqkv/saved_paddlenlp252", "plain/saved_paddlenlp252"),
    ],
)
def test_recorded_pair_scores_as_recorded(fixtures_dir: Path, tmp_path: Path, ser: str, re_model: str) -> None:
    """Import a PaddleNLP-saved SER and RE pair, evaluate by PaddleOCR's protocol: the metric of the recorded outputs.

    The recordings are of token ids and a box a token, not of pages. So each token becomes a line of its own, whose text
    a word-level tokenizer turns into the recorded id. What the reference predicted there is recorded as logits and as
    relations; what the gold labels are is of no matter to it: a line's label begins with B-.
    """
    ser_folder, re_folder = fixtures_dir / "paddle_vi_ser" / ser, fixtures_dir / "paddle_vi_re" / re_model
    ser_cases = read_cases(ser_folder.parent, ("main", "with_id0", "seq512"))
    re_cases = read_cases(re_folder.parent, ("main", "infer_all_pairs"))
    vocabulary = len(read_array(ser_folder.parent / "weights.npz", "layoutxlm.embeddings.word_embeddings.weight"))
    write_word_tokenizer(tmp_path / "tokenizer", vocabulary, [*ser_cases, *re_cases])
    bundle = tmp_path / "bundle"
    sources = ["--paddle-ser", str(ser_folder), "--paddle-re", str(re_folder)]
    # lines stay in the recorded order of the tokens
    options = ["--tokenizer", str(tmp_path / "tokenizer"), "--reading-order", "none", "--output", str(bundle)]
    assert main([*sources, *options]) == 0

    pages = [page for case in ser_cases for page in ser_pages(case)]
    gold = [[token_name(line["label"]) for line in page] for page in pages]
    predicted = [tags for case in ser_cases for tags in recorded_tags(case)]
    expected = chunk_metric(gold, predicted)
    assert 0 < expected["hmean"] < 1
    assert_scores(run_evaluate(tmp_path / "ser", bundle, "ser", pages), expected)

    pages = [page for case in re_cases for page in re_pages(case)]
    expected = pair_metric([links for case in re_cases for links in recorded_links(case)])
    assert 0 < expected["hmean"] < 1
    assert_scores(run_evaluate(tmp_path / "re", bundle, "re", pages), expected)


def read_cases(folder: Path, names: tuple[str, ...]) -> list[Arrays]:
    cases = []
    for name in names:
        if (folder / f"{name}.npz").is_file():
            with np.load(folder / f"{name}.npz") as arrays:
                cases.append(dict(arrays))
    assert cases, f"{folder} holds none of {names}"
    return cases


def read_array(file: Path, name: str) -> NDArray[Any]:
    with np.load(file) as arrays:
        return np.asarray(arrays[name])


def write_word_tokenizer(folder: Path, size: int, cases: list[Arrays]) -> None:
    """Token `t<id>` has that id; the special tokens take ids that no recorded text has."""
    used = {int(token) for case in cases for row, mask in pairs_of(case) for token in row[mask]}
    free = [index for index in range(size) if index not in used]
    special = dict(zip(("<pad>", "<unk>", "<mask>"), free, strict=False))
    vocab = {f"t{index}": index for index in range(size) if index not in special.values()} | special
    backend = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(list(special))
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))


def pairs_of(case: Arrays) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    return list(zip(case["input_ids"], case["attention_mask"].astype(bool), strict=True))


def token_lines(case: Arrays, row: int) -> list[dict[str, Any]]:
    """The tokens of one recorded page as lines of a label file, on a page of 1000 x 1000 pixels."""
    used = case["attention_mask"][row].astype(bool)
    lines = []
    for number, (token, box) in enumerate(zip(case["input_ids"][row][used], case["bbox"][row][used], strict=True)):
        x0, y0, x1, y1 = map(int, box)
        points = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
        lines.append({"transcription": f"t{token}", "label": "other", "points": points, "id": number, "linking": []})
    return lines


def ser_pages(case: Arrays) -> list[list[dict[str, Any]]]:
    pages = []
    for row in range(len(case["input_ids"])):
        lines = token_lines(case, row)
        for line, label in zip(lines, case["labels"][row], strict=False):
            line["label"] = CLASSES[(int(label) + 1) // 2 if label > 0 else 0]
        pages.append(lines)
    return pages


def re_pages(case: Arrays) -> list[list[dict[str, Any]]]:
    """An entity is its first token, which is all that the RE head sees of it."""
    pages = []
    for row in range(len(case["input_ids"])):
        lines, found = token_lines(case, row), counted(case["entities"][row])
        for start, _, label in found:
            lines[start]["label"] = ENTITIES[label]
        for head, tail in counted(case["relations"][row]):
            link = [int(found[head][0]), int(found[tail][0])]
            for end in link:
                lines[end]["linking"].append(link)
        pages.append(lines)
    return pages


def counted(table: NDArray[Any]) -> NDArray[Any]:
    """The rows of a padded table whose row 0 holds their number."""
    return table[1 : 1 + table[0, 0]]


def token_name(label: str) -> str:
    return "O" if label == "other" else f"B-{label.upper()}"


def recorded_tags(case: Arrays) -> list[list[str]]:
    names = ["O", *(f"{mark}-{name.upper()}" for name in CLASSES[1:] for mark in "BI")]
    rows = zip(case["logits"], case["attention_mask"].astype(bool), strict=True)
    return [[names[index] for index in logits[used].argmax(-1)] for logits, used in rows]


def chunk_metric(gold: list[list[str]], predicted: list[list[str]]) -> dict[str, float]:
    """seqeval's default: chunks of all pages, equal in type and extent; an I- after another type opens one."""

    def chunks(tags: list[str]) -> set[tuple[str, int, int]]:
        found, start = set(), 0
        for index, tag in enumerate(tags):
            kind = tag[2:]
            last = index + 1 == len(tags) or tags[index + 1] != f"I-{kind}"
            if tag[0] == "B" or (tag[0] == "I" and (index == 0 or tags[index - 1][2:] != kind)):
                start = index
            if tag != "O" and last:
                found.add((kind, start, index))
        return found

    pairs = [(chunks(ours), chunks(theirs)) for ours, theirs in zip(gold, predicted, strict=True)]
    return metric(sum(len(a & b) for a, b in pairs), sum(len(b) for _, b in pairs), sum(len(a) for a, _ in pairs))


def recorded_links(case: Arrays) -> list[tuple[set[tuple[int, int]], set[tuple[int, int]]]]:
    """Gold and predicted pairs of entities by page. PaddleOCR keeps links of a question and an answer alone."""
    pages = []
    for row in range(len(case["input_ids"])):
        labels = [ENTITIES[label] for _, _, label in counted(case["entities"][row])]
        gold = {(int(head), int(tail)) for head, tail in counted(case["relations"][row])}
        gold = {(head, tail) for head, tail in gold if (labels[head], labels[tail]) == ("question", "answer")}
        blocks = case[f"pred_relations_{row}"]
        pages.append((gold, {(int(block[0, 0]), int(block[3, 0])) for block in blocks}))
    return pages


def pair_metric(pages: list[tuple[set[tuple[int, int]], set[tuple[int, int]]]]) -> dict[str, float]:
    return metric(
        sum(len(gold & found) for gold, found in pages),
        sum(len(found) for _, found in pages),
        sum(len(gold) for gold, _ in pages),
    )


def metric(correct: int, predicted: int, support: int) -> dict[str, float]:
    precision, recall = correct / predicted, correct / support
    return {"precision": precision, "recall": recall, "hmean": 2 * precision * recall / (precision + recall)}


def run_evaluate(folder: Path, bundle: Path, task: str, pages: list[list[dict[str, Any]]]) -> dict[str, Any]:
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, lines in enumerate(pages):
        Image.new("1", (1000, 1000)).save(folder / "images" / f"{number}.png")
        rows.append(f"{number}.png\t{json.dumps(lines)}\n")
    (folder / "labels.txt").write_text("".join(rows))
    arguments = ["--task", task, "--protocol", "paddle", "--model", str(bundle), "--device", "cpu"]
    arguments += ["--annotations", str(folder / "labels.txt"), "--images", str(folder / "images")]
    assert evaluate.main([*arguments, "--json", str(folder / "scores.json")]) == 0
    scores: dict[str, Any] = json.loads((folder / "scores.json").read_text())
    return scores


def assert_scores(scores: dict[str, Any], expected: dict[str, float]) -> None:
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("option", "folder", "saved", "image", "order"),
    [
        ("--paddle-ser", "paddle_full_ser/plain", "saved_paddlenlp252", "paddle", "none"),
        ("--paddle-ser", "paddle_full_ser/relpos", "saved_paddlenlp281", "paddle", "none"),
        ("--huggingface", "layoutlmv2_ser/v2", "saved_hf", "bgr", "tb-yx"),
        ("--huggingface", "layoutlmv2_ser/layoutxlm", "saved_hf", "bgr", "tb-yx"),
        ("--huggingface", "layoutlm_ser", "saved_hf", "none", "tb-yx"),
    ],
)
def test_recorded_models_give_their_logits_as_bundles(
    fixtures_dir: Path, tmp_path: Path, option: str, folder: str, saved: str, image: str, order: str
) -> None:
    (case,) = read_cases(fixtures_dir / folder, ("main",))
    write_word_tokenizer(tmp_path / "tokenizer", int(case["input_ids"].max()) + 1, [case])
    arguments = [option, str(fixtures_dir / folder / saved), "--tokenizer", str(tmp_path / "tokenizer")]
    labels = ["--labels", "OTHER,QUESTION,ANSWER,HEADER"]
    assert main([*arguments, *labels, "--output", str(tmp_path / "bundle")]) == 0
    bundle = Bundle.load(tmp_path / "bundle")
    assert (bundle.info.image, bundle.info.reading_order) == (image, order)
    given = {name: torch.from_numpy(case[name]) for name in ("input_ids", "bbox", "attention_mask", "token_type_ids")}
    if image != "none":
        given["image"] = torch.from_numpy(case["image"]).float()
    with torch.inference_mode():
        logits = load_models(bundle).ser(**given).ser_logits  # type: ignore[misc]
    used = case["attention_mask"].astype(bool)
    torch.testing.assert_close(logits[used], torch.from_numpy(case["logits"][used]), atol=1e-4, rtol=0)

"""Post-processing and metrics against outputs recorded from PaddleOCR 2.10.0 and seqeval.

Sizes, documents and labels are all read from the files. One recorded behaviour is not reproduced: PaddleOCR shifts the
labels of all lines behind a skipped blank line and leaves the last lines without a label. Such a document is recognised
by having more lines than segments; its votes are compared segment by segment, and with us each stays with its own line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kie_ray.decoding.re import DEFAULT_RELATION_PAIRS, PairScores, candidate_pairs, select_links
from kie_ray.decoding.ser import decode_ser, lines_of_offsets, vote_paddle
from kie_ray.encoding.labels import LabelSet
from kie_ray.metrics import span_relation_scores, tag_scores, token_scores

ENTITY_LABEL_IDS = {"HEADER": 0, "QUESTION": 1, "ANSWER": 2}


@pytest.fixture(scope="module")
def post(fixtures_dir: Path) -> Path:
    folder = fixtures_dir / "ppocr_post"
    if not folder.is_dir():
        pytest.skip(f"no fixture {folder}")
    return folder


def load(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def label_set(names_by_id: dict[str, str]) -> LabelSet:
    names = [names_by_id[str(index)] for index in range(len(names_by_id))]
    labels = LabelSet.from_names(names)
    assert list(labels.names) == names
    return labels


def test_ser_majority_vote(post: Path) -> None:
    recorded = load(post, "ser_infer.json")
    labels = label_set(recorded["labels"])
    compared = 0
    for case in recorded["cases"]:
        segments = case["segment_offset_id"]
        (logits,) = np.asarray(case["logits"], dtype=np.float32)
        votes = vote_paddle(logits.argmax(axis=1), lines_of_offsets(segments, len(logits)), len(segments), labels)
        # The recorded list runs over ocr_info; its first len(segments) entries hold the votes in segment order, which
        # are the labels of *other* lines where a blank line was skipped.
        expected = case["result"][: len(segments)]
        assert [int(vote) and 2 * int(vote) - 1 for vote in votes] == [line["pred_id"] for line in expected], case[
            "doc"
        ]
        predicted = ["O" if vote == 0 else labels.classes[vote] for vote in votes]
        assert predicted == [line["pred"] for line in expected], case["doc"]
        compared += len(segments)
    assert compared > 0


def test_averaged_scores_agree_with_the_vote_where_all_tokens_do(post: Path) -> None:
    recorded = load(post, "ser_infer.json")
    labels = label_set(recorded["labels"])
    unanimous_lines = 0
    for case in recorded["cases"]:
        (logits,) = torch.tensor(case["logits"])
        lines = lines_of_offsets(case["segment_offset_id"], len(logits))
        decoded = decode_ser(
            logits.double().softmax(-1), torch.from_numpy(lines), len(case["segment_offset_id"]), labels
        )
        merged = torch.zeros(len(logits), len(labels.classes), dtype=torch.float64)
        for index in range(labels.num_labels):
            merged[:, labels.class_id(labels.class_of(index))] += logits.double().softmax(-1)[:, index]
        token_class = merged.argmax(1).numpy()
        for line in range(len(case["segment_offset_id"])):
            own = token_class[lines == line]
            if len(own) == 0:
                assert decoded.class_ids[line] == 0
                assert decoded.scores[line] == 0
            elif len(set(own.tolist())) == 1:
                assert decoded.class_ids[line] == own[0]
                unanimous_lines += 1
    assert unanimous_lines > 0


def test_ser_metric(post: Path) -> None:
    labels = label_set(load(post, "ser_infer.json")["labels"])
    for case in load(post, "ser_metric.json")["cases"]:
        gold = [np.asarray(row) for batch in case["batches"] for row in batch["labels"]]
        predicted = [np.asarray(row) for batch in case["batches"] for row in batch["pred_ids"]]
        same(token_scores(gold, predicted, labels.names).overall.to_dict(), case["metric"])
        tags = [[row for batch in case["batches"] for row in batch[key]] for key in ("decoded_label", "decoded_pred")]
        same(tag_scores(*tags).overall.to_dict(), case["metric"])


def test_seqeval_on_free_tag_sequences(post: Path) -> None:
    cases = load(post, "seqeval_free.json")
    assert cases
    for case in cases:
        same(tag_scores(case["gold"], case["pred"]).overall.to_dict(), case["metric"])


def test_re_candidates_and_first_rule(post: Path) -> None:
    compared = 0
    for case in load(post, "re_infer.json")["cases"]:
        if "raises" in case:
            # PaddleOCR fails on documents with blank lines; the candidates of such a page must still come out.
            labels = [label if label in ENTITY_LABEL_IDS else "OTHER" for label in case["ser_pred"]]
            heads, tails = labels.count("QUESTION"), labels.count("ANSWER")
            assert len(candidate_pairs(labels)) == heads * tails
            continue
        lines = [index for index, label in enumerate(case["ser_pred"]) if label in ENTITY_LABEL_IDS]
        assert {int(entity): line for entity, line in case["entity_idx_dict"].items()} == dict(enumerate(lines))
        labels = [case["ser_pred"][line] for line in lines]
        spans = [[case["ser_entities"][line]["start"], case["ser_entities"][line]["end"]] for line in lines]
        entities = [[*span, ENTITY_LABEL_IDS[label]] for span, label in zip(spans, labels, strict=True)]
        assert entities == case["entities"][1 : 1 + case["entities"][0][0]]

        pairs = candidate_pairs(labels, DEFAULT_RELATION_PAIRS)
        assert pairs.tolist() == case["relations"][1 : 1 + case["relations"][0][0]]

        # The recording walks its positive pairs in their own order, so that is the order of the candidates here.
        positive = np.asarray(case["positive_pairs"], dtype=np.int64).reshape(-1, 2)
        links = select_links(PairScores(positive, np.ones(len(positive), np.float32)), lines, rule="first")
        assert [[link.key_line, link.value_line] for link in links] == case["result_line_pairs"], case["doc"]
        kept_all = select_links(PairScores(positive, np.ones(len(positive), np.float32)), range(len(lines)), rule="all")
        decoded = [
            {
                "head_id": link.key_line,
                "head": spans[link.key_line],
                "head_type": ENTITY_LABEL_IDS[labels[link.key_line]],
                "tail_id": link.value_line,
                "tail": spans[link.value_line],
                "tail_type": ENTITY_LABEL_IDS[labels[link.value_line]],
                "type": 1,
            }
            for link in kept_all
        ]
        assert decoded == case["decoded"]
        compared += 1
    assert compared > 0


def test_re_metric(post: Path) -> None:
    cases = load(post, "re_metric.json")["cases"]
    assert cases
    for case in cases:
        gold, predicted = [], []
        for document in case["docs"]:
            entities = document["entities"][1 : 1 + document["entities"][0][0]]
            relations = document["relations"][1 : 1 + document["relations"][0][0]]
            gold.append({(tuple(entities[h][:2]), tuple(entities[t][:2])) for h, t in relations})
            predicted.append({(tuple(item["head"]), tuple(item["tail"])) for item in document["decoded"]})
            from_pairs = {(tuple(entities[h][:2]), tuple(entities[t][:2])) for h, t in document["predicted_pairs"]}
            assert from_pairs == predicted[-1]
        same(span_relation_scores(gold, predicted).to_dict(), case["metric"])


def same(ours: dict[str, float], recorded: dict[str, float]) -> None:
    assert {name: ours[name] for name in recorded} == pytest.approx(recorded, abs=1e-12)

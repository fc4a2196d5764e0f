"""A checkpoint's numbering of labels becomes ours, and its classifier says the same as before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from kie_ray.errors import ConfigError
from kie_ray.importing.labels import (
    PADDLE_CLASSES,
    arrange_classifier,
    arrange_entities,
    configured_names,
    label_rows,
    names_of,
    wanted_names,
)
from kie_ray.models.layoutlmv2 import LayoutLMv2ForKie, LayoutLMv2ForSer
from tests.kie_ray.models.model_samples import entities, inputs, small_config

XFUN = ["O", "B-QUESTION", "B-ANSWER", "B-HEADER", "I-ANSWER", "I-QUESTION", "I-HEADER"]
FUNSD = ["O", "B-HEADER", "I-HEADER", "B-QUESTION", "I-QUESTION", "B-ANSWER", "I-ANSWER"]


@pytest.mark.parametrize(
    ("names", "classes", "rows"),
    [
        (XFUN, ("QUESTION", "ANSWER", "HEADER"), (0, 1, 5, 2, 4, 3, 6)),
        (FUNSD, ("QUESTION", "ANSWER", "HEADER"), (0, 3, 4, 5, 6, 1, 2)),
        ([name.lower() for name in FUNSD], ("QUESTION", "ANSWER", "HEADER"), (0, 3, 4, 5, 6, 1, 2)),
        (["I_total", "B_total", "B_date", "I_date", "other"], ("TOTAL", "DATE"), (4, 1, 0, 2, 3)),
        (["B-A", "O", "I-B"], ("A", "B"), (1, 0, None, None, 2)),
        (["O", "B-X-RAY", "I-X-RAY"], ("X-RAY",), (0, 1, 2)),
    ],
)
def test_rows(names: list[str], classes: tuple[str, ...], rows: tuple[int | None, ...]) -> None:
    found = label_rows(names)
    assert found.labels.entities == classes
    assert found.rows == rows
    assert found.changed == (rows != tuple(range(len(rows))))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["O", "S-QUESTION"], r"'S-QUESTION' \(id 1\) is neither O nor B-CLASS nor I-CLASS; schemes other than BIO"),
        (["question", "answer"], "'question' .* is neither O"),
        (["O", "B-A", "b-a"], "'b-a' stands twice, with the ids 1 and 2"),
        (["O", "other", "B-A"], "'other' stands twice"),
        (["B-A", "I-A"], "one of them must be O"),
        (["O"], "no entity class"),
    ],
)
def test_schemes_that_cannot_be_imported(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        label_rows(names)


@pytest.mark.parametrize("names", [XFUN, FUNSD])
def test_logits_agree_label_by_label(names: Sequence[str]) -> None:
    torch.manual_seed(0)
    model = LayoutLMv2ForSer(small_config()).eval()
    with torch.inference_mode():
        before = model(**inputs()).ser_logits
    order = label_rows(names)
    arrange_classifier(model, order)
    with torch.inference_mode():
        after = model(**inputs()).ser_logits
    for name in names:
        torch.testing.assert_close(after[..., order.labels.id_of(name)], before[..., names.index(name)])


def test_a_label_that_the_checkpoint_lacks_is_never_predicted() -> None:
    torch.manual_seed(1)
    model = LayoutLMv2ForSer(small_config(num_labels=4)).eval()
    arrange_classifier(model, label_rows(["O", "B-A", "B-B", "I-B"]))
    assert model.config.num_labels == model.classifier.out_features == 5
    with torch.inference_mode():
        logits = model.half().float()(**inputs()).ser_logits
    assert logits.isfinite().all()
    assert (logits.softmax(-1)[..., 2] == 0).all()


def test_entity_rows_follow_their_names() -> None:
    torch.manual_seed(2)
    model = LayoutLMv2ForKie(small_config()).eval()
    given = inputs() | entities()
    del given["boxes"], given["order"]
    with torch.inference_mode():
        before = model(**given).re_logits
    arrange_entities(model, ("HEADER", "QUESTION", "ANSWER"), ("QUESTION", "ANSWER", "HEADER"))
    with torch.inference_mode():
        after = model(**given | {"entity_labels": (given["entity_labels"] - 1) % 3}).re_logits
    torch.testing.assert_close(after, before)


def test_labels_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_text("\ufeffOTHER\nquestion\n\nanswer\n", encoding="utf-8")
    assert wanted_names(str(file)) == ["OTHER", "question", "answer"]
    assert wanted_names("O, B-A ,I-A") == ["O", "B-A", "I-A"]
    many = [f"B-A_CLASS_WITH_A_LONG_NAME_{index}" for index in range(300)]
    assert wanted_names(",".join(many)) == many
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="binary cannot be read"):
        wanted_names(str(tmp_path / "binary"))
    for text in ("classes.txt", "", ","):
        with pytest.raises(ConfigError, match="is neither a file nor a list of labels"):
            wanted_names(text)


def test_names_from_a_class_list_or_from_labels() -> None:
    expected = ["O", "B-QUESTION", "I-QUESTION", "B-ANSWER", "I-ANSWER", "B-HEADER", "I-HEADER"]
    assert names_of(PADDLE_CLASSES, 7) == expected
    assert names_of(PADDLE_CLASSES[1:], 7) == expected, "a class list without OTHER"
    assert names_of(XFUN, 7) == XFUN
    with pytest.raises(ConfigError, match=r"4 classes make 7 labels, the checkpoint has 5"):
        names_of(PADDLE_CLASSES, 5)
    with pytest.raises(ConfigError, match=r"7 labels, the checkpoint has 5"):
        names_of(XFUN, 5)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"id2label": {"1": "B-A", "0": "O", "2": "I-A"}}, ["O", "B-A", "I-A"]),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, []),
        ({"id2label": {"0": "O", "2": "B-A"}}, []),
        ({"id2label": None}, []),
        ({}, []),
    ],
)
def test_labels_of_a_configuration(tmp_path: Path, tree: dict[str, object], expected: list[str]) -> None:
    assert configured_names(tmp_path) == []
    (tmp_path / "config.json").write_text(json.dumps(tree))
    assert configured_names(tmp_path) == expected


def test_a_mapping_from_something_else_than_numbers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"id2label": {"zero": "O"}}')
    with pytest.raises(ConfigError, match=r"config\.json: id2label should map numbers to names"):
        configured_names(tmp_path)

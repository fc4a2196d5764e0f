from __future__ import annotations

from pathlib import Path

import pytest

from kie_ray.encoding import LabelSet
from kie_ray.errors import ConfigError

XFUND = ["OTHER", "QUESTION", "ANSWER", "HEADER"]
NAMES = ("O", "B-QUESTION", "I-QUESTION", "B-ANSWER", "I-ANSWER", "B-HEADER", "I-HEADER")


def test_ids_follow_paddleocr() -> None:
    labels = LabelSet.from_classes(XFUND)
    assert labels.names == NAMES
    assert labels.classes == ("OTHER", "QUESTION", "ANSWER", "HEADER")
    assert (labels.num_labels, labels.num_classes) == (7, 4)


def test_case_and_every_spelling_of_other_are_folded_in() -> None:
    assert LabelSet.from_classes(["question", "Answer", "ignore", "header", "Others", ""]).names == NAMES


def test_a_list_without_other_has_two_labels_a_class_and_o() -> None:
    assert LabelSet.from_classes(["A", "B", "C"]).num_labels == 7


def test_ids_of_a_line_label() -> None:
    labels = LabelSet.from_classes(XFUND)
    assert (labels.begin_id("answer"), labels.inside_id("answer")) == (3, 4)
    for label in ("other", "IGNORE", "Others", ""):
        assert (labels.begin_id(label), labels.inside_id(label)) == (0, 0)
    assert [labels.class_of(index) for index in range(7)] == [
        "OTHER", "QUESTION", "QUESTION", "ANSWER", "ANSWER", "HEADER", "HEADER",
    ]  # fmt: skip
    assert [labels.id_of(name) for name in labels.names] == list(range(7))


def test_names_survive_the_bundle() -> None:
    labels = LabelSet.from_classes(["total", "date"])
    assert LabelSet.from_names(labels.names) == labels
    with pytest.raises(ConfigError, match="should be"):
        LabelSet.from_names(["O", "B-A", "B-B", "I-A", "I-B"])


def test_unknown_label_is_named_with_its_neighbour() -> None:
    labels = LabelSet.from_classes(XFUND)
    with pytest.raises(ConfigError, match=r"'questoin'.*'QUESTION'"):
        labels.begin_id("questoin")
    with pytest.raises(ConfigError, match=r"'B-ANSWR'.*'B-ANSWER'"):
        labels.id_of("B-ANSWR")


def test_bad_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TOTAL more than once"):
        LabelSet.from_classes(["total", "TOTAL"])
    with pytest.raises(ConfigError, match="no entity class"):
        LabelSet.from_classes(["OTHER"])
    with pytest.raises(ConfigError, match=r"nowhere\.txt does not exist"):
        LabelSet.from_file(tmp_path / "nowhere.txt")


def test_class_list_file_with_bom_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "classes.txt"
    file.write_bytes("\ufeffOTHER\r\nQUESTION\r\nANSWER\r\nHEADER\r\n".encode())
    assert LabelSet.from_file(file).names == NAMES

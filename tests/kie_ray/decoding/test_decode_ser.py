import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_ray.decoding.ser import decode_ser, lines_of_offsets, vote_paddle
from kie_ray.encoding.labels import LabelSet
from kie_ray.records import OTHER

LABELS = LabelSet.from_classes(["OTHER", "QUESTION", "ANSWER"])  # O B-Q I-Q B-A I-A


def test_begin_and_inside_are_one_class() -> None:
    # O leads every single label of the token, but B-QUESTION and I-QUESTION together have more.
    decoded = decode_ser(torch.tensor([[0.40, 0.30, 0.25, 0.05, 0.0]]), torch.tensor([0]), 1, LABELS)
    assert LABELS.classes[decoded.class_ids[0]] == "QUESTION"
    assert decoded.scores[0] == pytest.approx(0.55)
    assert decoded.class_probabilities[0] == pytest.approx([0.40, 0.55, 0.05])


def test_scores_are_averaged_over_tokens_and_windows() -> None:
    sure, doubtful = [0.0, 0.0, 0.0, 0.5, 0.5], [0.6, 0.0, 0.0, 0.2, 0.2]
    first_window, second_window = [sure, doubtful], [sure, sure]
    decoded = decode_ser(torch.tensor(first_window + second_window), torch.zeros(4, dtype=torch.long), 1, LABELS)
    assert LABELS.classes[decoded.class_ids[0]] == "ANSWER"
    assert decoded.scores[0] == pytest.approx((1 + 0.4 + 1 + 1) / 4)


def test_a_line_without_tokens_keeps_its_index() -> None:
    decoded = decode_ser(torch.tensor([[0, 1.0, 0, 0, 0], [0, 0, 0, 0, 1.0]]), torch.tensor([0, 2]), 4, LABELS)
    assert [LABELS.classes[i] for i in decoded.class_ids] == ["QUESTION", OTHER, "ANSWER", OTHER]
    assert decoded.scores.tolist() == [1, 0, 1, 0]
    assert decoded.class_probabilities.sum(axis=1).tolist() == [1, 0, 1, 0]


def test_padding_is_ignored() -> None:
    decoded = decode_ser(torch.tensor([[0, 1.0, 0, 0, 0], [1.0, 0, 0, 0, 0]]), torch.tensor([0, -1]), 1, LABELS)
    assert decoded.scores[0] == 1


def test_a_page_without_lines() -> None:
    decoded = decode_ser(torch.empty(0, 5), torch.empty(0, dtype=torch.long), 0, LABELS)
    assert decoded.class_ids.shape == decoded.scores.shape == (0,)
    assert decoded.class_probabilities.shape == (0, 3)


@pytest.mark.parametrize(
    ("probabilities", "index", "message"),
    [
        (torch.zeros(2, 4), torch.tensor([0, 0]), r"\[N, 5\]"),
        (torch.zeros(2, 5), torch.tensor([0]), r"\[N, 5\]"),
        (torch.zeros(2, 5), torch.tensor([0, 3]), "up to 3, but there are 3 lines"),
        (torch.full((2, 5), torch.nan), torch.tensor([0, 0]), "NaN"),
    ],
)
def test_bad_input_is_refused(probabilities: torch.Tensor, index: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_ser(probabilities, index, 3, LABELS)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 60))
def test_decoding_equals_a_loop_and_does_not_depend_on_token_order(seed: int, num_lines: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(5), size=tokens).astype(np.float32).reshape(tokens, 5)
    index = rng.integers(0, num_lines, tokens)
    decoded = decode_ser(torch.from_numpy(probabilities), torch.from_numpy(index), num_lines, LABELS)
    for line in range(num_lines):
        rows = probabilities[index == line].astype(np.float64)
        means = [rows[:, columns].sum() / max(1, len(rows)) for columns in ([0], [1, 2], [3, 4])]
        assert decoded.class_probabilities[line] == pytest.approx(means, abs=1e-6)
        assert decoded.class_ids[line] == (int(np.argmax(means)) if len(rows) else 0)
    shuffle = rng.permutation(tokens)
    again = decode_ser(torch.from_numpy(probabilities[shuffle]), torch.from_numpy(index[shuffle]), num_lines, LABELS)
    assert np.array_equal(again.class_ids, decoded.class_ids)


def test_vote_merges_begin_and_inside_and_ties_go_to_the_smallest_class() -> None:
    tokens = np.array([3, 4, 1, 0, 3, 2, 4], dtype=np.int64)  # A A Q | O A | Q A
    lines = np.array([0, 0, 0, 1, 1, 2, 2], dtype=np.int64)
    votes = vote_paddle(tokens, lines, 4, LABELS)
    assert [LABELS.classes[i] for i in votes] == ["ANSWER", OTHER, "QUESTION", OTHER]


def test_offsets_become_line_indices() -> None:
    assert lines_of_offsets([2, 2, 5], 7).tolist() == [0, 0, 2, 2, 2, -1, -1]
    assert lines_of_offsets([2, 9], 4).tolist() == [0, 0, 1, 1]
    assert lines_of_offsets([], 2).tolist() == [-1, -1]

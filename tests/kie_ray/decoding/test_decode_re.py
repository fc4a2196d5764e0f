import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_ray.decoding.re import PairScores, candidate_pairs, score_pairs, select_links
from kie_ray.records import Link


def scored(*rows: tuple[int, int, float]) -> PairScores:
    return PairScores(
        np.array([row[:2] for row in rows], np.int64).reshape(-1, 2), np.array([row[2] for row in rows], np.float32)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["QUESTION", "ANSWER", "HEADER", "OTHER"]), max_size=12),
    st.lists(st.tuples(*[st.sampled_from(["QUESTION", "ANSWER", "HEADER"])] * 2), max_size=4),
)
def test_candidates_equal_a_double_loop(labels: list[str], relation_pairs: list[tuple[str, str]]) -> None:
    expected = [
        [i, j]
        for i in range(len(labels))
        for j in range(len(labels))
        if i != j and (labels[i], labels[j]) in relation_pairs
    ]
    found = candidate_pairs(labels, relation_pairs)
    assert found.shape == (len(expected), 2)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_question_answer_is_the_default() -> None:
    assert candidate_pairs(["ANSWER", "QUESTION", "HEADER", "ANSWER"]).tolist() == [[1, 0], [1, 3]]


def test_pair_score_is_the_probability_of_linked() -> None:
    pairs = np.array([[0, 1], [0, 2]], np.int64)
    result = score_pairs(torch.tensor([[0.0, 0.0], [1.0, 3.0]]), pairs)
    assert result.scores == pytest.approx([0.5, 1 / (1 + math.exp(-2))])
    assert score_pairs(torch.empty(0, 2), np.empty((0, 2), np.int64)).scores.shape == (0,)
    with pytest.raises(ValueError, match="2 pairs need logits"):
        score_pairs(torch.zeros(1, 2), pairs)
    with pytest.raises(ValueError, match="NaN"):
        score_pairs(torch.full((2, 2), torch.nan), pairs)


def test_each_answer_goes_to_its_best_question_and_a_question_owns_many() -> None:
    pairs = scored((0, 2, 0.6), (0, 3, 0.7), (1, 2, 0.9), (1, 3, 0.55), (0, 4, 0.8), (1, 4, 0.49))
    assert select_links(pairs, [10, 11, 12, 13, 14]) == [
        Link(10, 13, pytest.approx(0.7)),
        Link(11, 12, pytest.approx(0.9)),
        Link(10, 14, pytest.approx(0.8)),
    ]


def test_threshold() -> None:
    pairs = scored((0, 1, 0.5), (0, 2, 0.49))
    assert [link.value_line for link in select_links(pairs, [0, 1, 2])] == [1]
    assert [link.value_line for link in select_links(pairs, [0, 1, 2], threshold=0.4)] == [1, 2]
    assert select_links(scored(), []) == []


def test_ties_go_to_the_nearest_question_in_reading_order_then_the_earlier() -> None:
    pairs = scored((0, 3, 0.9), (1, 3, 0.9), (2, 3, 0.9))
    assert select_links(pairs, range(4))[0].key_line == 2
    # Read in the order 3 (the answer), 0, 2, 1: question 0 is the neighbour.
    assert select_links(pairs, range(4), order=[3, 0, 2, 1])[0].key_line == 0
    # One question on each side of the answer: the earlier one.
    assert select_links(scored((0, 1, 0.9), (2, 1, 0.9)), range(3))[0].key_line == 0


def test_paddle_keeps_the_first_question_whatever_its_score() -> None:
    pairs = scored((0, 2, 0.51), (1, 2, 0.99), (1, 3, 0.7))
    first = select_links(pairs, range(4), rule="first")
    assert [(link.key_line, link.value_line) for link in first] == [(0, 2), (1, 3)]
    assert len(select_links(pairs, range(4), rule="all")) == 3


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_kept_link_is_the_maximum_of_its_answer(data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(
            st.tuples(st.integers(0, 5), st.integers(6, 9), st.floats(0, 1, width=16)),
            max_size=20,
            unique_by=lambda r: r[:2],
        )
    )
    links = select_links(scored(*rows), range(10))
    passing = [row for row in rows if row[2] >= 0.5]
    assert sorted(link.value_line for link in links) == sorted({row[1] for row in passing})
    for link in links:
        assert link.score == max(row[2] for row in passing if row[1] == link.value_line)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kie_ray.metrics.calibration import (
    Calibration,
    expected_calibration_error,
    field_calibration,
    label_calibration,
    link_calibration,
    reliability_bins,
    threshold_for_precision,
)
from kie_ray.records import Field, Line, Link, Page

POINTS = (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
PAIRS = [("QUESTION", "ANSWER")]


def page(*lines: tuple[int, str, float], links: tuple[Link, ...] = ()) -> Page:
    made = [Line(line_id, "x", POINTS, label=label, label_score=score) for line_id, label, score in lines]
    return Page(0, 10, 10, made, list(links))


def test_bins_hold_mean_score_and_accuracy() -> None:
    bins = reliability_bins([0.05, 0.2, 0.21, 0.25, 1.0], [True, True, False, True, True], 5)
    assert [(one.low, one.high) for one in bins] == [(0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)]
    assert [one.count for one in bins] == [2, 2, 0, 0, 1]  # (low, high]: 0.2 belongs to the first bin, as in the paper
    assert (bins[0].score, bins[0].accuracy) == (pytest.approx(0.125), 1.0)
    assert (bins[1].score, bins[1].accuracy) == (pytest.approx(0.23), 0.5)
    assert (bins[2].score, bins[2].accuracy) == (None, None)


def test_ece_is_the_weighted_gap() -> None:
    # 4 x |0.5 - 0.9| and 1 x |1 - 0.3|, over 5 predictions.
    bins = reliability_bins([0.9] * 4 + [0.3], [True, True, False, False, True], 10)
    assert expected_calibration_error(bins) == pytest.approx((4 * 0.4 + 0.7) / 5)
    assert expected_calibration_error(reliability_bins([], [])) is None


def test_calibrated_scores_have_an_ece_near_zero() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    honest = expected_calibration_error(reliability_bins(scores, rng.random(20_000) < scores))
    boastful = expected_calibration_error(reliability_bins(scores, rng.random(20_000) < scores / 2))
    assert honest is not None
    assert boastful is not None
    assert honest < 0.02
    assert boastful == pytest.approx(0.25, abs=0.02)


def test_equal_mass_bins_are_filled_alike_and_keep_ties_together() -> None:
    scores = [0.5, 0.6, 0.7, 0.8, 0.9, 0.91, 0.92, 0.93]
    bins = reliability_bins(scores, [True] * 8, 4, equal_mass=True)
    assert [one.count for one in bins] == [2, 2, 2, 2]
    tied = reliability_bins([0.9] * 6 + [0.95, 0.99], [True] * 8, 4, equal_mass=True)
    assert [one.count for one in tied] == [6, 2]
    assert [one.count for one in reliability_bins([0.0, 0.0], [True, False], equal_mass=True)] == [2]
    assert reliability_bins([], [], equal_mass=True) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1), st.booleans(), st.integers(1, 15))
def test_every_prediction_is_in_one_bin(outcomes: list[tuple[int, bool]], equal_mass: bool, count: int) -> None:
    scores, correct = [score / 20 for score, _ in outcomes], [right for _, right in outcomes]
    bins = reliability_bins(scores, correct, count, equal_mass=equal_mass)
    assert sum(one.count for one in bins) == len(scores)
    assert sum(one.count * (one.accuracy or 0) for one in bins) == pytest.approx(sum(correct))
    assert sum(one.count * (one.score or 0) for one in bins) == pytest.approx(sum(scores))
    assert len(bins) <= count
    for one in bins:
        assert one.score is None or one.low - 1e-9 <= one.score <= one.high + 1e-9
        assert one.count or not equal_mass


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.booleans())), st.sampled_from([0.5, 0.55, 0.9, 0.95, 1.0]))
def test_threshold_is_the_lowest_that_is_precise_enough(outcomes: list[tuple[int, bool]], precision: float) -> None:
    scores, correct = np.array([score / 10 for score, _ in outcomes]), np.array([right for _, right in outcomes], bool)
    precise = [t for t in np.unique(scores) if correct[scores >= t].mean() >= precision - 1e-9]
    assert threshold_for_precision(scores, correct, precision) == (min(precise) if precise else None)


def test_a_bad_prediction_at_the_top_does_not_hide_the_threshold() -> None:
    scores, correct = [0.99, *[0.9] * 19, 0.5], [False, *[True] * 19, False]
    assert threshold_for_precision(scores, correct, 0.95) == 0.9
    assert threshold_for_precision(scores, correct, 0.99) is None
    assert threshold_for_precision([0.9] * 100, [True] * 55 + [False] * 45, 0.55) == 0.9


def test_wrong_scores_are_refused_and_rounding_is_not() -> None:
    for scores in ([1.1], [-0.2], [float("nan")]):
        with pytest.raises(ValueError, match=r"within 0\.\.1"):
            reliability_bins(scores, [True])
    with pytest.raises(ValueError, match=r"\[N\] both"):
        threshold_for_precision([0.5, 0.6], [True], 0.9)
    assert reliability_bins([float(np.float32(1) + np.finfo(np.float32).eps)], [True])[-1].score == 1.0


def test_labels_are_right_when_they_equal_the_gold() -> None:
    gold = page((1, "QUESTION", 1), (2, "ANSWER", 1), (3, "OTHER", 1), (4, "OTHER", 1))
    predicted = page(
        (1, "QUESTION", 0.9), (2, "QUESTION", 0.5), (3, "OTHER", 0.8), (-1, "ANSWER", 0.7), (4, "OTHER", 0.0)
    )  # the last but one was read where the gold has no line; the last is blank
    found = label_calibration([gold], [predicted])
    assert sum(one.count for one in found.bins) == 4
    assert found.ece == pytest.approx((0.1 + 0.5 + 0.2 + 0.7) / 4)
    # Of the lines that are said to be entities one of three is right, and it has the highest score.
    assert found.threshold == 0.9
    assert found.kept == pytest.approx(1 / 3)


def test_links_are_right_when_the_gold_has_them() -> None:
    labels = ((1, "QUESTION", 1.0), (2, "ANSWER", 1.0), (3, "ANSWER", 1.0))
    gold = page(*labels, links=(Link(2, 1),))  # turned round by its labels
    found = link_calibration([gold], [page(*labels, links=(Link(1, 2, 0.8), Link(1, 3, 0.6)))], PAIRS)
    assert found.ece == pytest.approx((0.2 + 0.6) / 2)
    assert (found.threshold, found.kept) == (0.8, 0.5)
    nothing = link_calibration([gold], [page(*labels)], PAIRS)
    assert (nothing.ece, nothing.threshold, nothing.kept) == (None, None, 0.0)


def test_of_equal_fields_only_as_many_are_right_as_the_gold_has() -> None:
    def field(key: str, value: str, score: float) -> Field:
        return Field(key, value, score, [0], [1], (0, 0, 1, 1), (0, 0, 1, 1))

    gold = [[field("姓名：", "张三", 1.0)]]
    predicted = [[field("姓名:", "张三", 0.4), field("姓名:", "张三", 0.9), field("a", "b", 0.2)]]
    found = field_calibration(gold, predicted)
    assert found.ece == pytest.approx((0.1 + 0.4 + 0.2) / 3)
    assert found.threshold == 0.9


def test_calibration_as_json() -> None:
    row = Calibration.of([0.9, 0.9, 0.2], [True, True, False]).to_dict()
    assert row["ece"] == pytest.approx((0.1 * 2 + 0.2) / 3)
    assert len(row["reliability"]) == 15
    assert row["reliability"][13] == {
        "low": pytest.approx(13 / 15),
        "high": pytest.approx(14 / 15),
        "count": 2,
        "score": pytest.approx(0.9),
        "accuracy": 1.0,
    }
    assert row["threshold"] == {"precision": 0.95, "score": 0.9, "kept": pytest.approx(2 / 3)}

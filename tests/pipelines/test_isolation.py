from __future__ import annotations

from collections.abc import Sequence

from kie_ray.errors import Category, DocumentError, ErrorItem, Stage
from pipelines.isolation import call_isolated


def place(item: int) -> tuple[str, int]:
    return "scan.tif", item


def test_one_call_where_nothing_fails() -> None:
    calls: list[list[int]] = []

    def double(items: Sequence[int]) -> list[int]:
        calls.append(list(items))
        return [2 * item for item in items]

    assert call_isolated(double, [1, 2, 3], stage=Stage.OCR, place=place) == [2, 4, 6]
    assert calls == [[1, 2, 3]]


def test_an_item_that_fails_costs_nobody_but_itself() -> None:
    own = ErrorItem.of(Stage.RE, Category.NO_ANNOTATION, "scan.tif has no such page")

    def double(items: Sequence[int]) -> list[int]:
        if 2 in items:
            raise RuntimeError("secret /path")
        if 3 in items:
            raise DocumentError(own)
        return [2 * item for item in items]

    good, internal, told = call_isolated(double, [1, 2, 3], stage=Stage.SER, place=place)
    assert good == 2
    assert internal == ErrorItem(Stage.SER, Category.INTERNAL, "RuntimeError in the ser stage", True, 2)
    assert told == ErrorItem(own.stage, own.category, own.message, own.retryable, 3)


def test_an_item_that_failed_alone_is_not_tried_again() -> None:
    calls: list[list[int]] = []

    def fail(items: Sequence[int]) -> list[int]:
        calls.append(list(items))
        raise RuntimeError

    (found,) = call_isolated(fail, [4], stage=Stage.OCR, place=place)
    assert isinstance(found, ErrorItem)
    assert calls == [[4]]


def test_a_call_that_loses_results_has_failed() -> None:
    (found,) = call_isolated(lambda items: [], [7], stage=Stage.OCR, place=place)
    assert isinstance(found, ErrorItem)
    assert (found.category, found.page) == (Category.INTERNAL, 7)

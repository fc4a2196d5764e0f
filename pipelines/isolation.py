"""Many pages through one call of an engine or model; a page that makes it fail costs nobody but itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from kie_ray.errors import Category, DocumentError, ErrorItem, Stage

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger(__name__)


def call_isolated(
    call: Callable[[Sequence[T]], Sequence[R]],
    items: Sequence[T],
    *,
    stage: Stage,
    place: Callable[[T], tuple[str, int]],
) -> list[R | ErrorItem]:
    """`call(items)`; where that fails, `call` on each item alone. Never raises: what fails alone is an `ErrorItem`.

    Args:
        call: gives one result for each item. It may see an item twice, but not after it has failed on it alone.
        stage: of errors that are no `DocumentError`.
        place: document and page index of an item, for its error and the log.
    """
    try:
        return list(_checked(call, items))
    except Exception as error:
        if len(items) == 1:
            return [_failure(error, stage, *place(items[0]))]
        logger.exception("the %s stage failed on %d pages together; page by page now", stage, len(items))
    results: list[R | ErrorItem] = []
    for item in items:
        try:
            results += _checked(call, [item])
        except Exception as error:
            results.append(_failure(error, stage, *place(item)))
    return results


def _checked(call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> Sequence[R]:
    results = call(items)
    if len(results) != len(items):
        raise RuntimeError(f"{len(results)} results for {len(items)} pages")
    return results


def _failure(error: Exception, stage: Stage, source: str, page: int) -> ErrorItem:
    if isinstance(error, DocumentError):
        item = error.item
        return ErrorItem(
            item.stage, item.category, item.message, item.retryable, page if item.page is None else item.page
        )
    logger.error("the %s stage failed on %s, page %d", stage, source, page, exc_info=error)
    # The type only: an exception's text may hold paths or contents that are not for the reader of a record.
    return ErrorItem.of(stage, Category.INTERNAL, f"{type(error).__name__} in the {stage} stage", page=page)

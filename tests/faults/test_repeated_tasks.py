"""A task that Ray repeats, because its actor died, must give the same rows in the same order.

Ray drops as many blocks of the second try as it has had of the first: where the order changed, rows would be lost.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest

from kie_ray.limits import Limits
from kie_ray.reading import Reader
from kie_ray.records import Line, PageImage
from pipelines.attempts import AttemptLedger, remove_ledger
from pipelines.ocr_stage import OcrStage
from tests.job_support import draw_page


class OneLineEngine:
    name = "one line"

    def read_lines(self, images: Sequence[PageImage]) -> list[list[Line]]:
        return [[Line(0, image.source, (0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0))] for image in images]


def page(number: int) -> bytes:
    stream = io.BytesIO()
    draw_page(number).save(stream, "PNG")
    return stream.getvalue()


def row(number: int) -> dict[str, Any]:
    """Every third document is none."""
    return {
        **{"row_id": f"{number}-000000", "doc_id": str(number), "uri": f"{number}.png", "size": 1, "etag": None},
        **{"media_type": None, "first_page": 0, "last_page": None, "error": None, "fetch_seconds": 0.0},
        "data": b"" if number % 3 == 1 else page(number),
    }


@pytest.mark.parametrize("suspects", [[], [0, 3], [2, 3, 5, 6], list(range(12))])
@pytest.mark.parametrize("pages_per_call", [1, 2, 5])
def test_rows_leave_the_ocr_stage_in_the_order_in_which_they_came(suspects: list[int], pages_per_call: int) -> None:
    ledger = AttemptLedger("test-order", "ocr", max_attempts=3)
    try:
        ledger.begin([f"{number}-000000" for number in suspects])  # they were in work when an actor died
        with Reader(Limits()) as reader:
            stage = OcrStage(reader, OneLineEngine(), pages_per_call=pages_per_call, ledger=ledger)
            done = list(stage.process([row(number) for number in range(12)]))
    finally:
        remove_ledger("test-order")
    assert [item["doc_id"] for item in done] == [str(number) for number in range(12)]
    assert [item["status"] for item in done] == ["failed" if number % 3 == 1 else "ok" for number in range(12)]

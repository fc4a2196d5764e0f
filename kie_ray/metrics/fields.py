"""The `fields` protocol: key and value text, end to end, after OCR."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from kie_ray.metrics.score import Score
from kie_ray.records import Field

_CJK = r"[\u2e80-\u303f\u3040-\u30ff\u3100-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
_SPACE_AT_CJK = re.compile(rf"(?<={_CJK}) | (?={_CJK})")


def field_scores(
    gold_fields: Sequence[Sequence[Field]], predicted_fields: Sequence[Sequence[Field]], *, exact: bool = False
) -> Score:
    """A predicted field is right when the same page has a gold field with the same key and the same value text.

    Fields of a page are compared as multisets: two equal gold fields need two equal predictions.

    Args:
        gold_fields, predicted_fields: one sequence of fields a page, same pages, same order.
        exact: compare texts as they are, else after `normal_text`.

    Raises:
        ValueError: the numbers of pages differ.
    """
    if len(gold_fields) != len(predicted_fields):
        raise ValueError(f"{len(gold_fields)} gold pages but {len(predicted_fields)} predicted ones")
    score = Score()
    for gold, predicted in zip(gold_fields, predicted_fields, strict=True):
        wanted, given = _counted(gold, exact), _counted(predicted, exact)
        score += Score((wanted & given).total(), given.total(), wanted.total())
    return score


def normal_text(text: str) -> str:
    """NFKC (full-width digits and punctuation become plain), whitespace runs become one space, none beside Han or kana.

    OCR engines and annotators disagree about spaces in Chinese and Japanese, where a space carries no meaning.
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).split())
    return _SPACE_AT_CJK.sub("", folded)


def _counted(fields: Sequence[Field], exact: bool) -> Counter[tuple[str, str]]:
    if exact:
        return Counter((field.key, field.value) for field in fields)
    return Counter((normal_text(field.key), normal_text(field.value)) for field in fields)

"""The language of an annotated page, for score rows by language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from kie_ray.metrics.score import Score
from kie_ray.records import Page

UNKNOWN = "unknown"
"""A page without a letter."""

_XFUND_NAME = re.compile(r"(de|es|fr|it|ja|pt|zh)_(?:train|val)_\d")
_KANA = ("hiragana", "katakana")
_LETTERS_A_SIGN = 3  # what one Han, kana or Hangul sign says takes about three letters elsewhere
_LEAST_KANA = 0.05  # of Han and kana; Japanese forms hold far more, Chinese ones a stray sign at most


def by_language(pages: Sequence[Page], score: Callable[[list[int]], Score]) -> dict[str, Any]:
    """`languages`: a score row and the number of pages by language; nothing where all pages are of one language.

    Args:
        score: the score of some pages, given their indices.
    """
    rows: dict[str, list[int]] = {}
    for index, page in enumerate(pages):
        rows.setdefault(page_language(page), []).append(index)
    if len(rows) < 2:
        return {}
    return {"languages": {name: score(rows[name]).to_dict() | {"pages": len(rows[name])} for name in sorted(rows)}}


def page_language(page: Page) -> str:
    """XFUND's language code where the image has XFUND's name (`zh_val_0.jpg`), otherwise what the script tells.

    Chinese (`zh`), Japanese (`ja`) and Korean (`ko`) are known by their script. Other scripts are shared by languages,
    so the name of the dominating one stands for them: `latin`, `cyrillic`, `greek`, `arabic`, ...
    """
    named = _XFUND_NAME.match(PurePosixPath(page.source).name)
    return named[1] if named else script_language(line.text for line in page.lines)


def script_language(texts: Iterable[str]) -> str:
    """The dominating script of some texts, named as in `page_language`."""
    signs: Counter[str] = Counter()
    for text in texts:
        for character, number in Counter(unicodedata.normalize("NFKC", text)).items():
            if character.isalpha():
                signs[_script(character)] += number
    kana = sum(signs.pop(name, 0) for name in _KANA)
    han = signs.pop("cjk", 0)
    weights = Counter(signs)
    weights["ko"] = weights.pop("hangul", 0) * _LETTERS_A_SIGN
    weights["ja" if kana > _LEAST_KANA * (han + kana) else "zh"] = (han + kana) * _LETTERS_A_SIGN
    language, weight = max(weights.items(), key=lambda item: (item[1], item[0]))
    return language if weight else UNKNOWN


@cache
def _script(letter: str) -> str:
    """First word of the letter's Unicode name: `latin`, `cyrillic`, `cjk`, `hiragana`, ..."""
    return unicodedata.name(letter, "unnamed").split()[0].split("-")[0].lower()

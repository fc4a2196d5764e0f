"""What a document is called: names that clients send are text to show, never paths."""

from __future__ import annotations

import unicodedata

MAX_LENGTH = 200
UNNAMED = "document"


def clean_name(name: str | None) -> str:
    """The last component of `name`, without control and formatting characters, at most 200 characters.

    An empty rest is "document". Formatting characters go because they can turn a name around on a screen.
    """
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in last if unicodedata.category(c)[0] != "C" and unicodedata.category(c) not in ("Zl", "Zp"))
    kept = " ".join(kept.split())
    if len(kept) > MAX_LENGTH:
        stem, dot, end = kept.rpartition(".")
        ending = f"{dot}{end}" if stem and len(end) <= 8 else ""
        kept = kept[: MAX_LENGTH - len(ending)] + ending
    return kept if kept.strip(". ") else UNNAMED

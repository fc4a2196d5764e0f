"""Names from users: shown, never followed."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.online.api.names import MAX_LENGTH, clean_name


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        (None, "document"),
        ("", "document"),
        ("..", "document"),
        ("a/..", "document"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("form 1.png", "form 1.png"),
        (" a \n\t b.pdf ", "a b.pdf"),
        ("a\x00.png", "a.png"),
        ("gpj\u202egnp.exe", "gpjgnp.exe"),
        ("\ud800.png", ".png"),
        ("x" * 300 + ".jpeg", "x" * 195 + ".jpeg"),
        ("x" * 300, "x" * 200),
        ("\u59d3\u540d\u8868.pdf", "\u59d3\u540d\u8868.pdf"),
    ],
)
def test_names(name: str | None, kept: str) -> None:
    assert clean_name(name) == kept


@given(st.text(max_size=400))
def test_any_name_is_harmless(name: str) -> None:
    kept = clean_name(name)
    assert 0 < len(kept) <= MAX_LENGTH
    assert "/" not in kept
    assert "\\" not in kept
    assert kept.strip(". ")
    assert not any(unicodedata.category(character)[0] == "C" for character in kept)
    assert clean_name(kept) == kept

"""Word lists as plain text: easier to read, extend and review than one quoted word a line."""

from __future__ import annotations


def words_of(text: str, separator: str = " ") -> list[str]:
    """The words of `text`; lists of phrases with spaces in them use another separator."""
    return text.split(separator)

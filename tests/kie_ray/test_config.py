"""Configuration: strict keys with the nearest known name, overrides, one-line errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from kie_ray.config import Settings, load_settings
from kie_ray.errors import ConfigError


class Inner(Settings):
    threads: int = Field(1, ge=1)


class Outer(Settings):
    name: str = "x"
    inner: Inner = Inner()


def test_file_and_overrides(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("name: forms\ninner: {threads: 3}\n")
    assert load_settings(Outer, file).inner.threads == 3
    assert load_settings(Outer, file, ["inner.threads=5", "name=other"]) == Outer(name="other", inner=Inner(threads=5))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("inner.thread=2", "did you mean 'threads'"),
        ("nome=x", "did you mean 'name'"),
        ("inner.threads=0", "greater than or equal to 1"),
        ("inner.threads=many", "inner.threads = 'many'"),
        ("name", "key=value"),
        ("name.x.y=1", "name"),
        ("inner.threads.deep=1", "inner.threads"),
    ],
)
def test_a_wrong_override_is_one_line_that_names_it(override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(Outer, None, [override])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "name: [1\n", "just text"])
def test_a_file_that_holds_no_mapping(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load_settings(Outer, file)


def test_missing_file() -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_settings(Outer, "nowhere.yaml")

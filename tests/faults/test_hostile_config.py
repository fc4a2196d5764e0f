"""Whatever a configuration file or a `--set` holds: a configuration, or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kie_ray.config import load_settings
from kie_ray.errors import ConfigError
from pipelines.config import ExtractConfig

EXAMPLE = Path(__file__).resolve().parents[2] / "kie_ray/configs/extract.yaml"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
FILES: dict[str, bytes] = {
    "deep list": b"[" * 100_000,
    "deep mapping": b"{" * 10_000,
    "aliases that multiply": BOMB.encode(),
    "aliases that multiply, as a value": (BOMB + "device: *i\n").encode(),
    "a list that holds itself": b"&a [*a]",
    "a section that holds itself": b"limits: &a {max_bytes: *a}",
    "no such day": b"device: 2001-13-45",
    "no such hour": b"device: 2001-01-01T99:99:99",
    "an endless number": b"pdf_dpi: " + b"9" * 5000,
    "a number that is none": b"pdf_dpi: !!int x",
    "a hexadecimal number without digits": b"pdf_dpi: 0x_",
    "a day that is none": b"pdf_dpi: !!timestamp x",
    "a Python object": b"device: !!python/object/apply:os.system [true]",
    "infinity": b"limits: {max_seconds: .inf}",
    "not a number": b"limits: {max_seconds: .nan}",
    "a long value": b"device: " + b"x" * 1_000_000,
    "a long key": b"x" * 500 + b": 1",
    "a number as key": b"1: 2",
    "no UTF-8": b"device: \xff\xfe",
    "control characters": b"device: \x07",
    "no mapping": b"- a",
    "an unknown key": b"limits: {max_byte: 3}",
}
OVERRIDES = ["", "=1", "a", "a..b=1", ".=1", "device=[[[[", "device=\0", "device=\ud800", "ocr=1", "ocr.engine.x=1"]
OVERRIDES += ["pdf_dpi=" + "9" * 5000, "pdf_dpi=2001-13-45", "a=" + "[" * 5000, "limits.max_bytes=*x", "fetch=~"]


def check(file: Path | None, *overrides: str) -> None:
    message = ""
    try:
        load_settings(ExtractConfig, file, overrides)
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 1500


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(FILES[name])
    with pytest.raises(ConfigError, match=r"settings\.yaml") as caught:
        load_settings(ExtractConfig, file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("override", OVERRIDES, ids=range(len(OVERRIDES)))
def test_a_hostile_override_is_refused_in_one_line(override: str) -> None:
    with pytest.raises(ConfigError):
        load_settings(ExtractConfig, None, [override])
    check(None, override)


@pytest.mark.parametrize(
    "name", [".", "no\0file", "x" * 5000, "missing.yaml"], ids=["folder", "nul", "long", "missing"]
)
def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(ExtractConfig, tmp_path / name)
    assert "\n" not in str(caught.value)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    cuts=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 8),
            st.sampled_from(list("[]{}:-&*!|>'\"#?,\t\n0x.~<")) | st.text(max_size=3),
        ),
        max_size=8,
    )
)
def test_no_mutation_of_the_example_raises_anything_but_a_config_error(
    tmp_path: Path, cuts: list[tuple[float, int, str]]
) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for place, length, replacement in cuts:
        start = int(place * len(text))
        text = text[:start] + replacement + text[start + length :]
    file = tmp_path / "settings.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    check(file)


@settings(max_examples=200, deadline=None)
@given(
    key=st.sampled_from(["device", "limits.max_bytes", "pools.ocr.size", "fetch", "x"]) | st.text(max_size=8),
    value=st.text(max_size=20),
)
@example(key="device", value="!!python/name:os.system")
def test_no_override_raises_anything_but_a_config_error(key: str, value: str) -> None:
    check(None, f"{key}={value}")

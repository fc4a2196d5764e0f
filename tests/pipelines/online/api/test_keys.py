"""Keys: where they come from, and that a mistake closes the API instead of opening it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from kie_ray.errors import ConfigError
from pipelines.online.api.keys import Keys, bearer_or_key, load_keys

VARIABLE = "KIE_RAY_API_KEYS"
LONG = "0123456789abcdef-long-enough"


def test_without_a_source_there_is_no_key() -> None:
    keys = load_keys(None, VARIABLE, {})
    assert not keys.required
    assert keys.accept(None)


def test_keys_of_a_file_and_of_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# for the team\n\n  {LONG}-1  \r\n{LONG}#2\n")
    keys = load_keys(str(file), VARIABLE, {VARIABLE: f"{LONG}-3, {LONG}-4"})
    assert keys.required
    for good in (f"{LONG}-1", f"{LONG}#2", f"{LONG}-3", f"{LONG}-4"):
        assert keys.accept(good.encode())
    for bad in (None, b"", b"#", LONG.encode(), f"{LONG}-1 ".encode(), b"# for the team", "\xe9".encode("latin-1")):
        assert not keys.accept(bad)


@pytest.mark.parametrize(
    ("content", "value", "words"),
    [
        ("# nothing\n\n", None, "api_keys_file .* has no key"),
        (None, "", "environment variable KIE_RAY_API_KEYS has no key"),
        (None, " , ", "has no key"),
        ("fine-and-long-enough\nnot fine\n", None, "key 2 must be printable ASCII"),
        (None, "schl\xfcssel-schl\xfcssel", "key 1 must be printable ASCII"),
    ],
)
def test_a_source_without_usable_keys_is_an_error(
    tmp_path: Path, content: str | None, value: str | None, words: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(content or "")
    environment = {} if value is None else {VARIABLE: value}
    with pytest.raises(ConfigError, match=words) as caught:
        load_keys(None if content is None else str(file), VARIABLE, environment)
    assert "not fine" not in str(caught.value)
    assert "schl" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: FileNotFoundError"):
        load_keys(str(tmp_path / "none"), VARIABLE, {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read: UnicodeDecodeError"):
        load_keys(str(tmp_path / "binary"), VARIABLE, {})


def test_keys_are_not_kept_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    keys = load_keys(None, VARIABLE, {VARIABLE: "short"})
    assert repr(keys) == "Keys(1 keys)"
    assert b"short" not in pickle.dumps(keys)
    assert "fewer than 16 characters" in caplog.text
    assert "short" not in caplog.text.replace("shorter", "")
    assert pickle.loads(pickle.dumps(keys)).accept(b"short")


def test_the_comparison_is_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every known key is compared, by `hmac.compare_digest`, on digests of one length."""
    import hmac

    seen: list[tuple[int, int]] = []

    def compare(a: bytes, b: bytes) -> bool:
        seen.append((len(a), len(b)))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    keys = Keys(["one", "two", "three"])
    assert keys.accept(b"one")
    assert not keys.accept(b"x" * 10_000)
    assert not keys.accept(None)
    assert seen == [(32, 32)] * 9


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"authorization": "Bearer abc"}, b"abc"),
        ({"authorization": "bearer  abc "}, b"abc"),
        ({"authorization": "Basic abc"}, None),
        ({"authorization": "Bearer"}, None),
        ({"x-api-key": "abc"}, b"abc"),
        ({"authorization": "Basic abc", "x-api-key": "def"}, b"def"),
        ({"x-api-key": ""}, None),
    ],
)
def test_where_a_request_has_its_key(headers: dict[str, str], key: bytes | None) -> None:
    assert bearer_or_key(headers) == key

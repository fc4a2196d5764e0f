"""API keys: where they come from, and the comparison that tells a stranger nothing."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from kie_ray.errors import ConfigError

logger = logging.getLogger(__name__)

_SHORT = 16


class Keys:
    """The keys that open the API; without any it is open to everybody. Only digests are kept."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = tuple(_digest(key.encode()) for key in dict.fromkeys(keys))

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return bool(self._digests)

    def accept(self, key: bytes | None) -> bool:
        """Whether `key` opens the API, in a time that does not depend on how much of it is right."""
        if not self.required:
            return True
        offered = _digest(key or b"")
        matches = [hmac.compare_digest(offered, known) for known in self._digests]
        return key is not None and any(matches)

    def __repr__(self) -> str:
        return f"Keys({len(self._digests)} keys)"


def load_keys(file: str | None, variable: str, environment: Mapping[str, str] = os.environ) -> Keys:
    """Keys of a file (one a line, `#` begins a comment line) and of an environment variable (comma separated).

    Raises:
        ConfigError: the file cannot be read, a source is named but has no key, or a key cannot stand in a header. A
            mistake here never opens the API; no message holds a key.
    """
    keys: list[str] = []
    if file is not None:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"api_keys_file {file} cannot be read: {type(error).__name__}") from error
        keys += _checked(f"api_keys_file {file}", (line for line in lines if not line.lstrip().startswith("#")))
    if variable in environment:
        keys += _checked(f"environment variable {variable}", environment[variable].split(","))
    return Keys(keys)


def bearer_or_key(headers: Mapping[str, str]) -> bytes | None:
    """The key that a request brings: `Authorization: Bearer KEY` or `X-API-Key: KEY`; None without either."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip().encode("latin-1")
    named = headers.get("x-api-key", "").strip()
    return named.encode("latin-1") if named else None


def _checked(source: str, candidates: Iterable[str]) -> list[str]:
    keys = [key for key in map(str.strip, candidates) if key]
    if not keys:
        raise ConfigError(f"{source} has no key; give one, or leave the setting out to serve without keys")
    for number, key in enumerate(keys, 1):
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(f"{source}: key {number} must be printable ASCII without spaces")
        if len(key) < _SHORT:
            logger.warning("%s: key %d has fewer than %d characters and can be guessed", source, number, _SHORT)
    return keys


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()

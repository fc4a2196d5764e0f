"""What a run depends on. Two runs with the same fingerprint give the same rows, so one can continue the other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

_MEANING = {
    "inputs": "the inputs",
    "bundle": "the model",
    "config": "the configuration",
    "annotations": "the annotation file",
    "schema": "the schema version",
}


@dataclass(frozen=True)
class RunIdentity:
    """Digests of everything that can change a row."""

    inputs: str
    bundle: str
    config: str
    annotations: str
    schema: str

    @property
    def fingerprint(self) -> str:
        return digest(asdict(self))

    def differences(self, earlier: dict[str, Any]) -> list[str]:
        """What differs from the identity that `state.json` holds, in words."""
        return [words for name, words in _MEANING.items() if earlier.get(name) != getattr(self, name)]


def digest(content: Any) -> str:
    """16 hex digits of a JSON value; key order does not matter."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

"""Ids of documents and rows, and order-free digests of many ids in constant memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from kie_ray.storage import StoredFile

_MODULUS = 1 << 128


def document_id(file: StoredFile) -> str:
    """20 hex digits of the uri and what tells its versions apart: the etag, else size and mtime."""
    version = file.etag or f"{file.size}:{file.mtime}"
    return hashlib.blake2b(f"{file.uri}\0{version}".encode(), digest_size=10).hexdigest()


def row_id(doc_id: str, first_page: int) -> str:
    """Id of the row that starts at page `first_page` (0-based) of a document."""
    return f"{doc_id}-{first_page:06d}"


class SetDigest:
    """Digest of a multiset of strings: their order does not matter, how often each occurs does.

    The sum of 128-bit hashes modulo 2^128 (Clarke et al., 2003, "Incremental multiset hash functions", MSet-Add).
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, item: str) -> None:
        digest = hashlib.blake2b(item.encode(), digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % _MODULUS
        self.count += 1

    def update(self, items: Sequence[str]) -> None:
        """The same as `add` of each."""
        hashed = (hashlib.blake2b(item.encode(), digest_size=16).digest() for item in items)
        self._sum = (self._sum + sum(int.from_bytes(digest, "big") for digest in hashed)) % _MODULUS
        self.count += len(items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SetDigest) and (self.count, self._sum) == (other.count, other._sum)

    def __hash__(self) -> int:
        return hash((self.count, self._sum))

    def hex(self) -> str:
        return f"{self.count}-{self._sum:032x}"


class SeenIds:
    """A set of document ids that costs about 15 bytes an id: a sorted array, with the newest ids in a Python set.

    The set may grow to a sixteenth of the array before both are merged, so that merging does not dominate at any size.
    """

    def __init__(self, buffer: int = 16_384) -> None:
        self._buffer = buffer
        self._new: set[bytes] = set()
        self._old = np.empty(0, dtype="S10")

    def add(self, doc_id: str) -> bool:
        """True where `doc_id` (20 hex digits) was not seen before."""
        # numpy cuts trailing zero bytes off on both sides of a comparison, so they need no care here
        key = bytes.fromhex(doc_id)
        if key in self._new:
            return False
        position = int(np.searchsorted(self._old, np.bytes_(key)))
        if position < len(self._old) and self._old[position] == np.bytes_(key).rstrip(b"\0"):
            return False
        self._new.add(key)
        if len(self._new) >= max(self._buffer, len(self._old) // 16):
            self._old = np.sort(np.concatenate([self._old, np.array(list(self._new), dtype="S10")]))
            self._new.clear()
        return True

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.memory import measure


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_driver_s_memory_does_not_grow_with_the_documents(tmp_path: Path) -> None:
    # From some 1000 documents on, Ray's own pools and caches have their size: what grows after that, grows for ever.
    few, many = measure(1_500, tmp_path), measure(6_000, tmp_path)
    assert (few["documents"], many["documents"]) == (1_500, 6_000)
    # Kept rows, of some 10 KiB each, would be 44 MiB; the allocator's noise is below 15 MiB.
    assert many["driver_peak_bytes"] - few["driver_peak_bytes"] < 24 * 2**20

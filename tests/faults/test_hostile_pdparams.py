"""Whatever a `.pdparams` file holds: arrays, or one line. It neither runs anything nor takes memory that it has not."""

from __future__ import annotations

import pickle
import struct
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kie_ray.errors import ConfigError
from kie_ray.models.pdparams import NAME_MAP_KEY, read_pdparams

ARRAYS = {"a.weight": np.arange(6, dtype="f4").reshape(2, 3), "b": np.zeros(0, "i8"), "c": np.ones(2, "f2")}
VALID = {
    protocol: pickle.dumps(OrderedDict(ARRAYS, **{NAME_MAP_KEY: {"a.weight": "a_0"}}), protocol=protocol)
    for protocol in (2, 4, 5)
}


@pytest.mark.parametrize("protocol", VALID)
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    keep=st.floats(0, 1),
    inserted=st.binary(max_size=9),
)
def test_no_changed_bytes_raise_anything_but_a_config_error(
    tmp_path: Path, protocol: int, changes: list[tuple[float, int]], keep: float, inserted: bytes
) -> None:
    data = bytearray(VALID[protocol])
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    cut = int(keep * len(data))
    file = tmp_path / "x.pdparams"
    file.write_bytes(bytes(data[:cut]) + inserted + (bytes(data[cut:]) if inserted else b""))
    started = time.monotonic()
    message = ""
    try:
        arrays = read_pdparams(file)
        assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in arrays.values())
    except ConfigError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 1500
    assert time.monotonic() - started < 30


BOMBS = {
    "a memo of 32 GiB": pickle.EMPTY_DICT + pickle.LONG_BINPUT + struct.pack("<I", 2**32 - 1) + pickle.STOP,
    "a memo under a number in words": pickle.EMPTY_DICT + pickle.PUT + b"4000000000\n" + pickle.STOP,
    "bytes that are not there": pickle.BINBYTES8 + struct.pack("<Q", 2**62) + b"x" + pickle.STOP,
    "text that is not there": pickle.BINUNICODE8 + struct.pack("<Q", 2**40) + b"x" + pickle.STOP,
    "a buffer that is not there": pickle.BYTEARRAY8 + struct.pack("<Q", 2**40) + b"x" + pickle.STOP,
    "a frame that is not there": pickle.FRAME + struct.pack("<Q", 2**62) + pickle.EMPTY_DICT + pickle.STOP,
    "nested without end": pickle.EMPTY_LIST * 200_000 + pickle.APPEND * 199_999 + pickle.STOP,
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", BOMBS)
def test_a_few_bytes_that_ask_for_all_memory_are_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "bomb.pdparams"
    file.write_bytes(pickle.PROTO + b"\x05" + BOMBS[name])
    with pytest.raises(ConfigError, match=r"bomb\.pdparams is not a readable"):
        read_pdparams(file)
    assert peak_mebibytes() < 16_000


def peak_mebibytes() -> int:
    """Address space that this process has ever had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmPeak:")[2].split()[0]) // 1024

"""The restricted reader: it reads what Paddle writes, and a hostile file gets nothing done."""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kie_ray.errors import ConfigError
from kie_ray.models.pdparams import NAME_MAP_KEY, read_pdparams


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", [dict, collections.OrderedDict])
def test_reads_arrays(tmp_path: Path, protocol: int, kind: Callable[[Any], dict[str, Any]]) -> None:
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float16).reshape(3, 2)),
        "big endian": np.arange(3, dtype=">i8"),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.float32),
    }
    file = tmp_path / "model_state.pdparams"
    file.write_bytes(pickle.dumps(kind(arrays | {NAME_MAP_KEY: {"a": "linear_0.w_0"}}), protocol))
    found = read_pdparams(file)
    assert found.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype.newbyteorder("=")


class _Calls:
    """Pickles to a call of `function(*arguments)`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _hostile(marker: Path) -> dict[str, Any]:
    command = f"open({str(marker)!r}, 'w').close()"
    return {
        "exec": _Calls(exec, command),
        "eval": _Calls(eval, "1"),
        "os.system": _Calls(__import__("os").system, f"touch {marker}"),
        "getattr": _Calls(getattr, "text", "upper"),
        "numpy.fromfile": _Calls(np.fromfile, __file__),
        "ndarray called": _Calls(np.ndarray, (10**9,)),
        "dtype of objects": _Calls(np.dtype, "O"),
        "object array": np.array([_Calls(exec, command)], dtype=object),
        "string array": np.array(["x"]),
        "structured array": np.zeros(2, dtype=[("a", "f4")]),
        "partial": __import__("functools").partial(exec, command),
    }


@pytest.mark.parametrize("name", list(_hostile(Path())))
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path: Path, name: str, protocol: int) -> None:
    marker = tmp_path / "marker"
    file = tmp_path / "model_state.pdparams"
    file.write_bytes(pickle.dumps({"weight": _hostile(marker)[name]}, protocol))
    with pytest.raises(ConfigError, match=r"model_state\.pdparams is not a readable \.pdparams file"):
        read_pdparams(file)
    assert not marker.exists()


def test_the_hostile_samples_do_run_in_an_unrestricted_reader(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(_hostile(marker)["exec"]))
    assert marker.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"PK\x03\x04",
        b"\x80\x04.",
        pickle.dumps([1, 2]),
        pickle.dumps({"a": 1.0}),
        pickle.dumps({1: np.zeros(2)}, 4),
        pickle.dumps({"a": np.zeros(100)}, 4)[:-20],
    ],
)
def test_damaged_files(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "model_state.pdparams"
    file.write_bytes(raw)
    with pytest.raises(ConfigError, match=r"model_state\.pdparams is not a readable"):
        read_pdparams(file)


def test_an_array_that_claims_more_than_it_has(tmp_path: Path) -> None:
    raw = pickle.dumps({"a": np.zeros(3, np.float32)}, 4)
    at = next(
        position for code, value, position in pickletools.genops(io.BytesIO(raw)) if value == 3 and raw[position] == 75
    )
    file = tmp_path / "model_state.pdparams"
    file.write_bytes(raw[: at + 1] + b"\xff" + raw[at + 2 :])
    with pytest.raises(ConfigError, match=r"an array of shape \(255,\) with 12 bytes"):
        read_pdparams(file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_pdparams(tmp_path / "none.pdparams")

"""Restricted reader of Paddle's `.pdparams`: the only place in the project where a pickle is read.

A pickle is a program. This reader gives it nothing to call but passive stand-ins of the few names that Paddle's files
use, so the worst that a hostile file can do is to be refused.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kie_ray.errors import ConfigError

NAME_MAP_KEY = "StructuredToParameterName@@"
"""Paddle's map of parameter names to its internal tensor names, stored beside the arrays; of no use here."""

_KINDS = "fiub"  # float, int, unsigned, bool


class _ArrayType:
    """Stands for the class `numpy.ndarray`, which the pickle only passes on to `_reconstruct`."""

    def __init__(self, *_: object) -> None:
        raise pickle.UnpicklingError("the file calls numpy.ndarray itself")


class _Dtype:
    """Stands for `numpy.dtype`: a type code and, set afterwards, a byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or np.dtype(code).kind not in _KINDS:
            raise pickle.UnpicklingError(f"array of dtype {code!r}, expected numbers")
        self.value = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {state[1]!r} of an array")
        self.value = self.value.newbyteorder(state[1])


class _Array:
    """Stands for an array under construction; the bytes are interpreted only after the pickle has ended."""

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def value(self) -> NDArray[Any]:
        _, shape, dtype, fortran, data = self.state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array without plain data")
        if math.prod(shape) * dtype.value.itemsize != len(data):
            raise pickle.UnpicklingError(f"an array of shape {shape} with {len(data)} bytes of {dtype.value}")
        array = np.frombuffer(data, dtype=dtype.value).reshape(shape, order="F" if fortran else "C")
        return array.astype(dtype.value.newbyteorder("="))


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    if kind is not _ArrayType or shape != (0,):
        raise pickle.UnpicklingError("numpy.core.multiarray._reconstruct with unusual arguments")
    return _Array()


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("_codecs.encode with unusual arguments")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    return b""


def _ordered_dict(*items: Any) -> dict[Any, Any]:
    return dict(*items)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Dtype,
    ("collections", "OrderedDict"): _ordered_dict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,  # how protocol 2 writes the data of an empty array
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which no parameter file needs") from None


def read_pdparams(file: str | Path) -> dict[str, NDArray[Any]]:
    """Read parameter arrays by name, in Paddle's layout (a linear layer's weight is [in, out]).

    Raises:
        ConfigError: the file is missing, is not a `.pdparams`, or holds anything but numeric arrays.
    """
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"parameter file {path} does not exist")
    try:
        with path.open("rb") as stream:
            _check_memory(stream)
            stream.seek(0)
            tree = _Unpickler(stream).load()
        if not isinstance(tree, dict):
            raise pickle.UnpicklingError(f"it holds a {type(tree).__name__}, expected a dict of arrays")
        tree.pop(NAME_MAP_KEY, None)
        # one array after the other, so that a file of gigabytes is not in memory twice
        return {name: _array(name, tree.pop(name)) for name in list(tree)}
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ConfigError(f"{path} is not a readable .pdparams file: {' '.join(str(error).split())[:400]}") from error


_BUFFERS = frozenset({"BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER"})


def _check_memory(stream: BinaryIO) -> None:
    """Refuse, before the pickle runs, what would take memory that the file itself does not.

    The memo of C's unpickler is an array: five bytes that store something under number 2^32 - 1 make it 32 GiB long.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if opcode.name.endswith("PUT") and not (isinstance(argument, int) and 0 <= argument <= count):
            raise pickle.UnpicklingError(f"memo number {argument} after {count} operations")
        if opcode.name in _BUFFERS:
            raise pickle.UnpicklingError(f"operation {opcode.name}, which no parameter file needs")


def _array(name: object, value: object) -> NDArray[Any]:
    if not isinstance(name, str) or not isinstance(value, _Array):
        raise pickle.UnpicklingError(f"entry {name!r} is no array (parts of a split big array are not supported)")
    return value.value()

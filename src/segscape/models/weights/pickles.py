"""Pickled arrays without executing pickle code.

A pickle is a program: it names callables and calls them. Here every name resolves to a
stand-in of this module or is refused, so that the only things a file can make are dictionaries,
lists, tuples, strings, numbers and numeric arrays. No callable of NumPy or of Python is
ever passed to the file, not even a class.

Paddle's `.pdparams` files are such pickles (protocol 2 to 4) of `{name: numpy array}`.
"""

from __future__ import annotations

import math
import pickle
import re
from typing import Any, BinaryIO

import numpy as np

_NUMBERS = re.compile(r"[<>=|]?(?:b1|i1|i2|i4|i8|u1|u2|u4|u8|f2|f4|f8)")


class RefusedPickleError(Exception):
    """A pickle contains something other than plain containers and numeric arrays."""


class _Dtype:
    """Stand-in for `numpy.dtype`: numbers only."""

    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise RefusedPickleError(f"an array of the type {code!r}, which is not numeric")
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """Take the byte order; a type with fields or metadata is refused."""
        if not (isinstance(state, tuple) and len(state) >= 5 and state[1] in ("<", ">", "|", "=")):
            raise RefusedPickleError("a malformed numpy.dtype")
        if any(part is not None for part in state[2:5]) or (len(state) > 8 and state[8]):
            raise RefusedPickleError("a numpy.dtype with fields or metadata")
        self.code = state[1] + self.code.lstrip("<>=|")

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.code)


class _Array:
    """Stand-in for an array under construction; `value` is the array."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        """Build the array from (version, shape, dtype, Fortran order, bytes)."""
        if not (isinstance(state, tuple) and len(state) in (4, 5)):
            raise RefusedPickleError("a malformed numpy.ndarray")
        shape, dtype, fortran, data = state[-4:]
        self.fill(data, dtype, shape, "F" if fortran else "C")

    def fill(self, data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        if isinstance(data, str):  # bytes that Python 2 wrote
            data = data.encode("latin1")
        sizes = shape if isinstance(shape, tuple) else (shape,)
        known = all(type(size) is int and size >= 0 for size in sizes)
        if not known or not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
            raise RefusedPickleError("a numpy.ndarray that does not hold plain numbers")
        if math.prod(sizes) * dtype.dtype.itemsize != len(data):
            raise RefusedPickleError(
                f"a numpy.ndarray of shape {sizes} that holds {len(data)} bytes of {dtype.code}"
            )
        flat = np.frombuffer(data, dtype=dtype.dtype)
        self.value = flat.reshape(sizes, order="F" if order == "F" else "C")
        return self


_NDARRAY = object()
"""What the name `numpy.ndarray` resolves to: nothing that could be called."""


def _resolvers() -> dict[tuple[str, str], Any]:
    """The stand-ins by (module, name); new ones for each file, so that no file can change them."""

    def reconstruct(*arguments: Any) -> _Array:
        if not arguments or arguments[0] is not _NDARRAY:
            raise RefusedPickleError("an array of a class other than numpy.ndarray")
        return _Array()

    def dtype(*arguments: Any) -> _Dtype:
        return _Dtype(*arguments[:1])

    def scalar(*arguments: Any) -> _Array:
        kind, data = arguments
        return _Array().fill(data, kind, (), "C")

    def from_buffer(*arguments: Any) -> _Array:
        data, kind, shape, order = arguments
        return _Array().fill(data, kind, shape, order)

    def encode(*arguments: Any) -> bytes:
        text, codec = arguments
        if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
            raise RefusedPickleError(f"_codecs.encode with the codec {codec!r}")
        return text.encode("latin1")

    def empty_bytes(*arguments: Any) -> bytes:
        if arguments:
            raise RefusedPickleError("bytes with arguments")
        return b""

    def plain_tuple(*arguments: Any) -> tuple[Any, ...]:
        (items,) = arguments
        if not isinstance(items, tuple | list):
            raise RefusedPickleError("tuple of something that is neither tuple nor list")
        return tuple(items)

    def ordered_dict(*arguments: Any) -> dict[Any, Any]:
        return dict(*arguments)

    table: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): dtype,
        ("collections", "OrderedDict"): ordered_dict,
        ("_codecs", "encode"): encode,
    }
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = reconstruct
        table[f"{core}.multiarray", "scalar"] = scalar
        table[f"{core}.numeric", "_frombuffer"] = from_buffer
    for builtins in ("builtins", "__builtin__"):
        table[builtins, "tuple"] = plain_tuple  # how paddle writes a bare tensor
        table[builtins, "bytes"] = empty_bytes  # how protocol 2 writes empty arrays
    return table


class _Unpickler(pickle.Unpickler):
    """Resolves names only to the stand-ins."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")
        self._table = _resolvers()

    def find_class(self, module: str, name: str) -> Any:
        found = self._table.get((module, name))
        if found is None:
            raise RefusedPickleError(f"the global '{module}.{name}'")
        return found


def load(file: BinaryIO) -> Any:
    """The content of a pickle of plain containers and numeric arrays.

    Args:
        file: opened for reading bytes.

    Returns:
        The object, its arrays as read-only `numpy.ndarray`.

    Raises:
        RefusedPickleError: the pickle names anything else; nothing of it was executed.
        Exception: whatever `pickle` raises for bytes that are not a pickle.
    """
    return _finish(_Unpickler(file).load(), {})


def _finish(value: Any, seen: dict[int, Any]) -> Any:
    """Replace the stand-ins by arrays, and refuse the ones that are not data."""
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, _Array):
        if value.value is None:
            raise RefusedPickleError("a numpy.ndarray without content")
        return value.value
    if isinstance(value, dict):
        seen[id(value)] = result = {}
        for key, part in value.items():
            result[_finish(key, seen)] = _finish(part, seen)
        return result
    if isinstance(value, list):
        items: list[Any] = []
        seen[id(value)] = items
        items.extend(_finish(part, seen) for part in value)
        return items
    if isinstance(value, tuple):
        seen[id(value)] = parts = tuple(_finish(part, seen) for part in value)
        return parts
    if value is None or isinstance(value, str | bytes | bytearray | bool | int | float):
        return value
    raise RefusedPickleError(f"a value of the kind {type(value).__name__}")

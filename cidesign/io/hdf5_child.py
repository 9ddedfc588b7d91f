"""Reads HDF5 files for `hdf5`, in the bounded child process: the HDF5 library can crash on a damaged file."""

import math
from typing import Any, NotRequired, TypedDict

import h5py
import numpy as np

from cidesign.io.child import Arrays, Refused
from cidesign.io.hdf5 import Listing, Stored

MAX_OBJECTS = 10_000
UNIT_NAMES = ("units", "unit", "Units", "Unit")


class Request(TypedDict):
    """What is asked of `path`; without `names`, which datasets there are."""

    path: str
    names: NotRequired[list[str]]
    max_bytes: NotRequired[int]


def answer(request: Request) -> tuple[Listing, Arrays]:
    """List the datasets of `path`, or, with `names`, read those of at most `max_bytes` each."""
    with h5py.File(request["path"], "r") as stored:
        if "names" not in request:
            return Listing(_datasets(stored)), {}
        return Listing([]), {name: _array(stored, name, request["max_bytes"]) for name in request["names"]}


def _datasets(stored: Any) -> list[Stored]:
    """Name, shape, kind and unit of the datasets that hold numbers or truth values."""
    found: list[Stored] = []
    seen = 0

    def visit(name: str, item: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > MAX_OBJECTS:
            raise Refused(f"holds more than {MAX_OBJECTS} objects; export the array to a file of its own")
        # `#refs#` is where MATLAB keeps the contents of cells.
        if not isinstance(item, h5py.Dataset) or name.startswith("#") or item.shape is None:
            return
        kind = "c" if _is_pair(item.dtype) else item.dtype.kind
        if kind in "biufc":
            unit = next((item.attrs[key] for key in UNIT_NAMES if key in item.attrs), "")
            text = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit)
            found.append(Stored(name, item.shape, kind, text))

    stored.visititems(visit)
    return found


def _array(stored: Any, name: str, max_bytes: int) -> Any:
    item = stored[name]
    if item.is_virtual or item.external:
        raise Refused(f"the values of `{name}` lie in another file, which is not opened")
    size_bytes = math.prod(item.shape) * item.dtype.itemsize
    if size_bytes > max_bytes:
        raise Refused(f"`{name}` declares {size_bytes} bytes; at most {max_bytes} are read")
    values = item[()]
    if _is_pair(values.dtype):
        real, imaginary = values.dtype.names
        values = values[real] + 1j * values[imaginary]
    return np.ascontiguousarray(values)


def _is_pair(dtype: Any) -> bool:
    """Complex numbers as MATLAB and some scanners store them."""
    names = [name.lower() for name in dtype.names or ()]
    return names in (["real", "imag"], ["r", "i"]) and all(dtype[name].kind in "iuf" for name in dtype.names)

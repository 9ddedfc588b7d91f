"""Reads HDF5 files for `hdf5` in a process of its own: the HDF5 library can crash on a damaged file.

Usage: `hdf5_child.py list PATH` or `hdf5_child.py read PATH MAX_BYTES NAME...`.  Standard output is one line of JSON
(`{"error": text}`, `{"datasets": [...]}` or `{"arrays": [...]}`), for `read` followed by the bytes of the arrays.  This
file imports nothing of cidesign, so that it runs as a script wherever the package lies.
"""

import json
import math
import sys
from typing import Any

MAX_OBJECTS = 10_000
UNIT_NAMES = ("units", "unit", "Units", "Unit")


class Refused(Exception):
    """Why a file is not read, for the user."""


def main(arguments: list[str]) -> None:
    """Answer one request on standard output."""
    import h5py

    arrays: list[Any] = []
    try:
        with h5py.File(arguments[1], "r") as stored:
            if arguments[0] == "list":
                head: dict[str, Any] = {"datasets": _datasets(stored)}
            else:
                arrays = [_array(stored, name, int(arguments[2])) for name in arguments[3:]]
                head = {"arrays": [{"shape": array.shape, "dtype": array.dtype.str} for array in arrays]}
    except Refused as refused:
        head = {"error": str(refused)}
    except Exception as error:  # whatever the library raises about damage is for the caller to report
        arrays = []
        text = str(error).splitlines()
        head = {"error": f"not a sound HDF5 file ({text[0] if text else type(error).__name__})"}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    for array in arrays:
        sys.stdout.buffer.write(memoryview(array).cast("B"))


def _datasets(stored: Any) -> list[dict[str, Any]]:
    """Name, shape, kind and unit of the datasets that hold numbers or truth values."""
    import h5py

    found: list[dict[str, Any]] = []
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
            found.append({"name": name, "shape": item.shape, "kind": kind, "unit": text})

    stored.visititems(visit)
    return found


def _array(stored: Any, name: str, max_bytes: int) -> Any:
    import numpy as np

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


if __name__ == "__main__":
    main(sys.argv[1:])

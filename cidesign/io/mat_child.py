"""Reads MATLAB files of all versions for `matlab`, in the bounded child process: SciPy and HDF5 can crash on damage."""

import math
from typing import TYPE_CHECKING, Any, TypedDict

import h5py
import numpy as np
from scipy.io import loadmat, whosmat
from scipy.io.matlab import matfile_version

from cidesign.io.child import Arrays, Refused
from cidesign.io.mat import Others

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Cells and structures in one another, deeper than anything is meant to be.
MAX_DEPTH, MAX_FOUND = 8, 2000
HDF5_KINDS = {"cell": "a cell", "char": "a char", "function_handle": "a function"}


class Request(TypedDict):
    """Which matrices of `path` (None: all), of at most `max_values` numbers each."""

    path: str
    names: list[str] | None
    max_values: int


def answer(request: Request) -> tuple[Others, Arrays]:
    """The numeric matrices of `path` (`names` of them; None: all) by name, and what the other variables are.

    What lies in structures and cells is named by its path: `scan.readings`, `scans(2).readings`, `scans{2}`.
    """
    names = request["names"]
    if matfile_version(request["path"])[0] == 2:
        return _hdf5(request["path"], names, request["max_values"])
    return _scipy(request["path"], names, request["max_values"])


def _wanted(name: str, names: list[str] | None) -> bool:
    return names is None or name in names or name.replace(")", ".").rpartition(".")[2] in names


def _scipy(path: str, names: list[str] | None, max_values: int) -> tuple[Others, Arrays]:
    declared = whosmat(path)
    for name, shape, kind in declared:
        if min(shape, default=0) < 0 or (kind not in ("cell", "struct") and math.prod(shape) > max_values):
            raise Refused(f"`{name}` declares shape {tuple(shape)}; at most {max_values} values are read")
    top = [name for name, _, kind in declared if _wanted(name, names) or kind in ("cell", "struct")]
    loaded = loadmat(path, variable_names=top, squeeze_me=False) if top else {}
    found = _Found(names)
    for name, _, kind in declared:
        if name in loaded:
            found.add(name, loaded[name], 0)
        else:
            found.others[name] = f"a {kind}"
    return Others(found.others), found.matrices


class _Found:
    """Matrices and other values by path, as they are walked through."""

    def __init__(self, names: list[str] | None) -> None:
        self.names = names
        self.matrices: dict[str, NDArray[Any]] = {}
        self.others: dict[str, str] = {}

    def add(self, name: str, value: Any, depth: int) -> None:
        kind = type(value).__name__
        if len(self.matrices) + len(self.others) >= MAX_FOUND or depth > MAX_DEPTH:
            raise Refused(f"holds more than {MAX_FOUND} values, or structures more than {MAX_DEPTH} deep")
        if kind in ("MatlabFunction", "MatlabOpaque", "MatlabObject") or not isinstance(value, np.ndarray):
            sparse = hasattr(value, "tocsc")
            self.others[name] = (
                "a sparse matrix" if sparse else "a function" if kind == "MatlabFunction" else "an object"
            )
        elif value.dtype.names:
            self.others.setdefault(name, "a struct")
            for index, row in enumerate(value.reshape(-1, order="F")):
                place = name if value.size == 1 else f"{name}({index + 1})"
                for field in value.dtype.names:
                    self.add(f"{place}.{field}", row[field], depth + 1)
        elif value.dtype == object:
            self.others.setdefault(name, "a cell")
            for index, item in enumerate(value.reshape(-1, order="F")):
                self.add(f"{name}{{{index + 1}}}", item, depth + 1)
        elif value.dtype.kind == "c":
            self.others[name] = "a complex matrix"
        elif value.dtype.kind not in "iuf":
            self.others[name] = "a char" if value.dtype.kind in "US" else f"of {value.dtype}"
        # A number among the settings of a structure is not what anyone records.
        elif _wanted(name, self.names) and (depth == 0 or value.size > 1):
            self.matrices[name] = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))


def _hdf5(path: str, names: list[str] | None, max_values: int) -> tuple[Others, Arrays]:
    """Version 7.3.  MATLAB stores the last index slowest, and HDF5 lists it first."""
    matrices: dict[str, NDArray[Any]] = {}
    others: dict[str, str] = {}

    def visit(stored: str, item: Any) -> None:
        if len(matrices) + len(others) >= MAX_FOUND:
            raise Refused(f"holds more than {MAX_FOUND} values")
        name, kind = stored.replace("/", "."), _class_of(item)
        if stored.startswith(("#refs#", "#subsystem#")):
            return
        if not isinstance(item, h5py.Dataset):
            others[name] = "a sparse matrix" if "MATLAB_sparse" in item.attrs else "a struct"
        elif item.is_virtual or item.external:
            others[name] = "in another file"
        elif kind in HDF5_KINDS or item.dtype.kind not in "iuf" or "MATLAB_empty" in item.attrs:
            complex_pair = item.dtype.names and set(item.dtype.names) == {"real", "imag"}
            others[name] = "a complex matrix" if complex_pair else HDF5_KINDS.get(kind, "empty or no numbers")
        elif _wanted(name, names) and (item.size > 1 or "." not in name):
            if item.size > max_values:
                raise Refused(f"`{name}` declares shape {item.shape[::-1]}; at most {max_values} values are read")
            matrices[name] = np.ascontiguousarray(np.asarray(item[()]).T, dtype=item.dtype.newbyteorder("="))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    sparse = [name for name, what in others.items() if what == "a sparse matrix"]
    inside = [name for name in matrices if any(name.startswith(f"{one}.") for one in sparse)]
    return Others(others), {name: matrix for name, matrix in matrices.items() if name not in inside}


def _class_of(item: Any) -> str:
    value = item.attrs.get("MATLAB_class", b"")
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)

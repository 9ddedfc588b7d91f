"""Numeric matrices from MATLAB files (.mat, levels 4 to 7.3), read by SciPy in the bounded child process."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.io.child import SPARE_BYTES, ask, typed_head
from cidesign.records import shown

MAX_MAT_BYTES = 256_000_000
# Of one matrix, as it is stored; and in all, which the memory of the child bounds.
MAX_VALUES = 256_000_000
MEMORY_BYTES = SPARE_BYTES + 3_000_000_000
READER = "cidesign.io.mat_child"
# A slow network drive delivers the largest file in this time; a loop in a damaged one does not end.
LONGEST_READ_S = 300


@dataclass(frozen=True)
class Others:
    """What the variables that are no matrices are, in words by name."""

    others: dict[str, str]


def read_matrices(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """Read the real numeric matrices `names` from a .mat file, in the type they are stored in.

    One that lies in a structure counts where the file has no other of the name.  Raises `FileError` when the file is
    damaged, or lacks one of them.
    """
    found, others = _read(path, names)
    matrices = {}
    for name in names:
        within = [one for one in found if one.endswith(f".{name}")]
        if name in others:
            raise FileError(f"{path}: `{name}` is {others[name]}; a real numeric matrix is needed")
        if name not in found and len(within) != 1:
            listed = shown(sorted(within or {*found, *(one for one in others if "." not in one)}))
            raise FileError(f"{path}: holds no variable `{name}`, only {listed}")
        matrices[name] = found[name if name in found else within[0]]
    return matrices


def read_every_matrix(path: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """All real numeric matrices of a .mat file by name, and what the other variables are.

    Those in structures and cells go by their path: `scan.readings`, `scans{2}`.  Raises `FileError` when the file is
    damaged.
    """
    return _read(path, None)


def _read(path: Path, names: tuple[str, ...] | None) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise FileError(f"{path}: this MATLAB file cannot be read ({error.strerror or error})") from error
    if size_bytes > MAX_MAT_BYTES:
        raise FileError(f"{path}: {size_bytes} bytes are more than a MATLAB file can have ({MAX_MAT_BYTES})")
    request = {"names": None if names is None else list(names), "max_values": MAX_VALUES}
    head, arrays = ask(path, READER, request, "MATLAB file", LONGEST_READ_S, MEMORY_BYTES)
    return arrays, typed_head(Others, head).others

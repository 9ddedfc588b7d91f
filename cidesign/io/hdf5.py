"""HDF5 files, read by a child process: a damaged file can crash the HDF5 library, and must not crash a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.files import MAX_ARRAY_BYTES, JsonObject
from cidesign.io.child import SPARE_BYTES, Arrays, ask, typed_head

HDF5_SUFFIXES = (".h5", ".hdf5")
READER = "cidesign.io.hdf5_child"
# A slow network drive delivers the largest array in this time; a loop in a damaged file does not end.
LONGEST_READ_S = 900


@dataclass(frozen=True)
class Stored:
    """A dataset of numbers or truth values: what is known of it before it is read."""

    name: str
    shape: tuple[int, ...]
    kind: str
    unit: str


@dataclass(frozen=True)
class Listing:
    """What the child says beside arrays: the datasets, where it was asked for them."""

    datasets: list[Stored]


def hdf5_datasets(path: Path) -> list[Stored]:
    """The datasets of numbers or truth values that lie in the file itself; raises `FileError`."""
    head, _ = _ask(path, {})
    return typed_head(Listing, head).datasets


def read_hdf5(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """The datasets `names` as arrays; their sizes are checked before memory is taken.

    Raises `FileError` for damage, and for a dataset that is too large or keeps its values in another file.
    """
    _, arrays = _ask(path, {"names": list(names), "max_bytes": MAX_ARRAY_BYTES})
    return arrays


def _ask(path: Path, request: JsonObject) -> tuple[JsonObject, Arrays]:
    return ask(path, READER, request, "HDF5 file", LONGEST_READ_S, SPARE_BYTES + 4 * MAX_ARRAY_BYTES)

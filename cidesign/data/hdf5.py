"""HDF5 files, read by a child process: a damaged file can crash the HDF5 library, and must not crash a run."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import MAX_ARRAY_BYTES

HDF5_SUFFIXES = (".h5", ".hdf5")
CHILD = Path(__file__).with_name("hdf5_child.py")
# A slow network drive delivers the largest array in this time; a loop in a damaged file does not end.
LONGEST_READ_S = 900


@dataclass(frozen=True)
class Stored:
    """A dataset of numbers or truth values: what is known of it before it is read."""

    name: str
    shape: tuple[int, ...]
    kind: str
    unit: str


def hdf5_datasets(path: Path) -> list[Stored]:
    """The datasets of numbers or truth values that lie in the file itself; raises `FileError`."""
    head, _ = _ask(path, "list", [])
    return [Stored(one["name"], tuple(one["shape"]), one["kind"], one["unit"]) for one in head["datasets"]]


def read_hdf5(path: Path, names: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """The datasets `names` as arrays; their sizes are checked before memory is taken.

    Raises `FileError` for damage, and for a dataset that is too large or keeps its values in another file.
    """
    head, content = _ask(path, "read", [str(MAX_ARRAY_BYTES), *names])
    arrays: dict[str, NDArray[np.generic]] = {}
    position = 0
    for name, one in zip(names, head["arrays"], strict=True):
        dtype, shape = np.dtype(one["dtype"]), tuple(one["shape"])
        count = math.prod(shape)
        arrays[name] = np.frombuffer(content, dtype=dtype, count=count, offset=position).reshape(shape)
        position += count * dtype.itemsize
    return arrays


def _ask(path: Path, request: str, arguments: Sequence[str]) -> tuple[dict[str, Any], memoryview]:
    # -P: nothing that lies in the current folder is imported.
    command = [sys.executable, "-P", str(CHILD), request, str(path.absolute()), *arguments]
    try:
        if not path.is_file():
            raise FileError(f"{path}: no such file")
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST_READ_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise FileError(f"{path}: reading it did not end within {LONGEST_READ_S} s; is it damaged?") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise FileError(
            f"{path}: not a sound HDF5 file (reading it ended with status {done.returncode}"
            f"{': ' + said[-1] if said else ', a crash of the HDF5 library'}); write it anew"
        )
    line, _, _ = done.stdout.partition(b"\n")
    head = json.loads(line)
    if "error" in head:
        raise FileError(f"{path}: {head['error']}")
    return head, memoryview(done.stdout)[len(line) + 1 :]

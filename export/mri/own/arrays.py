"""The array in a file of lines or points, whatever it means."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.files import load_npz, sha256_file
from cidesign.io.bart import read_cfl
from cidesign.io.csv_readings import read_csv
from cidesign.io.mat import read_every_matrix
from cidesign.io.npy import read_npy
from cidesign.io.pictures import read_image_stack
from cidesign.pattern import MAX_MATRIX
from cidesign.records import shown

TABLES = (".csv", ".tsv", ".txt")
ARRAYS = (".npy", ".npz", ".mat")
BART = (".cfl", ".hdr")
PICTURES = (".png", ".tif", ".tiff")
MAX_TABLE_BYTES = 20_000_000


def one_file(files: Sequence[Path], suffixes: tuple[str, ...], what: str) -> Path:
    """The one file that is named, of BART its data; raises `InputError` for several and `FileError` for another."""
    if len(files) != 1:
        raise InputError(f"{what} are one file, {len(files)} are named: {shown(path.name for path in files)}")
    path = files[0].with_suffix(".cfl") if files[0].suffix.lower() == ".hdr" else files[0]
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FileError(f"{path}: no such file of {what}")
    if suffix not in suffixes:
        raise FileError(f"{path}: {what} in a {suffix or 'nameless'} file are not read; use {', '.join(suffixes)}")
    return path


def sources(path: Path) -> list[tuple[str, str]]:
    """The names and hashes of what is read of a file, with its header where it has one of its own."""
    parts = [path, path.with_suffix(".hdr")] if path.suffix.lower() in BART else [path]
    return [(one.name, sha256_file(one)) for one in parts]


def read_array(path: Path, wanted: str, what: str, bart_dimensions: int) -> tuple[NDArray[np.generic], str]:
    """The array that is meant and its name in a file of several; "" where the file has no names."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return read_npy(path, f"file of {what}"), ""
    if suffix in TABLES:
        return read_csv(path, what, MAX_TABLE_BYTES), ""
    if suffix in PICTURES:
        return read_image_stack(path, f"mask of {what}"), ""
    if suffix in BART:
        return read_cfl(path, bart_dimensions), ""
    arrays = load_npz(path, f"file of {what}") if suffix == ".npz" else read_every_matrix(path)[0]
    names = [wanted] if wanted in arrays else list(arrays)
    if len(names) != 1:
        listing = ", ".join(f"{shown([name])} {array.shape}" for name, array in arrays.items()) or "none"
        raise InputError(f"{path}: holds arrays {listing}; say which are the {what} with --set array=NAME")
    return arrays[names[0]], names[0]


def real_numbers(values: NDArray[np.generic], where: str, what: str) -> NDArray[np.float64]:
    """Real numbers without axes of one element, at least one axis; masks that are all alike count as one."""
    if values.dtype.kind not in "biufc":
        raise FileError(f"{where}: holds {values.dtype} values; {what} are numbers, or a mask of 0 and 1")
    if not values.size or values.size > MAX_MATRIX**2:
        raise FileError(f"{where}: holds {values.size} values; 1 to {MAX_MATRIX**2} make {what}")
    if values.dtype.kind == "c":
        if np.any(values.imag != 0):
            raise FileError(f"{where}: holds complex numbers, k-space itself it seems; a pattern is 0 and 1")
        values = values.real
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = values.astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(numbers)))
    if bad:
        raise FileError(
            f"{where}: {bad} of {numbers.size} values are not finite; say for all {what} whether they are measured"
        )
    numbers = numbers.reshape([length for length in numbers.shape if length != 1] or [1])
    if numbers.ndim == 3 and (numbers == numbers[:1]).all():
        numbers = numbers[0]
    if numbers.ndim > 2:
        raise FileError(
            f"{where}: shape {values.shape}, masks that differ; a design is one mask (H, W) or (N,): save one"
        )
    return numbers


def is_mask(values: NDArray[np.generic], numbers: NDArray[np.float64]) -> bool:
    """Whether an array is a mask rather than a list: truth values, or 0 and 1 alone that are not a list of both."""
    return bool(np.isin(numbers, (0, 1)).all()) and (values.dtype.kind == "b" or len(np.unique(numbers)) < numbers.size)


def refuse_settings(where: str, what: str, **given: object) -> None:
    """Raise `InputError` for a setting that means nothing for such a file."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"--set {name}={value}: {where} is {what}, for which it means nothing; leave it out")

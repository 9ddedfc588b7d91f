"""One hyperspectral cube from a file (MATLAB, ENVI, NumPy, HDF5), always with the wavelengths of its bands."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import load_npz, read_json
from cidesign.io.arrays import float64_of
from cidesign.io.envi import read_envi
from cidesign.io.hdf5 import HDF5_SUFFIXES, hdf5_datasets, read_hdf5
from cidesign.io.mat import read_every_matrix
from cidesign.io.npy import read_npy
from cidesign.records import shown

SUFFIXES = (".mat", ".hdr", ".npy", ".npz", *HDF5_SUFFIXES)
MAX_CUBE_SAMPLES = 400_000_000
# Optical wavelengths in either unit: the ranges do not meet, so a number tells its unit.
NM_RANGE, UM_RANGE = (150.0, 25_000.0), (0.15, 25.0)
NM_NAMES = ("nm", "nanometer", "nanometers", "nanometre", "nanometres")
UM_NAMES = ("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres")
UNSAID = ("", "unknown", "index")
WAVELENGTH_NAME = re.compile(r"wave|lambda|^wl|^bands?(_|$)|^centers?(_|$)|^centres?(_|$)", re.IGNORECASE)
# Versions of MATLAB since 7.3 write HDF5 with a block of text before it.
MATLAB_HDF5 = b"MATLAB 7.3 MAT-file"


@dataclass(frozen=True)
class SpectralCube:
    """Radiances or reflectances (L, H, W) at L increasing `wavelengths_nm`, with remarks on what was decided."""

    values: NDArray[np.float32]
    wavelengths_nm: NDArray[np.float64]
    notes: tuple[str, ...]


def read_cube(path: Path) -> SpectralCube:
    """Read a cube and its wavelengths.

    .mat (to version 7.3), ENVI .hdr, .npz, .h5 and .hdf5 hold both; a .npy has `{"wavelengths_nm": [...]}` in a .json
    of the same name.  The cube is the array of three axes, one of them as long as the vector of wavelengths.
    Raises `FileError` for a damaged file, for a cube without wavelengths, and where two readings are possible.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".hdr":
            return _read_envi_cube(path)
        if suffix in HDF5_SUFFIXES or (suffix == ".mat" and _is_matlab_hdf5(path)):
            return _read_hdf5_cube(path, reversed_axes=suffix == ".mat")
        if suffix == ".mat":
            return _from_arrays(path, *read_every_matrix(path))
        if suffix == ".npz":
            return _from_arrays(path, dict(load_npz(path, "cube")), {})
        if suffix == ".npy":
            return _from_arrays(path, {"the array": read_npy(path, "cube")}, {})
    except MemoryError as error:
        raise FileError(f"{path}: needs more memory than there is; cut it into smaller cubes") from error
    raise FileError(f"{path}: {suffix or 'nameless'} files are not read as cubes; use {', '.join(SUFFIXES)}")


def _is_matlab_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(MATLAB_HDF5)) == MATLAB_HDF5
    except OSError as error:
        raise FileError(f"{path}: this cube cannot be read ({error.strerror or error})") from error


def _read_envi_cube(path: Path) -> SpectralCube:
    stored = read_envi(path)
    notes = list(stored.notes)
    listed, unit = np.array(stored.wavelengths), stored.unit
    beside = path.with_suffix(".json")
    if beside.is_file():
        ((name, listed),) = _read_sidecar(beside, notes).items()
        unit = _unit_in_name(name)
    if not listed.size:
        raise _no_wavelengths(path, "`wavelength` in the header", shape=stored.values.shape)
    if listed.size != stored.values.shape[0]:
        raise FileError(f"{beside}: {listed.size} wavelengths for {stored.values.shape[0]} bands")
    values = _as_float(path, stored.values)
    if stored.ignored is not None and (missing := stored.values == stored.ignored).any():
        values[missing] = np.nan
        notes.append(f"values of {stored.ignored:g} are holes, as the ENVI header says")
    if stored.scale is not None:
        if not stored.scale > 0:
            raise FileError(f"{path}: `reflectance scale factor` is {stored.scale:g}; a positive number is needed")
        with np.errstate(over="ignore"):  # what becomes infinite is refused where it is used
            values = (values / stored.scale).astype(np.float32)
    wavelengths_nm = _to_nm(path, listed, unit, notes)
    if stored.good_bands and not all(stored.good_bands):
        good = np.array(stored.good_bands)
        if not good.any():
            raise FileError(f"{path}: `bbl` marks every band as bad")
        values, wavelengths_nm = values[good], wavelengths_nm[good]
        notes.append(f"{int((~good).sum())} bands marked as bad in the ENVI header are left out")
    return _sorted_cube(path, values, wavelengths_nm, notes)


def _read_hdf5_cube(path: Path, reversed_axes: bool) -> SpectralCube:
    """MATLAB stores the last index slowest and HDF5 lists it first: `reversed_axes` undoes that."""
    found = hdf5_datasets(path)
    units = {entry.name: entry.unit for entry in found}
    wanted = [
        entry
        for entry in found
        if entry.kind in "iuf"
        and (_is_cube_shape(entry.shape) or (_vector_length(entry.shape) and _named_wavelengths(entry.name)))
    ]
    # Sizes tell most of them apart before anything large is read.
    lengths = {_vector_length(entry.shape) for entry in wanted if len(entry.shape) < 3}
    fitting = [e.name for e in wanted if len(e.shape) < 3 or not lengths or lengths & set(e.shape)]
    arrays = read_hdf5(path, fitting)
    if reversed_axes:
        arrays = {name: values.T for name, values in arrays.items()}
    others = {entry.name: f"of shape {entry.shape}" for entry in found if entry.name not in arrays}
    return _from_arrays(path, arrays, others, units)


def _from_arrays(
    path: Path, arrays: dict[str, NDArray[np.generic]], others: dict[str, str], units: dict[str, str] | None = None
) -> SpectralCube:
    """Which of named arrays is the cube, which its wavelengths; raises `FileError` unless there is one answer."""
    cubes = {name: a for name, a in arrays.items() if a.dtype.kind in "iuf" and _is_cube_shape(a.shape)}
    if not cubes:
        seen = [f"{name} {a.shape}" for name, a in arrays.items()] + [f"{n} ({what})" for n, what in others.items()]
        raise FileError(f"{path}: holds no real array of three axes (height, width, bands), only {shown(seen)}")
    vectors = {
        name: float64_of(a).ravel()
        for name, a in arrays.items()
        if a.dtype.kind in "iuf" and _vector_length(a.shape) and _named_wavelengths(name)
    }
    notes: list[str] = []
    beside = path.with_suffix(".json")
    if beside.is_file():
        vectors = _read_sidecar(beside, notes)
    pairs = [
        (cube, vector, axis)
        for cube, values in cubes.items()
        for vector, numbers in vectors.items()
        for axis, length in enumerate(values.shape)
        if length == numbers.size
    ]
    if not vectors:
        raise _no_wavelengths(path, "a vector `wavelengths_nm`", shape=next(iter(cubes.values())).shape)
    if not pairs:
        raise FileError(
            f"{path}: no axis of {shown(f'`{n}` {c.shape}' for n, c in cubes.items())} is as long as "
            f"{shown(f'`{n}` ({v.size})' for n, v in vectors.items())}; one wavelength per band is needed"
        )
    if len(pairs) > 1:
        said = shown(f"`{cube}` with `{vector}` along axis {axis}" for cube, vector, axis in pairs)
        raise FileError(
            f"{path}: several readings are possible: {said}. Save the one that is meant in a file of its own"
        )
    ((cube, vector, axis),) = pairs
    if len(cubes) > 1:
        notes.append(f"`{cube}` is read, the only array that has a wavelength for each band")
    unit = _unit_in_name(vector) or (units or {}).get(vector, "")
    wavelengths_nm = _to_nm(path, vectors[vector], unit, notes)
    return _sorted_cube(path, np.moveaxis(_as_float(path, cubes[cube]), axis, 0), wavelengths_nm, notes)


def _is_cube_shape(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and min(shape) >= 2


def _vector_length(shape: tuple[int, ...]) -> int:
    """The length of a vector, also of MATLAB's (1, L) and (L, 1); 0 for anything else."""
    longest = max(shape, default=0)
    return longest if longest >= 2 and len(shape) <= 2 and int(np.prod(shape, dtype=np.int64)) == longest else 0


def _named_wavelengths(name: str) -> bool:
    return bool(WAVELENGTH_NAME.search(name.rsplit("/", 1)[-1]))


def _read_sidecar(path: Path, notes: list[str]) -> dict[str, NDArray[np.float64]]:
    record = read_json(path, "list of wavelengths")
    name = next((key for key in ("wavelengths_nm", "wavelengths_um") if key in record), None)
    if name is None:
        raise FileError(f'{path}: holds neither "wavelengths_nm" nor "wavelengths_um", only {shown(record)}')
    numbers = record[name]
    if not isinstance(numbers, list) or not all(type(number) in (int, float) for number in numbers):
        raise FileError(f"{path}: {name} should be a list of numbers")
    notes.append(f"the wavelengths are those of {path.name}")
    try:
        return {name: np.array(numbers, dtype=np.float64)}
    except OverflowError as error:
        raise FileError(f"{path}: {name} holds a number that is too large") from error


def _unit_in_name(name: str) -> str:
    last = re.split(r"[_\s(\[]", name.rsplit("/", 1)[-1].rstrip(")] ").lower())[-1]
    return last if last in (*NM_NAMES, *UM_NAMES) else ""


def _no_wavelengths(path: Path, where: str, shape: tuple[int, ...]) -> FileError:
    return FileError(
        f"{path}: a cube {shape} without wavelengths; give the centre of every band as {where}, or in "
        f'{path.with_suffix(".json").name} as {{"wavelengths_nm": [450.0, ...]}}'
    )


def _to_nm(path: Path, numbers: NDArray[np.float64], unit: str, notes: list[str]) -> NDArray[np.float64]:
    """Wavelengths in nm; a unit that is not stated must follow from the numbers."""
    low, high = float(numbers.min()), float(numbers.max())
    said = unit.strip().lower()
    known = said in NM_NAMES or said in UM_NAMES
    fits = [name for name, (least, most) in (("nm", NM_RANGE), ("um", UM_RANGE)) if least <= low and high <= most]
    if not known and said not in UNSAID:
        raise FileError(f"{path}: wavelengths in {unit[:20]!r} are not read; nm and um are")
    stated = "um" if said in UM_NAMES else "nm"
    if not fits or (known and stated not in fits):
        raise FileError(
            f"{path}: wavelengths from {low:g} to {high:g}{' ' + stated if known else ''} are not optical ones "
            f"({NM_RANGE[0]:g} to {NM_RANGE[1]:g} nm); are they in another unit, or band numbers?"
        )
    if not known:
        notes.append(f"wavelengths {low:g} to {high:g} without a unit can only be {fits[0]}")
    return numbers * (1000.0 if fits[0] == "um" else 1.0)


def _as_float(path: Path, values: NDArray[np.generic]) -> NDArray[np.float32]:
    if values.size > MAX_CUBE_SAMPLES:
        raise FileError(
            f"{path}: {values.size} values are more than {MAX_CUBE_SAMPLES}; cut the cube into smaller ones"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is refused where it is used
        return values.astype(np.float32)


def _sorted_cube(
    path: Path, values: NDArray[np.float32], wavelengths_nm: NDArray[np.float64], notes: list[str]
) -> SpectralCube:
    order = np.argsort(wavelengths_nm, kind="stable")
    if (order != np.arange(order.size)).any():
        notes.append("bands are sorted by wavelength")
        values, wavelengths_nm = values[order], wavelengths_nm[order]
    same = np.flatnonzero(np.diff(wavelengths_nm) <= 0)
    if same.size:
        raise FileError(f"{path}: two bands are at {wavelengths_nm[same[0]]:g} nm; leave one of them out")
    return SpectralCube(values, wavelengths_nm, tuple(notes))

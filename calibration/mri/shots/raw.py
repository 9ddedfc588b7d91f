"""Raw data of shots: ISMRMRD with a trajectory in each acquisition, Siemens twix, and samples beside a trajectory."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.capture_record import RECORD_FILE
from cidesign.calibration.mri.kspace import Samples
from cidesign.calibration.mri.raw.assemble import chosen_slice, noise_samples, require_alike
from cidesign.calibration.mri.raw.files import MRD_FIELDS, TWIX_FIELDS, read_acquisitions, read_twix_readouts
from cidesign.calibration.mri.raw.header import FOV_TOLERANCE, MrdHeader
from cidesign.calibration.mri.raw.readouts import Readouts
from cidesign.calibration.mri.raw.vendors import refuse_other_vendors
from cidesign.calibration.mri.shots.capture import Beside, RawShots, Recorded, read_shots_capture, require_samples
from cidesign.errors import FileError, InputError
from cidesign.files import sha256_file
from cidesign.io.bart import read_cfl
from cidesign.io.npy import read_npy
from cidesign.pattern.shots import UNITS, Unit, units_in_steps

MRD, TWIX, BART, NUMPY = (".h5", ".hdf5", ".mrd"), (".dat",), (".cfl", ".hdr"), (".npy",)
READABLE = (
    "ISMRMRD with trajectories (.h5, .mrd), Siemens twix (.dat), and samples of BART (.cfl) or NumPy (.npy) beside a "
    "trajectory"
)
_BART_AXES = 4
TRAJECTORY = "--set trajectory=FILE (.npy, .cfl, .seq)"


def read_shots(
    path: Path,
    beside: Beside | None = None,
    units: Unit | None = None,
    measurement: str | None = None,
    encoding: int | None = None,
    slice_index: int | None = None,
) -> RawShots:
    """A scan of shots of any kind that is read: a capture folder, ISMRMRD, Siemens twix, BART, NumPy.

    .npy: samples (coils, shots, samples), or (shots, samples) of one coil.  `beside`: the trajectory, for files that
    hold none; a Siemens file without one is taken to have the design's.  `units`: of an ISMRMRD file that does not say
    it.  Raises `FileError` for damaged files and those of another kind, `InputError` for what a file leaves open, and
    for options that it has no use for.
    """
    if path.exists():
        refuse_other_vendors(path, READABLE)
    suffix = path.suffix.lower()
    given = {"trajectory": None if beside is None else beside.name, "units": units, "measurement": measurement,
             "encoding": encoding, "slice_index": slice_index}  # fmt: skip
    used = {"trajectory"} if suffix in (*BART, *NUMPY) else set()
    used |= {"trajectory", "measurement", "slice_index"} if suffix in TWIX else set()
    used |= set(given) if suffix in MRD else set()
    for name, value in given.items():
        if value is not None and name not in used:
            raise InputError(f"--set {name}={value}: {path} leaves no such thing open; leave it out")
    if path.is_dir() or path.name == RECORD_FILE:
        return read_shots_capture(path if path.is_dir() else path.parent)
    if not path.is_file():
        raise FileError(f"{path}: no such capture; make one with `cidesign simulate --out {path}`, or record one")
    if suffix in MRD:
        return _of_mrd(path, beside, units, measurement, encoding, slice_index)
    if suffix in TWIX:
        return _of_twix(path, beside, measurement, slice_index)
    if suffix in (*BART, *NUMPY):
        return _of_samples(path, beside)
    raise FileError(f"{path}: {suffix or 'nameless'} files are not read as raw data of shots; use {READABLE}")


def _of_mrd(
    path: Path,
    beside: Beside | None,
    units: Unit | None,
    measurement: str | None,
    encoding: int | None,
    slice_index: int | None,
) -> RawShots:
    readouts, header, number, digest, notes = read_acquisitions(path, measurement, encoding)
    imaging, order, kept, more = _shots(readouts, slice_index, MRD_FIELDS)
    k, noise = _samples(readouts, imaging, order, kept, MRD_FIELDS, more)
    notes += more
    size, fov_mm, steps = _image(path, header, number)
    dwell_ps = int(readouts.column("dwell_ps")[imaging][0])
    dwell_ns = dwell_ps / 1e3 if dwell_ps > 0 else None
    if beside is None:
        unit = _unit(path, header, number, units)
        points = _trajectory(readouts, imaging)[order][:, kept] * steps[unit]
        notes.append(f"k of the acquisitions in {unit}, its first component along the columns of the image (x)")
        recorded = Recorded(points, size, fov_mm, dwell_ns)
    else:
        recorded = replace(_placed(beside, path, k, notes), size=size, fov_mm=fov_mm, dwell_ns=dwell_ns)
        digest = _together(digest, beside)
    return RawShots(path, readouts.source, k, digest, "", "", noise=noise, recorded=recorded, notes=tuple(notes))


def _of_twix(path: Path, beside: Beside | None, measurement: str | None, slice_index: int | None) -> RawShots:
    readouts, digest, notes = read_twix_readouts(path, measurement)
    imaging, order, kept, more = _shots(readouts, slice_index, TWIX_FIELDS)
    k, noise = _samples(readouts, imaging, order, kept, TWIX_FIELDS, more)
    notes += [*more, "a Siemens file holds no trajectory; field of view and dwell time are taken to be the design's"]
    if beside is None:
        notes.append("where samples lie nothing says: they are taken to be the design's, shot after shot")
        recorded = Recorded(None)
    else:
        recorded, digest = _placed(beside, path, k, notes), _together(digest, beside)
    return RawShots(path, readouts.source, k, digest, "", "", noise=noise, recorded=recorded, notes=tuple(notes))


def _shots(
    readouts: Readouts, slice_index: int | None, fields: Mapping[str, str]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], slice, list[str]]:
    """The readouts of one slice, their order by shot, the samples of each that count, and remarks."""
    imaging = readouts.imaging & (readouts.column("slice") == chosen_slice(readouts, slice_index))
    notes = require_alike(readouts, imaging, fields)
    if np.ptp(readouts.column("average")[imaging]):
        raise FileError(f"{readouts.path}: holds averages of shots ({fields['average']}), which are not read")
    return imaging, _order(readouts, imaging, fields, notes), _kept(readouts, imaging, fields), notes


def _samples(
    readouts: Readouts,
    imaging: NDArray[np.bool_],
    order: NDArray[np.int64],
    kept: slice,
    fields: Mapping[str, str],
    notes: list[str],
) -> tuple[Samples, Samples | None]:
    """(coils, shots, samples) in the order of shots, and the noise scan (coils, M)."""
    rows = readouts.samples(imaging)
    k = np.stack([rows[shot][:, kept] for shot in order], axis=1)
    require_samples(readouts.path, "k", k, k.shape)
    noise, _ = noise_samples(readouts, imaging, fields, notes)
    if noise is not None and len(noise) != len(k):
        raise FileError(f"{readouts.path}: the noise scan has {len(noise)} coils, the image {len(k)}")
    return k, noise


def _kept(readouts: Readouts, imaging: NDArray[np.bool_], fields: Mapping[str, str]) -> slice:
    """The samples that the header does not discard, the same of all shots."""
    names = ("discard_pre", "discard_post", "samples")
    cuts = {tuple(row) for row in np.stack([readouts.column(name)[imaging] for name in names], axis=1).tolist()}
    if len(cuts) != 1:
        raise FileError(f"{readouts.path}: shots of different length ({fields['discard']})")
    ((before, behind, samples),) = cuts
    if before + behind >= samples:
        raise FileError(f"{readouts.path}: {before} and {behind} of {samples} samples are discarded; none is left")
    return slice(before, samples - behind)


def _order(
    readouts: Readouts, imaging: NDArray[np.bool_], fields: Mapping[str, str], notes: list[str]
) -> NDArray[np.int64]:
    """The shots by their counter where it tells them apart, else in the order of time."""
    lines = readouts.column("line")[imaging]
    if len(np.unique(lines)) == len(lines):
        return np.argsort(lines)
    notes.append(f"{fields['line']} does not tell the shots apart: they are in the order of time")
    return np.argsort(readouts.time(imaging))


def _image(path: Path, header: MrdHeader, number: int) -> tuple[tuple[int, int], float, dict[Unit, float]]:
    """Rows and columns and the field of view of the image (reconSpace), and what 1 of each unit is in 1/FOV of it.

    Pixels and FOV of a unit are those of encodedSpace.
    """
    names = {
        f"{space}/{field}/{axis}"
        for space in ("encodedSpace", "reconSpace")
        for field in ("matrixSize", "fieldOfView_mm")
        for axis in "xy"
    }
    found = {name: header.number(number, name) or 0.0 for name in names}
    missing = sorted(name for name, value in found.items() if value <= 0)
    if missing:
        raise FileError(f"{path}: its header has no usable encoding.{missing[0].replace('/', '.')}")
    across, down = (found[f"reconSpace/fieldOfView_mm/{axis}"] for axis in "xy")
    encoded = found["encodedSpace/matrixSize/x"]
    wider = [found[f"encodedSpace/fieldOfView_mm/{axis}"] / found[f"reconSpace/fieldOfView_mm/{axis}"] for axis in "xy"]
    if abs(across / down - 1) > FOV_TOLERANCE or abs(wider[0] / wider[1] - 1) > FOV_TOLERANCE:
        raise FileError(f"{path}: a field of view of {down:g} x {across:g} mm (reconSpace); only square ones are read")
    size = (int(found["reconSpace/matrixSize/y"]), int(found["reconSpace/matrixSize/x"]))
    steps = units_in_steps(across, encoded / wider[0]) | {"1/fov": 1 / wider[0]}
    return size, across, steps


def _unit(path: Path, header: MrdHeader, number: int, given: Unit | None) -> Unit:
    said = (header.trajectory_unit(number) or "").lower()
    known = next((unit for unit in UNITS if unit == said), None)
    if said and known is None:
        raise FileError(
            f"{path}: its trajectory_unit is {said[:40]} (trajectoryDescription); known: {', '.join(UNITS)}"
        )
    if said and given is not None and said != given:
        raise InputError(f"--set units={given}: {path} says {said} (trajectoryDescription.trajectory_unit)")
    found = given if known is None else known
    if found is None:
        raise InputError(
            f"{path}: does not say the unit of its trajectory (trajectoryDescription.trajectory_unit); say it with "
            f"--set units=... ({', '.join(UNITS)}; pixels and FOV of encodedSpace)"
        )
    return found


def _trajectory(readouts: Readouts, imaging: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(shots, samples, 2), rows of the image first."""
    path, found = readouts.path, sorted(set(readouts.column("trajectory_dimensions")[imaging].tolist()))
    if found == [0]:
        raise InputError(
            f"{path}: its acquisitions have no trajectory (AcquisitionHeader.trajectory_dimensions = 0); give one "
            f"with {TRAJECTORY}"
        )
    if found not in ([2], [3]):
        raise FileError(f"{path}: trajectories of {found} dimensions (AcquisitionHeader.trajectory_dimensions), not 2")
    points = readouts.trajectories(imaging).astype(np.float64)
    if not np.isfinite(points).all():
        raise FileError(f"{path}: its trajectory holds values that are not finite")
    if points.shape[2] == 3 and points[..., 2].any():
        raise FileError(f"{path}: the third component of its trajectory is not 0; only shots of one slice are read")
    if not points.any():
        raise FileError(f"{path}: its trajectory is 0 everywhere; the program that wrote it left it empty")
    return np.ascontiguousarray(points[..., 1::-1])


def _of_samples(path: Path, beside: Beside | None) -> RawShots:
    """Samples of BART (1, samples, shots, coils), or an array (coils, shots, samples)."""
    if beside is None:
        raise InputError(f"{path}: samples come with a trajectory here; name it with {TRAJECTORY}")
    if path.suffix.lower() in NUMPY:
        source, k, digest = "NumPy array", _of_npy(path), sha256_file(path)
    else:
        source, found = "BART", read_cfl(path, _BART_AXES)
        if found.ndim != _BART_AXES or found.shape[0] != 1:
            raise FileError(f"{path}: samples of BART have dimensions (1, samples, shots, coils), not {found.shape}")
        k, digest = np.ascontiguousarray(found[0].transpose(2, 1, 0)), sha256_file(path.with_suffix(".cfl"))
    require_samples(path, "k", k, k.shape)
    notes = ["the file says no field of view and no dwell time; the design's are taken"]
    recorded = _placed(beside, path, k, notes)
    return RawShots(path, source, k, _together(digest, beside), "", "", recorded=recorded, notes=tuple(notes))


def _of_npy(path: Path) -> Samples:
    found = read_npy(path, "file of samples")
    if found.dtype.kind != "c" or found.ndim not in (2, 3) or not found.size:
        raise FileError(
            f"{path}: {found.dtype} of shape {found.shape}; samples of shots are complex, (coils, shots, samples) or "
            "(shots, samples)"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused
        return found.astype(np.complex64).reshape(-1, *found.shape[-2:])


def _placed(beside: Beside, path: Path, k: Samples, notes: list[str]) -> Recorded:
    """The trajectory beside samples (coils, shots, samples)."""
    if beside.points.shape[:2] != k.shape[1:]:
        raise FileError(
            f"{beside.name}: a trajectory of {beside.points.shape[0]} shots of {beside.points.shape[1]} samples, "
            f"{path} holds {k.shape[1]} of {k.shape[2]}"
        )
    notes.append(f"trajectory: {beside.name}, in {beside.units}")
    return Recorded(beside.points, units=beside.units)


def _together(digest: str, beside: Beside) -> str:
    """Of samples and their trajectory."""
    return hashlib.sha256(f"{digest} {beside.digest}".encode()).hexdigest()

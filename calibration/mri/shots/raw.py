"""Raw data of shots: ISMRMRD with a trajectory in each acquisition, and BART's samples beside its trajectory."""

import hashlib
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.capture_record import RECORD_FILE
from cidesign.calibration.mri.raw.assemble import noise_samples, require_alike, slice_numbers
from cidesign.calibration.mri.raw.files import MRD_FIELDS, read_acquisitions
from cidesign.calibration.mri.raw.header import FOV_TOLERANCE, MrdHeader
from cidesign.calibration.mri.raw.readouts import Readouts
from cidesign.calibration.mri.raw.vendors import refuse_other_vendors
from cidesign.calibration.mri.shots.capture import RawShots, Recorded, read_shots_capture, require_samples
from cidesign.errors import FileError, InputError
from cidesign.files import sha256_file
from cidesign.io.bart import read_cfl

UNITS = ("1/fov", "1/m", "rad/m", "cycles/px", "rad/px")
MRD, BART = (".h5", ".hdf5", ".mrd"), (".cfl", ".hdr")
READABLE = "ISMRMRD with trajectories (.h5, .mrd), and samples of BART beside a trajectory (.cfl)"
_BART_AXES = 4


def read_shots(
    path: Path,
    trajectory: Path | None = None,
    units: str | None = None,
    measurement: str | None = None,
    encoding: int | None = None,
    slice_index: int | None = None,
) -> RawShots:
    """A scan of shots of any kind that is read: a capture folder, ISMRMRD, BART.

    `trajectory`: that of BART (3, samples, shots) in 1/FOV, for files that hold none; `units`: of an ISMRMRD file that
    does not say it.  Raises `FileError` for damaged files and those of another kind, `InputError` for what a file
    leaves open, and for options that it has no use for.
    """
    if path.exists():
        refuse_other_vendors(path, READABLE)
    suffix = path.suffix.lower()
    given = {"trajectory": trajectory, "units": units, "measurement": measurement, "encoding": encoding,
             "slice_index": slice_index}  # fmt: skip
    used = set(given) if suffix in MRD else {"trajectory"} if suffix in BART else set()
    for name, value in given.items():
        if value is not None and name not in used:
            raise InputError(f"--set {name}={value}: {path} leaves no such thing open; leave it out")
    if units is not None and units not in UNITS:
        raise InputError(f"--set units={units}: known are {', '.join(UNITS)}")
    if units is not None and trajectory is not None:
        raise InputError(f"--set units={units}: a trajectory of BART is in 1/FOV; leave it out")
    if path.is_dir() or path.name == RECORD_FILE:
        return read_shots_capture(path if path.is_dir() else path.parent)
    if not path.is_file():
        raise FileError(f"{path}: no such capture; make one with `cidesign simulate --out {path}`, or record one")
    if suffix in MRD:
        return _of_mrd(path, trajectory, units, measurement, encoding, slice_index)
    if suffix in BART:
        return _of_bart(path, trajectory)
    raise FileError(f"{path}: {suffix or 'nameless'} files are not read as raw data of shots; use {READABLE}")


def _of_mrd(
    path: Path,
    trajectory: Path | None,
    units: str | None,
    measurement: str | None,
    encoding: int | None,
    slice_index: int | None,
) -> RawShots:
    readouts, header, number, digest, notes = read_acquisitions(path, measurement, encoding)
    imaging = readouts.imaging & (readouts.column("slice") == _slice(readouts, slice_index))
    notes += require_alike(readouts, imaging, MRD_FIELDS)
    if np.ptp(readouts.column("average")[imaging]):
        raise FileError(f"{path}: holds averages of shots (AcquisitionHeader.idx.average), which are not read")
    rows = readouts.samples(imaging)
    kept = _kept(readouts, imaging)
    order = _order(readouts, imaging, notes)
    k = np.stack([rows[shot][:, kept] for shot in order], axis=1)
    require_samples(path, "k", k, k.shape)
    size, fov_mm, steps = _image(path, header, number)
    if trajectory is None:
        unit = _unit(path, header, number, units)
        points = _trajectory(readouts, imaging)[order][:, kept] * steps[unit]
        notes.append(f"k of the acquisitions in {unit}, its first component along the columns of the image (x)")
    else:
        points = _bart_points(trajectory, (k.shape[2], k.shape[1]))
        digest = _together(digest, trajectory)
        notes.append(f"trajectory: {trajectory.name}")
    noise, _ = noise_samples(readouts, imaging, MRD_FIELDS, notes)
    if noise is not None and len(noise) != len(k):
        raise FileError(f"{path}: the noise scan has {len(noise)} coils, the image {len(k)}")
    dwell_ps = int(readouts.column("dwell_ps")[imaging][0])
    recorded = Recorded(points, size, fov_mm, dwell_ps / 1e3 if dwell_ps > 0 else None)
    return RawShots(path, readouts.source, k, digest, "", "", noise=noise, recorded=recorded, notes=tuple(notes))


def _slice(readouts: Readouts, wanted: int | None) -> int:
    numbers = slice_numbers(readouts)
    listing = ", ".join(map(str, sorted(numbers)))
    if wanted is None and len(numbers) > 1:
        raise InputError(f"{readouts.path}: holds slices {listing}; choose one with --set slice_index=N")
    if wanted is not None and wanted not in numbers:
        raise InputError(f"--set slice_index={wanted}: {readouts.path} holds slices {listing}")
    return numbers[0] if wanted is None else wanted


def _kept(readouts: Readouts, imaging: NDArray[np.bool_]) -> slice:
    """The samples that the header does not discard, the same of all shots."""
    names = ("discard_pre", "discard_post", "samples")
    cuts = {tuple(row) for row in np.stack([readouts.column(name)[imaging] for name in names], axis=1).tolist()}
    if len(cuts) != 1:
        raise FileError(f"{readouts.path}: shots of different length ({MRD_FIELDS['discard']})")
    ((before, behind, samples),) = cuts
    if before + behind >= samples:
        raise FileError(f"{readouts.path}: {before} and {behind} of {samples} samples are discarded; none is left")
    return slice(before, samples - behind)


def _order(readouts: Readouts, imaging: NDArray[np.bool_], notes: list[str]) -> NDArray[np.int64]:
    """The shots by their counter where it tells them apart, else in the order of time."""
    lines = readouts.column("line")[imaging]
    if len(np.unique(lines)) == len(lines):
        return np.argsort(lines)
    notes.append("kspace_encode_step_1 does not tell the shots apart: they are in the order of time")
    return np.argsort(readouts.time(imaging))


def _image(path: Path, header: MrdHeader, number: int) -> tuple[tuple[int, int], float, dict[str, float]]:
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
    per_m = across * 1e-3
    per_px = encoded / wider[0]
    steps = {
        "1/fov": 1 / wider[0],
        "1/m": per_m,
        "rad/m": per_m / (2 * math.pi),
        "cycles/px": per_px,
        "rad/px": per_px / (2 * math.pi),
    }
    return size, across, steps


def _unit(path: Path, header: MrdHeader, number: int, given: str | None) -> str:
    said = (header.trajectory_unit(number) or "").lower()
    if said and said not in UNITS:
        raise FileError(
            f"{path}: its trajectory_unit is {said[:40]} (trajectoryDescription); known: {', '.join(UNITS)}"
        )
    if said and given is not None and said != given:
        raise InputError(f"--set units={given}: {path} says {said} (trajectoryDescription.trajectory_unit)")
    if not said and given is None:
        raise InputError(
            f"{path}: does not say the unit of its trajectory (trajectoryDescription.trajectory_unit); say it with "
            f"--set units=... ({', '.join(UNITS)}; pixels and FOV of encodedSpace)"
        )
    return said or str(given)


def _trajectory(readouts: Readouts, imaging: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(shots, samples, 2), rows of the image first."""
    path, found = readouts.path, sorted(set(readouts.column("trajectory_dimensions")[imaging].tolist()))
    if found == [0]:
        raise InputError(
            f"{path}: its acquisitions have no trajectory (AcquisitionHeader.trajectory_dimensions = 0); give one of "
            "BART with --set trajectory=FILE.cfl"
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


def _of_bart(path: Path, trajectory: Path | None) -> RawShots:
    if trajectory is None:
        raise InputError(f"{path}: samples of BART come with a trajectory; name it with --set trajectory=FILE.cfl")
    found = read_cfl(path, _BART_AXES)
    if found.ndim != _BART_AXES or found.shape[0] != 1:
        raise FileError(f"{path}: samples of BART have dimensions (1, samples, shots, coils), not {found.shape}")
    k = np.ascontiguousarray(found[0].transpose(2, 1, 0))
    require_samples(path, "k", k, k.shape)
    points = _bart_points(trajectory, (k.shape[2], k.shape[1]))
    digest = _together(sha256_file(path.with_suffix(".cfl")), trajectory)
    notes = ("BART says no field of view and no dwell time; the design's are taken",)
    return RawShots(path, "BART", k, digest, "", "", recorded=Recorded(points), notes=notes)


def _bart_points(path: Path, wanted: tuple[int, int]) -> NDArray[np.float64]:
    """(shots, samples, 2) in 1/FOV, rows first, of a trajectory (3, samples, shots) of BART."""
    if path.suffix.lower() not in BART:
        raise InputError(f"--set trajectory={path}: a trajectory of BART (.cfl) is needed")
    points = read_cfl(path, 3)
    if points.shape != (3, *wanted):
        raise FileError(
            f"{path}: dimensions {points.shape}; the trajectory of these samples has (3, {wanted[0]}, {wanted[1]})"
        )
    if points.imag.any() or not np.isfinite(points.real).all() or points[2].any() or not points.any():
        raise FileError(f"{path}: a trajectory is real and finite, and that of a slice is 0 along the third direction")
    return np.stack([points[1].real.T, points[0].real.T], axis=-1).astype(np.float64)


def _together(digest: str, trajectory: Path) -> str:
    """Of samples and their trajectory."""
    return hashlib.sha256(f"{digest} {sha256_file(trajectory.with_suffix('.cfl'))}".encode()).hexdigest()

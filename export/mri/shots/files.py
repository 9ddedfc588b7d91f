"""Files that hold a trajectory: arrays of NumPy, those of BART, and Pulseq sequences, whose gradients say it."""

from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.export.mri.pulseq.read import PlayedSequence, Sampling, kspace_at, read_pulseq
from cidesign.export.mri.shots.bart import read_bart_points
from cidesign.files import sha256_file
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.npy import read_npy
from cidesign.pattern.shots import MAX_VALUES, NS_PER_S, Unit
from cidesign.records import shown

First = Literal["right", "down"]
SUFFIXES = (".npy", ".cfl", ".hdr", ".seq")
# Labels of Pulseq that tell images apart, and partitions.
_ONE_IMAGE = ("SLC", "PAR", "REP", "AVG", "SET", "ECO", "PHS")
# Cycles/m by which k along the slice may differ: what six digits of gradients leave.
_SLICE_TOLERANCE = 1.0


class TrajectoryFile(NamedTuple):
    """Samples (shots, samples, 2) as a file has them, and what it says of them; None: it does not say it.

    `first`: whether the first component runs along the columns of the image (right) or its rows (down); `dwell_us` the
    time between samples; `fov_mm` the image's; `sources` name and SHA-256 of each file; `said` how it was understood.
    """

    samples: NDArray[np.float64]
    sources: tuple[tuple[str, str], ...]
    units: Unit | None = None
    first: First | None = None
    dwell_us: float | None = None
    fov_mm: float | None = None
    said: tuple[str, ...] = ()

    def rows_first(self, first: First | None) -> NDArray[np.float64]:
        """The samples with the component along the rows of the image first."""
        return self.samples if (self.first or first) == "down" else self.samples[..., ::-1]


def read_trajectory(path: Path, profile: MriProfile | None) -> TrajectoryFile:
    """Read a trajectory of any kind that is read.

    .npy: (shots, samples, 2); .cfl: one of BART (3, samples, shots) in 1/FOV; .seq: k at the samples of every readout,
    the integral of its gradients since the excitation.  `profile`: the scanner of a sequence; without it a sequence has
    to say its own rasters (Pulseq 1.4 and later).  Raises `FileError` for damage and for what is no trajectory of one
    slice, `InputError` without pypulseq.
    """
    path = path.with_suffix(".cfl") if path.suffix.lower() == ".hdr" else path
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FileError(f"{path}: no such file of a trajectory")
    if suffix == ".cfl":
        sources = tuple((one.name, sha256_file(one)) for one in (path, path.with_suffix(".hdr")))
        return TrajectoryFile(read_bart_points(path)[..., ::-1], sources, "1/fov", "right")
    if suffix == ".npy":
        return TrajectoryFile(_of_npy(path), ((path.name, sha256_file(path)),))
    if suffix == ".seq":
        return _of_sequence(path, profile)
    raise FileError(f"{path}: trajectories in a {suffix or 'nameless'} file are not read; use {', '.join(SUFFIXES)}")


def _of_npy(path: Path) -> NDArray[np.float64]:
    values = read_npy(path, "trajectory")
    if values.dtype.kind not in "iuf" or values.ndim not in (2, 3) or values.shape[-1] != 2 or 0 in values.shape:
        raise FileError(
            f"{path}: holds {values.dtype} of shape {values.shape}; a trajectory is real, (shots, samples, 2)"
        )
    if values.size > MAX_VALUES:
        raise FileError(f"{path}: holds {values.size} values, at most {MAX_VALUES} are read")
    found = values.astype(np.float64).reshape(-1, *values.shape[-2:])
    if not np.isfinite(found).all():
        shot = int(np.flatnonzero(~np.isfinite(found).all(axis=(1, 2)))[0])
        raise FileError(f"{path}: shot {shot} holds values that are not finite")
    return found


def _of_sequence(path: Path, profile: MriProfile | None) -> TrajectoryFile:
    played = read_pulseq(path, profile)
    readouts, left = _image_readouts(path, played)
    (samples, dwell_ns) = _one_kind(path, readouts)
    if 2 * len(readouts) * samples > MAX_VALUES:
        raise FileError(f"{path}: holds {len(readouts)} readouts of {samples} samples; at most {MAX_VALUES // 2} fit")
    times_s = np.concatenate([one.times_s for one in readouts])
    k = kspace_at(played, times_s).reshape(3, len(readouts), samples)
    if np.ptp(k[2]) > _SLICE_TOLERANCE:
        raise FileError(
            f"{path}: k along the slice differs by {np.ptp(k[2]):.4g} 1/m between samples; only shots of one slice are "
            "read"
        )
    fov_m = played.text.numbers("FOV")
    square = len(fov_m) >= 2 and fov_m[0] > 0 and abs(fov_m[1] / fov_m[0] - 1) < 1e-6
    said = (
        f"k at the samples of {len(readouts)} readouts, from the gradients of a Pulseq {played.text.version_text} file",
        *([f"{left} readouts without an excitation, or labelled as noise, left out"] if left else []),
    )
    return TrajectoryFile(
        np.ascontiguousarray(k[:2].transpose(1, 2, 0)),
        ((path.name, sha256_file(path)),),
        "1/m",
        "right",
        dwell_ns / 1e3,
        1e3 * fov_m[0] if square else None,
        said,
    )


def _image_readouts(path: Path, played: PlayedSequence) -> tuple[list[Sampling], int]:
    """The readouts of the one image of a sequence, each behind an excitation of its own, and how many are none."""
    excited_s = np.array([pulse.time_s for pulse in played.pulses if pulse.use in ("excitation", "undefined")])
    before = np.searchsorted(excited_s, [one.start_s for one in played.samplings])
    found = [
        (one, int(at)) for one, at in zip(played.samplings, before, strict=True) if at and not one.labels.get("NOISE")
    ]
    if not found:
        raise FileError(f"{path}: holds no readout behind an excitation")
    for (first, at), (second, following) in pairwise(found):
        if at == following:
            raise FileError(
                f"{path}: the readouts of blocks {first.block} and {second.block} share an excitation (an echo train); "
                "a shot is one readout"
            )
    for label in _ONE_IMAGE:
        values = sorted({one.labels.get(label, 0) for one, _ in found})
        if len(values) > 1:
            raise FileError(f"{path}: holds several images by its label {label} ({shown(map(str, values))})")
    return [one for one, _ in found], len(played.samplings) - len(found)


def _one_kind(path: Path, readouts: list[Sampling]) -> tuple[int, int]:
    """Samples and dwell time in ns of all readouts."""
    first = readouts[0]
    for one in readouts:
        if (one.samples, one.dwell_s) != (first.samples, first.dwell_s):
            raise FileError(
                f"{path}: readouts of {first.samples} x {first.dwell_s * 1e6:g} us (block {first.block}) and of "
                f"{one.samples} x {one.dwell_s * 1e6:g} us (block {one.block}); all shots have the same samples"
            )
    return first.samples, round(first.dwell_s * NS_PER_S)


def known_of(found: TrajectoryFile) -> dict[str, float | str]:
    """What the file says itself, by the name of the setting that says it of other files."""
    values = {"units": found.units, "first": found.first, "dwell_us": found.dwell_us, "fov_mm": found.fov_mm}
    return {name: value for name, value in values.items() if value is not None}


def require_open(path: Path, found: TrajectoryFile, given: dict[str, object]) -> None:
    """Raise `InputError` for a setting of what the file says itself."""
    for name, value in known_of(found).items():
        if given.get(name) is not None:
            raise InputError(f"--set {name}={given[name]}: {path} says it itself ({value}); leave it out")

"""The capture folder of a scanner that this project simulates: `capture.json` and `kspace.npz`.

k              (coils, L, m)  the measured lines in the order of time, readout oversampled as recorded
lines          (L,)           their places in the matrix
noise          (coils, M)     samples without signal
truth          (N, n)         the image itself; only a simulation can know it

and, to verify a calibration with, the scan of a phantom that is known (all three, or none):

phantom        (coils, N, m)  all lines in the order of time
phantom_lines  (N,)           their places in the matrix
phantom_truth  (N, n)         its drawing

A capture of several slices is a folder of such folders, `slice_000` and so on, with a `capture.json` that numbers them.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.capture_record import RECORD_FILE, read_capture_record, write_capture
from cidesign.calibration.circumstances import BenchState
from cidesign.calibration.mri.kspace import RawKspace, at_limit, listed, refuse_duplicates, remove_oversampling
from cidesign.calibration.mri.phantom import PhantomScan
from cidesign.calibration.mri.slices import KspaceSlices
from cidesign.checks import FaultName
from cidesign.errors import FileError
from cidesign.files import load_npz, read_json, replacing_folder, sha256_file, write_json
from cidesign.records import Digest, Finite, Positive, Strict, shown

SCHEMA_VERSION = 1
ARRAYS_FILE = "kspace.npz"

Size = Annotated[int, Field(ge=1, le=100_000)]
SliceNumber = Annotated[int, Field(ge=0, lt=100_000)]
KINDS = {"k": "c", "lines": "i", "noise": "c", "truth": "c"}
PHANTOM_KINDS = {"phantom": "c", "phantom_lines": "i", "phantom_truth": "f"}


class SimulatedScanner(Strict):
    """The settings of a simulated scanner: the truth that a calibration should find again.

    `gain` is the size of a sample for one of the truth's orthonormal k-space; `noise` the standard deviation of real
    and imaginary part before it, the mean over the coils; `correlation` that of the noise of neighbouring coils;
    `echo_shift_samples` how far the echo lies behind the middle of the readout; `faults` what is wrong with it.
    """

    coils: Annotated[int, Field(ge=1, le=128)]
    gain: Positive
    noise: Positive
    correlation: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    echo_shift_samples: Finite
    oversampling: Annotated[int, Field(ge=1, le=2)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    scene: Annotated[str, Field(max_length=4096)]
    faults: dict[FaultName, Finite] = Field(default_factory=dict)


class KspaceCaptureRecord(Strict):
    """The content of `capture.json`."""

    schema_version: Literal[1]
    kind: Literal["capture"]
    modality: Literal["mri"]
    design_digest: Digest
    profile_digest: Digest
    matrix_lines: Size
    readout_samples: Size
    oversampling: Annotated[int, Field(ge=1, le=2)]
    coils: Annotated[int, Field(ge=1, le=128)]
    created_utc: Annotated[str, Field(max_length=64)]
    arrays_sha256: Digest
    scanner: SimulatedScanner
    bench_state: BenchState | None = None


class KspaceStackRecord(Strict):
    """The `capture.json` of several slices; each is a capture folder below (see `slice_folder`)."""

    schema_version: Literal[1]
    kind: Literal["capture"]
    modality: Literal["mri"]
    slices: Annotated[tuple[SliceNumber, ...], Field(min_length=1)]


def slice_folder(folder: Path, number: int) -> Path:
    """Where a slice of a capture, or of a calibration, has its own folder."""
    return folder / f"slice_{number:03d}"


def capture_slices(folder: Path) -> KspaceSlices:
    """The slices of a capture folder, most often one; raises `FileError` as `read_kspace_capture` does."""
    if "slices" not in read_json(folder / RECORD_FILE, "capture record"):
        return KspaceSlices(folder, (0,), lambda number: read_kspace_capture(folder))
    numbers = read_capture_record(folder, KspaceStackRecord, "mri", SCHEMA_VERSION).slices

    def read(number: int) -> RawKspace:
        return replace(read_kspace_capture(slice_folder(folder, number)), slice_number=number)

    return KspaceSlices(folder, numbers, read)


def write_kspace_captures(
    folder: Path,
    slices: Iterable[tuple[KspaceCaptureRecord, dict[str, NDArray[np.generic]]]],
    force: bool,
) -> None:
    """Write a capture folder of several slices, numbered from 0, in one step."""
    with replacing_folder(folder, force) as temporary:
        count = 0
        for record, arrays in slices:
            write_kspace_capture(slice_folder(temporary, count), record, arrays, False)
            count += 1
        stack = KspaceStackRecord(schema_version=1, kind="capture", modality="mri", slices=tuple(range(count)))
        write_json(temporary / RECORD_FILE, stack.model_dump(mode="json"))


def write_kspace_capture(
    folder: Path, record: KspaceCaptureRecord, arrays: dict[str, NDArray[np.generic]], force: bool
) -> None:
    """Write a capture folder in one step and read it back; `arrays_sha256` is filled in.

    Raises `FileError` when `folder` exists and `force` is not set.
    """
    write_capture(folder, record, arrays, ARRAYS_FILE, read_kspace_capture, force)


def read_kspace_capture(folder: Path) -> RawKspace:
    """Read a capture folder; raises `FileError` for one that is damaged, changed or of a newer version."""
    record = _record(folder)
    path = folder / ARRAYS_FILE
    arrays = load_npz(path, "k-space file")
    digest = sha256_file(path)
    if digest != record.arrays_sha256:
        raise FileError(f"{folder}: {ARRAYS_FILE} is not the one that {RECORD_FILE} names; copy the capture again")
    wanted = KINDS | (PHANTOM_KINDS if set(PHANTOM_KINDS) & set(arrays) else {})
    if set(arrays) != set(wanted) or any(arrays[name].dtype.kind != kind for name, kind in wanted.items()):
        raise FileError(f"{path}: should hold {', '.join(wanted)}, not {shown(sorted(arrays))}")
    k, lines, noise = arrays["k"].astype(np.complex64), arrays["lines"].astype(np.int64), arrays["noise"]
    samples = record.readout_samples * record.oversampling
    if k.ndim != 3 or k.shape != (record.coils, lines.size, samples) or lines.ndim != 1:
        raise FileError(
            f"{path}: k-space of shape {k.shape} and {lines.size} lines; {RECORD_FILE} says {record.coils} coils "
            f"(coils) and {samples} samples (readout_samples x oversampling)"
        )
    if noise.ndim != 2 or len(noise) != record.coils or not np.isfinite(noise).all():
        raise FileError(f"{path}: a noise scan of shape {noise.shape} does not fit {record.coils} coils")
    if arrays["truth"].shape != (record.matrix_lines, record.readout_samples):
        raise FileError(f"{path}: a truth of shape {arrays['truth'].shape} does not fit the matrix")
    _require_lines(path, lines, record.matrix_lines)
    order = np.argsort(lines)
    cut, edges = remove_oversampling(path, k[:, order], record.readout_samples)
    return RawKspace(
        path=folder,
        source="simulated scanner",
        k=cut,
        lines=lines[order],
        matrix_lines=record.matrix_lines,
        digest=digest,
        noise=noise.astype(np.complex64),
        edges=edges,
        oversampling=float(record.oversampling),
        fields={"lines": "matrix_lines", "samples": "readout_samples", "coils": "coils"},
        design_digest=record.design_digest,
        profile_digest=record.profile_digest,
        truth=arrays["truth"].astype(np.complex64),
        gain=record.scanner.gain,
        scanner=record.scanner,
        order=order,
        at_limit=at_limit(k),
        phantom=_phantom(path, arrays, record) if "phantom" in arrays else None,
        created_utc=record.created_utc,
        bench=record.bench_state or BenchState(),
    )


def _require_lines(path: Path, lines: NDArray[np.int64], matrix_lines: int) -> None:
    refuse_duplicates(path, lines, "each line is measured once")
    outside = [line for line in lines.tolist() if not 0 <= line < matrix_lines]
    if outside:
        raise FileError(f"{path}: unexpected lines {listed(outside)} outside 0 .. {matrix_lines - 1}")


def _phantom(path: Path, arrays: dict[str, NDArray[np.generic]], record: KspaceCaptureRecord) -> PhantomScan:
    k, order, picture = arrays["phantom"], arrays["phantom_lines"].astype(np.int64), arrays["phantom_truth"]
    shape = (record.coils, record.matrix_lines, record.readout_samples * record.oversampling)
    if k.shape != shape or order.shape != shape[1:2] or picture.shape != (shape[1], record.readout_samples):
        raise FileError(
            f"{path}: a phantom scan of shape {k.shape}, {order.size} lines and a drawing of {picture.shape} do not "
            f"fit the matrix of {record.matrix_lines} x {record.readout_samples}"
        )
    _require_lines(path, order, record.matrix_lines)
    if not (np.isfinite(k).all() and np.isfinite(picture).all() and k.any() and np.ptp(picture.astype(np.float64)) > 0):
        raise FileError(f"{path}: the phantom scan or its drawing holds nothing, or numbers that are not finite")
    recorded = k.astype(np.complex64)
    cut, _ = remove_oversampling(path, recorded, record.readout_samples)
    return PhantomScan(cut, order, picture.astype(np.float64), at_limit=at_limit(recorded))


def _record(folder: Path) -> KspaceCaptureRecord:
    return read_capture_record(folder, KspaceCaptureRecord, "mri", SCHEMA_VERSION)

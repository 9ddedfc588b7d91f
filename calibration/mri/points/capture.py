"""The capture folder of a 3-D scan that this project simulates: `capture.json` and `kspace.npz`.

k       (coils, P, m)                   the readouts in the order of time, oversampled as recorded
points  (P, 2)                          line and partition of each
noise   (coils, M)                      samples without signal
truth   (samples, lines, partitions)    the volume itself; only a simulation can know it
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.calibration.capture_record import RECORD_FILE, read_capture_record, write_capture
from cidesign.calibration.circumstances import BenchState
from cidesign.calibration.mri.capture import ARRAYS_FILE, SCHEMA_VERSION, SimulatedScanner, Size
from cidesign.calibration.mri.kspace import RawKspace, at_limit, remove_oversampling
from cidesign.calibration.mri.points.volume import RawVolume
from cidesign.errors import FileError
from cidesign.files import load_npz, sha256_file
from cidesign.records import Digest, Strict, shown

MODALITY = "mri-points"
KINDS = {"k": "c", "points": "i", "noise": "c", "truth": "c"}


class PointsCaptureRecord(Strict):
    """The content of `capture.json`."""

    schema_version: Literal[1]
    kind: Literal["capture"]
    modality: Literal["mri-points"]
    design_digest: Digest
    profile_digest: Digest
    matrix_lines: Size
    matrix_partitions: Size
    readout_samples: Size
    oversampling: Annotated[int, Field(ge=1, le=2)]
    coils: Annotated[int, Field(ge=1, le=128)]
    created_utc: Annotated[str, Field(max_length=64)]
    arrays_sha256: Digest
    scanner: SimulatedScanner
    bench_state: BenchState | None = None


def write_points_capture(
    folder: Path, record: PointsCaptureRecord, arrays: dict[str, NDArray[np.generic]], force: bool
) -> None:
    """Write a capture folder in one step and read it back; `arrays_sha256` is filled in.

    Raises `FileError` when `folder` exists and `force` is not set.
    """
    write_capture(folder, record, arrays, ARRAYS_FILE, read_points_capture, force)


def read_points_capture(folder: Path) -> RawVolume:
    """Read a capture folder; raises `FileError` for one that is damaged, changed or of a newer version."""
    if not folder.is_dir():
        raise FileError(
            f"{folder}: no capture folder of a 3-D scan; make one with `cidesign simulate RUN --out {folder}`"
        )
    record = read_capture_record(folder, PointsCaptureRecord, MODALITY, SCHEMA_VERSION)
    path = folder / ARRAYS_FILE
    arrays = load_npz(path, "k-space file")
    digest = sha256_file(path)
    if digest != record.arrays_sha256:
        raise FileError(f"{folder}: {ARRAYS_FILE} is not the one that {RECORD_FILE} names; copy the capture again")
    if set(arrays) != set(KINDS) or any(arrays[name].dtype.kind != kind for name, kind in KINDS.items()):
        raise FileError(f"{path}: should hold {', '.join(KINDS)}, not {shown(sorted(arrays))}")
    k, points, noise = arrays["k"].astype(np.complex64), arrays["points"].astype(np.int64), arrays["noise"]
    matrix = (record.matrix_lines, record.matrix_partitions)
    shapes = {
        "k": (record.coils, len(points), record.readout_samples * record.oversampling),
        "points": (len(points), 2),
        "truth": (record.readout_samples, *matrix),
    }
    wrong = [name for name, shape in shapes.items() if arrays[name].shape != shape]
    if wrong:
        name = wrong[0]
        raise FileError(f"{path}: {name} of shape {arrays[name].shape}; {RECORD_FILE} says {shapes[name]}")
    if noise.ndim != 2 or len(noise) != record.coils or not np.isfinite(noise).all():
        raise FileError(f"{path}: a noise scan of shape {noise.shape} does not fit {record.coils} coils")
    order = np.lexsort((points[:, 1], points[:, 0]))
    cut, edges = remove_oversampling(path, k[:, order], record.readout_samples)
    readouts = RawKspace(
        path=folder,
        source="simulated scanner",
        k=cut,
        lines=np.arange(len(points)),
        matrix_lines=len(points),
        digest=digest,
        noise=noise.astype(np.complex64),
        edges=edges,
        oversampling=float(record.oversampling),
        fields={"coils": "coils"},
        design_digest=record.design_digest,
        profile_digest=record.profile_digest,
        gain=record.scanner.gain,
        scanner=record.scanner,
        at_limit=at_limit(k),
        created_utc=record.created_utc,
        bench=record.bench_state or BenchState(),
    )
    return RawVolume(readouts, points[order], matrix, arrays["truth"].astype(np.complex64))

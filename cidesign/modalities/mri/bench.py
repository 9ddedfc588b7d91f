"""A scanner: its twin, its calibration, the plan of scans, and how raw k-space becomes images."""

import tempfile
from dataclasses import replace
from math import degrees
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from cidesign.calibration.mri.capture import write_kspace_capture, write_kspace_captures
from cidesign.calibration.mri.kspace import RawKspace
from cidesign.calibration.mri.phantom import draw_phantom
from cidesign.calibration.mri.plan import scan_plan
from cidesign.calibration.mri.raw.readers import read_kspace, read_slices, with_phantom
from cidesign.calibration.mri.record import (
    StoredKspaceCalibration,
    of_slices,
    read_kspace_calibration,
    write_kspace_calibration,
)
from cidesign.calibration.mri.slices import KspaceSlices, of_slice
from cidesign.calibration.mri.stack import StoredKspaceSlices, read_stack_calibration, write_stack_calibration
from cidesign.calibration.mri.twin import FAULTS, capture_record, scanner_settings, simulate_kspace
from cidesign.calibration.mri.verify import calibrate_and_verify
from cidesign.calibration.written import Row, Written, estimates_table
from cidesign.errors import InputError
from cidesign.files import Json, JsonObject
from cidesign.io.npy import read_npy
from cidesign.modalities.mri.data.images import read_slice_scene
from cidesign.modalities.mri.data.matrix import largest_side, on_matrix
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.record import MriRecord
from cidesign.modalities.mri.run import MriRun
from cidesign.modality import Bench
from cidesign.orientation import Orientation
from cidesign.records import Finite, Positive, now_utc
from cidesign.text import table
from cidesign.verb_settings import InputPath, Name, VerbSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cidesign.calibration.mri.capture import KspaceCaptureRecord, SimulatedScanner
    from cidesign.calibration.plan import PlanStep
    from cidesign.checks import FaultName
    from cidesign.modalities.mri.reconstruct import MriReconstructor
    from cidesign.modalities.mri.settings import Echo
    from cidesign.pattern import CartesianLines
    from cidesign.reconstruct.student import Student

SELF_CALIBRATED = "no calibration was named: noise, coil maps and scale are those of the capture's own central lines"
# Training slices come from seeds below this (validation: seed + 2**32), so the phantom is never one of them.
PHANTOM_SEED_OFFSET = 2**33


class SimulateMri(VerbSettings):
    """What `simulate` can be told of a scanner; `coils` and `noise` None: as the run.

    `all_lines`: all lines of the matrix, not the design's; `phantom`: also scan a known one; `slices`: how many, each
    another procedural one, with the same coils.
    """

    coils: Annotated[int, Field(ge=1, le=128)] | None = None
    gain: Positive = 1e-3
    noise: Positive | None = None
    correlation: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.3
    echo_shift_samples: Finite = 0.3
    oversampling: Annotated[int, Field(ge=1, le=2)] = 2
    all_lines: bool = False
    phantom: bool = True
    slices: Annotated[int, Field(ge=1, le=256)] = 1


class ReadMri(VerbSettings):
    """Which measurement and encoding of a file, and which slice (None: all).

    `matrix_lines` overrules a Siemens protocol.
    """

    slice_index: int | None = None
    matrix_lines: int | None = None
    measurement: Name | None = None
    encoding: int | None = None


class CalibrateMri(ReadMri):
    """`acs_lines`, `kernel`: of the coil maps; the orientation is as given, or as the phantom shows it.

    `phantom`, `phantom_picture`: raw data of all lines of a phantom, and its drawing (N, n) as .npy, for captures that
    hold none.
    """

    acs_lines: int | None = None
    kernel: int | None = None
    transpose: bool | None = None
    flip_vertical: bool | None = None
    flip_horizontal: bool | None = None
    phantom: InputPath | None = None
    phantom_picture: InputPath | None = None


KspaceCapture = RawKspace | KspaceSlices
StoredCalibration = StoredKspaceCalibration | StoredKspaceSlices


class MriBench(Bench[MriRun, KspaceCapture, StoredCalibration, SimulateMri, CalibrateMri, ReadMri]):
    """Noise scan, phantom, the lines of the design or all of them."""

    simulate_settings = SimulateMri
    calibrate_settings = CalibrateMri
    read_settings = ReadMri
    faults = FAULTS

    def plan(self, run: MriRun) -> "list[PlanStep]":
        """What to scan, in which order."""
        return scan_plan(run.design, run.settings.coils)

    def simulate(
        self,
        run: MriRun,
        folder: Path,
        settings: SimulateMri,
        faults: "dict[FaultName, float]",
        scene: Path | None,
        seed: int,
        force: bool,
    ) -> Written:
        """A scan of the run's lines, or of all of them, with a noise scan and a scan of a known phantom.

        `scene`: a complex or real image (N, n) as .npy, or slices in any file that is read for training; None: a
        procedural slice, never a training image.
        """
        design, own = run.design, run.settings
        if scene is not None and settings.slices > 1:
            raise InputError(f"--set slices={settings.slices}: {scene} is one scene; leave one of them out")
        lines = np.arange(design.lines) if settings.all_lines else design.acquired
        drawing = draw_phantom(design.lines, design.readout) if settings.phantom else None
        remarks: list[str] = []
        scanners: list[SimulatedScanner] = []

        def scanned(number: int) -> "tuple[KspaceCaptureRecord, dict[str, NDArray[np.generic]]]":
            scanner = scanner_settings(
                coils=own.coils if settings.coils is None else settings.coils,
                gain=settings.gain,
                noise=own.noise if settings.noise is None else settings.noise,
                correlation=settings.correlation,
                echo_shift_samples=settings.echo_shift_samples,
                oversampling=settings.oversampling,
                seed=seed + number,
                scene=str(scene) if scene else f"procedural slice, seed {seed + number}",
                faults=faults,
            )
            image, said = scene_of(scene, (design.lines, design.readout), seed + number, own.echo)
            # Other coils than the run's simulated ones: a calibration has to find them.
            maps = coils_of(scanner.coils, (design.lines, design.readout), seed + 1)
            scanners.append(scanner)
            remarks.extend(said)
            return capture_record(design, scanner, now_utc()), simulate_kspace(lines, image, maps, scanner, drawing)

        if settings.slices == 1:
            write_kspace_capture(folder, *scanned(0), force)
        else:
            write_kspace_captures(folder, (scanned(number) for number in range(settings.slices)), force)
        scanner = scanners[0]
        value: JsonObject = {
            "capture": str(folder),
            "run": str(run.known_as),
            "lines": [int(line) for line in lines],
            "slices": settings.slices,
            "scanner": scanner.model_dump(mode="json"),
            "notes": remarks,
        }
        shown = _scan_table(scanner, design, len(lines), settings)
        return Written(folder, value, "simulated scanner", shown, remarks)

    def read_capture(self, path: Path, settings: ReadMri | CalibrateMri) -> KspaceCapture:
        """Raw data of any kind that is read, or a simulated capture: one slice, or all where there are several."""
        found = read_slices(path, settings.matrix_lines, settings.measurement, settings.encoding)
        several = settings.slice_index is None and len(found.numbers) > 1
        return found if several else found.one(settings.slice_index)

    def calibrate(
        self, run: MriRun, capture: KspaceCapture, folder: Path, settings: CalibrateMri, force: bool
    ) -> tuple[StoredCalibration, Written]:
        """Noise, coil maps, echo shift and scale, of each slice by itself."""
        scan, drawing = settings.phantom, settings.phantom_picture
        if (scan is None) != (drawing is None):
            raise InputError("--set phantom and phantom_picture: a scan and its drawing go together; give both or none")
        known = None if scan is None or drawing is None else (read_kspace(scan), drawing)
        if isinstance(capture, KspaceSlices):
            return self._calibrate_slices(run, capture, folder, settings, known, force)
        stored = _calibrated(run, capture, folder, settings, known, force)
        value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
        shown = estimates_table(_estimates(stored))
        return stored, Written(stored.path, value, _captured(capture), shown, list(stored.calibration.notes))

    def _calibrate_slices(
        self,
        run: MriRun,
        capture: KspaceSlices,
        folder: Path,
        settings: CalibrateMri,
        phantom: "tuple[RawKspace, Path] | None",
        force: bool,
    ) -> tuple[StoredKspaceSlices, Written]:
        def calibrate(number: int, place: Path) -> StoredKspaceCalibration:
            with of_slice(number):
                return _calibrated(run, capture.one(number), place, settings, phantom, False)

        stored = write_stack_calibration(folder, capture.numbers, calibrate, force)
        slices = {number: stored.one(number) for number in capture.numbers}
        records: list[Json] = [
            {"slice": number, **one.record.model_dump(mode="json")} for number, one in slices.items()
        ]
        value: JsonObject = {"calibration": str(stored.path), "slices": records}
        rows = [_slice_row(number, one) for number, one in slices.items()]
        notes = list(dict.fromkeys(note for one in slices.values() for note in one.calibration.notes))
        shown = table(rows, SLICE_HEADER)
        return stored, Written(stored.path, value, f"{len(slices)} slices of {capture.path}", shown, notes)

    def nominal_calibration(self, run: MriRun, capture: KspaceCapture) -> StoredCalibration:
        """Noise, coil maps and scale of the capture itself, by the central lines that the design measures anyway.

        Raises `FileError` where they are too few for the maps of several coils.
        """
        with tempfile.TemporaryDirectory() as temporary:
            stored, _ = self.calibrate(run, capture, Path(temporary) / "calibration", CalibrateMri(), False)
        if isinstance(stored, StoredKspaceCalibration):
            return _self_calibrated(stored, capture.path)
        read = stored.read
        return replace(stored, path=capture.path, read=lambda number: _self_calibrated(read(number), capture.path))

    def read_calibration(self, folder: Path) -> StoredCalibration:
        """A calibration folder, of one slice or of several."""
        return read_stack_calibration(folder) if of_slices(folder) else read_kspace_calibration(folder)

    def reconstructor(self) -> "MriReconstructor":
        """Magnitudes with the student and baselines, of one slice or of several."""
        from cidesign.modalities.mri.stack import SlicesReconstructor

        return SlicesReconstructor()

    def record_type(self, reader: str | None) -> "type[MriRecord]":
        """What the record of a reconstruction holds."""
        return MriRecord

    def student(self, run: MriRun, calibration: StoredCalibration | None) -> "Student":
        """Complex images (N, n) from k-space (coils, N, n), whitened where a calibration is given."""
        from cidesign.modalities.mri.family import kspace_family
        from cidesign.reconstruct.student import student_of

        if isinstance(calibration, StoredKspaceSlices):
            calibration.choose_one()
        encoder = None if calibration is None else kspace_family(run.design, calibration, "cpu").centre
        return student_of(run, (run.design.lines, run.design.readout), calibration, encoder, is_complex=True)


def _calibrated(
    run: MriRun,
    capture: RawKspace,
    folder: Path,
    settings: CalibrateMri,
    phantom: "tuple[RawKspace, Path] | None",
    force: bool,
) -> StoredKspaceCalibration:
    """The calibration of one slice, written; `phantom`: a scan of one, and its drawing."""
    if phantom is not None:
        capture = with_phantom(capture, *phantom)
    orientation = _orientation(settings.transpose, settings.flip_vertical, settings.flip_horizontal)
    found = calibrate_and_verify(capture, run.design, orientation, settings.acs_lines, settings.kernel)
    calibration, verification, findings = found
    echo = findings.phantom.echo_samples if findings.phantom else None
    return write_kspace_calibration(
        folder, capture, run.design, calibration, verification, echo, capture.scanner, now_utc(), force
    )


def _self_calibrated(stored: StoredKspaceCalibration, path: Path) -> StoredKspaceCalibration:
    notes = (*stored.calibration.notes, SELF_CALIBRATED)
    return replace(stored, path=path, calibration=replace(stored.calibration, notes=notes))


def coils_of(count: int, shape: tuple[int, int], seed: int) -> "NDArray[np.complex64]":
    """Sensitivities (count, N, n); one coil receives all alike."""
    return np.ones((1, *shape), np.complex64) if count == 1 else coil_maps(count, shape[0], seed, shape[1])


SLICE_HEADER = ("slice", "verdict", "score", "noise after scaling", "echo samples", "scale", "support of the maps")


def _slice_row(number: int, stored: StoredKspaceCalibration) -> tuple[str, ...]:
    found, record = stored.calibration, stored.record
    return (
        str(number),
        record.verification.verdict,
        "-" if record.verification.score is None else f"{record.verification.score:.4f}",
        f"{found.noise_deviation:.4g}",
        f"{record.echo_shift_samples:+.3f}",
        f"{record.scale:.5g}",
        f"{record.support:.0%}",
    )


def _scan_table(scanner: "SimulatedScanner", design: "CartesianLines", count: int, settings: SimulateMri) -> str:
    rows = [
        ("slices", str(settings.slices)),
        ("lines", f"{count} of {design.lines}, {design.readout * scanner.oversampling} samples each"),
        ("coils", f"{scanner.coils}, noise correlation {scanner.correlation:g} between neighbours"),
        ("noise", f"{scanner.noise:g} of the largest magnitude, in each part of a k-space sample"),
        ("echo", f"{scanner.echo_shift_samples:+g} samples from the middle"),
        ("scene", scanner.scene),
        ("phantom", "all lines, every other one first" if settings.phantom else "none"),
        ("faults", ", ".join(f"{name}={strength:g}" for name, strength in scanner.faults.items()) or "none"),
    ]
    return table(rows)


def scene_of(
    path: Path | None, matrix: tuple[int, int], seed: int, echo: "Echo"
) -> "tuple[NDArray[np.complex64], list[str]]":
    if path is None:
        from cidesign.modalities.mri.data.phantoms import phantom_slices

        drawn = phantom_slices(1, largest_side(matrix), seed + PHANTOM_SEED_OFFSET, echo)
        real, imaginary = on_matrix(drawn, matrix)[0].astype(np.float32)
        return np.asarray(real + 1j * imaginary, dtype=np.complex64), []

    if path.suffix.lower() == ".npy":
        image = read_npy(path, "scene")
        if image.shape == matrix and image.dtype.kind in "iufc" and np.isfinite(image).all():
            largest = float(np.abs(image).max())
            if not largest > 0:
                raise InputError(f"{path}: the scene holds nothing but zeros")
            return np.asarray(image.astype(np.complex128) / largest, dtype=np.complex64), []
    return read_slice_scene(path, matrix, seed, echo)


def _orientation(transpose: bool | None, vertical: bool | None, horizontal: bool | None) -> "Orientation | None":
    """What was asked for; None where nothing was."""
    if transpose is None and vertical is None and horizontal is None:
        return None
    return Orientation(bool(transpose), bool(vertical), bool(horizontal))


def _captured(raw: "RawKspace") -> str:
    return (
        f"{raw.source}, {len(raw.lines)} of {raw.matrix_lines} lines of {raw.k.shape[2]} samples, {raw.coils} coil(s)"
    )


def _estimates(stored: StoredKspaceCalibration) -> list[Row]:
    """What was found, and the truth of a simulated scanner beside it."""
    record, scanner = stored.record, stored.record.simulated_scanner
    deviation = (record.noise_variance / 2) ** 0.5
    kernel = record.kernel
    rows = {
        "noise": Row("noise of a sample", f"{deviation:.4g}", "in each part, units of the file"),
        "correlation": Row("largest noise correlation", f"{record.largest_noise_correlation:.3f}", "between two coils"),
        "echo": Row("echo shift", f"{record.echo_shift_samples:+.3f}", "samples (with the object's own linear phase)"),
        "phantom": Row(
            "echo of the phantom",
            _or_none(record.phantom_echo_samples),
            "samples (with the coils' own linear phase)",
        ),
        "moved": Row("shift", f"{record.shift_px:+.3f}", "pixels along phase encoding, moved back"),
        "drift": Row("phase drift", f"{_drift_degrees(stored):+.1f}", "degrees over a scan of all lines, removed"),
        "centre": Row("centre of k-space", f"{record.offset_lines:+d}", "lines from the middle one, moved back"),
        "scale": Row("scale", f"{record.scale:.5g}", "units of the training images for one of the file"),
        "scaled": Row("noise after scaling", f"{deviation * record.scale:.4g}", "of a full scale of 1"),
        "lines": Row("calibration lines", str(record.acs_lines), "central ones"),
        "kernel": Row("kernel", "-" if kernel is None else f"{kernel} x {kernel}", "of the coil maps"),
        "support": Row("support of the maps", f"{record.support:.0%}", "of the field of view"),
    }
    truths = {} if scanner is None else _truths(scanner)
    return [row._replace(truth=truths.get(key)) for key, row in rows.items()]


def _truths(scanner: "SimulatedScanner") -> dict[str, str]:
    """What the estimates should be, by the keys of `_estimates`, where that is known."""
    faults = scanner.faults
    late = scanner.echo_shift_samples + faults.get("trajectory-delay", 0.0)
    return {
        "noise": f"{scanner.noise * scanner.gain:.4g}",
        "correlation": f"{scanner.correlation:.3f}" if scanner.coils > 1 else "0.000",
        "echo": f"{late:+.3f} and the object's",
        "phantom": f"{late:+.3f} and the coils'",
        "moved": f"{faults.get('shift', 0.0):+.3f}",
        "drift": f"{faults.get('drift', 0.0):+.1f}",
        "centre": f"{faults.get('line-offset', 0.0):+g}",
    }


def _or_none(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _drift_degrees(stored: "StoredKspaceCalibration") -> float:
    return degrees(stored.record.drift_rad_per_readout) * (stored.record.matrix_lines - 1)

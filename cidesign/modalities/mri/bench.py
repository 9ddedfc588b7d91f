"""What `simulate`, `calibrate` and `reconstruct` do for a scanner: values for --json, and texts for people."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cidesign.text import table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cidesign.calibration.faults import FaultName
    from cidesign.calibration.mri.capture import SimulatedScanner
    from cidesign.calibration.mri.kspace import RawKspace
    from cidesign.calibration.mri.record import StoredKspaceCalibration
    from cidesign.calibration.orientation import Orientation
    from cidesign.calibration.plan import PlanStep
    from cidesign.calibration.verify import Verification
    from cidesign.modalities.mri.run import MriRun
    from cidesign.pattern import Trajectory

# Training slices come from seeds below this (validation: seed + 2**32), so the phantom is never one of them.
PHANTOM_SEED_OFFSET = 2**33


def simulate_mri(
    run: "MriRun",
    folder: Path,
    *,
    faults: "dict[FaultName, float] | None" = None,
    scene: Path | None = None,
    coils: int | None = None,
    gain: float = 1e-3,
    noise: float | None = None,
    correlation: float = 0.3,
    echo_shift_samples: float = 0.3,
    oversampling: int = 2,
    all_lines: bool = False,
    phantom: bool = True,
    seed: int = 0,
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Simulate a scan of the run's lines, or of all of them, with a noise scan and a scan of a known phantom.

    `scene`: a complex or real image (N, n) as .npy, or slices in any file that is read for training; None: a procedural
    slice, never a training image.  `coils` and
    `noise` None: as the run.  `faults`: what is wrong with the scanner in all scans, by strength.  Raises `InputError`
    for settings out of range.
    """
    import numpy as np

    from cidesign.calibration.mri.capture import write_kspace_capture
    from cidesign.calibration.mri.phantom import draw_phantom
    from cidesign.calibration.mri.twin import capture_record, scanner_settings, simulate_kspace
    from cidesign.files import refuse_existing
    from cidesign.modalities.mri.data.phantoms import coil_maps
    from cidesign.records import now_utc

    refuse_existing(folder, force)
    design, settings = run.design, run.settings
    scanner = scanner_settings(
        coils=settings.coils if coils is None else coils,
        gain=gain,
        noise=settings.noise if noise is None else noise,
        correlation=correlation,
        echo_shift_samples=echo_shift_samples,
        oversampling=oversampling,
        seed=seed,
        scene=str(scene) if scene else f"procedural slice, seed {seed}",
        faults=faults,
    )
    image, remarks = _scene(scene, design.lines, design.readout, seed)
    # Other coils than the run's simulated ones: a calibration has to find them.
    one = scanner.coils == 1
    maps = np.ones((1, *image.shape), np.complex64) if one else coil_maps(scanner.coils, design.lines, seed + 1)
    lines = np.arange(design.lines) if all_lines else design.acquired
    drawing = draw_phantom(design.lines, design.readout) if phantom else None
    arrays = simulate_kspace(lines, image, maps, scanner, drawing)
    write_kspace_capture(folder, capture_record(design, scanner, now_utc()), arrays, force)
    value = {
        "capture": str(folder),
        "run": str(run.path),
        "lines": [int(line) for line in lines],
        "scanner": scanner.model_dump(mode="json"),
        "notes": remarks,
    }
    text = f"{folder}: simulated scanner\n{_scan_table(scanner, design, len(lines), phantom)}"
    return value, "\n".join([text, *(f"note: {remark}" for remark in remarks)])


def _scan_table(scanner: "SimulatedScanner", design: "Trajectory", count: int, phantom: bool) -> str:
    rows = [
        ("lines", f"{count} of {design.lines}, {design.readout * scanner.oversampling} samples each"),
        ("coils", f"{scanner.coils}, noise correlation {scanner.correlation:g} between neighbours"),
        ("noise", f"{scanner.noise:g} of the largest magnitude, in each part of a k-space sample"),
        ("echo", f"{scanner.echo_shift_samples:+g} samples from the middle"),
        ("scene", scanner.scene),
        ("phantom", "all lines, every other one first" if phantom else "none"),
        ("faults", ", ".join(f"{name}={strength:g}" for name, strength in scanner.faults.items()) or "none"),
    ]
    return table(rows)


def _scene(path: Path | None, lines: int, samples: int, seed: int) -> "tuple[NDArray[np.complex64], list[str]]":
    import numpy as np

    from cidesign.errors import InputError

    if path is None:
        from cidesign.modalities.mri.data.phantoms import phantom_slices

        real, imaginary = phantom_slices(1, lines, seed + PHANTOM_SEED_OFFSET)[0].astype(np.float32)
        return np.asarray(real + 1j * imaginary, dtype=np.complex64), []
    from cidesign.io.npy import read_npy

    if path.suffix.lower() == ".npy":
        image = read_npy(path, "scene")
        if image.shape == (lines, samples) and image.dtype.kind in "iufc" and np.isfinite(image).all():
            largest = float(np.abs(image).max())
            if not largest > 0:
                raise InputError(f"{path}: the scene holds nothing but zeros")
            return np.asarray(image.astype(np.complex128) / largest, dtype=np.complex64), []
        said = f"{path}: {image.dtype} of shape {image.shape}; "
    else:
        said = f"{path}: "
    if lines != samples:
        raise InputError(f"{said}a scene is a finite image of {lines} x {samples}, as .npy")
    from cidesign.modalities.mri.data.images import read_slice_scene

    return read_slice_scene(path, lines, seed)


def calibrate_mri(
    run: "MriRun",
    capture: Path,
    folder: Path,
    *,
    slice_index: int | None = None,
    matrix_lines: int | None = None,
    measurement: str | None = None,
    encoding: int | None = None,
    acs_lines: int | None = None,
    kernel: int | None = None,
    transpose: bool | None = None,
    flip_vertical: bool | None = None,
    flip_horizontal: bool | None = None,
    phantom: Path | None = None,
    phantom_picture: Path | None = None,
    force: bool = False,
) -> "tuple[dict[str, Any], str, Verification, Path]":
    """Calibrate noise, coil maps, echo shift and scale from a capture, and verify what was found.

    The orientation is as given, or as the phantom shows it.  `phantom`, `phantom_picture`: raw data of all lines of a
    phantom, and its drawing (N, n) as .npy, for captures that hold none.  Raises `InputError` for one without the
    other.
    """
    from cidesign.calibration.mri.capture import read_scanner
    from cidesign.calibration.mri.raw.readers import read_kspace, with_phantom
    from cidesign.calibration.mri.record import write_kspace_calibration
    from cidesign.calibration.mri.verify import calibrate_and_verify
    from cidesign.errors import InputError
    from cidesign.files import refuse_existing
    from cidesign.records import now_utc

    refuse_existing(folder, force)
    raw = read_kspace(capture, slice_index, matrix_lines, measurement, encoding)
    if (phantom is None) != (phantom_picture is None):
        raise InputError("--set phantom and phantom_picture: a scan and its drawing go together; give both or none")
    if phantom is not None and phantom_picture is not None:
        raw = with_phantom(raw, read_kspace(phantom), phantom_picture)
    turn = _orientation(transpose, flip_vertical, flip_horizontal)
    calibration, verification, findings = calibrate_and_verify(raw, run.design, turn, acs_lines, kernel)
    scanner = read_scanner(raw.path) if raw.truth is not None else None
    echo = findings.phantom.echo_samples if findings.phantom else None
    stored = write_kspace_calibration(
        folder, raw, run.design, calibration, verification, echo, scanner, now_utc(), force
    )
    value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
    notes = "\n".join(f"note: {text}" for text in calibration.notes)
    text = f"{stored.path}: {_captured(raw)}\n{_calibration_table(stored)}\n{notes}"
    return value, text, verification, stored.path


def _orientation(transpose: bool | None, vertical: bool | None, horizontal: bool | None) -> "Orientation | None":
    """What was asked for; None where nothing was."""
    from cidesign.calibration.orientation import Orientation

    if transpose is None and vertical is None and horizontal is None:
        return None
    return Orientation(bool(transpose), bool(vertical), bool(horizontal))


def _captured(raw: "RawKspace") -> str:
    return (
        f"{raw.source}, {len(raw.lines)} of {raw.matrix_lines} lines of {raw.k.shape[2]} samples, {raw.coils} coil(s)"
    )


def _calibration_table(stored: "StoredKspaceCalibration") -> str:
    """What was found, and the truth of a simulated scanner beside it."""
    record, scanner = stored.record, stored.record.simulated_scanner
    deviation = (record.noise_variance / 2) ** 0.5
    rows = [
        ("noise of a sample", f"{deviation:.4g}", "in each part, units of the file"),
        ("largest noise correlation", f"{record.largest_noise_correlation:.3f}", "between two coils"),
        ("echo shift", f"{record.echo_shift_samples:+.3f}", "samples (with the object's own linear phase)"),
        ("echo of the phantom", _or_none(record.phantom_echo_samples), "samples (with the coils' own linear phase)"),
        ("displacement", f"{record.displacement_px:+.3f}", "pixels along phase encoding, moved back"),
        ("phase drift", f"{_drift_degrees(stored):+.1f}", "degrees over a scan of all lines, removed"),
        ("centre of k-space", f"{record.offset_lines:+d}", "lines from the middle one, moved back"),
        ("scale", f"{record.scale:.5g}", "units of the training images for one of the file"),
        ("noise after scaling", f"{deviation * record.scale:.4g}", "of a full scale of 1"),
        ("calibration lines", str(record.acs_lines), "central ones"),
        ("kernel", "-" if record.kernel is None else f"{record.kernel} x {record.kernel}", "of the coil maps"),
        ("support of the maps", f"{record.support:.0%}", "of the field of view"),
    ]
    if scanner is None:
        return table(rows, ("quantity", "value", "unit"))
    truths = [f"{scanner.noise * scanner.gain:.4g}", f"{scanner.correlation:.3f}" if scanner.coils > 1 else "0.000"]
    late = scanner.echo_shift_samples + scanner.faults.get("trajectory-delay", 0.0)
    truths += [f"{late:+.3f} and the object's", f"{late:+.3f} and the coils'"]
    truths += [f"{scanner.faults.get('shift', 0.0):+.3f}", f"{scanner.faults.get('drift', 0.0):+.1f}"]
    truths += [f"{scanner.faults.get('line-offset', 0.0):+g}"]
    padded = [*truths, *[""] * (len(rows) - len(truths))]
    joined = [(*row, truth) for row, truth in zip(rows, padded, strict=True)]
    return table(joined, ("quantity", "value", "unit", "simulated truth"))


def _or_none(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _drift_degrees(stored: "StoredKspaceCalibration") -> float:
    from math import degrees

    return degrees(stored.record.drift_rad_per_readout) * (stored.record.matrix_lines - 1)


def reconstruct_mri(
    run: "MriRun",
    capture: Path,
    calibration: Path,
    folder: Path,
    *,
    slice_index: int | None = None,
    matrix_lines: int | None = None,
    measurement: str | None = None,
    encoding: int | None = None,
    accept_failed: bool = False,
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Reconstruct a capture with the student and baselines, and write pictures, arrays and a record.

    A calibration that failed, or that the capture contradicts, is refused unless `accept_failed`.
    """
    from cidesign.files import refuse_existing
    from cidesign.modalities.mri.reconstruct import reconstruct_kspace
    from cidesign.reconstruct.outcome import written

    refuse_existing(folder, force)
    outcome = reconstruct_kspace(
        run, capture, calibration, slice_index, matrix_lines, accept_failed, measurement=measurement, encoding=encoding
    )
    return written(outcome, folder, force)


def plan_mri(run: "MriRun") -> "list[PlanStep]":
    """What to scan, in which order."""
    from cidesign.calibration.mri.plan import scan_plan

    return scan_plan(run.design, run.settings.coils)

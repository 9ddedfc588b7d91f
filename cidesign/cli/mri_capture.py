"""What `simulate`, `calibrate` and `reconstruct` do for a scanner: values for --json, and texts for people."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cidesign.cli.output import table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cidesign.calibration.kspace import RawKspace
    from cidesign.calibration.kspace_capture import SimulatedScanner
    from cidesign.calibration.kspace_record import StoredKspaceCalibration
    from cidesign.pattern import Trajectory
    from cidesign.runs import MriRun

# Training slices come from seeds below this (validation: seed + 2**32), so the phantom is never one of them.
PHANTOM_SEED_OFFSET = 2**33


def simulate_mri(
    run: "MriRun",
    folder: Path,
    *,
    scene: Path | None = None,
    coils: int | None = None,
    gain: float = 1e-3,
    noise: float | None = None,
    correlation: float = 0.3,
    echo_shift_samples: float = 0.3,
    oversampling: int = 2,
    all_lines: bool = False,
    seed: int = 0,
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Simulate a scan of the run's lines, or of all of them, with a noise scan.

    `scene`: a complex or real image (N, n) as .npy; None: a procedural slice, never a training image.  `coils` and
    `noise` None: as the run.  Raises `InputError` for settings out of range.
    """
    import numpy as np

    from cidesign.calibration.kspace_capture import write_kspace_capture
    from cidesign.calibration.kspace_twin import capture_record, scanner_settings, simulate_kspace
    from cidesign.data.phantoms import coil_maps
    from cidesign.files import refuse_existing
    from cidesign.runs import now_utc

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
    )
    image = _scene(scene, design.lines, design.readout, seed)
    # Other coils than the run's simulated ones: a calibration has to find them.
    maps = (
        np.ones((1, *image.shape), np.complex64)
        if scanner.coils == 1
        else coil_maps(scanner.coils, design.lines, seed + 1)
    )
    lines = np.arange(design.lines) if all_lines else design.acquired
    arrays = simulate_kspace(lines, image, maps, scanner)
    write_kspace_capture(folder, capture_record(design, scanner, now_utc()), arrays, force)
    value = {
        "capture": str(folder),
        "run": str(run.path),
        "lines": [int(line) for line in lines],
        "scanner": scanner.model_dump(mode="json"),
    }
    return value, f"{folder}: simulated scanner\n{_scan_table(scanner, design, len(lines))}"


def _scan_table(scanner: "SimulatedScanner", design: "Trajectory", count: int) -> str:
    rows = [
        ("lines", f"{count} of {design.lines}, {design.readout * scanner.oversampling} samples each"),
        ("coils", f"{scanner.coils}, noise correlation {scanner.correlation:g} between neighbours"),
        ("noise", f"{scanner.noise:g} of the largest magnitude, in each part of a k-space sample"),
        ("echo", f"{scanner.echo_shift_samples:+g} samples from the middle"),
        ("scene", scanner.scene),
    ]
    return table(rows)


def _scene(path: Path | None, lines: int, samples: int, seed: int) -> "NDArray[np.complex64]":
    import numpy as np

    from cidesign.errors import InputError

    if path is None:
        from cidesign.data.phantoms import phantom_slices

        real, imaginary = phantom_slices(1, lines, seed + PHANTOM_SEED_OFFSET)[0].astype(np.float32)
        return np.asarray(real + 1j * imaginary, dtype=np.complex64)
    from cidesign.data.arrays import read_npy

    image = read_npy(path, "scene")
    if image.shape != (lines, samples) or image.dtype.kind not in "iufc" or not np.isfinite(image).all():
        raise InputError(
            f"{path}: {image.dtype} of shape {image.shape}; a scene is a finite image of {lines} x {samples}, as .npy"
        )
    largest = float(np.abs(image).max())
    if not largest > 0:
        raise InputError(f"{path}: the scene holds nothing but zeros")
    return np.asarray(image.astype(np.complex128) / largest, dtype=np.complex64)


def calibrate_mri(
    run: "MriRun",
    capture: Path,
    folder: Path,
    *,
    slice_index: int | None = None,
    matrix_lines: int | None = None,
    acs_lines: int | None = None,
    kernel: int | None = None,
    transpose: bool = False,
    flip_vertical: bool = False,
    flip_horizontal: bool = False,
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Calibrate noise, coil maps, echo shift and scale from a capture; the orientation is recorded as given."""
    from cidesign.calibration.kspace_capture import read_scanner
    from cidesign.calibration.kspace_readers import read_kspace
    from cidesign.calibration.kspace_record import write_kspace_calibration
    from cidesign.calibration.kspace_response import Orientation, calibrate_kspace
    from cidesign.files import refuse_existing
    from cidesign.runs import now_utc

    refuse_existing(folder, force)
    raw = read_kspace(capture, slice_index, matrix_lines)
    turn = Orientation(transpose, flip_vertical, flip_horizontal)
    calibration = calibrate_kspace(raw, run.design, turn, acs_lines, kernel)
    scanner = read_scanner(raw.path) if raw.truth is not None else None
    stored = write_kspace_calibration(folder, raw, run.design, calibration, scanner, now_utc(), force)
    value = {"calibration": str(folder), **stored.record.model_dump(mode="json")}
    notes = "\n".join(f"note: {text}" for text in calibration.notes)
    return value, f"{folder}: {_captured(raw)}\n{_calibration_table(stored)}\n{notes}"


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
        ("scale", f"{record.scale:.5g}", "units of the training images for one of the file"),
        ("noise after scaling", f"{deviation * record.scale:.4g}", "of a full scale of 1"),
        ("calibration lines", str(record.acs_lines), "central ones"),
        ("kernel", "-" if record.kernel is None else f"{record.kernel} x {record.kernel}", "of the coil maps"),
        ("support of the maps", f"{record.support:.0%}", "of the field of view"),
    ]
    if scanner is None:
        return table(rows, ("quantity", "value", "unit"))
    truths = [f"{scanner.noise * scanner.gain:.4g}", f"{scanner.correlation:.3f}" if scanner.coils > 1 else "0.000"]
    truths += [f"{scanner.echo_shift_samples:+.3f} and the object's"]
    padded = [*truths, *[""] * (len(rows) - len(truths))]
    joined = [(*row, truth) for row, truth in zip(rows, padded, strict=True)]
    return table(joined, ("quantity", "value", "unit", "simulated truth"))


def reconstruct_mri(
    run: "MriRun",
    capture: Path,
    calibration: Path,
    folder: Path,
    *,
    slice_index: int | None = None,
    matrix_lines: int | None = None,
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Reconstruct a capture with the student and baselines, and write pictures, arrays and a record."""
    from cidesign.files import refuse_existing
    from cidesign.reconstruct.mri import reconstruct_kspace
    from cidesign.reconstruct.outcome import RECORD_FILE, write_outcome

    refuse_existing(folder, force)
    outcome = reconstruct_kspace(run, capture, calibration, slice_index, matrix_lines)
    write_outcome(folder, outcome, force)
    value = {"folder": str(folder), "file": str(folder / RECORD_FILE), **outcome.record}
    notes = "\n".join(f"note: {text}" for text in outcome.remarks)
    return value, f"{folder}: {outcome.heading}\n{table(outcome.rows, outcome.header)}\n{notes}"

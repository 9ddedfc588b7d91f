"""An SD-CASSI bench from the command line: its twin, its calibration, and the plan of captures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cidesign.text import table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cidesign.calibration.cassi.calibrate import CassiOutcome
    from cidesign.calibration.cassi.capture import CassiCaptureRecord, SimulatedCassiBench
    from cidesign.calibration.cassi.twin import TwinSettings
    from cidesign.calibration.faults import FaultName
    from cidesign.calibration.plan import PlanStep
    from cidesign.calibration.verify import Verification
    from cidesign.modalities.cassi.run import CassiRun

# Training cubes come from seeds below this (validation: seed + 2**32), so the scene is never one of them.
SCENE_SEED_OFFSET = 2**33
SCENE_CANDIDATES = 32


def plan_cassi(run: "CassiRun") -> "list[PlanStep]":
    """What to capture for the run's mask."""
    from cidesign.calibration.cassi.plan import cassi_plan

    return cassi_plan(run.design, run.profile)


def simulate_cassi(
    run: "CassiRun",
    folder: Path,
    *,
    faults: "dict[FaultName, float]",
    scene: Path | None = None,
    detector_px_per_code_px: int = 2,
    displacement_along_px: float = 0.13,
    displacement_across_px: float = -0.17,
    rotation_deg: float = 0.04,
    scale: float = 1.001,
    across_px: float = 0.15,
    psf_px: float = 0.35,
    edge_bias_um: float = -0.2,
    vignetting_percent: float = 5.0,
    prnu_percent: float = 1.0,
    lines: int = 7,
    dark_frames: int = 16,
    flat_frames: int = 16,
    white_frames: int = 8,
    scene_frames: int = 1,
    dark_counts: float = 400.0,
    photoelectrons_full_scale: float | None = None,
    read_noise_photoelectrons: float | None = None,
    adc_bits: int = 16,
    exposure_us: float = 20_000.0,
    temperature_c: float = 21.0,
    detector_seed: int = 0,
    seed: int = 0,
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Simulate all captures of a bench with the mask of the run, and of a scene.

    Lengths in `_px` are code pixels; `photoelectrons_full_scale` (behind an open mask and a white scene, in a pixel
    of the code's size) and `read_noise_photoelectrons` None: as the run.  `seed` draws noise and scene, `detector_seed`
    the pixels of the detector: captures of one bench share it.  `scene`: reflectances (L, H, W) from 0 to 1 as .npy,
    or a cube with its wavelengths in any file that is read for training; None: a procedural cube, never a training one.
    """
    given = dict(locals())
    from cidesign.calibration.cassi.capture import write_cassi_capture
    from cidesign.calibration.cassi.twin import CassiTwin
    from cidesign.files import refuse_existing
    from cidesign.records import now_utc

    refuse_existing(folder, force)
    bands_nm = run.profile.spectrograph.wavelengths_nm.value
    cube, remarks = _scene(scene, (len(bands_nm), *run.design.levels.shape), bands_nm, seed)
    twin = CassiTwin(run.design, run.profile, _twin_settings(run, given), faults)
    name = str(scene) if scene else f"procedural, seed {seed}, of {SCENE_CANDIDATES} the one with most contrast"
    record = twin.record(now_utc(), name)
    write_cassi_capture(folder, record, twin.arrays(cube), force)
    value = {"capture": str(folder), "run": str(run.path), **record.model_dump(mode="json", include={"bench"})}
    value["notes"] = remarks
    text = f"{folder}: simulated bench\n{_bench_table(record, twin.size)}"
    return value, "\n".join([text, *(f"note: {remark}" for remark in remarks)])


def _twin_settings(run: "CassiRun", given: dict[str, Any]) -> "TwinSettings":
    """The settings that were `given` by name, and the run's where they are None."""
    from dataclasses import fields

    from cidesign.calibration.cassi.twin import TwinSettings

    of_run = {
        "photoelectrons_full_scale": run.settings.photoelectrons_full_scale,
        "read_noise_photoelectrons": run.settings.read_noise_photoelectrons,
    }
    named = {field.name: given[field.name] for field in fields(TwinSettings)}
    filled: dict[str, Any] = {name: of_run[name] if value is None else value for name, value in named.items()}
    return TwinSettings(**filled)


def _bench_table(record: "CassiCaptureRecord", size: tuple[int, int]) -> str:
    bench, binning = record.bench, record.detector_px_per_code_px
    if bench is None:
        raise ValueError("a simulated capture records its bench")
    rows = [
        ("detector", f"{size[0] * binning} x {size[1] * binning} pixels, {binning} x {binning} to a code pixel"),
        ("bands", f"{len(bench.shift_px)}, displaced {bench.shift_px[0]:.2f} to {bench.shift_px[-1]:.2f} code pixels"),
        ("lines", f"{', '.join(f'{nm:g}' for nm in record.line_nm)} nm; to check with: {record.check_line_nm:g} nm"),
        ("light", f"{bench.photoelectrons_full_scale:g} photoelectrons in a pixel of full white"),
        ("gain", f"{bench.gain_counts_per_photoelectron:.4g} counts per photoelectron"),
        ("read noise", f"{bench.read_noise_counts:.3g} counts"),
        ("exposure", f"{record.exposure_us:g} us"),
        ("scene", bench.scene),
        ("faults", ", ".join(f"{name} = {value:g}" for name, value in bench.faults.items()) or "none"),
    ]
    return table(rows)


def _scene(
    path: Path | None, shape: tuple[int, ...], bands_nm: list[float], seed: int
) -> "tuple[NDArray[np.float64], list[str]]":
    import numpy as np

    from cidesign.errors import InputError

    if path is None:
        from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves

        if shape[1] == shape[2]:
            cubes = spectral_dead_leaves(SCENE_CANDIDATES, shape[1], bands_nm, seed + SCENE_SEED_OFFSET) / 255.0
            # Many crops are nearly flat or dark; the one with most contrast shows most, and is among the hardest.
            return np.asarray(cubes[cubes.std(axis=(1, 2, 3)).argmax()]), []
        raise InputError(f"the mask has {shape[1]} x {shape[2]} pixels; give a cube of that size with --scene")
    # An array of the mask's size in the bands of the camera is the scene itself; a cube says which bands it has.
    if path.suffix.lower() == ".npy" and not path.with_suffix(".json").is_file():
        return _reflectances(path, shape), []
    from cidesign.modalities.cassi.data.images import read_cube_scene

    return read_cube_scene(path, (shape[1], shape[2]), bands_nm)


def _reflectances(path: Path, shape: tuple[int, ...]) -> "NDArray[np.float64]":
    import numpy as np

    from cidesign.errors import InputError
    from cidesign.io.npy import read_npy

    cube = read_npy(path, "scene")
    if cube.shape != shape or cube.dtype.kind not in "iuf":
        raise InputError(
            f"{path}: {cube.dtype} of shape {cube.shape}; a scene has bands, rows and columns {shape}, values 0 to 1; "
            f"a cube of other bands or size tells its wavelengths in {path.with_suffix('.json').name}"
        )
    numbers = cube.astype(np.float64)
    if not np.isfinite(numbers).all() or numbers.min() < 0 or numbers.max() > 1:
        raise InputError(
            f"{path}: values from {numbers.min():g} to {numbers.max():g}; reflectances from 0 to 1 are needed"
        )
    return numbers


def calibrate_cassi(
    run: "CassiRun", capture: Path, folder: Path, *, force: bool = False
) -> "tuple[dict[str, Any], str, Verification, Path]":
    """Calibrate detector, geometry, dispersion, mask cube and scale from a capture folder, and verify."""
    from cidesign.calibration.cassi.calibrate import calibrate_bench
    from cidesign.calibration.cassi.capture import read_cassi_capture
    from cidesign.calibration.cassi.record import write_cassi_calibration
    from cidesign.files import refuse_existing
    from cidesign.records import now_utc

    refuse_existing(folder, force)
    recorded = read_cassi_capture(capture)
    outcome = calibrate_bench(recorded, run.design, run.profile)
    stored = write_cassi_calibration(folder, recorded, outcome, now_utc(), force)
    value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
    notes = "\n".join(f"note: {text}" for text in outcome.calibration.notes)
    heading = f"{stored.path}: {len(outcome.lines.lines_nm)} lines, {len(outcome.layout.shift_px)} bands"
    text = f"{heading}\n{_calibration_table(outcome, recorded.bench)}\n{notes}"
    return value, text, outcome.verification, stored.path


def _calibration_table(outcome: "CassiOutcome", bench: "SimulatedCassiBench | None") -> str:
    """What was found, and the truth of a simulated bench beside it."""
    calibration, placement = outcome.calibration, outcome.placement
    shifts, detector = calibration.shift_px, outcome.detector
    blur_px = sum(fit.blur_px for fit in outcome.lines.fits) / len(outcome.lines.fits)
    # The raw pixel's own width is in the fitted blur.
    optics_px = max(blur_px**2 - 1 / (12 * calibration.binning**2), 0.0) ** 0.5
    resolved = calibration.gain_counts_per_photoelectron > 0
    rows = [
        ("dark level", f"{float(calibration.dark_counts.mean()):.5g}", "counts, mean over the pixels"),
        ("read noise", f"{calibration.read_noise_counts:.4g}", "counts"),
        (
            "gain",
            f"{detector.gain:.4g} ± {detector.gain_error:.1g}" if resolved else "not resolved",
            "counts/photoelectron",
        ),
        ("scale", f"{calibration.scale_counts:.5g}", "counts of the mean band through an open code"),
        ("dispersion", f"{shifts[0]:+.3f} to {shifts[-1]:+.3f}", "code pixels, first to last band"),
        ("blur of the optics", f"{optics_px:.3f}", "code pixels"),
        ("edges of the openings", f"{placement.edge_um:+.2f}", "um beyond the drawn ones"),
        ("standard error", f"{calibration.pixel_uncertainty_px:.4f}", "code pixels, of where a code pixel lies"),
    ]
    if bench is None:
        return table(rows, ("quantity", "value", "unit"))
    full = bench.gain_counts_per_photoelectron * bench.photoelectrons_full_scale / calibration.binning**2
    truths = [
        f"{bench.dark_counts:g} and the hot pixels",
        f"{bench.read_noise_counts:.4g}",
        f"{bench.gain_counts_per_photoelectron:.4g}",
        f"{full / len(shifts):.5g} without vignetting",
        f"{bench.shift_px[0] - min(bench.shift_px):+.3f} to {bench.shift_px[-1] - min(bench.shift_px):+.3f}",
        f"{bench.psf_px:.3f}",
        f"{bench.edge_bias_um:+.2f}",
        f"{geometry_error_px(outcome, bench):.4f} is the largest true error",
    ]
    joined = [(*row, truth) for row, truth in zip(rows, truths, strict=True)]
    return table(joined, ("quantity", "value", "unit", "simulated truth"))


def geometry_error_px(outcome: "CassiOutcome", bench: "SimulatedCassiBench") -> float:
    """The largest distance, in any band and at any corner of the code, of where it is found from where it truly is."""
    import numpy as np

    from cidesign.calibration.cassi.optics import inverted, moved

    height, width = outcome.layout.code
    corners = np.array([[0, 0, 1], [0, width - 1, 1], [height - 1, 0, 1], [height - 1, width - 1, 1]]).T
    layout, worst = outcome.layout, 0.0
    for matrix, along, across in zip(
        outcome.calibration.operator.to_code, bench.shift_px, bench.across_px, strict=True
    ):
        truth = moved(np.array(bench.to_detector), along * layout.along + across * layout.across)
        worst = max(worst, float(np.hypot(*((inverted(matrix) - truth) @ corners)).max()))
    return worst


def reconstruct_cassi(
    run: "CassiRun", capture: Path, calibration: Path, folder: Path, *, accept_failed: bool = False, force: bool = False
) -> tuple[dict[str, Any], str]:
    """Reconstruct the scene of a capture with the student and baselines, and write cubes, pictures and a record."""
    from cidesign.files import refuse_existing
    from cidesign.modalities.cassi import reconstruct as cassi
    from cidesign.modalities.cassi.outcome import write_cube_outcome
    from cidesign.reconstruct.outcome import shown_outcome

    refuse_existing(folder, force)
    outcome = cassi.reconstruct_cassi(run, capture, calibration, accept_failed)
    write_cube_outcome(folder, outcome, force)
    return shown_outcome(outcome, folder)

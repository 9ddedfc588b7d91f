"""A single-pixel bench from the command line: its twin, its calibration, its images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cidesign.text import table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cidesign.calibration.faults import FaultName
    from cidesign.calibration.plan import PlanStep
    from cidesign.calibration.single_pixel.capture import SimulatedBench
    from cidesign.calibration.single_pixel.record import Calibration
    from cidesign.calibration.verify import Verification
    from cidesign.constraints.sequence import SequencePlan
    from cidesign.modalities.single_pixel.run import SinglePixelRun
    from cidesign.pattern import PatternStack

# Training images come from seeds below this (validation: seed + 2**32), so the scene is never one of them.
SCENE_SEED_OFFSET = 2**33
SCENE_CANDIDATES = 32
ADC_BITS = 16


def plan_spc(run: "SinglePixelRun") -> "list[PlanStep]":
    """What to capture for the run's patterns."""
    from cidesign.calibration.single_pixel import plan as spc_plan

    return spc_plan.plan_spc(run.design, _sequence(run).exposure_us)


def plan_files_spc(run: "SinglePixelRun", folder: Path, force: bool) -> None:
    """Write the card to print, the Gray code, and a record to complete."""
    from cidesign.calibration.single_pixel.plan import write_plan_files

    plan = _sequence(run)
    write_plan_files(folder, run.design, run.profile, plan.exposure_us, plan.start_times_us, force)


def simulate_spc(
    run: "SinglePixelRun",
    folder: Path,
    *,
    faults: "dict[FaultName, float]",
    scene: Path | None = None,
    dark_counts: float = 200.0,
    gain_counts_per_photoelectron: float | None = None,
    photoelectrons: float | None = None,
    read_noise_counts: float | None = None,
    sync_every: int | None = None,
    graycode: bool = False,
    seed: int = 0,
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Simulate a capture of a scene, of both cards, and of dark and white frames, with the patterns of the run.

    Gain None: white fills 60 % of the converter's range.  `photoelectrons` (of an all-on white frame) and
    `read_noise_counts` None: as the run.  `sync_every`: as if exported with `--sync-every`.  `graycode`: also what a
    camera sees of the device showing the Gray code, in graycode/ of the folder.
    """
    from cidesign.calibration.camera.view import simulated_pictures
    from cidesign.calibration.single_pixel.capture import write_capture
    from cidesign.calibration.single_pixel.twin import bench_settings, capture_record, simulate_readings
    from cidesign.records import now_utc

    design, settings = run.design, run.settings
    bench = bench_settings(
        dark_counts=dark_counts,
        gain=gain_counts_per_photoelectron,
        photoelectrons_per_frame=settings.photoelectrons_per_frame if photoelectrons is None else photoelectrons,
        read_noise_counts=read_noise_counts,
        read_noise_photoelectrons=settings.read_noise_photoelectrons,
        adc_bits=ADC_BITS,
        seed=seed,
        scene=str(scene)
        if scene
        else f"procedural (dead leaves), seed {seed}, of {SCENE_CANDIDATES} the one with most contrast",
        faults=faults,
    )
    picture, remarks = _scene(scene, design.side, seed)
    shown = design if sync_every is None else design.with_sync(sync_every)
    plan = _sequence(run, shown)
    readings = simulate_readings(shown, picture, bench, plan.start_times_us)
    pictures = simulated_pictures(run.profile, seed) if graycode else None
    record = capture_record(shown, bench, plan.exposure_us, now_utc())
    write_capture(folder, record, readings, force, pictures)
    value = {"capture": str(folder), "run": str(run.path), "bench": bench.model_dump(mode="json"), "notes": remarks}
    text = f"{folder}: simulated on super-pixel level\n{_table(readings, bench, plan.exposure_us)}"
    return value, "\n".join([text, *(f"note: {remark}" for remark in remarks)])


def _sequence(run: "SinglePixelRun", shown: "PatternStack | None" = None) -> "SequencePlan":
    from cidesign.constraints.sequence import plan_sequence

    settings = run.settings
    frames = len((shown or run.design).frames())
    return plan_sequence(run.profile, frames, settings.bit_depth, settings.exposure_us)


def _table(readings: "dict[str, NDArray[np.generic]]", bench: "SimulatedBench", exposure_us: int) -> str:
    scene, white = readings["scene"], readings["white"]
    rows = [
        ("scene", f"{scene.size} readings, {scene.min()} to {scene.max()} counts"),
        ("flat, card", "the same sequence on the white reference and on the F card"),
        ("dark", f"{readings['dark'].size} frames"),
        ("white", f"{white.shape[0]} light levels of {white.shape[1]} frames"),
        ("dark level", f"{bench.dark_counts:g} counts"),
        ("gain", f"{bench.gain_counts_per_photoelectron:.5g} counts per photoelectron ({bench.gain_chosen})"),
        ("light", f"{bench.photoelectrons_per_frame:.4g} photoelectrons in an all-on white frame"),
        ("read noise", f"{bench.read_noise_counts:.4g} counts"),
        ("exposure", f"{exposure_us} us a frame"),
        ("faults", ", ".join(f"{name} = {value:g}" for name, value in bench.faults.items()) or "none"),
    ]
    return table(rows)


def _scene(path: Path | None, side: int, seed: int) -> "tuple[NDArray[np.float64], list[str]]":
    if path is not None:
        from cidesign.data.scenes import read_scene

        return read_scene(path, side)
    from cidesign.data.procedural import dead_leaves

    # Many crops are nearly flat or dark; the one with most contrast shows most, and is among the hardest.
    pictures = dead_leaves(SCENE_CANDIDATES, side, seed + SCENE_SEED_OFFSET) / 255.0
    return pictures[pictures.std(axis=(1, 2)).argmax()], []


def calibrate_spc(
    run: "SinglePixelRun",
    capture: Path,
    folder: Path,
    *,
    graycode: Path | None = None,
    checkerboard: Path | None = None,
    corners: str | None = None,
    card_photo: Path | None = None,
    force: bool = False,
) -> "tuple[dict[str, Any], str, Verification, Path]":
    """Calibrate detector, lamp and operator from a capture folder, and verify.

    `graycode`, `checkerboard`: folders of a camera's pictures; `corners`: inner corners of the checkerboard, as 8x6;
    `card_photo`: one of the card, which then is what the
    card is expected to look like.
    """
    from dataclasses import replace

    from cidesign.calibration.camera.checkerboard import BOARD_CORNERS, corners_of
    from cidesign.calibration.camera.checks import registration_checks
    from cidesign.calibration.camera.view import view_of
    from cidesign.calibration.single_pixel import calibrate as spc_calibrate
    from cidesign.calibration.single_pixel.capture import read_capture
    from cidesign.calibration.single_pixel.record import write_calibration
    from cidesign.errors import FileError, InputError
    from cidesign.records import now_utc

    recorded = read_capture(capture)
    if recorded.record is not None and recorded.record.profile_digest != run.record.profile_digest:
        raise FileError(
            f"{capture}: was recorded with profile {recorded.record.profile_digest[:12]}, the run is for "
            f"{run.record.profile_digest[:12]}; name the run of this device with --run"
        )
    board = BOARD_CORNERS if corners is None else corners_of(corners)
    if corners is not None and checkerboard is None:
        raise InputError("--set corners: goes with the pictures of the board, --set checkerboard=FOLDER")
    view = None
    if graycode is not None:
        view = view_of(graycode, checkerboard, card_photo, run.profile, run.design.side, board)
        if view.card_picture is not None:
            recorded = replace(recorded, arrays={**recorded.arrays, "card_picture": view.card_picture})
    elif checkerboard is not None or card_photo is not None:
        raise InputError(
            "--set checkerboard and card_photo need the Gray code of the same camera: --set graycode=FOLDER"
        )
    registration = view.registration if view else None
    more = registration_checks(registration) if registration else []
    found = spc_calibrate.calibrate_spc(recorded, run.design, more)
    stored = write_calibration(folder, recorded, found, now_utc(), force, registration)
    levels = found.levels
    heading = (
        f"{stored.path}: exposure {stored.record.exposure_us:g} us, {len(levels.light_fraction)} white levels of "
        f"{levels.repeats} frames"
    )
    notes = [f"note: {text}" for text in (*recorded.notes, *found.response.notes)]
    value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
    return value, "\n".join([heading, _estimates(stored), *notes]), found.verification, stored.path


def _estimates(calibration: "Calibration") -> str:
    """The estimates with their standard errors and, for a simulated capture, the truth."""
    from cidesign.calibration.estimate import Estimate

    response, bench = calibration.response, calibration.record.simulated_bench
    entries: list[tuple[str, Estimate | None, str]] = [
        ("dark level", response.dark_counts, "counts"),
        ("noise of dark frames", response.read_noise_counts, "counts"),
        ("gain", response.gain_counts_per_photoelectron, "counts per photoelectron"),
        ("scale (all on, white, less dark)", response.scale_counts, "counts"),
        ("light of that frame", response.photoelectrons_per_frame, "photoelectrons"),
    ]
    place, operator = calibration.operator.placement, calibration.operator
    if operator.fitted:
        entries += [
            ("turn of the patterns", Estimate(place.rotation_deg, operator.rotation_error_deg), "degrees clockwise"),
            ("displacement, down", Estimate(place.down_px, operator.shift_error_px), "super-pixels"),
            ("displacement, right", Estimate(place.right_px, operator.shift_error_px), "super-pixels"),
        ]
    truths = _truths(bench) if bench else []
    rows = [
        (
            name,
            f"{estimate.value:.6g}" if estimate else "not resolved",
            f"± {estimate.standard_error:.2g}" if estimate else "",
            unit,
            *(f"{truth:.6g}" for truth in truths[number : number + 1]),
        )
        for number, (name, estimate, unit) in enumerate(entries)
    ]
    rows.append(("largest departure from linear", f"{response.linearity_percent:.3g}", "", "% of full white"))
    if bench:
        rows[-1] = (*rows[-1], "0")
    return table(rows, ("quantity", "value", "error", "unit", *(["simulated truth"] if bench else [])))


def _truths(bench: "SimulatedBench") -> list[float]:
    """What the estimates should be, in their order."""
    step = 2.0 ** bench.faults.get("bit-justification", 0)
    return [
        bench.dark_counts
        + 0.01 * bench.faults.get("dark", 0) * bench.gain_counts_per_photoelectron * bench.photoelectrons_per_frame,
        _rounded_deviation(bench.dark_counts, bench.read_noise_counts, step),
        bench.gain_counts_per_photoelectron,
        bench.gain_counts_per_photoelectron * bench.photoelectrons_per_frame,
        bench.photoelectrons_per_frame,
        bench.faults.get("rotation", 0.0),
        0.0,
        bench.faults.get("shift", 0.0),
    ]


def _rounded_deviation(level: float, deviation: float, step: float) -> float:
    """Standard deviation of N(level, deviation) behind a converter: noise below its step hardly adds step^2 / 12."""
    from itertools import pairwise
    from math import erf, floor

    if deviation == 0:
        return 0.0
    reach = int(8 * deviation / step) + 2
    values = [(floor(level / step) + k) * step for k in range(-reach, reach + 1)]
    edges = [(value - 0.5 * step - level) / (deviation * 2**0.5) for value in [*values, values[-1] + step]]
    parts = [0.5 * (erf(high) - erf(low)) for low, high in pairwise(edges)]
    mean = sum(part * value for part, value in zip(parts, values, strict=True))
    return float(sum(part * (value - mean) ** 2 for part, value in zip(parts, values, strict=True)) ** 0.5)


def reconstruct_spc(
    run: "SinglePixelRun", capture: Path, calibration: Path, folder: Path, *, accept_failed: bool, force: bool
) -> tuple[dict[str, Any], str]:
    """Reconstruct a capture, and write images, arrays and a record."""
    from cidesign.modalities.single_pixel.reconstruct import reconstruct_capture
    from cidesign.reconstruct.outcome import written

    return written(reconstruct_capture(run, capture, calibration, accept_failed), folder, force)

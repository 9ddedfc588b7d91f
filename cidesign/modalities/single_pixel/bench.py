"""A single-pixel bench: its twin, its calibration, the plan of captures, and how its captures become images."""

from dataclasses import replace
from itertools import pairwise
from math import erf, floor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from cidesign.calibration.camera.checkerboard import BOARD_CORNERS, corners_of
from cidesign.calibration.camera.checks import registration_checks
from cidesign.calibration.camera.view import simulated_pictures, view_of
from cidesign.calibration.estimate import Estimate
from cidesign.calibration.single_pixel.calibrate import calibrate_spc
from cidesign.calibration.single_pixel.capture import Capture, read_capture, write_capture
from cidesign.calibration.single_pixel.nominal import NominalCalibration, SceneStatistics, nominal_calibration
from cidesign.calibration.single_pixel.plan import plan_spc, write_plan_files
from cidesign.calibration.single_pixel.record import SinglePixelCalibration, read_calibration, write_calibration
from cidesign.calibration.single_pixel.twin import bench_settings, capture_record, simulate_readings
from cidesign.calibration.single_pixel.twin_faults import FAULTS
from cidesign.calibration.written import Row, Written, estimates_table
from cidesign.constraints.sequence import streams
from cidesign.data.procedural import dead_leaves
from cidesign.errors import FileError, InputError
from cidesign.export.dmd.planning import plan_design
from cidesign.files import JsonObject
from cidesign.modalities.single_pixel.record import FullBasisRecord, SinglePixelRecord
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modality import Bench, Reader
from cidesign.records import Finite, NotNegative, Positive, now_utc
from cidesign.text import table
from cidesign.verb_settings import InputPath, Name, VerbSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cidesign.calibration.camera.view import CameraView
    from cidesign.calibration.plan import PlanStep
    from cidesign.calibration.single_pixel.capture import SimulatedBench
    from cidesign.checks import FaultName
    from cidesign.constraints.sequence import SequencePlan
    from cidesign.frozen.session import FrozenDecoder
    from cidesign.modalities.single_pixel.reconstruct import SinglePixelReconstructor
    from cidesign.pattern import PatternStack
    from cidesign.reconstruct.outcome import Reconstruction
    from cidesign.reconstruct.record import ReconstructionRecord
    from cidesign.reconstruct.student import Student

# Training images come from seeds below this (validation: seed + 2**32), so the scene is never one of them.
SCENE_SEED_OFFSET = 2**33
SCENE_CANDIDATES = 32
ADC_BITS = 16
# Three to four refreshes of a screen at 60 Hz lie before each image.
VIDEO_WAIT_US = (50_000.0, 66_667.0)


class SimulateSinglePixel(VerbSettings):
    """What `simulate` can be told of a single-pixel bench.

    Gain None: white fills 60 % of the converter's range.  `photoelectrons` (of an all-on white frame) and
    `read_noise_counts` None: as the run.  `sync_every`: as if exported with `--sync-every`.  `graycode`: also what a
    camera sees of the device showing the Gray code, in graycode/ of the folder.
    """

    dark_counts: NotNegative = 200.0
    gain_counts_per_photoelectron: Positive | None = None
    photoelectrons: Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)] | None = None
    read_noise_counts: NotNegative | None = None
    sync_every: int | None = None
    graycode: bool = False


class CalibrateSinglePixel(VerbSettings):
    """`graycode`, `checkerboard`: folders of a camera's pictures; `corners`: inner corners of the checkerboard, as 8x6;
    `card_photo`: one of the card, which then is what the card is expected to look like."""

    graycode: InputPath | None = None
    checkerboard: InputPath | None = None
    corners: Name | None = None
    card_photo: InputPath | None = None


class ReadSinglePixel(VerbSettings):
    """Nothing can be set."""


class ReadHadamard(VerbSettings):
    """`region`: of the detector (None: the middle one); `order`, `patterns`, `size` (HxW): which rows were shown when,
    as what, and of which size, instead of what the readings themselves say."""

    region: int | None = None
    order: Name | None = None
    patterns: Name | None = None
    size: Name | None = None


class ReadSpas(VerbSettings):
    """`band_nm`: the wavelengths to add up, None: all."""

    band_nm: tuple[Finite, Finite] | None = None


def _hadamard(run: SinglePixelRun, path: Path, settings: ReadHadamard) -> "Reconstruction":
    from cidesign.modalities.single_pixel.full_basis.compare import reconstruct_hadamard

    given = settings.model_dump(exclude={"region"})
    return reconstruct_hadamard(run, path, settings.region, **given)


def _spas(run: SinglePixelRun, path: Path, settings: ReadSpas) -> "Reconstruction":
    from cidesign.modalities.single_pixel.full_basis.compare import reconstruct_spas

    return reconstruct_spas(run, path, settings.band_nm)


class SinglePixelBench(
    Bench[SinglePixelRun, Capture, SinglePixelCalibration, SimulateSinglePixel, CalibrateSinglePixel, ReadSinglePixel]
):
    """Dark and white frames, calibration targets, scenes."""

    simulate_settings = SimulateSinglePixel
    calibrate_settings = CalibrateSinglePixel
    read_settings = ReadSinglePixel
    faults = FAULTS
    readers: ClassVar[dict[str, Reader]] = {
        "hadamard": Reader(ReadHadamard, _hadamard),
        "spas": Reader(ReadSpas, _spas),
    }

    def plan(self, run: SinglePixelRun) -> "list[PlanStep]":
        """What to capture for the run's patterns."""
        plan = _sequence(run)
        hdmi_too = streams(run.profile) and not plan.streamed
        return plan_spc(run.design, plan.exposure_us, plan.starts, hdmi_too)

    def plan_files(self, run: SinglePixelRun, folder: Path, force: bool) -> bool:
        """Write the card to print, the Gray code, and a record to complete."""
        plan = _sequence(run)
        times_us = None if plan.streamed else plan.start_times_us
        write_plan_files(folder, run.design, run.profile, plan.exposure_us, times_us, force, plan.starts)
        return True

    def simulate(
        self,
        run: SinglePixelRun,
        folder: Path,
        settings: SimulateSinglePixel,
        faults: "dict[FaultName, float]",
        scene: Path | None,
        seed: int,
        force: bool,
    ) -> Written:
        """A capture of a scene, both calibration targets, dark and white frames, with the patterns of the run."""
        design, own, charge = run.design, run.settings, settings.photoelectrons
        bench = bench_settings(
            dark_counts=settings.dark_counts,
            gain=settings.gain_counts_per_photoelectron,
            photoelectrons_per_frame=own.photoelectrons_per_frame if charge is None else charge,
            read_noise_counts=settings.read_noise_counts,
            read_noise_photoelectrons=own.read_noise_photoelectrons,
            adc_bits=ADC_BITS,
            seed=seed,
            scene=str(scene)
            if scene
            else f"procedural (dead leaves), seed {seed}, of {SCENE_CANDIDATES} the one with most contrast",
            faults=faults,
        )
        picture, remarks = _scene(scene, design.side, seed)
        shown = design if settings.sync_every is None else design.with_sync(settings.sync_every)
        plan = _sequence(run, shown)
        times_us = _video_times_us(plan, seed) if plan.streamed else plan.start_times_us
        readings = simulate_readings(shown, picture, bench, times_us, plan.starts)
        if plan.streamed:
            del readings["time_us"]
        pictures = simulated_pictures(run.profile, seed) if settings.graycode else None
        record = capture_record(shown, bench, plan.exposure_us, now_utc(), plan.starts, timed=not plan.streamed)
        write_capture(folder, record, readings, force, pictures)
        value: JsonObject = {
            "capture": str(folder),
            "run": str(run.known_as),
            "bench": bench.model_dump(mode="json"),
            "notes": remarks,
        }
        return Written(
            folder, value, "simulated on super-pixel level", _table(readings, bench, plan.exposure_us), remarks
        )

    def read_capture(self, path: Path, settings: ReadSinglePixel | CalibrateSinglePixel) -> Capture:
        """A capture folder, or a bare array of readings."""
        return read_capture(path)

    def calibrate(
        self, run: SinglePixelRun, capture: Capture, folder: Path, settings: CalibrateSinglePixel, force: bool
    ) -> tuple[SinglePixelCalibration, Written]:
        """Detector, lamp and operator."""
        if capture.record is not None and capture.record.profile_digest != run.record.profile_digest:
            raise FileError(
                f"{capture.path}: was recorded with profile {capture.record.profile_digest[:12]}, the run is for "
                f"{run.record.profile_digest[:12]}; name the run of this device with --run"
            )
        view = _view(run, settings)
        if view is not None and view.card_picture is not None:
            capture = replace(capture, arrays={**capture.arrays, "card_picture": view.card_picture})
        registration = view.registration if view else None
        more = registration_checks(registration) if registration else []
        found = calibrate_spc(capture, run.design, more)
        stored = write_calibration(folder, capture, found, now_utc(), force, registration)
        levels = found.levels
        heading = (
            f"exposure {stored.record.exposure_us:g} us, {len(levels.light_fraction)} white levels of "
            f"{levels.repeats} frames"
        )
        value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
        notes = [*capture.notes, *found.response.notes]
        return stored, Written(stored.path, value, heading, estimates_table(_estimates(stored)), notes)

    def nominal_calibration(self, run: SinglePixelRun, capture: Capture) -> NominalCalibration:
        """Patterns as designed, in even light; the unit and the noise of readings as they say themselves."""
        # Torch loads only where something is decoded.
        from cidesign.modalities.single_pixel.solve import image_statistics
        from cidesign.models.system import load_student

        prior = image_statistics(load_student(run))
        return nominal_calibration(capture, run.design, SceneStatistics(prior.level, prior.variance))

    def read_calibration(self, folder: Path) -> SinglePixelCalibration:
        """A calibration folder."""
        return read_calibration(folder)

    def reconstructor(self) -> "SinglePixelReconstructor":
        """Images with the student and baselines."""
        from cidesign.modalities.single_pixel.reconstruct import SinglePixelReconstructor

        return SinglePixelReconstructor()

    def record_type(self, reader: str | None) -> "type[ReconstructionRecord]":
        """What the record of a reconstruction holds."""
        return SinglePixelRecord if reader is None else FullBasisRecord

    def student(self, run: SinglePixelRun, calibration: SinglePixelCalibration | None) -> "Student":
        """Images (n, n) from readings (K,)."""
        from cidesign.modalities.single_pixel.family import single_pixel_family
        from cidesign.reconstruct.student import student_of

        encoder = None if calibration is None else single_pixel_family(run.design, calibration, "cpu").centre
        return student_of(run, (run.design.side, run.design.side), calibration, encoder)

    def freeze(self, run: SinglePixelRun, calibration: SinglePixelCalibration | None, path: Path) -> "FrozenDecoder":
        """The linear estimate as one matrix, and the network."""
        from cidesign.modalities.single_pixel.frozen.freeze import freeze

        return freeze(run, calibration, path)


def _view(run: SinglePixelRun, settings: CalibrateSinglePixel) -> "CameraView | None":
    """What a camera beside the device saw; None without its Gray code."""
    board = BOARD_CORNERS if settings.corners is None else corners_of(settings.corners)
    if settings.corners is not None and settings.checkerboard is None:
        raise InputError("--set corners: goes with the pictures of the board, --set checkerboard=FOLDER")
    if settings.graycode is not None:
        folders = settings.graycode, settings.checkerboard, settings.card_photo
        return view_of(*folders, run.profile, run.design.side, board)
    if settings.checkerboard is not None or settings.card_photo is not None:
        raise InputError(
            "--set checkerboard and card_photo need the Gray code of the same camera: --set graycode=FOLDER"
        )
    return None


def _sequence(run: "SinglePixelRun", shown: "PatternStack | None" = None) -> "SequencePlan":
    settings = run.settings
    return plan_design(run.profile, shown or run.design, settings.exposure_us)


def _video_times_us(plan: "SequencePlan", seed: int) -> "NDArray[np.float64]":
    """When frames begin over HDMI, which nobody writes down: an image is shown some refreshes after it was sent."""
    waits = np.random.default_rng([seed, 9]).uniform(*VIDEO_WAIT_US, plan.images)
    before = np.cumsum([waits[entry.image] if entry.loads_image else 0.0 for entry in plan.entries])
    times: NDArray[np.float64] = plan.start_times_us + before
    return times


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

    # Many crops are nearly flat or dark; the one with most contrast shows most, and is among the hardest.
    pictures = dead_leaves(SCENE_CANDIDATES, side, seed + SCENE_SEED_OFFSET) / 255.0
    return pictures[pictures.std(axis=(1, 2)).argmax()], []


def _estimates(calibration: SinglePixelCalibration) -> list[Row]:
    """The estimates with their standard errors and, for a simulated capture, the truth."""
    response, optics, place = calibration.response, calibration.optics, calibration.optics.placement
    turn, moved = optics.rotation_error_deg, optics.shift_error_px
    entries = {
        "dark": ("dark level", response.dark_counts, "counts"),
        "read": ("noise of dark frames", response.read_noise_counts, "counts"),
        "gain": ("gain", response.gain_counts_per_photoelectron, "counts per photoelectron"),
        "scale": ("scale (all on, white, less dark)", response.scale_counts, "counts"),
        "light": ("light of that frame", response.photoelectrons_per_frame, "photoelectrons"),
    }
    if optics.fitted:
        entries |= {
            "turn": ("turn of the patterns", Estimate(place.rotation_deg, turn), "degrees clockwise"),
            "down": ("shift, down", Estimate(place.down_px, moved), "super-pixels"),
            "right": ("shift, right", Estimate(place.right_px, moved), "super-pixels"),
        }
    bench = calibration.record.simulated_bench
    truths = {} if bench is None else {key: f"{value:.6g}" for key, value in _truths(bench).items()}
    rows = [
        Row(
            name,
            f"{estimate.value:.6g}" if estimate else "not resolved",
            unit,
            f"± {estimate.standard_error:.2g}" if estimate else "",
            truths.get(key),
        )
        for key, (name, estimate, unit) in entries.items()
    ]
    linearity = f"{response.linearity_percent:.3g}"
    straight = None if bench is None else "0"
    return [*rows, Row("largest departure from linear", linearity, "% of full white", "", straight)]


def _truths(bench: "SimulatedBench") -> dict[str, float]:
    """What the estimates should be, by the keys of `_estimates`."""
    step = 2.0 ** bench.faults.get("bit-justification", 0)
    gain, charge = bench.gain_counts_per_photoelectron, bench.photoelectrons_per_frame
    return {
        "dark": bench.dark_counts + 0.01 * bench.faults.get("dark", 0) * gain * charge,
        "read": _rounded_deviation(bench.dark_counts, bench.read_noise_counts, step),
        "gain": gain,
        "scale": gain * charge,
        "light": charge,
        "turn": bench.faults.get("rotation", 0.0),
        "down": 0.0,
        "right": bench.faults.get("shift", 0.0),
    }


def _rounded_deviation(level: float, deviation: float, step: float) -> float:
    """Standard deviation of N(level, deviation) behind a converter: noise below its step hardly adds step^2 / 12."""
    if deviation == 0:
        return 0.0
    reach = int(8 * deviation / step) + 2
    values = [(floor(level / step) + k) * step for k in range(-reach, reach + 1)]
    edges = [(value - 0.5 * step - level) / (deviation * 2**0.5) for value in [*values, values[-1] + step]]
    parts = [0.5 * (erf(high) - erf(low)) for low, high in pairwise(edges)]
    mean = sum(part * value for part, value in zip(parts, values, strict=True))
    return float(sum(part * (value - mean) ** 2 for part, value in zip(parts, values, strict=True)) ** 0.5)

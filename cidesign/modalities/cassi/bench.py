"""An SD-CASSI bench: its twin, its calibration, the plan of captures, and how its captures become cubes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from cidesign.calibration.cassi.calibrate import calibrate_bench
from cidesign.calibration.cassi.capture import CassiCapture, read_cassi_capture, write_cassi_capture
from cidesign.calibration.cassi.instrument.described import nominal_instrument, read_instrument
from cidesign.calibration.cassi.optics import inverted, moved
from cidesign.calibration.cassi.plan import cassi_plan
from cidesign.calibration.cassi.record import (
    StoredCassiCalibration,
    described_calibration,
    measured_calibration,
    read_cassi_calibration,
    write_cassi_calibration,
    write_described_calibration,
)
from cidesign.calibration.cassi.twin import FAULTS, BenchSettings, CassiTwin, Photoelectrons, ReadNoise, TwinSettings
from cidesign.calibration.written import Row, Written, estimates_table
from cidesign.errors import InputError
from cidesign.io.npy import read_npy
from cidesign.modalities.cassi.data.images import read_cube_scene
from cidesign.modalities.cassi.record import CassiRecord
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modality import Bench
from cidesign.records import now_utc
from cidesign.text import table
from cidesign.verb_settings import VerbSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cidesign.calibration.cassi.calibrate import CassiOutcome
    from cidesign.calibration.cassi.capture import CassiCaptureRecord, SimulatedCassiBench
    from cidesign.calibration.plan import PlanStep
    from cidesign.checks import FaultName
    from cidesign.modalities.cassi.reconstruct import CassiReconstructor
    from cidesign.reconstruct.student import Student

# Training cubes come from seeds below this (validation: seed + 2**32), so the scene is never one of them.
SCENE_SEED_OFFSET = 2**33
SCENE_CANDIDATES, MOST_SCENE_VALUES = 32, 2**25
# Without these a bench cannot be calibrated.
CALIBRATED_FROM = {"dark", "flat", "lines"}


class SimulateCassi(BenchSettings):
    """What `simulate` can be told of a spectral bench; None: as the run."""

    photoelectrons_full_scale: Photoelectrons | None = None
    read_noise_photoelectrons: ReadNoise | None = None


class ReadCassi(VerbSettings):
    """`array`: what the images of the scene are called, in a file that holds more than them."""

    array: Annotated[str, Field(min_length=1)] = "scene"


class CalibrateCassi(ReadCassi):
    """What of a capture is read."""


class CassiBench(Bench[CassiRun, CassiCapture, StoredCassiCalibration, SimulateCassi, CalibrateCassi, ReadCassi]):
    """Dark, flat, narrow lines, white target, scenes."""

    simulate_settings = SimulateCassi
    calibrate_settings = CalibrateCassi
    read_settings = ReadCassi
    faults = FAULTS

    def plan(self, run: CassiRun) -> "list[PlanStep]":
        """What to capture for the run's mask."""
        return cassi_plan(run.design, run.profile)

    def simulate(
        self,
        run: CassiRun,
        folder: Path,
        settings: SimulateCassi,
        faults: "dict[FaultName, float]",
        scene: Path | None,
        seed: int,
        force: bool,
    ) -> Written:
        """All captures of a bench with the mask of the run, and of a scene.

        `scene`: reflectances (L, H, W) from 0 to 1 as .npy, or a cube with its wavelengths in any file that is read for
        training; None: a procedural cube, never a training one.
        """
        bands_nm = run.profile.spectrograph.wavelengths_nm.value
        cube, remarks = _scene(scene, (len(bands_nm), *run.design.levels.shape), bands_nm, seed)
        of_run = {
            "photoelectrons_full_scale": run.settings.photoelectrons_full_scale,
            "read_noise_photoelectrons": run.settings.read_noise_photoelectrons,
        }
        twin_settings = TwinSettings(**(of_run | settings.model_dump(exclude_none=True)), seed=seed)
        twin = CassiTwin(run.design, run.profile, twin_settings, faults)
        name = str(scene) if scene else f"procedural, seed {seed}, of {SCENE_CANDIDATES} the one with most contrast"
        record = twin.record(now_utc(), name)
        write_cassi_capture(folder, record, twin.arrays(cube), force)
        value = {"capture": str(folder), "run": str(run.known_as), **record.model_dump(mode="json", include={"bench"})}
        value["notes"] = remarks
        return Written(folder, value, "simulated bench", _bench_table(record, twin.size), remarks)

    def read_capture(self, path: Path, settings: ReadCassi | CalibrateCassi) -> CassiCapture:
        """A capture folder, or images of a scene alone."""
        return read_cassi_capture(path, settings.array)

    def calibrate(
        self, run: CassiRun, capture: CassiCapture, folder: Path, settings: CalibrateCassi, force: bool
    ) -> tuple[StoredCassiCalibration, Written]:
        """Detector, geometry, dispersion, mask cube and scale."""
        outcome = calibrate_bench(capture, run.design, run.profile)
        stored = write_cassi_calibration(folder, capture, outcome, now_utc(), force)
        value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
        heading = f"{len(outcome.lines.lines_nm)} lines, {len(outcome.layout.shift_px)} bands"
        shown = estimates_table(_estimates(outcome, capture.bench))
        return stored, Written(stored.path, value, heading, shown, list(outcome.calibration.notes))

    def calibrate_described(
        self, run: CassiRun, file: Path, capture: CassiCapture | None, folder: Path, force: bool
    ) -> tuple[StoredCassiCalibration, Written]:
        """From a file that describes the instrument, held against a capture where there is one."""
        instrument = read_instrument(file, run.design, run.profile, capture)
        stored = write_described_calibration(folder, instrument, now_utc(), force)
        value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
        rows = [(f"{number}", note) for number, note in enumerate(stored.calibration.notes, start=1)]
        return stored, Written(stored.path, value, "described instrument", table(rows), [])

    def nominal_calibration(self, run: CassiRun, capture: CassiCapture) -> StoredCassiCalibration:
        """Of a capture with all that a calibration takes, that calibration; else the mask and the dispersion as
        designed, held against the capture itself."""
        if set(capture.arrays) >= CALIBRATED_FROM:
            return measured_calibration(capture, calibrate_bench(capture, run.design, run.profile), now_utc())
        return described_calibration(nominal_instrument(run.design, run.profile, capture), now_utc())

    def read_calibration(self, folder: Path) -> StoredCassiCalibration:
        """A calibration folder."""
        return read_cassi_calibration(folder)

    def reconstructor(self) -> "CassiReconstructor":
        """Cubes with the student and baselines."""
        # Torch loads only where something is decoded.
        from cidesign.modalities.cassi.reconstruct import CassiReconstructor

        return CassiReconstructor()

    def record_type(self, reader: str | None) -> "type[CassiRecord]":
        """What the record of a reconstruction holds."""
        return CassiRecord

    def student(self, run: CassiRun, calibration: StoredCassiCalibration | None) -> "Student":
        """Cubes (L, H, W) from detector images (h, w)."""
        from cidesign.modalities.cassi.family import cassi_family
        from cidesign.reconstruct.student import student_of

        shape = len(run.profile.spectrograph.wavelengths_nm.value), *run.design.levels.shape
        encoder = None if calibration is None else cassi_family(run.design, calibration, "cpu").centre
        return student_of(run, shape, calibration, encoder)


def _bench_table(record: "CassiCaptureRecord", size: tuple[int, int]) -> str:
    bench, binning = record.bench, record.detector_px_per_code_px
    if bench is None:
        raise ValueError("a simulated capture records its bench")
    rows = [
        ("detector", f"{size[0] * binning} x {size[1] * binning} pixels, {binning} x {binning} to a code pixel"),
        ("bands", f"{len(bench.shift_px)}, shifted {bench.shift_px[0]:.2f} to {bench.shift_px[-1]:.2f} code pixels"),
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
    if path is None:
        from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves

        bands, rows, columns = shape
        side = max(rows, columns)
        count = max(min(SCENE_CANDIDATES, MOST_SCENE_VALUES // (bands * side**2)), 1)
        cubes = spectral_dead_leaves(count, side, bands_nm, seed + SCENE_SEED_OFFSET)[:, :, :rows, :columns]
        # Many crops are nearly flat or dark; the one with most contrast shows most, and is among the hardest.
        return cubes[np.array([cube.std() for cube in cubes]).argmax()] / 255.0, []
    # An array of the mask's size in the bands of the camera is the scene itself; a cube says which bands it has.
    if path.suffix.lower() == ".npy" and not path.with_suffix(".json").is_file():
        return _reflectances(path, shape), []

    return read_cube_scene(path, (shape[1], shape[2]), bands_nm)


def _reflectances(path: Path, shape: tuple[int, ...]) -> "NDArray[np.float64]":
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


def _estimates(outcome: "CassiOutcome", bench: "SimulatedCassiBench | None") -> list[Row]:
    """What was found, and the truth of a simulated bench beside it."""
    calibration, placement = outcome.calibration, outcome.placement
    shifts, detector = calibration.shift_px, outcome.detector
    blur_px = sum(fit.blur_px for fit in outcome.lines.fits) / len(outcome.lines.fits)
    # The raw pixel's own width is in the fitted blur.
    optics_px = max(blur_px**2 - 1 / (12 * calibration.binning**2), 0.0) ** 0.5
    resolved = calibration.gain_counts_per_photoelectron > 0
    gain = f"{detector.gain:.4g} ± {detector.gain_error:.1g}" if resolved else "not resolved"
    rows = {
        "dark": Row("dark level", f"{float(calibration.dark_counts.mean()):.5g}", "counts, mean over the pixels"),
        "read": Row("read noise", f"{calibration.read_noise_counts:.4g}", "counts"),
        "gain": Row("gain", gain, "counts/photoelectron"),
        "scale": Row("scale", f"{calibration.scale_counts:.5g}", "counts of the mean band through an open code"),
        "shift": Row("dispersion", f"{shifts[0]:+.3f} to {shifts[-1]:+.3f}", "code pixels, first to last band"),
        "blur": Row("blur of the optics", f"{optics_px:.3f}", "code pixels"),
        "edges": Row("edges of the openings", f"{placement.edge_um:+.2f}", "um beyond the drawn ones"),
        "error": Row(
            "standard error", f"{calibration.pixel_uncertainty_px:.4f}", "code pixels, of where a code pixel lies"
        ),
    }
    truths = {} if bench is None else _truths(outcome, bench)
    return [row._replace(truth=truths.get(key)) for key, row in rows.items()]


def _truths(outcome: "CassiOutcome", bench: "SimulatedCassiBench") -> dict[str, str]:
    """What the estimates should be, by the keys of `_estimates`."""
    bands, binning = len(outcome.calibration.shift_px), outcome.calibration.binning
    full = bench.gain_counts_per_photoelectron * bench.photoelectrons_full_scale / binning**2
    first = min(bench.shift_px)
    return {
        "dark": f"{bench.dark_counts:g} and the hot pixels",
        "read": f"{bench.read_noise_counts:.4g}",
        "gain": f"{bench.gain_counts_per_photoelectron:.4g}",
        "scale": f"{full / bands:.5g} without vignetting",
        "shift": f"{bench.shift_px[0] - first:+.3f} to {bench.shift_px[-1] - first:+.3f}",
        "blur": f"{bench.psf_px:.3f}",
        "edges": f"{bench.edge_bias_um:+.2f}",
        "error": f"{geometry_error_px(outcome, bench):.4f} is the largest true error",
    }


def geometry_error_px(outcome: "CassiOutcome", bench: "SimulatedCassiBench") -> float:
    """The largest distance, in any band and at any corner of the code, of where it is found from where it truly is."""
    height, width = outcome.layout.code
    corners = np.array([[0, 0, 1], [0, width - 1, 1], [height - 1, 0, 1], [height - 1, width - 1, 1]]).T
    layout, worst = outcome.layout, 0.0
    for matrix, along, across in zip(
        outcome.calibration.operator.to_code, bench.shift_px, bench.across_px, strict=True
    ):
        truth = moved(np.array(bench.to_detector), along * layout.along + across * layout.across)
        worst = max(worst, float(np.hypot(*((inverted(matrix) - truth) @ corners)).max()))
    return worst

"""A lensless camera's bench: its twin, its calibration, the plan of captures, and how its captures become images."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cidesign.calibration.lensless.calibrate import calibrate_bench
from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.capture import LenslessCapture, read_lensless_capture, write_lensless_capture
from cidesign.calibration.lensless.nominal import nominal_calibration
from cidesign.calibration.lensless.plan import lensless_plan
from cidesign.calibration.lensless.record import (
    StoredLenslessCalibration,
    read_lensless_calibration,
    write_lensless_calibration,
)
from cidesign.calibration.lensless.simulated.twin import (
    FAULTS,
    BenchSettings,
    LenslessTwin,
    Photoelectrons,
    ReadNoise,
    TwinSettings,
    known_target,
)
from cidesign.calibration.written import Row, Written, estimates_table
from cidesign.errors import InputError
from cidesign.modalities.lensless.family import lensless_family
from cidesign.modalities.lensless.pairs import ReadPair, reconstruct_pair
from cidesign.modalities.lensless.reconstruct import LenslessReconstructor
from cidesign.modalities.lensless.record import LenslessRecord, PairRecord
from cidesign.modalities.lensless.run import LenslessRun
from cidesign.modalities.lensless.settings import geometry_of
from cidesign.modality import Bench, Reader
from cidesign.reconstruct.student import student_of
from cidesign.records import now_utc
from cidesign.text import table
from cidesign.verb_settings import VerbSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cidesign.calibration.lensless.calibrate import LenslessOutcome
    from cidesign.calibration.lensless.capture import LenslessCaptureRecord
    from cidesign.calibration.plan import PlanStep
    from cidesign.checks import FaultName
    from cidesign.reconstruct.record import ReconstructionRecord
    from cidesign.reconstruct.student import Student

# Training images come from seeds below this (validation: seed + 2**32), so the scene is never one of them.
SCENE_SEED_OFFSET = 2**33


class SimulateLensless(BenchSettings):
    """What `simulate` can be told of a lensless camera; None: as the run."""

    photoelectrons_full_scale: Photoelectrons | None = None
    read_noise_photoelectrons: ReadNoise | None = None


class ReadLensless(VerbSettings):
    """Nothing can be set."""


class CalibrateLensless(VerbSettings):
    """Nothing can be set."""


class LenslessBench(
    Bench[LenslessRun, LenslessCapture, StoredLenslessCalibration, SimulateLensless, CalibrateLensless, ReadLensless]
):
    """Dark frames, two point sources, a known target, scenes."""

    simulate_settings = SimulateLensless
    calibrate_settings = CalibrateLensless
    read_settings = ReadLensless
    faults = FAULTS
    readers: ClassVar[dict[str, Reader]] = {"psf": Reader(ReadPair, reconstruct_pair, needs_run=False)}

    def plan(self, run: LenslessRun) -> "list[PlanStep]":
        """What to capture for the run's mask."""
        return lensless_plan(camera_of(run))

    def simulate(
        self,
        run: LenslessRun,
        folder: Path,
        settings: SimulateLensless,
        faults: "dict[FaultName, float]",
        scene: Path | None,
        seed: int,
        force: bool,
    ) -> Written:
        """All captures of a bench with the mask of the run, and of a scene: a picture that is read as for training;
        None: a procedural one, never a training one."""
        camera = camera_of(run)
        picture, remarks = _scene(run, camera, scene, seed)
        of_run = {
            "photoelectrons_full_scale": run.settings.photoelectrons_full_scale,
            "read_noise_photoelectrons": run.settings.read_noise_photoelectrons,
        }
        given = of_run | settings.model_dump(exclude_none=True)
        twin_settings = TwinSettings(**given, adc_bits=min(camera.adc_bits, 16), seed=seed)
        twin = LenslessTwin(run.design, camera, twin_settings, faults)
        arrays = twin.arrays(picture, known_target(camera.geometry.image, len(camera.channels), seed))
        name = str(scene) if scene else f"procedural, seed {seed}"
        record = twin.record(now_utc(), name)
        write_lensless_capture(folder, record, arrays, force)
        value = {"capture": str(folder), "run": str(run.known_as), **record.model_dump(mode="json", include={"bench"})}
        value["notes"] = remarks
        return Written(folder, value, "simulated bench", _bench_table(record, camera), remarks)

    def read_capture(self, path: Path, settings: ReadLensless | CalibrateLensless) -> LenslessCapture:
        """A capture folder."""
        return read_lensless_capture(path)

    def calibrate(
        self, run: LenslessRun, capture: LenslessCapture, folder: Path, settings: CalibrateLensless, force: bool
    ) -> tuple[StoredLenslessCalibration, Written]:
        """Sensor, PSF, read-out and scale."""
        outcome = calibrate_bench(capture, run.design, camera_of(run))
        stored = write_lensless_calibration(folder, capture, outcome, now_utc(), force)
        value = {"calibration": str(stored.path), **stored.record.model_dump(mode="json")}
        heading = f"PSF of {len(capture.frames('point'))} frames, {outcome.calibration.operator.channels} channel(s)"
        shown = estimates_table(_estimates(outcome, capture))
        return stored, Written(stored.path, value, heading, shown, list(outcome.calibration.notes))

    def nominal_calibration(self, run: LenslessRun, capture: LenslessCapture) -> StoredLenslessCalibration:
        """The mask as drawn, at the distance as designed."""
        return nominal_calibration(capture, run.design, camera_of(run), now_utc())

    def read_calibration(self, folder: Path) -> StoredLenslessCalibration:
        """A calibration folder."""
        return read_lensless_calibration(folder)

    def reconstructor(self) -> LenslessReconstructor:
        """Images with the student and baselines."""
        return LenslessReconstructor()

    def record_type(self, reader: str | None) -> "type[ReconstructionRecord]":
        """What the record of a reconstruction holds."""
        return LenslessRecord if reader is None else PairRecord

    def student(self, run: LenslessRun, calibration: StoredLenslessCalibration | None) -> "Student":
        """Images (C, H, W) from readings (C, h, w)."""
        camera = camera_of(run)
        encoder = None if calibration is None else lensless_family(run.design, calibration, "cpu").centre
        return student_of(run, (len(camera.channels), *camera.geometry.image), calibration, encoder)


def camera_of(run: LenslessRun) -> Camera:
    """The camera of a run, with the model of propagation that it was trained with."""
    return Camera.of(run.profile, geometry_of(run.settings, run.profile), run.settings.binning)


def _scene(run: LenslessRun, camera: Camera, path: Path | None, seed: int) -> "tuple[NDArray[np.float64], list[str]]":
    from cidesign.modality import modality

    rows, columns = camera.geometry.image
    channels = len(camera.channels)
    if path is None:
        kind = modality(run.settings.modality)
        found = kind.procedural_images(run.settings, run.profile, 16, seed + SCENE_SEED_OFFSET)
        # Many crops are nearly flat or dark; the one with most contrast shows most.
        best = found[np.array([one.std() for one in found]).argmax()]
        return best / 255.0, []
    if rows != columns:
        raise InputError(f"{path}: pictures are read for square images, and the run has {rows} x {columns}")
    from cidesign.data.scenes import read_scene

    grey, remarks = read_scene(path, rows)
    if channels > 1:
        remarks.append(f"scene: grey, the same in all {channels} channels")
    return np.repeat(grey[None], channels, axis=0), remarks


def _bench_table(record: "LenslessCaptureRecord", camera: Camera) -> str:
    bench, geometry = record.bench, camera.geometry
    if bench is None:
        raise ValueError("a simulated capture records its bench")
    rows = [
        ("sensor", f"{geometry.sensor[0]} x {geometry.sensor[1]} samples of {geometry.sample_um:g} um"),
        ("field", f"{geometry.field_deg[0]:.1f} x {geometry.field_deg[1]:.1f} degrees"),
        ("mask", f"{bench.distance_mm:.4g} mm away, turned {bench.rotation_deg:+.2f} degrees"),
        ("gain", f"{bench.gain_counts_per_photoelectron:.4g} counts per photoelectron"),
        ("read noise", f"{bench.read_noise_counts:.3g} counts"),
        ("exposure", f"{record.exposure_us:g} us"),
        ("scene", bench.scene),
        ("faults", ", ".join(f"{name} = {value:g}" for name, value in bench.faults.items()) or "none"),
    ]
    return table(rows)


def _estimates(outcome: "LenslessOutcome", capture: LenslessCapture) -> list[Row]:
    """What was found, and the truth of a simulated bench beside it."""
    calibration, found, bench = outcome.calibration, outcome.registration, capture.bench
    shift = outcome.shift_px
    gain = calibration.gain_counts_per_photoelectron
    truth = bench
    return [
        Row(
            "dark level",
            f"{float(calibration.dark_counts.mean()):.5g}",
            "counts",
            truth=None if truth is None else f"{truth.dark_counts:g}",
        ),
        Row(
            "read noise",
            f"{calibration.read_noise_counts:.4g}",
            "counts",
            truth=None if truth is None else f"{truth.read_noise_counts:.4g}",
        ),
        Row(
            "gain",
            f"{gain:.4g}" if gain else "not resolved",
            "counts/photoelectron",
            truth=None if truth is None else f"{truth.gain_counts_per_photoelectron:.4g}",
        ),
        Row(
            "rotation",
            f"{found.fit.rotation_deg:+.3f}",
            "degrees",
            truth=None if truth is None else f"{truth.rotation_deg:+.3f}",
        ),
        Row(
            "shift",
            f"{shift[0]:+.2f}, {shift[1]:+.2f}",
            "sensor samples, down and right",
            truth=None if truth is None else f"{truth.shift_px[0]:+.2f}, {truth.shift_px[1]:+.2f}",
        ),
        Row(
            "light at 1",
            ", ".join(f"{one:.4g}" for one in calibration.scale_counts),
            "counts per unit of the PSF's sum",
        ),
        Row("noise of the PSF", f"{calibration.psf_noise:.2g}", "of the irradiance without a mask"),
    ]

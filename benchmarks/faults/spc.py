"""The single-pixel rows of the fault table."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.calibrate import SpcCalibration, calibrate_spc, place_unseen, verify_on
from cidesign.calibration.single_pixel.capture import Capture, SimulatedBench
from cidesign.calibration.single_pixel.measurement import measurements_from_counts
from cidesign.calibration.single_pixel.response import Response
from cidesign.calibration.single_pixel.scene_order import scene_in_order
from cidesign.calibration.single_pixel.twin import bench_settings, capture_record, lamp_brightness, simulate_readings
from cidesign.calibration.single_pixel.twin_faults import illumination, placement, scene_weights
from cidesign.calibration.verify import Judgement, Verification
from cidesign.checks import FaultName
from cidesign.data.procedural import dead_leaves
from cidesign.errors import FileError
from cidesign.modalities.single_pixel import solve
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.models.system import ImagingSystem, load_student
from cidesign.physics.noise import DetectorNoise
from faults.common import Missing, Result, findings, named_by, psnr_db

SCENE_SEED = 2**34
# Frames back to back at the shortest exposure of a DLP4500, as a stream over HDMI shows them.
FRAME_US = 235.0


def spc_missing(run: SinglePixelRun, seed: int) -> Missing:
    """Verdicts of a mirrored bench without the card, and the white reference; and of a later scene alone."""
    faults: dict[FaultName, float] = {"mirror": 1}
    whole, sound = (_bench(run, which, seed)[0] for which in (faults, {}))
    found: Missing = []
    for names in (("card", "card_picture"), ("card", "card_picture", "flat")):
        left = replace(whole, arrays={name: array for name, array in whole.arrays.items() if name not in names})
        found.append((f"no {' nor '.join(names)}", faults, calibrate_spc(left, run.design).verification.verdict))
    calibrated = calibrate_spc(sound, run.design)
    later = replace(whole, arrays={"scene": whole.arrays["scene"]})
    checks = verify_on(calibrated.response, calibrated.operator, later, run.design) or [place_unseen()]
    again = Verification(score=None, score_meaning="", checks=checks)
    found.append(("a later scene alone", faults, Judgement(calibrated.verification, again).verdict))
    return found


@cache
def _system(path: Path) -> ImagingSystem:
    return load_student(SinglePixelRun(path))


def spc_case(run: SinglePixelRun, faults: dict[FaultName, float], seed: int, images: bool) -> Result:
    """Simulate, calibrate and, where `images`, reconstruct one bench, all in memory."""
    design = run.design
    capture, bench, scene, time_us = _bench(run, faults, seed)
    arrays = capture.arrays
    try:
        found = calibrate_spc(capture, design)
    except FileError as error:
        return Result((str(error),), named_by(error), None, None, None)
    verification = found.verification
    if not images:
        return Result(findings(verification), verification.faults, None, None, None)
    system = _system(run.path)
    gain, charge = bench.gain_counts_per_photoelectron, bench.photoelectrons_per_frame
    noise = DetectorNoise(charge, bench.read_noise_counts / gain, design.encoding)
    y = _pairs(_fitted(arrays["scene"], 2 * design.count), design.side, gain * charge)
    uncalibrated = psnr_db(solve.decode(system, y, design.signed(), noise), scene)
    complete = bench.model_copy(update={"faults": _without_loss(faults)})
    whole = simulate_readings(design, scene, complete, time_us)["scene"].astype(np.float64)
    lamp = lamp_brightness(bench, time_us, 1)
    oracle = psnr_db(_oracle(run, whole, lamp, bench.dark_counts, gain, charge, faults, system, noise), scene)
    calibrated = None
    if verification.verdict == "passed":
        calibrated = psnr_db(_calibrated(capture, found, run, system), scene)
    return Result(findings(verification), verification.faults, uncalibrated, calibrated, oracle)


def _bench(
    run: SinglePixelRun, faults: dict[FaultName, float], seed: int
) -> tuple[Capture, SimulatedBench, NDArray[np.float64], NDArray[np.float64]]:
    """A capture, its bench, its scene, and when its frames began."""
    design, settings = run.design, run.settings
    pictures = dead_leaves(8, design.side, SCENE_SEED + seed) / 255.0
    scene = pictures[pictures.std(axis=(1, 2)).argmax()]
    bench = bench_settings(
        dark_counts=200.0,
        gain=None,
        photoelectrons_per_frame=settings.photoelectrons_per_frame,
        read_noise_counts=None,
        read_noise_photoelectrons=settings.read_noise_photoelectrons,
        adc_bits=16,
        seed=seed,
        scene="procedural",
        faults=faults,
    )
    time_us = FRAME_US * np.arange(len(design.frames()))
    arrays = {
        name: array.astype(np.float64) for name, array in simulate_readings(design, scene, bench, time_us).items()
    }
    record = capture_record(design, bench, FRAME_US, "2026-01-01T00:00:00+00:00")
    return Capture(Path("bench"), record, arrays), bench, scene, time_us


def _calibrated(
    capture: Capture, found: SpcCalibration, run: SinglePixelRun, system: ImagingSystem
) -> NDArray[np.float32]:
    response: Response = found.response
    scene = scene_in_order(capture, run.design, response, found.operator)
    measured = measurements_from_counts(scene.frames, run.design, response, found.operator)
    noise = solve.calibrated_noise(response.with_peak(found.operator.peak_over_mean), run.design.encoding)
    return solve.decode(system, measured.y, measured.signed, noise)


def _oracle(
    run: SinglePixelRun,
    readings: NDArray[np.float64],
    lamp: NDArray[np.float64],
    dark: float,
    gain: float,
    charge: float,
    faults: dict[FaultName, float],
    system: ImagingSystem,
    noise: DetectorNoise,
) -> NDArray[np.float32]:
    """The image from the true operator, lamp, dark level, gain and triggers."""
    design, place = run.design, placement(faults)
    side = design.side
    weights, light = scene_weights(side, place), illumination(side, faults)
    turned = place.orientation.apply(design.signed().astype(np.float64)).reshape(design.count, -1)
    field = (weights @ np.ones(side * side)).reshape(side, side) * light
    signed = (weights @ turned.T).T.reshape(design.signed().shape) * light / field.max()
    signed = -signed if "inversion" in faults else signed
    offset = dark + 0.01 * faults.get("dark", 0.0) * gain * charge
    steady = (readings - offset) / lamp
    y = _pairs(steady, side, gain * charge * float(field.max()))
    exact = DetectorNoise(charge * float(field.max()), noise.read_noise_photoelectrons, noise.encoding)
    return solve.decode(system, y, signed.astype(np.float32), exact)


def _pairs(readings: NDArray[np.float64], side: int, scale: float) -> NDArray[np.float64]:
    pairs: NDArray[np.float64] = side * (readings[0::2] - readings[1::2]) / scale
    return pairs


def _fitted(readings: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """As somebody would who does not look: cut, or filled up with the last reading."""
    return np.pad(readings, (0, max(frames - readings.size, 0)), mode="edge")[:frames]


def _without_loss(faults: dict[FaultName, float]) -> dict[FaultName, float]:
    return {name: value for name, value in faults.items() if name not in ("lost-trigger", "record-shift")}

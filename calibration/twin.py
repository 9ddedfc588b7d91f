"""The digital twin of a single-pixel bench: what its detector would have read.

    counts_f = dark + gain Poisson(lamp_f Q mean(P_f x)) + N(0, read noise), then an ADC of whole counts

P_f: the displayed levels as the fraction of the exposure that a mirror is on; x the scene in [0, 1]; Q the
photoelectrons of an all-on frame of a white scene; lamp_f the lamp's relative brightness, 1 at the start.
It works on whole super-pixels: single mirrors, optics and blur are not simulated.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cidesign.calibration.capture import READINGS_FILE, CaptureRecord, SimulatedBench, StoredArray
from cidesign.errors import InputError
from cidesign.pattern import PatternStack

DARK_FRAMES = 256
WHITE_FRAMES = 256
WHITE_FRACTIONS = tuple(level / 8 for level in range(1, 9))
DRIFT_KNOTS = 6
# With the default gain, an all-on white frame fills this part of the converter's range.
DEFAULT_FILL = 0.6


def bench_settings(
    *,
    dark_counts: float,
    gain: float | None,
    photoelectrons_per_frame: float,
    read_noise_counts: float | None,
    read_noise_photoelectrons: float,
    drift_percent: float,
    adc_bits: int,
    seed: int,
    scene: str,
) -> SimulatedBench:
    """The twin's settings; the gain and the read noise in counts are derived where they are None.

    Default gain: an all-on white frame (with dark) fills 60 % of the converter's range.  Default read noise:
    gain * read_noise_photoelectrons.  Raises `InputError` that names the first setting out of range.
    """
    chosen = "as asked for"
    if gain is None:
        if not 0 < photoelectrons_per_frame < float("inf"):
            raise InputError(
                f"bench: photoelectrons_per_frame {photoelectrons_per_frame:g}: a finite number above 0 is needed"
            )
        gain = (DEFAULT_FILL * full_scale(adc_bits) - dark_counts) / photoelectrons_per_frame
        chosen = f"white fills {DEFAULT_FILL:.0%} of {full_scale(adc_bits)} counts"
        if not gain > 0:
            raise InputError(
                f"bench: dark_counts {dark_counts:g} leaves no room for light below {DEFAULT_FILL:.0%} of "
                f"{full_scale(adc_bits)} counts; lower --dark or give --gain"
            )
    try:
        return SimulatedBench(
            simulated_at="super-pixel",
            dark_counts=dark_counts,
            gain_counts_per_photoelectron=gain,
            gain_chosen=chosen,
            photoelectrons_per_frame=photoelectrons_per_frame,
            read_noise_counts=gain * read_noise_photoelectrons if read_noise_counts is None else read_noise_counts,
            drift_percent=drift_percent,
            adc_bits=adc_bits,
            seed=seed,
            scene=scene,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(f"bench: {problem['loc'][0]} {problem['input']}: {problem['msg']}") from error


def full_scale(adc_bits: int) -> int:
    """The largest reading of the converter, in counts."""
    return int(2**adc_bits - 1)


def lamp_drift(frames: int, percent: float, seed: int) -> NDArray[np.float64]:
    """Relative brightness of the lamp at each frame (frames,): 1 at the start, `percent` from lowest to highest.

    A smooth random walk: cubic splines through 6 random steps.
    """
    from scipy.interpolate import CubicSpline

    if percent == 0 or frames < 2:
        return np.ones(frames)
    rng = np.random.default_rng([seed, 4])
    walk = np.concatenate([[0.0], np.cumsum(rng.normal(size=DRIFT_KNOTS - 1))])
    spline = CubicSpline(np.linspace(0, 1, DRIFT_KNOTS), walk, bc_type="natural")
    curve = spline(np.linspace(0, 1, frames))
    curve -= curve[0]
    drift: NDArray[np.float64] = 1 + 0.01 * percent * curve / np.ptp(curve)
    return drift


def simulate_readings(
    design: PatternStack, scene: NDArray[np.float64], bench: SimulatedBench
) -> dict[str, NDArray[np.generic]]:
    """The arrays of a capture: scene (F,), dark (256,), white (8, 256) in counts, and truth (n, n).

    The lamp is steady while dark and white are recorded and drifts during the scene.
    Raises `InputError` for a scene of another size than the patterns or outside [0, 1].
    """
    if scene.shape != (design.side, design.side):
        raise InputError(f"scene: shape {scene.shape} is not the patterns' {design.side} x {design.side}")
    if not (np.isfinite(scene).all() and scene.min() >= 0 and scene.max() <= 1):
        raise InputError(f"scene: values from {scene.min():g} to {scene.max():g} are outside 0 .. 1")
    light = frame_means(design, scene) * lamp_drift(len(design.frames()), bench.drift_percent, bench.seed)
    white = np.repeat(np.array(WHITE_FRACTIONS)[:, None], WHITE_FRAMES, axis=1)
    return {
        "scene": _detect(light, bench, stream=1),
        "dark": _detect(np.zeros(DARK_FRAMES), bench, stream=2),
        "white": _detect(white, bench, stream=3),
        "truth": scene,
    }


def frame_means(design: PatternStack, scene: NDArray[np.float64]) -> NDArray[np.float64]:
    """mean(P_f x) for each displayed frame, (F,), in [0, 1]."""
    # einsum converts the levels piece by piece; a product would first make eight times as large a copy.
    sums: NDArray[np.float64] = np.einsum("fij,ij->f", design.displayed(), scene)
    return sums / (design.max_level * scene.size)


def capture_record(design: PatternStack, bench: SimulatedBench, exposure_us: float, created_utc: str) -> CaptureRecord:
    """The record that goes with `simulate_readings`."""
    return CaptureRecord(
        schema_version=1,
        kind="capture",
        modality="single-pixel",
        design_digest=design.design_digest,
        profile_digest=design.profile_digest,
        encoding=design.encoding,
        exposure_us=exposure_us,
        units="counts",
        saturation_counts=float(full_scale(bench.adc_bits)),
        created_utc=created_utc,
        arrays={
            "scene": StoredArray(file=READINGS_FILE, role="one reading per displayed frame, in display order"),
            "dark": StoredArray(file=READINGS_FILE, role="light blocked, same exposure"),
            "white": StoredArray(
                file=READINGS_FILE,
                role="all mirrors on, white reference in place of the scene; one row per light level",
                light_fractions=list(WHITE_FRACTIONS),
            ),
            "truth": StoredArray(file=READINGS_FILE, role="the simulated scene, reflectance 0 to 1"),
        },
        bench=bench,
    )


def _detect(light: NDArray[np.float64], bench: SimulatedBench, stream: int) -> NDArray[np.int32]:
    """Readings of the converter for frames with the given light (1: all on, white, full lamp); any shape."""
    rng = np.random.default_rng([bench.seed, stream])
    photoelectrons = rng.poisson(bench.photoelectrons_per_frame * light)
    counts = bench.dark_counts + bench.gain_counts_per_photoelectron * photoelectrons
    counts = counts + rng.normal(0.0, bench.read_noise_counts, light.shape)
    # A real converter rounds and clips too; what is clipped is found again as saturated when the capture is read.
    readings: NDArray[np.int32] = np.clip(np.rint(counts), 0, full_scale(bench.adc_bits)).astype(np.int32)
    return readings

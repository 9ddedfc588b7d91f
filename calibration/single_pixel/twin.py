"""The digital twin of a single-pixel bench: what its detector would have read.

    counts_f = dark + gain Poisson(lamp_f Q mean((W P_f) g x) + stray) + N(0, read noise), then an ADC of whole counts

P_f: the displayed levels as the fraction of the exposure that a mirror is on; W: how they lie on the scene, by 10 x 10
samples of each pixel; g: the illumination; x the scene in [0, 1]; Q the photoelectrons of an all-on frame of a white
scene; lamp_f the lamp's relative brightness, 1 at the start.  It works on whole super-pixels: single mirrors, optics
and blur are not simulated, and the scene is dark outside the field.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cidesign.calibration.single_pixel.capture import (
    READINGS_FILE,
    ArrayName,
    CaptureRecord,
    SimulatedBench,
    StoredArray,
)
from cidesign.calibration.single_pixel.targets import f_card
from cidesign.calibration.single_pixel.twin_faults import (
    FLICKER_HZ,
    converted,
    illumination,
    lamp_drift,
    lose_triggers,
    placement,
    scene_weights,
    shift_record,
)
from cidesign.checks import FaultName
from cidesign.errors import InputError
from cidesign.pattern import PatternStack

DARK_FRAMES = 256
WHITE_FRAMES = 256
WHITE_FRACTIONS = tuple(level / 8 for level in range(1, 9))
# With the default gain, an all-on white frame fills this part of the converter's range.
DEFAULT_FILL = 0.6
# Frames whose light is worked out together: all of them can take gigabytes.
FRAMES_AT_ONCE = 256


def bench_settings(
    *,
    dark_counts: float,
    gain: float | None,
    photoelectrons_per_frame: float,
    read_noise_counts: float | None,
    read_noise_photoelectrons: float,
    adc_bits: int,
    seed: int,
    scene: str,
    faults: dict[FaultName, float],
) -> SimulatedBench:
    """The twin's settings; the gain and the read noise in counts are derived where they are None.

    Default gain: an all-on white frame (with dark) fills 60 % of the converter's range, or as much as the fault
    `saturation` says.  Default read noise: gain * read_noise_photoelectrons.  Raises `InputError` that names the first
    setting out of range.
    """
    chosen = "as asked for"
    if gain is None:
        if not 0 < photoelectrons_per_frame < float("inf"):
            raise InputError(
                f"bench: photoelectrons_per_frame {photoelectrons_per_frame:g}: a finite number above 0 is needed"
            )
        fill = faults.get("saturation", 100 * DEFAULT_FILL) / 100
        gain = (fill * full_scale(adc_bits) - dark_counts) / photoelectrons_per_frame
        chosen = f"white fills {fill:.0%} of {full_scale(adc_bits)} counts"
        if not gain > 0:
            raise InputError(
                f"bench: dark_counts {dark_counts:g} leaves no room for light below {fill:.0%} of "
                f"{full_scale(adc_bits)} counts; lower dark_counts or give gain_counts_per_photoelectron"
            )
    try:
        return SimulatedBench(
            simulated_at="super-pixel",
            dark_counts=dark_counts,
            gain_counts_per_photoelectron=gain,
            gain_chosen=chosen,
            photoelectrons_per_frame=photoelectrons_per_frame,
            read_noise_counts=gain * read_noise_photoelectrons if read_noise_counts is None else read_noise_counts,
            drift_percent=faults.get("drift", 0.0),
            adc_bits=adc_bits,
            seed=seed,
            scene=scene,
            faults=faults,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(f"bench: {problem['loc'][0]} {problem['input']}: {problem['msg']}") from error


def full_scale(adc_bits: int) -> int:
    """The largest reading of the converter, in counts."""
    return int(2**adc_bits - 1)


def simulate_readings(
    design: PatternStack,
    scene: NDArray[np.float64],
    bench: SimulatedBench,
    time_us: NDArray[np.float64],
    starts: tuple[int, ...] = (0,),
) -> dict[str, NDArray[np.generic]]:
    """The arrays of a capture: scene, flat and card (F,), dark (256,), white (8, 256); card_picture, times and truth.

    `time_us` (F,): when each frame begins, from the last of `starts` before it; what lies between two is not known.

    The lamp is steady while dark and white are recorded, and drifts and flickers during the sequences; triggers are
    lost, and a record is shifted, in the scene alone.  White frames have all mirrors on whatever the polarity of the
    patterns.
    Raises `InputError` for a scene of another size than the patterns or outside [0, 1].
    """
    if scene.shape != (design.side, design.side):
        raise InputError(f"scene: shape {scene.shape} is not the patterns' {design.side} x {design.side}")
    if not (np.isfinite(scene).all() and scene.min() >= 0 and scene.max() <= 1):
        raise InputError(f"scene: values from {scene.min():g} to {scene.max():g} are outside 0 .. 1")
    card, reference = f_card(design.side), np.ones_like(scene)
    field = float(mirror_means(design, np.ones((1, *scene.shape)), reference, bench.faults)[0])
    white = np.repeat(field * np.array(WHITE_FRACTIONS)[:, None], WHITE_FRAMES, axis=1)
    sequences = {
        name: _detect(sequence_light(design, target, bench, time_us, number, starts), bench, stream=number)
        for number, (name, target) in enumerate({"scene": scene, "flat": reference, "card": card}.items(), start=1)
    }
    dark = _detect(np.zeros(DARK_FRAMES), bench, stream=4, stray=False)
    kept = lose_triggers(sequences["scene"], bench.faults, bench.seed)
    sequences["scene"] = shift_record(kept, bench.faults, dark)
    return {
        **sequences,
        "dark": dark,
        "white": _detect(white, bench, stream=5),
        "card_picture": card,
        "time_us": time_us,
        "truth": scene,
    }


def sequence_light(
    design: PatternStack,
    target: NDArray[np.float64],
    bench: SimulatedBench,
    time_us: NDArray[np.float64],
    record: int,
    starts: tuple[int, ...] = (0,),
) -> NDArray[np.float64]:
    """The light of each frame of the sequence on a target (F,); 1: all on, white, evenly lit.

    `record` numbers the sequences of a capture: each has its own drift and its own phase of the flicker.
    """
    frames, light = design.frames(), []
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        displayed = design.shown(frames[first : first + FRAMES_AT_ONCE]) / design.max_level
        if "inversion" in bench.faults:
            displayed = 1 - displayed
        light.append(mirror_means(design, displayed, target, bench.faults))
    bright: NDArray[np.float64] = np.concatenate(light) * lamp_brightness(bench, time_us, record, starts)
    return bright


def lamp_brightness(
    bench: SimulatedBench, time_us: NDArray[np.float64], record: int, starts: tuple[int, ...] = (0,)
) -> NDArray[np.float64]:
    """The lamp's relative brightness at each frame (F,) of a sequence, see `sequence_light`."""
    lamp = lamp_drift(time_us.size, bench.drift_percent, bench.seed + record)
    # Between two sequences a lamp that drifts is somewhere else.
    number = np.searchsorted(starts, np.arange(time_us.size), side="right") - 1
    steps = np.random.default_rng([bench.seed, 8, record]).uniform(-0.01, 0.01, len(starts)) * bench.drift_percent
    lamp = lamp * (1 + np.append(0.0, steps[1:])[number])
    if "flicker" in bench.faults:
        # What lies between two starts is not known, so each begins at a phase of its own.
        phases = np.random.default_rng([bench.seed, 7, record]).uniform(0, 2 * np.pi, len(starts))
        phase = phases[number]
        wave = np.sin(2e-6 * np.pi * FLICKER_HZ * time_us + phase)
        lamp = lamp * (1 + 0.01 * bench.faults["flicker"] * wave)
    bright: NDArray[np.float64] = lamp
    return bright


def mirror_means(
    design: PatternStack, displayed: NDArray[np.float64], target: NDArray[np.float64], faults: dict[FaultName, float]
) -> NDArray[np.float64]:
    """mean((W P_f) g x) for frames P_f (F, n, n) in [0, 1] and a target x (n, n), (F,)."""
    place = placement(faults)
    seen = scene_weights(design.side, place).T @ (illumination(design.side, faults) * target).reshape(-1)
    turned = place.orientation.apply(displayed).reshape(len(displayed), -1)
    means: NDArray[np.float64] = turned @ seen / target.size
    return means


def capture_record(
    design: PatternStack,
    bench: SimulatedBench,
    exposure_us: float,
    created_utc: str,
    starts: tuple[int, ...] = (0,),
    timed: bool = True,
) -> CaptureRecord:
    """The record that goes with `simulate_readings`; `timed` False: nobody wrote down when frames began."""
    roles: dict[ArrayName, str] = {
        "scene": "one reading per displayed frame, in display order",
        "flat": "the same sequence on the white reference",
        "card": "the same sequence on the F card",
        "card_picture": "reflectance of the F card, 0 to 1",
        "time_us": "when each frame of a sequence begins",
        "dark": "light blocked, same exposure",
        "white": "all mirrors on, white reference in place of the scene; one row per light level",
        "truth": "the simulated scene, reflectance 0 to 1",
    }
    if not timed:
        del roles["time_us"]
    arrays = {name: StoredArray(file=READINGS_FILE, role=role) for name, role in roles.items()}
    arrays["white"] = arrays["white"].model_copy(update={"light_fractions": list(WHITE_FRACTIONS)})
    return CaptureRecord(
        schema_version=2,
        kind="capture",
        modality="single-pixel",
        design_digest=design.patterns_digest,
        profile_digest=design.profile_digest,
        encoding=design.encoding,
        exposure_us=exposure_us,
        units="counts",
        saturation_counts=float(full_scale(bench.adc_bits)),
        created_utc=created_utc,
        sync_every=design.sync_every,
        sequence_starts=list(starts) if len(starts) > 1 else None,
        arrays=arrays,
        bench=bench,
    )


def _detect(light: NDArray[np.float64], bench: SimulatedBench, stream: int, stray: bool = True) -> NDArray[np.int32]:
    """Readings of the converter for frames with the given light (1: all on, white, full lamp); any shape."""
    rng = np.random.default_rng([bench.seed, stream])
    offset = 0.01 * bench.faults.get("dark", 0.0) if stray else 0.0
    photoelectrons = rng.poisson(bench.photoelectrons_per_frame * light)
    counts = bench.dark_counts + bench.gain_counts_per_photoelectron * (
        photoelectrons + bench.photoelectrons_per_frame * offset
    )
    counts = counts + rng.normal(0.0, bench.read_noise_counts, light.shape)
    # A real converter rounds and clips too; what is clipped is found again as saturated when the capture is read.
    readings = np.clip(np.rint(counts), 0, full_scale(bench.adc_bits)).astype(np.int32)
    return converted(readings, bench.faults)

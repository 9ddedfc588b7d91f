"""A single-pixel bench as it was designed: what can be done with readings alone.

Patterns are taken to lie as designed in even light.  Readings without dark and white frames have no unit: they are
scaled so that the scene has the contrast of the training images, and their noise is what best explains them.  With
y (K,) the readings, A the patterns, C the covariance of scenes, B a basis of what neither the scene's mean level nor an
unknown dark level can change,

    B^T y ~ N(0, a^2 (B^T A C A^T B + lambda I)),

the restricted likelihood (Patterson and Thompson, Biometrika 58, 545 (1971)) gives the contrast a and the noise.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from cidesign import __version__
from cidesign.calibration.base import Examined
from cidesign.calibration.circumstances import BenchState
from cidesign.calibration.estimate import Estimate
from cidesign.calibration.folder import CommonRecord
from cidesign.calibration.single_pixel.capture import Capture, check_not_saturated
from cidesign.calibration.single_pixel.checks import detector_checks, sequence_checks
from cidesign.calibration.single_pixel.frames import frames_of, reference_of, require_design
from cidesign.calibration.single_pixel.measurement import Measurements, measurements_from_counts
from cidesign.calibration.single_pixel.operator import SpcOperator
from cidesign.calibration.single_pixel.record import PatternCalibration
from cidesign.calibration.single_pixel.response import Response, estimate_response
from cidesign.calibration.single_pixel.scene_order import differences_order, scene_in_order
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.pattern import Encoding, PatternStack
from cidesign.records import now_utc

Vector = NDArray[np.float64]
AS_DESIGNED = Path("(as designed)")
NOT_LOOKED = "no calibration: the patterns are taken to lie as designed, in even light"
# Ratios of noise to signal that are tried, and readings that are looked at: the eigenvectors of more take seconds.
NOISE_RATIOS = tuple(10.0 ** (0.5 * power) for power in range(-16, 5))
MOST_READINGS = 1024
# Noise is allowed where it lowers the logarithm of the likelihood by no more than this.
LIKELY = 0.5
# Variances of a reading, in units of the squared counts of its noise, by encoding.
READINGS_IN_ONE: dict[Encoding, float] = {"complementary": 2.0, "offset": 4.0, "as-shown": 1.0}
# Where the reading of an all-on pattern departs from what the contrast lets expect by as many deviations, it was
# clipped, or put there by somebody.
FIRST_DEVIATIONS = 8.0

Kind = Literal["frames", "differences"]


@dataclass(frozen=True)
class SceneStatistics:
    """What scenes look like: mean level, and variance (n, n) > 0 of each coefficient of their orthonormal 2-D DCT."""

    level: float
    variance: Vector


@dataclass(frozen=True)
class Told:
    """What readings say of themselves: the counts of contrast 1, the standard deviation of one, and what was left out.

    `counts` S: y = n readings / S.  `noise` is that of a difference, a reading or twice a reading less the all-on one,
    whatever y is made of.  `wrong`: patterns whose readings are not the bench's.
    """

    counts: float
    noise: float
    wrong: tuple[int, ...] = ()


@dataclass(frozen=True)
class NominalCalibration(PatternCalibration[CommonRecord]):
    """The bench as designed, for one capture.

    `dark_known`: whether its own dark frames told the dark level; `measured`: whether dark and white frames told unit
    and noise.  `kind`: what the capture holds, a reading for each frame, or the differences of complementary pairs.
    """

    dark_known: bool
    measured: bool
    kind: Kind
    wrong: tuple[int, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken for granted, and what the readings told."""
        return tuple(self.record.notes)

    def examine(self, capture: Capture, design: PatternStack) -> Examined[Measurements]:
        """The order of the readings; nothing else can be held against them."""
        self.require_fitting(design)
        if self.kind == "differences":
            rows = _rows(capture, design)
            # Two readings make a difference.
            noise = (2 * self.response.noise_variance_counts2) ** 0.5
            told = rows.copy()
            told[:, list(self.wrong)] = np.nan
            check = differences_order(told, design, noise)
            found = Verification(score=None, score_meaning="checks of this capture", checks=[check])
            return Examined(found, lambda: (self._from_differences(rows, design), []))
        scene = scene_in_order(_in_rows(capture), design, self.response, self.optics, self.dark_known)

        def measure() -> tuple[Measurements, list[Check]]:
            reference = reference_of(capture, design)
            found = measurements_from_counts(scene.frames, design, self.response, self.optics, reference)
            return self._freed(found, design), sequence_checks("scene", scene.frames, found)

        verification = Verification(score=None, score_meaning="checks of this capture", checks=[scene.check])
        return Examined(verification, measure)

    def _freed(self, found: Measurements, design: PatternStack) -> Measurements:
        """Without a unit and a dark level that are known, the mean light is not known either."""
        if self.measured:
            return found
        side, level = design.side, found.light_level.value
        shared = found.shared_variance
        if not self.dark_known and design.encoding != "complementary":
            # As likely as not, all of a reading is dark level.
            shared += float(np.mean(found.y**2)) + (side * level) ** 2
        freed = replace(found, shared_variance=shared, light_level=Estimate(level, abs(level) + 1.0))
        return _without(freed, self.wrong)

    def _from_differences(self, differences: Vector, design: PatternStack) -> Measurements:
        side, scale = design.side, self.response.scale_counts.value
        repeats, count = differences.shape
        variance = READINGS_IN_ONE["complementary"] * self.response.noise_variance_counts2 * (side / scale) ** 2
        found = Measurements(
            y=side * differences.mean(axis=0) / scale,
            own_variance=np.full(count, variance / repeats),
            shared_variance=0.0,
            signed=self.optics.signed(design),
            kept=np.arange(count),
            light_level=Estimate(1.0, 2.0),
            light_weights=np.ones((side, side)),
            repeats=repeats,
            lamp=None,
            scatter_ratio=None,
            notes=("each reading is taken as the difference of a pattern and its complement",),
        )
        return _without(found, self.wrong)


def nominal_calibration(capture: Capture, design: PatternStack, scenes: SceneStatistics) -> NominalCalibration:
    """The bench as designed, with what the capture itself says of detector and noise.

    Raises `FileError` for readings of another number than the design takes (both are named), that do not change, or
    that are saturated.
    """
    require_design(capture, design)
    optics = SpcOperator.as_designed(design.side)
    if "dark" in capture.arrays and "white" in capture.arrays:
        response, _ = estimate_response(capture)
        brought = [name for name in ("dark", "white", "flat", "card") if name in capture.arrays]
        notes = [
            f"the capture brings {', '.join(brought)}, of which only dark and white are used: `cidesign calibrate "
            f"{capture.path}` makes a calibration of all of them, with a verdict",
            *response.notes,
        ]
        checks = [*detector_checks(response), *_unlooked()]
        record = _record(capture, design, notes, checks)
        return NominalCalibration(AS_DESIGNED, record, response, optics, dark_known=True, measured=True, kind="frames")
    rows = _rows(capture, design)
    kind: Kind = "differences" if _are_differences(rows, design, capture.path) else "frames"
    dark = capture.arrays.get("dark")
    level = 0.0 if dark is None else float(dark.mean())
    values = rows if kind == "differences" else _values(rows - level, design)
    free = dark is None and design.encoding != "complementary"
    told = told_by(values.mean(axis=0), design, scenes, free)
    response = _response(told, design, len(rows), level)
    notes = _notes(told, kind, design, dark is not None)
    record = _record(capture, design, notes, _unlooked())
    return NominalCalibration(
        AS_DESIGNED, record, response, optics, dark_known=dark is not None, measured=False, kind=kind, wrong=told.wrong
    )


def told_by(values: Vector, design: PatternStack, scenes: SceneStatistics, free_level: bool) -> Told:
    """Contrast and noise of values (K,), one for each pattern; `free_level`: all may have something in common."""
    weights = design.signed().astype(np.float64)
    side, count = design.side, design.count
    all_on = np.flatnonzero(weights.reshape(count, -1).min(axis=1) >= 1)
    part = np.setdiff1d(np.arange(count), all_on)
    step = -(-part.size // MOST_READINGS)
    part = part[::step] if part.size else np.arange(count)
    spectra = dctn(weights[part], axes=(1, 2), norm="ortho").reshape(part.size, -1) / side
    spread = (spectra * scenes.variance.reshape(-1)) @ spectra.T
    common = [weights[part].mean(axis=(1, 2))] + ([np.ones(part.size)] if free_level else [])
    basis = _independent(np.stack(common, axis=1))
    y = values[part] - basis @ (basis.T @ values[part])
    inside = spread - basis @ (basis.T @ spread)
    eigenvalues, vectors = np.linalg.eigh(inside - (inside @ basis) @ basis.T)
    contrast, ratio = _likeliest(np.maximum(eigenvalues, 0.0), (vectors.T @ y) ** 2, basis.shape[1])
    counts, noise = side * contrast, contrast * ratio**0.5
    deviation = max(float(scenes.variance[0, 0]) ** 0.5 / side, 1e-6)
    wrong: tuple[int, ...] = ()
    if not free_level and part.size < count:
        levels = values[all_on] / counts
        odd = (levels - scenes.level) / deviation
        wrong = tuple(int(k) for k, off in zip(all_on, odd, strict=True) if abs(off) > FIRST_DEVIATIONS)
    return Told(counts, noise, wrong)


def _likeliest(eigenvalues: Vector, squares: Vector, removed: int) -> tuple[float, float]:
    """Contrast a and ratio lambda of the most noise that the readings allow; `removed` directions say nothing.

    Where scenes vary more than noise even in their finest detail, any smaller noise explains the readings as well.
    """
    used = max(squares.size - removed, 1)
    scale = max(float(eigenvalues.mean()), 1e-30)
    tried = []
    for relative in NOISE_RATIOS:
        ratio = relative * scale
        spread = eigenvalues + ratio
        square = max(float(np.sum(squares / spread)) / used, 1e-30)
        log = -0.5 * (used * np.log(square) + float(np.log(spread).sum()) - removed * np.log(ratio))
        tried.append((log, square**0.5, ratio))
    most = max(tried)[0] - LIKELY
    _, contrast, ratio = [one for one in tried if one[0] >= most][-1]
    return contrast, ratio


def _independent(columns: Vector) -> Vector:
    """An orthonormal basis of the columns (K, q)."""
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    found: Vector = left[:, values > 1e-9 * max(float(values.max()), 1e-30)]
    return found


def _rows(capture: Capture, design: PatternStack) -> Vector:
    """The readings in rows, one for each repeat; raises `FileError` for a number that the design does not take."""
    if "scene" not in capture.arrays:
        raise FileError(f"{capture.path}: this capture holds no scene readings")
    where = f"{capture.path}: scene"
    recorded = _in_rows(capture).arrays["scene"]
    rows = np.atleast_2d(recorded)
    every = capture.record.sync_every if capture.record else None
    if every is not None:
        return frames_of(capture, "scene", design, _blank()).readings
    frames = len(design.frames())
    if rows.shape[1] not in _counts(design):
        raise FileError(
            f"{where}: {rows.shape[1]} readings, and the design has {design.count} patterns, which take {frames} "
            f"({_how(design)}); give one reading for each, or the design that was shown",
            fault="lost-trigger" if abs(rows.shape[1] - frames) < frames // 10 else None,
        )
    check_not_saturated(rows, capture.saturation_counts, where)
    if rows.size > 2 and np.ptp(rows) == 0:
        raise FileError(
            f"{where}: all {rows.size} readings are {rows.flat[0]:g}; the detector is dead, saturated or not "
            "connected, or the mirrors did not move"
        )
    return rows


def _in_rows(capture: Capture) -> Capture:
    """The capture with a column of readings, as of a table, as one row."""
    scene = capture.arrays.get("scene")
    if scene is None or scene.ndim != 2 or scene.shape[1] != 1:
        return capture
    return replace(capture, arrays={**capture.arrays, "scene": scene.T})


def _counts(design: PatternStack) -> tuple[int, ...]:
    frames = len(design.frames())
    return (frames, design.count) if design.encoding == "complementary" else (frames,)


def _how(design: PatternStack) -> str:
    return {
        "complementary": f"a pattern and its complement, one after the other; or {design.count} differences",
        "offset": "the patterns, then all mirrors on",
        "as-shown": "each shown once",
    }[design.encoding]


def _are_differences(rows: Vector, design: PatternStack, where: Path) -> bool:
    """Whether each reading is that of a pair already; raises `FileError` where it may be that of a pattern alone."""
    if design.encoding != "complementary" or rows.shape[1] != design.count:
        return False
    if rows.min() >= 0:
        raise FileError(
            f"{where}: scene: {rows.shape[1]} readings for {design.count} patterns, none below 0: differences of a "
            "pattern and its complement would have both signs. Where each pattern was shown once, alone, make the "
            "design again with `--set encoding=as-shown`"
        )
    return True


def _values(rows: Vector, design: PatternStack) -> Vector:
    """What y is made of (R, K), in counts."""
    if design.encoding == "complementary":
        return rows[:, 0::2] - rows[:, 1::2]
    return 2 * rows[:, :-1] - rows[:, -1:] if design.encoding == "offset" else rows


def _response(told: Told, design: PatternStack, repeats: int, level: float) -> Response:
    """The detector that such readings come from: one noise for all of them."""
    noise = told.noise * (repeats / READINGS_IN_ONE[design.encoding]) ** 0.5
    return replace(
        _blank(), dark_counts=Estimate(level, 0.0), read_noise_counts=Estimate(noise, 0.0),
        scale_counts=Estimate(told.counts, 0.0),
    )  # fmt: skip


def _blank() -> Response:
    nothing, unknown = Estimate(0.0, 0.0), Estimate(0.0, 1.0)
    return Response(nothing, Estimate(1.0, 0.0), unknown, Estimate(1.0, 0.0), nothing, 0.0, 0.0, ())


def _without(found: Measurements, wrong: tuple[int, ...]) -> Measurements:
    """Measurements less the patterns `wrong`."""
    keep = ~np.isin(found.kept, wrong)
    if keep.all():
        return found
    return replace(
        found, y=found.y[keep], own_variance=found.own_variance[keep], signed=found.signed[keep], kept=found.kept[keep]
    )


def _notes(told: Told, kind: Kind, design: PatternStack, dark_known: bool) -> list[str]:
    notes = [
        f"units are arbitrary: there are no dark and white frames, so {told.counts:.6g} counts are taken as full "
        "light, which gives the scene the contrast of the training images; the noise is the most that the readings "
        f"allow, {told.noise:.3g} counts",
    ]
    if not dark_known and kind == "frames" and design.encoding != "complementary":
        notes.append(
            "the dark level is not known: what all readings have in common says nothing, so neither does the mean"
        )
    if told.wrong:
        names = ", ".join(map(str, told.wrong))
        notes.append(
            f"left out: the reading of pattern {names}, all mirrors on, is not what the others let expect; was it "
            "clipped, or set to a number? The mean of the image is that of the training images instead"
        )
    return notes


def _unlooked() -> list[Check]:
    names = ("evenness of the light", "place of the patterns")
    return [Check(name=name, status="not checked", text=NOT_LOOKED) for name in names]


def _record(capture: Capture, design: PatternStack, notes: list[str], checks: list[Check]) -> CommonRecord:
    record = capture.record
    return CommonRecord(
        cidesign_version=__version__,
        created_utc=now_utc(),
        capture=str(capture.path),
        capture_utc=record.created_utc if record else "",
        design_digest=design.design_digest,
        profile_digest=design.profile_digest,
        exposure_us=record.exposure_us if record else None,
        bench=record.bench_state if record else BenchState(),
        notes=tuple(notes),
        verification=Verification(
            score=None, score_meaning="none: the bench is taken to be as it was designed", checks=checks
        ),
        arrays_sha256="0" * 64,
    )

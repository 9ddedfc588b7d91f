"""The measured PSF against the mask as drawn: how the mask stands, and at which distance.

The measured PSF is used as it is.  The drawing says what it should look like; it stands in for what no point throws
onto the sensor, and faults of the assembly have their names from it.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.drawing import DrawnLight, start_px, turned
from cidesign.calibration.lensless.fit import PointFit, fit_point, located
from cidesign.calibration.lensless.optics import Array, Lines
from cidesign.calibration.verify import finding
from cidesign.checks import Check, Status
from cidesign.orientation import ORIENTATIONS, Orientation
from cidesign.pattern import ApertureMask

# Another orientation than upright must look so much more like the drawing: symmetric masks look alike in several.
CLEARER = 1.05
# Likenesses: of a fit that needs no search, and of one that is worth fitting.
SURE = 0.9
FITTED = 3
LARGEST_ROTATION_DEG = 10.0
# Between two rotations that are tried a shadow moves by this part of what it must not move by.
ROTATION_STEP = 0.7
LARGEST_DISTANCE_PERCENT, DISTANCE_STEP_PERCENT, FINEST_PERCENT = 30.0, 6.0, 0.1
# Diffraction tells distances where a tenth more of it changes this part of the structure.
RESOLVED_CHANGE = 0.08
LEAST_CORRELATION = 0.5
WARN_RESIDUAL, REFUSE_RESIDUAL = 0.25, 0.6
ROTATION_DEG, SHIFT_PX, DISTANCE_PERCENT, OFFSET_PERCENT = 0.3, 3.0, 4.0, 1.5
LEAST_SNR = 10.0


@dataclass(frozen=True)
class Registration:
    """`orientation`: how the mask is turned over against its drawing; `distance_percent`: from the designed distance,
    None where samples are too large for its diffraction to show; `drawn`: the light behind the mask there, and `fit` of
    it; `correlation` (-1 to 1) with it; `residual`: what it leaves; `psf` (C, h + H - 1, w + W - 1): the drawing's as
    the mask stands, in units of the irradiance without a mask; `reversed_channels`: whether the PSFs look more like
    those of the colours in reverse order."""

    orientation: Orientation
    distance_percent: float | None
    drawn: DrawnLight
    fit: PointFit
    correlation: float
    residual: float
    psf: Array
    reversed_channels: bool

    def shift_px(self, camera: Camera) -> tuple[float, float]:
        """How far the shadow is off the middle of the sensor."""
        down, right = self.fit.shift_px - start_px(camera)
        return float(down), float(right)


def at_distance(camera: Camera, percent: float) -> Camera:
    """The camera with its mask further away by so many percent; image pixels stay samples of the shadow."""
    geometry = replace(camera.geometry, distance_um=camera.geometry.distance_um * (1 + 0.01 * percent))
    return replace(camera, geometry=geometry)


def register(point: Array, noise_variance: Array, design: ApertureMask, camera: Camera) -> Registration:
    """Find the drawing in the image (C, h, w) of the point in the middle."""
    grey, drawn = point.mean(axis=0, keepdims=True), DrawnLight.of(design.levels, camera)
    found = _oriented(grey, drawn.grey, camera)
    levels = found.orientation.apply(design.levels)
    percent = _distance(grey, levels, camera, found.fit)
    drawn = drawn.turned_over(found.orientation)
    if percent is not None:
        drawn = DrawnLight.of(levels, at_distance(camera, percent))
    fit = fit_point(point, drawn, found.fit.shift_px, affine=True, matrix=found.fit.matrix)
    swapped = False
    if len(point) > 1:
        other = fit_point(point, drawn.reversed_channels, fit.shift_px, affine=False, matrix=fit.matrix)
        swapped = float((other.residual**2).sum()) < 0.9 * float((fit.residual**2).sum())
    return Registration(
        orientation=found.orientation,
        distance_percent=percent,
        drawn=drawn,
        fit=fit,
        correlation=_likeness_of(fit, point),
        residual=fit.relative_residual(point, noise_variance),
        psf=drawn.seen(fit.matrix, fit.shift_px - start_px(camera), camera.geometry.psf_size),
        reversed_channels=swapped,
    )


@dataclass(frozen=True)
class _Start:
    """A way in which the mask may stand, and its likeness before or after the fit."""

    orientation: Orientation
    fit: PointFit
    likeness: float


def _likeness_of(fit: PointFit, image: Array) -> float:
    """Correlation of an image (C, h, w) with its fit, gains and offsets of all channels allowed for."""
    structure = float(((image - image.mean(axis=(1, 2), keepdims=True)) ** 2).sum())
    return float(np.sqrt(max(1 - float((fit.residual**2).sum()) / structure, 0.0)))


def _oriented(grey: Array, drawn: DrawnLight, camera: Camera) -> _Start:
    """How the mask is turned over, and about how it stands."""
    size = camera.geometry.psf_size

    def tried(orientation: Orientation, matrix: Array) -> tuple[float, Orientation, Array, Array]:
        shift, alike = located(grey, drawn.turned_over(orientation), matrix, size)
        return alike, orientation, matrix, shift

    def fitted(start: tuple[float, Orientation, Array, Array]) -> _Start:
        _, orientation, matrix, shift = start
        fit = fit_point(grey, drawn.turned_over(orientation), shift, affine=True, matrix=matrix)
        return _Start(orientation, fit, _likeness_of(fit, grey) if (fit.gains > 0).all() else 0.0)

    upright = fitted(tried(Orientation(), np.eye(2)))
    if upright.likeness > SURE:
        return upright
    starts = [tried(one, np.eye(2)) for one in ORIENTATIONS]
    found = [upright, *(fitted(one) for one in _best(starts))]
    if max(one.likeness for one in found) < SURE:
        starts = [tried(one, turned(degrees)) for one in ORIENTATIONS for degrees in _rotations_deg(camera)]
        found += [fitted(one) for one in _best(starts)]
    best = max(found, key=lambda one: one.likeness)
    straight = max((one for one in found if one.orientation.identity), key=lambda one: one.likeness)
    return straight if best.likeness < CLEARER * straight.likeness else best


def _best(starts: list[tuple[float, Orientation, Array, Array]]) -> list[tuple[float, Orientation, Array, Array]]:
    return sorted(starts, key=lambda one: one[0], reverse=True)[:FITTED]


def _rotations_deg(camera: Camera) -> list[float]:
    """Rotations close enough to one another that a fit finds what lies between them."""
    geometry = camera.geometry
    detail_px = max(1.0, geometry.code_pitch_um / geometry.sample_um)
    step = float(np.degrees(ROTATION_STEP * detail_px / (max(geometry.sensor) / 2)))
    count = int(np.ceil(LARGEST_ROTATION_DEG / step))
    return [float(one) for one in LARGEST_ROTATION_DEG * np.arange(-count, count + 1) / count if one != 0]


def _distance(grey: Array, levels: NDArray[np.generic], camera: Camera, start: PointFit) -> float | None:
    """The distance, in percent from the designed one, at which waves of the drawing look most like the image.

    None where rays cast the shadow, or samples are too large for its diffraction to show.
    """
    if camera.model == "shadow":
        return None
    coarse = replace(camera, channels={"grey": _few_lines(camera)})
    size = camera.geometry.sensor
    seen, further = (
        DrawnLight.of(levels, at_distance(coarse, percent)).seen(start.matrix, start.shift_px, size)
        for percent in (0.0, 10.0)
    )
    if float((further - seen).std()) < RESOLVED_CHANGE * float(seen.std()):
        return None
    values: dict[float, float] = {}

    def left(percent: float) -> float:
        if percent not in values:
            drawn = DrawnLight.of(levels, at_distance(coarse, percent))
            fit = fit_point(grey, drawn, start.shift_px, affine=True, matrix=start.matrix)
            values[percent] = float((fit.residual**2).sum())
        return values[percent]

    count = round(LARGEST_DISTANCE_PERCENT / DISTANCE_STEP_PERCENT)
    best = min((DISTANCE_STEP_PERCENT * number for number in range(-count, count + 1)), key=left)
    step = DISTANCE_STEP_PERCENT
    while step > FINEST_PERCENT:
        step /= 2
        best = min((best - step, best, best + step), key=left)
    return best


def _few_lines(camera: Camera) -> Lines:
    """Every third line of the channel in the middle."""
    lines = list(camera.channels.values())[len(camera.channels) // 2]
    middle = len(lines.weights) // 2
    kept = sorted({middle // 3, middle, len(lines.weights) - 1 - middle // 3})
    weights = lines.weights[kept]
    return Lines(lines.wavelengths_um[kept], weights / weights.sum())


def registration_checks(found: Registration, camera: Camera, point: Array, noise_variance: Array) -> list[Check]:
    """How the mask stands, the light that is no shadow, and how well the PSF is seen."""
    snr = float(point.std() / np.sqrt(noise_variance.mean()))
    seen = Check(
        name="noise of the PSF",
        status="failed" if snr < LEAST_SNR else "passed",
        text=f"its structure is {snr:.0f} times the noise of a sample"
        + ("; average more frames, or take more light" if snr < LEAST_SNR else ""),
        value=snr,
        limit=LEAST_SNR,
    )
    likeness = _likeness(found)
    if likeness.status == "failed":
        return [seen, likeness]
    return [seen, likeness, *_stand_checks(found, camera), _offset_check(found, point), *_channel_checks(found)]


def _likeness(found: Registration) -> Check:
    status: Status = "passed"
    if found.residual > WARN_RESIDUAL:
        status = "warning" if found.residual <= REFUSE_RESIDUAL else "failed"
    if found.correlation < LEAST_CORRELATION:
        status = "failed"
    text = f"the drawing leaves {found.residual:.2f} of its structure (correlation {found.correlation:.2f})"
    if status == "failed":
        text += "; is this the mask of the run, and the light a single small source?"
    elif status == "warning":
        text += "; the measured PSF is used, and where the point does not show it the drawing's: expect less there"
    return Check(
        name="PSF and drawing",
        status=status,
        text=text,
        value=found.residual,
        limit=REFUSE_RESIDUAL if status == "failed" else WARN_RESIDUAL,
        unit="of the structure",
    )


def _stand_checks(found: Registration, camera: Camera) -> list[Check]:
    degrees = found.fit.rotation_deg
    shift = found.shift_px(camera)
    far = float(np.hypot(*shift))
    return [
        finding(
            "orientation of the mask",
            not found.orientation.identity,
            "as drawn",
            f"its shadow is {found.orientation.text} against the drawing; the measured one is used",
            fault="mirror",
        ),
        finding(
            "rotation of the mask", abs(degrees) > ROTATION_DEG, f"{degrees:+.2f} degrees",
            f"{degrees:+.2f} degrees; the measured PSF allows for it",
            value=degrees, limit=ROTATION_DEG, unit="degrees", fault="rotation",
        ),
        finding(
            "position of the shadow", far > SHIFT_PX, f"{shift[0]:+.2f}, {shift[1]:+.2f} samples off the middle",
            f"{shift[0]:+.2f}, {shift[1]:+.2f} samples off the middle, and so is the field of view",
            value=far, limit=SHIFT_PX, unit="samples", fault="shift",
        ),
        _distance_check(found.distance_percent),
    ]  # fmt: skip


def _distance_check(percent: float | None) -> Check:
    name = "distance of the mask"
    if percent is None:
        text = "samples are too large for the diffraction of its openings to show it; the places of other points do"
        return Check(name=name, status="not checked", text=text)
    words = f"{percent:+.1f} % from the designed one, by the diffraction of its openings"
    return finding(
        name, abs(percent) > DISTANCE_PERCENT, words,
        f"{words}; the measured PSF allows for it, and the field of view is that much smaller",
        value=percent, limit=DISTANCE_PERCENT, unit="%", fault="distance",
    )  # fmt: skip


def _offset_check(found: Registration, point: Array) -> Check:
    brightest = np.percentile(point, 99, axis=(1, 2))
    percent = 100 * float((found.fit.offsets / brightest).mean())
    wrong = abs(percent) > OFFSET_PERCENT
    return Check(
        name="dark level (point)",
        status="failed" if wrong else "passed",
        text=f"beside the shadow's light the sensor reads {percent:+.2f} % of its brightest part"
        + ("; light that came in besides the point, or during the dark frames: capture both again" if wrong else ""),
        value=percent,
        limit=OFFSET_PERCENT,
        unit="%",
        fault="dark" if wrong else None,
    )


def _channel_checks(found: Registration) -> list[Check]:
    if len(found.psf) < 2:
        return []
    return [
        finding(
            "colours of the PSF",
            found.reversed_channels,
            "diffraction of each channel is that of its wavelength",
            "the first channel's diffraction is that of the last one's wavelength; name the channels as they are "
            "(RGB, not BGR) and capture again",
            status="failed",
            fault="swapped-channels",
        )
    ]

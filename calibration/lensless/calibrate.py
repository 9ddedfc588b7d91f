"""From a capture of a lensless camera to its calibration, with everything that was checked on the way."""

from dataclasses import dataclass, replace

import numpy as np

from cidesign.calibration.lensless.calibration import LenslessCalibration
from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.capture import PICTURES, LenslessCapture
from cidesign.calibration.lensless.detector import Detector, above_dark, detector_checks, estimate_detector
from cidesign.calibration.lensless.operator import LenslessOperator
from cidesign.calibration.lensless.optics import Array
from cidesign.calibration.lensless.points import REFUSE_AROUND, SecondResult, around_checks, check_second
from cidesign.calibration.lensless.register import Registration, register, registration_checks
from cidesign.calibration.lensless.stitch import Placed, Point, Stitched, placed, stitched
from cidesign.calibration.lensless.target import TargetFit, readout_of
from cidesign.calibration.lensless.verify import Light, check_target
from cidesign.calibration.verify import Verification, finding
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.orientation import Orientation
from cidesign.pattern import ApertureMask

SCORE_MEANING = (
    "held out of the fit: share of the structure that is not predicted, the larger one of second point and target"
)
NOTHING_HELD = "none: neither a second point nor a known target to hold the operator against"
LEAST_LIKENESS = 0.15


@dataclass(frozen=True)
class LenslessOutcome:
    """A calibration, its checks, and what its pictures show; `second` and `target` are None where they were not
    captured."""

    calibration: LenslessCalibration
    verification: Verification
    detector: Detector
    registration: Registration
    second: SecondResult | None
    target: TargetFit | None
    code_size: tuple[int, int]
    shift_px: tuple[float, float]


def calibrate_bench(capture: LenslessCapture, design: ApertureMask, camera: Camera) -> LenslessOutcome:
    """Calibrate dark level, noise, PSF, read-out and scale.

    Raises `FileError` where captures are missing, contradict each other, or belong to another mask or profile; what can
    be measured but must not be used is a failed check.
    """
    require_fitting(capture, design, camera)
    seen = _seen(capture, design, camera)
    readout = _readout(capture, seen, camera)
    if not readout.identity:
        # Which pixel the point stands in front of is known of the upright image alone.
        capture = upright(capture, readout)
        seen = _seen(capture, design, camera)
    detector, found, known = seen.detector, seen.found, seen.known
    point, variance = seen.first.image, seen.first.variance
    psf_noise = float(np.sqrt((variance / found.fit.light[:, None, None] ** 2).mean()))
    operator = LenslessOperator(known.psf, camera.response)
    checks = [
        *detector_checks(capture, detector),
        *registration_checks(found, camera, point, variance),
        *around_checks(seen.around, known),
    ]
    sound = all(check.status != "failed" for check in checks)
    second, target, held = _held_out(capture, seen, operator, psf_noise)
    scale, source = _scale(capture, detector, operator, found, target if sound else None)
    calibration = LenslessCalibration(
        operator=operator,
        readout=readout,
        dark_counts=capture.dark_of("scene").mean(axis=0) if "scene" in capture.arrays else detector.dark_counts,
        usable=detector.usable,
        scale_counts=scale,
        read_noise_counts=detector.read_noise_counts,
        gain_counts_per_photoelectron=detector.gain,
        measured=known.measured,
        psf_noise=psf_noise,
        pixel_uncertainty_px=found.fit.error_px if second is None else second.fit.error_px,
        notes=tuple(_notes(source, known, camera)),
        saturation_counts=capture.record.saturation_counts,
    )
    scores = [one.relative_residual for one in (second, target) if one is not None]
    verification = Verification(
        score=max(scores) if scores else None,
        score_meaning=SCORE_MEANING if scores else NOTHING_HELD,
        checks=[*checks, *_readout_checks(capture, readout), *held],
    )
    return LenslessOutcome(
        calibration, verification, detector, found, second, target, camera.geometry.code, found.shift_px(camera)
    )


def require_fitting(capture: LenslessCapture, design: ApertureMask, camera: Camera) -> None:
    """Raise `FileError` for a capture of another mask or device, of another size, or without a point source."""
    require_sizes(capture, design, camera)
    capture.frames("point")
    record = capture.record
    for name in ("target", "scene"):
        if name in capture.arrays and record.exposure_of(name) != record.exposure_us:
            raise FileError(
                f"{capture.path}: {name} was exposed {record.exposure_of(name):g} us, the capture "
                f"{record.exposure_us:g} us; target and scene need one exposure"
            )


def require_sizes(capture: LenslessCapture, design: ApertureMask, camera: Camera) -> None:
    """Raise `FileError` for a capture of another mask or device, or of other channels or sizes."""
    capture.require_design(design)
    geometry, record = camera.geometry, capture.record
    if record.profile_digest != design.profile_digest:
        raise FileError(
            f"{capture.path}: was recorded with profile {record.profile_digest[:12]}, the run is for "
            f"{design.profile_digest[:12]}; name the run of this camera with --run"
        )
    if record.channels != list(camera.channels):
        raise FileError(
            f"{capture.path}: holds the channels {', '.join(record.channels)}, the camera has "
            f"{', '.join(camera.channels)}; order and name them so"
        )
    for name, array in capture.arrays.items():
        wanted = geometry.image if name in ("truth", "target_picture") else geometry.sensor
        if array.shape[-2:] != wanted:
            raise FileError(
                f"{capture.path}: {name} of {array.shape[-2]} x {array.shape[-1]}, and the run has {wanted[0]} x "
                f"{wanted[1]} {'pixels' if wanted == geometry.image else 'sensor samples'}; cut or bin it to that"
            )


@dataclass(frozen=True)
class _Seen:
    """The sensor, the point in the middle, the drawing in it, the points around, and the PSF of all of them."""

    detector: Detector
    first: Point
    found: Registration
    around: list[Placed]
    known: Stitched


def _seen(capture: LenslessCapture, design: ApertureMask, camera: Camera) -> _Seen:
    detector = estimate_detector(capture)
    first = point_of(capture, detector, "point")
    found = register(first.image, first.variance, design, camera)
    if found.correlation < LEAST_LIKENESS or not (found.fit.gains > 0).all():
        raise FileError(
            f"{capture.path}: the image of `point` is nothing like the shadow of the run's mask (correlation "
            f"{found.correlation:.2f}); light the camera with a single small source, and name the run of its mask"
        )
    around = [
        placed(_light(frames, capture.dark_of("around"), detector, place), found.drawn, found.fit, found.psf, camera)
        for place, frames in capture.points_around()
    ]
    middle = Placed(first, found.fit, (0, 0))
    # What shows no shadow of this mask is told by its check, and is no part of the PSF.
    used = [one for one in around if one.residual <= REFUSE_AROUND and (one.fit.gains > 0).all()]
    return _Seen(detector, first, found, around, stitched([middle, *used], found.drawn, found.psf, camera))


def point_of(
    capture: LenslessCapture, detector: Detector, name: str, known_px: tuple[float, float] | None = None
) -> Point:
    """An array of a capture above its dark level."""
    return _light(capture.frames(name), capture.dark_of(name), detector, known_px)


def _light(frames: Array, dark: Array, detector: Detector, known_px: tuple[float, float] | None) -> Point:
    image = above_dark(frames, dark, detector)
    return Point(image, detector.variance(image, len(frames)), known_px)


def upright(capture: LenslessCapture, readout: Orientation) -> LenslessCapture:
    """A capture whose frames are turned back from what the read-out did to them."""
    turned = {
        name: array if name in PICTURES else readout.inverse.apply(array) for name, array in capture.arrays.items()
    }
    return replace(capture, arrays=turned)


def _readout(capture: LenslessCapture, seen: _Seen, camera: Camera) -> Orientation:
    if "target" not in capture.arrays:
        return Orientation()
    operator = LenslessOperator(seen.known.psf, camera.response)
    light = point_of(capture, seen.detector, "target")
    return readout_of(operator, light.image, light.variance, capture.arrays["target_picture"])


def _held_out(
    capture: LenslessCapture, seen: _Seen, operator: LenslessOperator, psf_noise: float
) -> tuple[SecondResult | None, TargetFit | None, list[Check]]:
    """What the second point and the known target say."""
    second, target, checks = None, None, []
    if "second" in capture.arrays:
        point = point_of(capture, seen.detector, "second", capture.record.second_px)
        second = check_second(seen.known, psf_noise, point)
        checks += second.checks
    else:
        checks.append(not_captured("second point", "second"))
    if "target" in capture.arrays:
        light = point_of(capture, seen.detector, "target")
        found, target = check_target(
            operator, Light(light.image, light.variance), capture.arrays["target_picture"], None
        )
        checks += found
    else:
        checks.append(not_captured("known target", "target"))
    return second, target, checks


def _readout_checks(capture: LenslessCapture, readout: Orientation) -> list[Check]:
    if "target" not in capture.arrays:
        return []
    return [
        finding(
            "orientation of the image",
            not readout.identity,
            "the target is upright",
            f"the target is seen {readout.text}; the read-out is turned back",
            fault="mirror",
        )
    ]


def not_captured(name: str, array: str) -> Check:
    """An essential check whose array is missing."""
    return Check(name=name, status="not checked", text=f"no `{array}` was captured; see `cidesign calibrate --plan`")


def _scale(
    capture: LenslessCapture,
    detector: Detector,
    operator: LenslessOperator,
    found: Registration,
    target: TargetFit | None,
) -> tuple[Array, str]:
    """Counts (C,) of one unit of y, and where that comes from."""
    if target is not None and (target.gains > 0).all():
        return target.gains, "scale and colours: 1 is the white of the known target"
    full = capture.record.saturation_counts or float(capture.frames("point").max())
    colours = found.fit.light / found.fit.light.max()
    room = full - float(detector.dark_counts.mean())
    scale = colours * room / float(operator.white().max())
    return scale, (
        "scale: no known target gave it, so 1 is what would fill the range of the converter in a white scene; colours "
        "are "
        "those of the point source"
    )


def _notes(source: str, known: Stitched, camera: Camera) -> list[str]:
    return [
        source,
        f"{100 * known.measured_share:.1f} % of the PSF's light was measured; the rest is not measured, but that of "
        f"the drawing as the mask stands, by {'rays' if camera.model == 'shadow' else 'propagation of waves'}",
    ]

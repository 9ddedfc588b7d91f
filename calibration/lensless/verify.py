"""The checks of a lensless calibration against pictures: a known target, and scenes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.lensless.operator import LenslessOperator
from cidesign.calibration.lensless.optics import Array
from cidesign.calibration.lensless.target import TargetFit, fit_target, resemblances
from cidesign.checks import Check, Status

WARN_TARGET, REFUSE_TARGET = 0.12, 0.25
WARN_SCENE, REFUSE_SCENE = 0.08, 0.20
# A fault is named when it explains so much: this share of the structure, root of the difference of the squares.
CONVINCING = 0.05
# A target shows nothing where so much of its structure is noise.
MOST_NOISE = 0.5
STRAY_PERCENT = 3.0
COLOUR_PERCENT = 15.0
# A scene shows a wrong PSF where there are so many more readings than pixels.
LEAST_READINGS = 1.5
SCENE_ROUNDS, DAMPING = 80, 1e-4


@dataclass(frozen=True)
class Light:
    """An image (C, h, w), upright, in counts above dark, with the variance of its noise."""

    image: Array
    variance: Array


def check_target(
    operator: LenslessOperator, target: Light, picture: Array, scale_counts: Array | None
) -> tuple[list[Check], TargetFit]:
    """Hold a known picture (C, H, W) against what the operator makes of it.

    `scale_counts` (C,) of an earlier calibration, None where this target gives it.
    """
    found = fit_target(operator, target.image, target.variance, picture)
    residual = found.relative_residual
    if found.noise_share > MOST_NOISE:
        text = f"noise is {found.noise_share:.2f} of its structure, and hides what is wrong; average more frames of it"
        return [Check(name="known target", status="not checked", text=text)], found
    status: Status = "passed"
    if residual > WARN_TARGET:
        status = "warning" if residual <= REFUSE_TARGET else "failed"
    text, fault = f"{residual:.3f} of its structure is not predicted", None
    if residual > CONVINCING:
        best = resemblances(operator, target.image, target.variance, picture, found)[0]
        if (
            max(residual**2 - best.relative_residual**2, 0.0) ** 0.5 > CONVINCING
            and best.relative_residual < 0.8 * residual
        ):
            fault = best.fault
            text += f"; {best.text} would leave {best.relative_residual:.3f}"
            status = "failed" if fault == "swapped-channels" else "warning" if status == "passed" else status
    if status != "passed" and fault is None:
        text += "; is it the picture of target_picture, evenly lit, and as far away as the point sources?"
    text += f" (hung {found.shift_px[0]:+.2f}, {found.shift_px[1]:+.2f} pixels off, {100 * found.growth:+.1f} % larger)"
    checks = [
        Check(
            name="known target", status=status, text=text, value=residual,
            limit=REFUSE_TARGET if status == "failed" else WARN_TARGET, unit="of the structure", fault=fault,
        ),
        _stray_check(found, target),
    ]  # fmt: skip
    if scale_counts is not None and residual <= REFUSE_TARGET:
        checks.append(_brightness_check(found, scale_counts))
    return checks, found


def _stray_check(found: TargetFit, target: Light) -> Check:
    brightest = np.percentile(target.image, 99, axis=(1, 2))
    percent = 100 * float(np.abs(found.offsets / brightest).max())
    wrong = percent > STRAY_PERCENT
    return Check(
        name="light beside the target",
        status="warning" if wrong else "passed",
        text=f"{percent:.1f} % of the brightest sample is not from the picture"
        + ("; shield the sensor from light that does not come through the mask" if wrong else ""),
        value=percent,
        limit=STRAY_PERCENT,
        unit="%",
        fault="stray-light" if wrong else None,
    )


def _brightness_check(found: TargetFit, scale_counts: Array) -> Check:
    ratio = found.gains / scale_counts
    percent = 100 * float(np.abs(ratio / ratio.mean() - 1).max())
    wrong = percent > COLOUR_PERCENT
    return Check(
        name="colour of the target",
        status="warning" if wrong else "passed",
        text=f"its channels have {', '.join(f'{one:.2f}' for one in ratio)} of the calibrated light"
        + ("; was the lamp another one?" if wrong else ""),
        value=percent,
        limit=COLOUR_PERCENT,
        unit="%",
    )


def scene_residual(operator: LenslessOperator, y: Array, variance: Array, valid: NDArray[np.bool_]) -> float:
    """What no image at all explains of readings (C, h, w), over their structure, less the noise.

    The image is that of damped least squares, found by conjugate gradients.
    """
    weight = valid.astype(np.float64)
    wanted = operator.adjoint(weight * y)
    damping = DAMPING * float(np.abs(operator.psf).sum(axis=(1, 2)).max()) ** 2
    x = np.zeros_like(wanted)
    left = wanted.copy()
    direction, power = left.copy(), float((left**2).sum())
    for _ in range(SCENE_ROUNDS):
        pushed = operator.adjoint(weight * operator.predict(direction)) + damping * direction
        step = power / float((direction * pushed).sum())
        x, left = x + step * direction, left - step * pushed
        power, before = float((left**2).sum()), power
        if power < 1e-10 * float((wanted**2).sum()):
            break
        direction = left + power / before * direction
    rest = (weight * (y - operator.predict(x))) ** 2
    # Pixels take their part of the noise with them.
    freedom = max(1 - x.size / max(float(weight.sum()), 1.0), 0.0)
    noise = freedom * float((weight * variance).sum())
    middle = (weight * y).sum(axis=(1, 2), keepdims=True) / np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1)
    return float((max(float(rest.sum()) - noise, 0.0) / float((weight * (y - middle) ** 2).sum())) ** 0.5)


def scene_check(operator: LenslessOperator, y: Array, variance: Array, valid: NDArray[np.bool_]) -> Check:
    """Whether any image explains a scene: a PSF that is no longer the camera's leaves much."""
    name, pixels = "PSF in the scene", operator.image[0] * operator.image[1]
    readings = operator.sensor[0] * operator.sensor[1]
    if readings < LEAST_READINGS * pixels:
        text = f"{readings} readings of a channel for {pixels} pixels: nearly every PSF explains every scene"
        return Check(name=name, status="not checked", text=text)
    residual = scene_residual(operator, y, variance, valid)
    status: Status = "passed"
    if residual > WARN_SCENE:
        status = "warning" if residual <= REFUSE_SCENE else "failed"
    return Check(
        name=name,
        status=status,
        text=f"no image explains {residual:.3f} of its structure"
        + (
            ""
            if status == "passed"
            else "; the mask moved since the PSF was measured, light comes from beside the field of view, or the "
            "scene is "
            "at another distance: capture point source and target again"
        ),
        value=residual,
        limit=REFUSE_SCENE if status == "failed" else WARN_SCENE,
        unit="of the structure",
        fault=None if status == "passed" else "stale-point",
    )

"""The checks of point sources: those around the first, which the PSF is made of, and the second, which it is not."""

from dataclasses import dataclass

import numpy as np

from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.fit import PointFit, fit_point
from cidesign.calibration.lensless.optics import Array
from cidesign.calibration.lensless.stitch import LEAST_EXTENT_PX, Placed, Point, Stitched, about_px, extent_px
from cidesign.calibration.verify import finding
from cidesign.checks import Check, FaultName, Status
from cidesign.orientation import ORIENTATIONS, Orientation

WARN_SECOND, REFUSE_SECOND = 0.12, 0.25
# Light that falls aslant spreads more: in the corners of a wide field the drawing is a worse guide.
WARN_AROUND, REFUSE_AROUND = 0.6, 0.8
# A fault is named when it explains so much: this share of the structure, root of the difference of the squares.
CONVINCING = 0.05
POSITION_PX = 1.0
DISTANCE_PERCENT, REFUSE_DISTANCE_PERCENT = 2.0, 25.0
TILT_DEG = 1.0
# Of a point of which less is on the sensor, what is cut off may have been anywhere.
LEAST_SHARE = 0.5
# Two directions and one to spare.
FEWEST_AROUND = 3
# As near as shadows are laid upon one another in bright light.
ALIGNED_PX = 0.01
LEAST_MEASURED_PERCENT = 90.0
PLACES, TILT = "places of the points around", "tilt of the mask"


@dataclass(frozen=True)
class SecondResult:
    """The second point: its checks, the fit that is displaced alone, and what it leaves."""

    checks: list[Check]
    fit: PointFit
    relative_residual: float


def check_second(known: Stitched, psf_noise: float, second: Point) -> SecondResult:
    """Hold the image of another point against the measured PSF, displaced."""
    first, camera = known.first, known.camera
    about = about_px(second.image, known.psf, camera)
    shadow = known.around(about)
    plain = fit_point(second.image, shadow, first.shift_px + about, affine=False, matrix=first.matrix)
    noise = second.variance + (plain.gains[:, None, None] * psf_noise) ** 2
    residual = plain.relative_residual(second.image, noise)
    bent = fit_point(second.image, shadow, plain.shift_px, affine=True, matrix=first.matrix)
    explained = max(residual**2 - bent.relative_residual(second.image, noise) ** 2, 0.0) ** 0.5
    place = plain.shift_px - first.shift_px
    checks = [_shape_check(residual, explained, _change(bent, first), place, camera)]
    if second.known_px is None:
        text = (
            "capture.json does not say where it stands (second_px): its direction from the first was not written down"
        )
        checks.append(Check(name="position of the second point", status="not checked", text=text))
    elif residual <= REFUSE_SECOND:
        checks.append(_position_check(place, np.array(second.known_px)))
    return SecondResult(checks, plain, residual)


def _change(fit: PointFit, first: PointFit) -> Array:
    """What turns, scales and shears the first point's shadow into another's, less the identity."""
    change: Array = fit.matrix @ np.linalg.inv(first.matrix) - np.eye(2)
    return change


def _tangent(place_px: Array, camera: Camera) -> Array:
    tangent: Array = place_px * camera.geometry.sample_um / camera.geometry.distance_um
    return tangent


def _shape_check(residual: float, explained: float, change: Array, place: Array, camera: Camera) -> Check:
    status: Status = "passed"
    if residual > WARN_SECOND:
        status = "warning" if residual <= REFUSE_SECOND else "failed"
    text, fault = f"{residual:.3f} of its structure is not what the measured PSF predicts", None
    if residual > CONVINCING and explained > CONVINCING:
        fault, words = _named(change, _tangent(place, camera))
        text += f"; {words} would explain {explained:.3f}"
        status = "warning" if status == "passed" else status
    elif status != "passed":
        text += "; is it as small and as far away as the first, and was the camera left as it was?"
    return Check(
        name="second point", status=status, text=text, value=residual,
        limit=REFUSE_SECOND if status == "failed" else WARN_SECOND, unit="of the structure", fault=fault,
    )  # fmt: skip


def _named(change: Array, tangent: Array) -> tuple[FaultName, str]:
    """What an affine change of the shadow from one direction to another resembles most."""
    half_turn = (change[0, 1] - change[1, 0]) / 2
    turn = half_turn * np.array([[0.0, 1.0], [-1.0, 0.0]])
    growth = float(np.trace(change)) / 2 * np.eye(2)
    slope = _slope([change], [tangent])
    left = {
        "stale-point": float(np.linalg.norm(change - turn)),
        "distance": float(np.linalg.norm(change - growth)),
        "tilt": float(np.linalg.norm(change - np.outer(tangent, slope))) * 1.1,
    }
    found = min(left, key=lambda name: left[name])
    words = {
        "stale-point": f"a mask that was turned by {np.degrees(half_turn):+.2f} degrees since the first point",
        "distance": f"a source at another distance, whose shadow is {100 * growth[0, 0]:+.2f} % larger",
        "tilt": f"a mask that is tilted by {np.degrees(np.hypot(*slope)):.1f} degrees against the sensor",
    }
    return found, words[found]


def _slope(changes: list[Array], tangents: list[Array]) -> Array:
    """A tilted mask is further away where it is further down: what lies there is displaced in proportion to tan(theta).

    The slope s (2,) of the mask in change = tan(theta) s^T, by least squares over all directions.
    """
    power = sum(float(tangent @ tangent) for tangent in tangents)
    slope: Array = np.sum([change.T @ one for change, one in zip(changes, tangents, strict=True)], axis=0)
    return slope / max(power, 1e-12)


def _position_check(place: Array, known: Array) -> Check:
    factor = float(place @ known) / max(float(known @ known), 1e-12)
    aside = float(np.hypot(*(place - factor * known)))
    percent = 100 * (factor - 1)
    words = (
        f"found {place[0]:+.2f}, {place[1]:+.2f} samples from the first point, by its direction {known[0]:+g}, "
        f"{known[1]:+g}"
    )
    turned = [
        one for one in ORIENTATIONS if not one.identity and np.hypot(*(_moved(one, known) - place)) < 2 * POSITION_PX
    ]
    if aside > 2 * POSITION_PX and turned:
        text = (
            f"{words}: as if the read-out had the image {turned[0].text}; turn the frames, or name the direction "
            "rightly"
        )
        return Check(name="position of the second point", status="failed", text=text, value=aside, limit=POSITION_PX,
                     unit="samples", fault="mirror")  # fmt: skip
    status: Status = "passed"
    fault: FaultName | None = None
    if aside > POSITION_PX:
        status = "failed" if aside > 3 * POSITION_PX else "warning"
        words += "; was the camera moved in between?"
    elif abs(percent) > DISTANCE_PERCENT:
        status = "corrected" if abs(percent) <= REFUSE_DISTANCE_PERCENT else "failed"
        fault = "distance"
        words += f": the mask is {percent:+.1f} % further away than designed, and the field of view that much smaller"
    return Check(
        name="position of the second point", status=status, text=words, value=percent if fault else aside,
        limit=DISTANCE_PERCENT if fault else POSITION_PX, unit="%" if fault else "samples", fault=fault,
    )  # fmt: skip


def _moved(orientation: Orientation, place: Array) -> Array:
    """A displacement as it is after an orientation."""
    down, right = place[::-1] if orientation.transpose else place
    return np.array([-down if orientation.flip_vertical else down, -right if orientation.flip_horizontal else right])


def around_checks(around: list[Placed], known: Stitched) -> list[Check]:
    """How much of the PSF was measured; whether the points around are those of this camera, where they stand, and
    whether their shadows are those of a mask that is parallel to the sensor."""
    checks = [_measured_check(known)]
    if not around:
        return checks
    worst = max(one.residual for one in around)
    status: Status = "passed"
    if worst > WARN_AROUND:
        status = "warning" if worst <= REFUSE_AROUND else "failed"
    checks.append(
        Check(
            name="points around",
            status=status,
            text=f"of {len(around)}, the drawing leaves at most {worst:.2f} of the structure"
            + ("" if status == "passed" else "; are all of them of this camera, each a single small source?"),
            value=worst,
            limit=REFUSE_AROUND if status == "failed" else WARN_AROUND,
            unit="of the structure",
        )
    )
    if status == "failed":
        return checks
    told = [one for one in around if one.share >= LEAST_SHARE]
    if len(told) < FEWEST_AROUND:
        text = (
            f"of {len(around)}, {len(around) - len(told)} throw less than {LEAST_SHARE:.0%} of their shadow on the "
            "sensor: put them nearer to the first"
        )
        return [*checks, *(Check(name=name, status="not checked", text=text) for name in (PLACES, TILT))]
    return [*checks, *_places_checks(told, known), _tilt_check(told, known)]


def _measured_check(known: Stitched) -> Check:
    percent = 100 * known.measured_share
    missing = percent < LEAST_MEASURED_PERCENT
    return Check(
        name="part of the PSF",
        status="warning" if missing else "passed",
        text=f"{percent:.1f} % of its light was measured"
        + (
            f"; the other {100 - percent:.1f} % falls beside the sensor from where the points stood, was NOT MEASURED, "
            "and is the drawing's: capture points in the corners of the field (`around`)"
            if missing
            else ""
        ),
        value=percent,
        limit=LEAST_MEASURED_PERCENT,
        unit="%",
    )


def _places_checks(around: list[Placed], known: Stitched) -> list[Check]:
    """Where the points stand against where they are said to: a read-out that is mirrored, or another distance."""
    said = np.array([one.point.known_px for one in around])
    seen = np.array([one.fit.shift_px - known.first.shift_px for one in around])
    name = PLACES
    if np.linalg.matrix_rank(said) < 2:
        return [Check(name=name, status="not checked", text="they stand in one line with the first")]
    matrix = np.linalg.lstsq(said, seen, rcond=None)[0].T
    scale = abs(float(np.linalg.det(matrix))) ** 0.5
    left = {one: float(np.hypot(*(seen - [scale * _moved(one, at) for at in said]).T).max()) for one in ORIENTATIONS}
    best = min(left, key=lambda one: left[one])
    percent = 100 * (scale - 1)
    if not best.identity:
        text = f"as if the read-out had the image {best.text}; turn the frames, or name the directions rightly"
        return [Check(name=name, status="failed", text=text, value=left[Orientation()], limit=POSITION_PX,
                      unit="samples", fault="mirror")]  # fmt: skip
    far = abs(percent) > DISTANCE_PERCENT
    text = f"{percent:+.2f} % further out than by their directions, and up to {left[best]:.2f} samples beside them"
    if far:
        text += f": the mask is {percent:+.1f} % further away than designed, and the field of view that much smaller"
    return [
        Check(
            name=name,
            status=("corrected" if abs(percent) <= REFUSE_DISTANCE_PERCENT else "failed") if far else "passed",
            text=text, value=percent, limit=DISTANCE_PERCENT, unit="%", fault="distance" if far else None,
        )
    ]  # fmt: skip


def _tilt_check(around: list[Placed], known: Stitched) -> Check:
    first = known.first
    tangents = [_tangent(one.fit.shift_px - first.shift_px, known.camera) for one in around]
    furthest, extent = max(float(np.hypot(*one)) for one in tangents), extent_px(known.psf)
    told_deg = float(np.degrees(np.arctan(ALIGNED_PX / extent / max(furthest, 1e-12))))
    if extent < LEAST_EXTENT_PX or told_deg > TILT_DEG:
        text = f"shadows that reach {extent:.1f} samples tell a tilt to {told_deg:.1f} degrees at best"
        return Check(name=TILT, status="not checked", text=text)
    slope = _slope([_change(one.fit, first) for one in around], tangents)
    degrees = float(np.degrees(np.arctan(np.hypot(*slope))))
    return finding(
        TILT, degrees > TILT_DEG, f"{degrees:.2f} degrees, by the shadows of the points around",
        f"{degrees:.2f} degrees, by the shadows of the points around: what the mask throws changes over the field, "
        "and one PSF is right for no part of it entirely; put the mask parallel to the sensor",
        status="warning", value=degrees, limit=TILT_DEG, unit="degrees", fault="tilt",
    )  # fmt: skip

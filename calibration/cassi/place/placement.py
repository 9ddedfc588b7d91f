"""How the mask stands in the bench, against how it should stand: orientation, polarity, place, turn, scale, edges."""

import math
from dataclasses import dataclass

import numpy as np

from cidesign.calibration.cassi.optics import Layout
from cidesign.calibration.cassi.place.dispersion import DispersionFit
from cidesign.calibration.cassi.place.lines import FittedLines
from cidesign.calibration.cassi.place.orient import Mounting
from cidesign.checks import Check
from cidesign.pattern import ApertureMask

CORRELATION_MARGIN = 0.2
MIN_EXPLAINED = 0.6
MAX_MEDIAN_PX, MIN_INLIERS, INLIER_PX = 0.15, 0.7, 0.3
ROTATION_DEG = 0.2
OFFSET_PX = 0.4
SCALE_PERCENT = 1.0
EDGE_SHARE_OF_PIXEL = 0.15


@dataclass(frozen=True)
class Placement:
    """`rotation_deg` clockwise; `scale` of the code's image against the nominal one; `offset_px` (along, across)
    from where the code should lie, None where nobody said where; `edge_um`: how far openings reach beyond the drawn
    edges; `median_px`, `inliers`: of the shifts of parts of the code from the fits.
    """

    mounting: Mounting
    rotation_deg: float
    scale: float
    offset_px: tuple[float, float] | None
    edge_um: float
    median_px: float
    inliers: float


def placement_of(
    lines: FittedLines,
    dispersion: DispersionFit,
    layout: Layout,
    code_origin_px: tuple[float, float] | None,
    pitch_um: float,
) -> Placement:
    """Read it off the fitted lines."""
    forward = np.linalg.inv(lines.linear)
    rotation = math.degrees(math.atan2(forward[0, 1] - forward[1, 0], forward[0, 0] + forward[1, 1]))
    offset = None
    if code_origin_px is not None:
        least = layout.wavelengths_nm[[int(layout.shift_px.argmin())]]
        apart = dispersion.at(least)[0] - (np.array(code_origin_px) + layout.centre)
        offset = (float(apart @ layout.along), float(apart @ layout.across))
    lengths = np.hypot(*lines.patches_px.T) if len(lines.patches_px) else np.array([np.inf])
    return Placement(
        mounting=lines.found.mounting,
        rotation_deg=rotation,
        scale=float(abs(np.linalg.det(forward)) ** 0.5),
        offset_px=offset,
        edge_um=float(np.mean([fit.edge_px for fit in lines.fits])) * pitch_um,
        median_px=float(np.median(lengths)),
        inliers=float(np.mean(lengths < INLIER_PX)),
    )


def placement_checks(placement: Placement, lines: FittedLines, design: ApertureMask) -> list[Check]:
    """What deviates from the drawing, named; all of it but a mask that is not found is allowed for."""
    return [
        _found_check(lines),
        _orientation_check(placement.mounting),
        _polarity_check(placement.mounting),
        _registration_check(placement, lines),
        _rotation_check(placement.rotation_deg),
        _position_check(placement.offset_px),
        _scale_check(placement.scale),
        _edge_check(placement, lines, design),
    ]


def _found_check(lines: FittedLines) -> Check:
    found, explained = lines.found, min(fit.explained for fit in lines.fits)
    failed = found.margin < CORRELATION_MARGIN or explained < MIN_EXPLAINED
    text = (
        f"{found.mounting.text} correlates {found.correlation:.2f}, the next of 16 ({found.second_mounting.text}) "
        f"{found.second:.2f}; the drawn mask explains {explained:.0%} of its weakest image"
    )
    return Check(
        name="mask",
        status="failed" if failed else "passed",
        text=text + ("; is it this mask, in focus and lit evenly?" if failed else ""),
        value=found.margin,
        limit=CORRELATION_MARGIN,
        unit="margin",
    )


def _orientation_check(mounting: Mounting) -> Check:
    fault, text = Mounting(mounting.orientation).fault, mounting.orientation.text
    return Check(
        name="orientation",
        status="corrected" if fault else "passed",
        text=text if not fault else f"the plate stands {text}; the operator holds it as it stands",
        fault=fault,
    )


def _polarity_check(mounting: Mounting) -> Check:
    return Check(
        name="polarity",
        status="corrected" if mounting.inverted else "passed",
        text="clear and opaque are exchanged against the drawing; the operator holds the mask as it is"
        if mounting.inverted
        else "clear where drawn clear",
        fault="inversion" if mounting.inverted else None,
    )


def _registration_check(placement: Placement, lines: FittedLines) -> Check:
    failed = placement.median_px > MAX_MEDIAN_PX or placement.inliers < MIN_INLIERS
    largest = float(np.hypot(*lines.patches_px.T).max()) if len(lines.patches_px) else math.inf
    known = math.isfinite(placement.median_px)
    return Check(
        name="registration",
        status="failed" if failed else "passed",
        text=f"{placement.inliers:.0%} of {len(lines.patches_px)} patches lie within {INLIER_PX} code pixels of the "
        f"fit, median {placement.median_px:.3f}, largest {largest:.3f}"
        + ("; distortion, dust or a bent mask" if failed else ""),
        value=placement.median_px if known else None,
        limit=MAX_MEDIAN_PX,
        unit="code pixels",
    )


def _rotation_check(degrees: float) -> Check:
    off = abs(degrees) > ROTATION_DEG
    return Check(
        name="rotation",
        status="corrected" if off else "passed",
        text=f"the code's image is turned by {degrees:+.3f} degrees clockwise" + ("; allowed for" if off else ""),
        value=degrees,
        limit=ROTATION_DEG,
        unit="degrees",
        fault="rotation" if off else None,
    )


def _position_check(offset: tuple[float, float] | None) -> Check:
    if offset is None:
        text = "the capture does not say where the code should lie (code_origin_px)"
        return Check(name="position", status="not checked", text=text)
    worst = max(offset, key=abs)
    off = abs(worst) > OFFSET_PX
    return Check(
        name="position",
        status="corrected" if off else "passed",
        text=f"shifted by {offset[0]:+.3f} code pixels along the dispersion and {offset[1]:+.3f} across it"
        + ("; allowed for" if off else ""),
        value=worst,
        limit=OFFSET_PX,
        unit="code pixels",
        fault="shift" if off else None,
    )


def _scale_check(scale: float) -> Check:
    percent = 100 * (scale - 1)
    off = abs(percent) > SCALE_PERCENT
    return Check(
        name="magnification",
        status="corrected" if off else "passed",
        text=f"{percent:+.2f} % of the nominal one" + ("; allowed for" if off else ""),
        value=percent,
        limit=SCALE_PERCENT,
        unit="%",
    )


def _edge_check(placement: Placement, lines: FittedLines, design: ApertureMask) -> Check:
    """Openings against the drawing; only with flats of the lines is the open fraction a transmission."""
    limit = EDGE_SHARE_OF_PIXEL * design.pitch_um
    far = abs(placement.edge_um) > limit
    return Check(
        name="edges of the openings",
        status="warning" if far else "passed",
        text=f"{placement.edge_um:+.2f} um beyond the drawn ones; the drawn mask is {lines.seen.mean():.0%} open"
        + ("; tell the mask shop, and set edge_bias_um in the profile" if far else ""),
        value=placement.edge_um,
        limit=limit,
        unit="um",
    )

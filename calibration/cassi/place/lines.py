"""Images of the mask in narrow lines: flat-fielded, found, and fitted one by one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cidesign import progress
from cidesign.calibration.cassi.calibration import bin_mean
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.detector import Detector, dark_of
from cidesign.calibration.cassi.optics import Array, affine, inverted, turn_scale
from cidesign.calibration.cassi.place.orient import Found, find_orientation, locate
from cidesign.calibration.cassi.place.register import LineFit, fit_line, patch_shifts
from cidesign.errors import FileError
from cidesign.pattern import ApertureMask

# Light of a line is even over some code pixels; its own flat is smoothed by as much, to add no noise.
FLAT_SMOOTHING_PX = 4.0


@dataclass(frozen=True)
class FittedLines:
    """What the lines give; `images` (n, h_raw, w_raw) are transmissions where the lines have flats of their own.

    `seen` (H, W): the drawn mask, turned as it is captured; `centres` (n, 2): where its centre lies on the detector;
    `linear` (2, 2): from the detector to the code, the mean of all lines; `patches_px` (m, 2): how far parts of the
    code lie from the fits; `check_centre` belongs to the line that was held out.
    """

    lines_nm: Array
    images: Array
    found: Found
    seen: Array
    fits: list[LineFit]
    centres: Array
    linear: Array
    patches_px: Array
    check_centre: Array | None
    has_flats: bool

    def to_code(self, centre: Array) -> Array:
        """From the detector to the code (2, 3) in light whose image of the code has its centre there."""
        middle = (np.array(self.seen.shape) - 1) / 2
        return affine(self.linear, centre, middle)


def fit_lines(capture: CassiCapture, detector: Detector, design: ApertureMask) -> FittedLines:
    """Find the mask in all lines; raises `FileError` where lines are missing or the code does not fit."""
    record = capture.known
    binning = record.detector_px_per_code_px
    lines = capture.frames("lines")
    if not len(record.line_nm):
        raise FileError(
            f"{capture.path}: capture.json gives no line_nm; write the wavelength of every image in `lines`"
        )
    images = line_images(capture, detector, lines, "lines")
    require_room(capture, design, (lines.shape[1] // binning, lines.shape[2] // binning))
    middle = len(images) // 2
    found = find_orientation(model_image(images[middle], detector, binning), design.levels)
    seen = found.mounting.apply(design.levels)
    if seen.shape != design.levels.shape:
        raise FileError(
            f"{capture.path}: the mask stands {found.mounting.text} in the bench, and {design.levels.shape[0]} x "
            f"{design.levels.shape[1]} pixels are not square; turn the plate"
        )
    fits = [
        _fit(image, detector, binning, design, found, seen) for image in progress.steps("place of the mask", images)
    ]
    code_centre = (np.array(seen.shape) - 1) / 2
    centres = np.stack([_point(inverted(fit.to_code), code_centre) for fit in fits])
    patches = [
        patch_shifts(image, detector.usable, binning, seen, fit) for image, fit in zip(images, fits, strict=True)
    ]
    check_centre = None
    if "check_line" in capture.arrays:
        image = line_images(capture, detector, capture.frames("check_line"), "check_line")[0]
        fit = _fit(image, detector, binning, design, found, seen)
        check_centre = _point(inverted(fit.to_code), code_centre)
    return FittedLines(
        lines_nm=np.array(record.line_nm),
        images=images,
        found=found,
        seen=seen,
        fits=fits,
        centres=centres,
        linear=np.mean([fit.to_code[:, :2] for fit in fits], axis=0),
        patches_px=np.concatenate(patches),
        check_centre=check_centre,
        has_flats="flat_lines" in capture.arrays,
    )


def line_images(capture: CassiCapture, detector: Detector, images: Array, name: str) -> Array:
    """Images (n, h_raw, w_raw) without dark level, divided by the flat of their line, or by the lamp's flat."""
    dark = dark_of(capture, name).mean(axis=0)
    light = (images - dark) / detector.response
    if name != "lines" or "flat_lines" not in capture.arrays:
        return np.asarray(light / detector.flat_counts)
    flats = (capture.frames("flat_lines") - dark_of(capture, "flat_lines").mean(axis=0)) / detector.response
    smooth = FLAT_SMOOTHING_PX * capture.known.detector_px_per_code_px
    levels = np.stack([_smoothed(flat, detector.usable, smooth) for flat in flats])
    if not (levels > 0).all():
        worst = capture.known.line_nm[int(levels.min(axis=(1, 2)).argmin())]
        raise FileError(
            f"{capture.path}: flat_lines at {worst:g} nm is darker than the dark frames; was the line switched on?"
        )
    return np.asarray(light / levels)


def _smoothed(flat: Array, usable: NDArray[np.bool_], sigma: float) -> Array:
    weight = gaussian_filter(usable.astype(np.float64), sigma, mode="nearest")
    smooth: Array = gaussian_filter(np.where(usable, flat, 0.0), sigma, mode="nearest") / weight
    return smooth


def model_image(image: Array, detector: Detector, binning: int) -> Array:
    """A raw image in pixels of the model; dead raw pixels are left out, or take the median where no other is near."""
    share = bin_mean(detector.usable.astype(np.float64), binning)
    total = bin_mean(np.where(detector.usable, image, 0.0), binning)
    return np.where(share > 0, total / np.maximum(share, 1e-9), float(np.median(image)))


def require_room(capture: CassiCapture, design: ApertureMask, size: tuple[int, int]) -> None:
    """Raise `FileError` when the detector is smaller than the code."""
    height, width = design.levels.shape
    if size[0] < height or size[1] < width:
        raise FileError(
            f"{capture.path}: images of {size[0]} x {size[1]} pixels of the code's size cannot hold a code of {height} "
            f"x {width}; is detector_px_per_code_px ({capture.known.detector_px_per_code_px}) right?"
        )


def _fit(image: Array, detector: Detector, binning: int, design: ApertureMask, found: Found, seen: Array) -> LineFit:
    place = locate(model_image(image, detector, binning), design.levels, found.mounting, found.rotation_deg)
    centre = (np.array(seen.shape) - 1) / 2
    start = inverted(affine(turn_scale(found.rotation_deg, 1.0), centre, place.centre))
    return fit_line(image, detector.usable, binning, seen, start)


def _point(matrix: Array, point: Array) -> Array:
    moved: Array = matrix[:, :2] @ point + matrix[:, 2]
    return moved

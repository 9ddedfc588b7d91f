"""A raw image of somebody's lensless camera and the image of its point source: what people share of such cameras.

Both are pictures of one size: 8 or 16 bits, grey or colour (TIFF, PNG), or `.npy`, (h, w), (h, w, 3), or
(1, h, w, 3) as LenslessPiCam saves its PSFs.  The black level is read from the darkest corner of the PSF, where least
light of the mask falls (its 1st percentile where that is darker), for each channel, and taken off both.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from cidesign.calibration.lensless.optics import Array
from cidesign.errors import FileError
from cidesign.io.arrays import as_numbers, read_array
from cidesign.io.child import SPARE_BYTES, ask

READER = "cidesign.calibration.lensless.pairs.child"
LONGEST_READ_S = 300
MAX_PIXELS, MAX_BYTES_PER_PIXEL = 50_000_000, 6
# A part of both sides, in the corners: a tenth of the rows and columns.
CORNER = 0.1
SATURATED_PERCENT, LEAST_CONTRAST, LEAST_ALIKE = 0.1, 10.0, 0.1


@dataclass(frozen=True)
class Pair:
    """`psf` and `raw` (C, h, w) above the black levels (C,), in counts over the largest count of the PSF; `step` pixels
    along a side were averaged."""

    psf: Array
    raw: Array
    black_levels: Array
    step: int
    full_size: tuple[int, int]
    notes: tuple[str, ...]


def read_pair(raw: Path, psf: Path, largest_side: int) -> Pair:
    """Read a pair and average it down to at most `largest_side` samples along a side.

    Raises `FileError` for pictures that cannot be read, are not of one size, are saturated, or hold no PSF.
    """
    light, point = _picture(raw, "raw image"), _picture(psf, "PSF")
    if light.shape[1:] != point.shape[1:] or (len(point) not in (1, len(light))):
        raise FileError(
            f"{raw}: {_size(light)}, and the PSF {psf.name} is {_size(point)}; both have to be of one camera, region "
            "and binning"
        )
    if np.array_equal(light, point):
        raise FileError(
            f"{raw}: is the same image as the PSF {psf.name}; name the image of the scene, and that of the point"
        )
    for path, image in ((raw, light), (psf, point)):
        _require_range(path, image)
    black = _black_levels(point)
    _require_point(psf, point, black)
    step = max(1, -(-max(light.shape[1:]) // largest_side))
    size = (light.shape[1], light.shape[2])
    notes = [f"averaged by {step} x {step} from {size[0]} x {size[1]} pixels"] if step > 1 else []
    scale = float((point - black[:, None, None]).max())
    dark = black if len(black) == len(light) else np.repeat(black, len(light))
    return Pair(
        psf=_averaged(point - black[:, None, None], step) / scale,
        raw=_averaged(light - dark[:, None, None], step) / scale,
        black_levels=black,
        step=step,
        full_size=size,
        notes=tuple(notes),
    )


def _picture(path: Path, what: str) -> Array:
    """(C, h, w), RGB where it is in colour."""
    if path.suffix.lower() == ".npy":
        found = read_array(path, what)
        found = found[0] if found.ndim == 4 and len(found) == 1 else found
    else:
        request = {"max_pixels": MAX_PIXELS}
        memory_bytes = SPARE_BYTES + 3 * MAX_PIXELS * MAX_BYTES_PER_PIXEL
        _, arrays = ask(path, READER, request, what, LONGEST_READ_S, memory_bytes)
        found = as_numbers(arrays["picture"], path, what)
    if found.ndim == 2:
        found = found[..., None]
    if found.ndim != 3 or found.shape[-1] not in (1, 3) or 0 in found.shape:
        raise FileError(f"{path}: {what} has shape {found.shape}; (rows, columns) or (rows, columns, 3) is needed")
    return np.ascontiguousarray(np.moveaxis(found, -1, 0))


def _require_range(path: Path, image: Array) -> None:
    top = float(image.max())
    share = 100 * float(np.mean(image >= top))
    if share > SATURATED_PERCENT and np.count_nonzero(image >= top) > 1:
        raise FileError(
            f"{path}: {share:.2g} % of its readings are at its largest value, {top:g}: it is saturated, or empty; "
            "expose for less"
        )


def _require_point(path: Path, point: Array, black: Array) -> None:
    """Refuse noise: it is white, and nowhere much brighter than it is uneven; shadows and speckle are either."""
    noise = min(float(point[:, down, across].std(axis=(1, 2)).mean()) for down, across in _corners(point))
    contrast = float(np.percentile(point - black[:, None, None], 99.5)) / max(noise, 1e-12)
    rest = point - point.mean(axis=(1, 2), keepdims=True)
    alike = float((rest[..., 1:] * rest[..., :-1]).mean() / max(float((rest**2).mean()), 1e-12))
    if contrast < LEAST_CONTRAST and alike < LEAST_ALIKE:
        raise FileError(
            f"{path}: its brightest part is {contrast:.1f} times the noise of its quietest corner above the black "
            f"level, and samples beside one another have a correlation of {alike:.2f}: this is no image of a point "
            "source"
        )


def _corners(image: Array) -> list[tuple[slice, slice]]:
    rows, columns = (max(int(CORNER * count), 1) for count in image.shape[1:])
    return list(product((np.s_[:rows], np.s_[-rows:]), (np.s_[:columns], np.s_[-columns:])))


def _black_levels(psf: Array) -> Array:
    """The least of the means of the corners: a point's shadow leaves one dark, or the frame has no dark place at
    all."""
    corners = np.stack([psf[:, down, across].mean(axis=(1, 2)) for down, across in _corners(psf)])
    levels: Array = np.minimum(corners.min(axis=0), np.percentile(psf, 1, axis=(1, 2)))
    return levels


def _size(image: Array) -> str:
    return f"{image.shape[1]} x {image.shape[2]} of {image.shape[0]} channel(s)"


def _averaged(image: Array, step: int) -> Array:
    rows, columns = (count // step for count in image.shape[1:])
    cut = image[:, : rows * step, : columns * step]
    means: Array = cut.reshape(len(image), rows, step, columns, step).mean(axis=(2, 4))
    return means

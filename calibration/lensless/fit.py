"""Where the image of a point source lies on a shadow: an affine fit of one to the other, over all colour channels.

    image_c(s) = gain_c seen_c(s; M, t) + offset_c

with `seen` of `drawing`, or what was measured of it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2

from cidesign.calibration.lensless.drawing import DrawnLight
from cidesign.calibration.lensless.optics import Array

ROUNDS = 12
CONVERGED_PX = 1e-4
LARGEST_STEP_PX, MOST_GROWTH = 2.0, 0.7
# Shadows are searched for at steps of half a sample: samples of a fine code look like themselves no further away.
STEPS_PX = (0.0, 0.5)


class Shadow(Protocol):
    """What the samples see of a mask that was turned and moved, and the slopes of that."""

    def seen(self, matrix: Array, shift_px: Array, size: tuple[int, int]) -> Array:
        """(C, h, w)."""

    def seen_slopes(self, matrix: Array, shift_px: Array, size: tuple[int, int]) -> Array:
        """(C, 2, h, w)."""


@dataclass(frozen=True)
class PointFit:
    """`matrix` M (2, 2) and `shift_px` t (2,); `gains` and `offsets` (C,) in units of the image.

    `light` (C,): the mean of the image over that of the shadow.  An image of less contrast than the drawing's has a
    smaller gain and an offset, but no less light.  `error_px`: standard error of the shift; `residual` (C, h, w): image
    less fit.
    """

    matrix: Array
    shift_px: Array
    gains: Array
    offsets: Array
    light: Array
    error_px: float
    residual: Array

    @property
    def rotation_deg(self) -> float:
        """Clockwise as seen on the image."""
        return float(np.degrees(np.arctan2(self.matrix[0, 1] - self.matrix[1, 0], np.trace(self.matrix))))

    @property
    def scale(self) -> float:
        """Mean enlargement."""
        return float(abs(np.linalg.det(self.matrix)) ** 0.5)

    def relative_residual(self, image: Array, noise_variance: Array) -> float:
        """What is not explained, over the structure of the image, both root mean squares, less the noise."""
        left = float((self.residual**2).sum() - noise_variance.sum())
        middle = image.mean(axis=(1, 2), keepdims=True)
        return float((max(left, 0.0) / float(((image - middle) ** 2).sum())) ** 0.5)


def found_shift(image: Array, psf: Array) -> tuple[Array, float]:
    """The whole shift (2,), from the middle, at which a PSF (C, p, q) looks most like an image (C, h, w), and the
    correlation (-1 to 1) there."""
    height, width = image.shape[1:]
    reach = (height // 4, width // 4)
    padded = np.pad(psf, ((0, 0), (reach[0],) * 2, (reach[1],) * 2))
    size = padded.shape[1:]
    plane = tuple(next_fast_len(count, real=True) for count in size)
    wanted = image - image.mean(axis=(1, 2), keepdims=True)
    transform = rfft2(padded, plane)
    box = rfft2(np.ones((height, width)), plane).conj()
    valid = np.s_[..., : size[0] - height + 1, : size[1] - width + 1]
    product = irfft2((transform * rfft2(wanted, plane).conj()).sum(axis=0), plane)[valid]
    means = irfft2(transform * box, plane)[valid] / (height * width)
    power = irfft2(rfft2((padded**2).sum(axis=0), plane) * box, plane)[valid] - height * width * (means**2).sum(axis=0)
    floor = 1e-6 * float(power.max())
    alike = np.where(power > floor, product / np.sqrt(np.maximum(power, floor)), 0) / np.linalg.norm(wanted)
    place = np.array(np.unravel_index(int(alike.argmax()), alike.shape))
    # A window that starts further down sees a shadow that lies further up.
    shift = (np.array(size) - image.shape[1:]) / 2 - place
    return shift, float(alike.max())


def located(image: Array, drawn: DrawnLight, matrix: Array, psf_size: tuple[int, int]) -> tuple[Array, float]:
    """The shift (2,), to half a sample, at which a drawing looks most like an image (C, h, w), and the correlation."""
    found = []
    for down in STEPS_PX:
        for right in STEPS_PX:
            moved = np.array([down, right])
            shift, alike = found_shift(image, drawn.seen(matrix, moved, psf_size))
            found.append((alike, shift + moved))
    alike, shift = max(found, key=lambda one: one[0])
    return shift, alike


def fit_point(image: Array, shadow: Shadow, shift_px: Array, affine: bool, matrix: Array | None = None) -> PointFit:
    """Fit a shadow to the image (C, h, w) of a point, from a start; without `affine` it is displaced alone."""
    size = (image.shape[1], image.shape[2])
    rows, columns = centred(size)
    linear, shift = np.eye(2) if matrix is None else matrix.copy(), np.array(shift_px, dtype=np.float64)
    reach = max(size) / 2
    levels, covariance = np.zeros((len(image), 2)), np.full((2, 2), np.inf)
    values, residual = image, image
    for number in range(ROUNDS):
        back = np.linalg.inv(linear)
        away = rows - shift[0], columns - shift[1]
        places = [back[axis, 0] * away[0] + back[axis, 1] * away[1] for axis in (0, 1)]
        values, slopes = shadow.seen(linear, shift, size), shadow.seen_slopes(linear, shift, size)
        levels = np.stack([_levels(one, plane) for one, plane in zip(values, image, strict=True)])
        residual = image - levels[:, :1, None] * values - levels[:, 1:, None]
        # d seen / d t = -M^-T slope; d seen / d M_ab = -(M^-T slope)_a place_b.
        pushed = -np.einsum("ba,cb...->ca...", back, slopes) * levels[:, None, :1, None]
        columns_of = [pushed[:, 0], pushed[:, 1]]
        if affine:
            columns_of += [pushed[:, a] * places[b] / reach for a in (0, 1) for b in (0, 1)]
        system = np.stack([_without_levels(one, values) for one in columns_of], axis=1)
        normal = system.T @ system
        step = np.linalg.lstsq(normal, system.T @ residual.ravel(), rcond=None)[0]
        step *= min(1.0, LARGEST_STEP_PX / max(float(np.abs(step).max()), 1e-12))
        covariance = np.linalg.pinv(normal)[:2, :2] * float((residual**2).mean())
        further = linear + step[2:].reshape(2, 2) / reach if affine else linear
        # What was fitted is what the residual is of; from a wrong start a fit runs away.
        if number == ROUNDS - 1 or np.abs(step).max() < CONVERGED_PX or abs(np.linalg.det(further) - 1) > MOST_GROWTH:
            break
        shift, linear = shift + step[:2], further
    error_px = float(np.sqrt(max(np.trace(covariance), 0.0)))
    light = image.mean(axis=(1, 2)) / values.mean(axis=(1, 2))
    return PointFit(linear, shift, levels[:, 0], levels[:, 1], light, error_px, residual)


def centred(size: tuple[int, ...]) -> tuple[Array, Array]:
    """Rows and columns (h, w) of a grid, from its middle."""
    rows, columns = np.mgrid[: size[-2], : size[-1]].astype(np.float64)
    return rows - (size[-2] - 1) / 2, columns - (size[-1] - 1) / 2


def _levels(model: Array, image: Array) -> Array:
    """Gain and offset of one channel."""
    system = np.stack([model.ravel(), np.ones(model.size)], axis=1)
    return np.asarray(np.linalg.lstsq(system, image.ravel(), rcond=None)[0], dtype=np.float64)


def _without_levels(column: Array, values: Array) -> Array:
    """What of a change (C, h, w) neither gain nor offset of its channel could make, flat."""
    kept = []
    for one, model in zip(column, values, strict=True):
        level = _levels(model, one)
        kept.append(one - level[0] * model - level[1])
    return np.stack(kept).ravel()

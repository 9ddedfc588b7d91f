"""The known target: what the operator predicts of it, how it hangs and how bright it is, and what it leaves.

    y_c = gain_c A_c(x moved and enlarged) + offset_c

A person cannot hang a picture to a pixel, so place and size are fitted; everything else has to be predicted.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates

from cidesign.calibration.lensless.drawing import turned
from cidesign.calibration.lensless.fit import centred
from cidesign.calibration.lensless.operator import LenslessOperator
from cidesign.calibration.lensless.optics import Array
from cidesign.checks import FaultName
from cidesign.orientation import ORIENTATIONS, Orientation

ROUNDS, SIGMAS = 6, 3.0
LARGEST_STEP_PX, LARGEST_SHIFT_PX, LARGEST_GROWTH = 1.0, 6.0, 0.35
# Another way to read the sensor out than upright must leave this much less.
CLEARER = 0.8
ROTATIONS_DEG = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class TargetFit:
    """`shift_px` (2,) and `growth` of the picture against where it should hang, in image pixels and as a part;
    `gains` and `offsets` (C,) in counts per unit of y; `predicted` (C, h, w) counts; `relative_residual`: what is left
    of the structure, less what its noise can make of it; `noise_share`: that noise over the structure."""

    shift_px: Array
    growth: float
    gains: Array
    offsets: Array
    predicted: Array
    relative_residual: float
    noise_share: float


def fit_target(operator: LenslessOperator, seen: Array, noise_variance: Array, picture: Array) -> TargetFit:
    """Hold an image (C, h, w), counts above dark, against the operator's of a picture (C, H, W)."""
    place = np.zeros(3)
    rows, columns = centred(picture.shape)
    half = max(picture.shape[1:]) / 2
    found = _levels(operator, seen, noise_variance, picture, place, ())
    for _ in range(ROUNDS):
        moved = _moved(picture, place)
        down, right = np.gradient(moved, axis=(1, 2))
        changes = operator.predict(np.stack([-down, -right, -(rows * down + columns * right) / half]))
        columns_of = []
        for change in changes:
            parts = []
            for gain, model, one in zip(found.gains, found.predicted, change, strict=True):
                basis = np.stack([model.ravel(), np.ones(model.size)], axis=1)
                wanted = gain * one.ravel()
                parts.append(wanted - basis @ np.linalg.lstsq(basis, wanted, rcond=None)[0])
            columns_of.append(np.concatenate(parts))
        system = np.stack(columns_of, axis=1)
        step = np.linalg.lstsq(system, (seen - found.predicted).ravel(), rcond=None)[0]
        step *= min(1.0, LARGEST_STEP_PX / max(float(np.abs(step).max()), 1e-12))
        tried = place + step
        if np.abs(tried[:2]).max() > LARGEST_SHIFT_PX or abs(tried[2]) / half > LARGEST_GROWTH:
            break
        better = _levels(operator, seen, noise_variance, picture, tried, ())
        if better.relative_residual >= found.relative_residual:
            break
        place, found = tried, better
    return replace(found, shift_px=place[:2], growth=float(place[2] / half))


def _moved(picture: Array, place: Array) -> Array:
    rows, columns = centred(picture.shape)
    scale = 1 + place[2] / (max(picture.shape[1:]) / 2)
    middle = (np.array(picture.shape[1:]) - 1) / 2
    places = np.stack([(rows - place[0]) / scale + middle[0], (columns - place[1]) / scale + middle[1]])
    return np.stack([map_coordinates(plane, places, order=1, mode="nearest") for plane in picture])


def _levels(
    operator: LenslessOperator,
    seen: Array,
    noise_variance: Array,
    picture: Array,
    place: Array,
    more: tuple[Array, ...],
) -> TargetFit:
    """Gain and offset of each channel, and of further lights `more` (h, w)."""
    model = operator.predict(_moved(picture, place))
    gains, offsets, predicted = [], [], []
    for one, wanted in zip(model, seen, strict=True):
        basis = np.stack([one.ravel(), np.ones(one.size), *(light.ravel() for light in more)], axis=1)
        levels = np.linalg.lstsq(basis, wanted.ravel(), rcond=None)[0]
        gains.append(levels[0])
        offsets.append(levels[1])
        predicted.append((basis @ levels).reshape(one.shape))
    noise = float(noise_variance.sum())
    # The sum of the squares of N readings scatters by (2 / N)^0.5 of itself.
    left = float(((seen - np.stack(predicted)) ** 2).sum()) - noise * (1 + SIGMAS * (2 / seen.size) ** 0.5)
    structure = float(((seen - seen.mean(axis=(1, 2), keepdims=True)) ** 2).sum())
    residual = (max(left, 0.0) / structure) ** 0.5
    share = (noise / structure) ** 0.5
    return TargetFit(np.zeros(2), 0.0, np.array(gains), np.array(offsets), np.stack(predicted), residual, share)


def readout_of(operator: LenslessOperator, seen: Array, noise_variance: Array, picture: Array) -> Orientation:
    """What the read-out does to images: as such a picture the target is predicted best; upright where it is not
    clear."""
    square = picture.shape[1] == picture.shape[2] and seen.shape[1] == seen.shape[2]
    left = {
        one: fit_target(operator, seen, noise_variance, one.apply(picture)).relative_residual
        for one in ORIENTATIONS
        if square or not one.transpose
    }
    best = min(left, key=lambda one: left[one])
    return best if left[best] < CLEARER * left[Orientation()] else Orientation()


@dataclass(frozen=True)
class Resemblance:
    """A fault that would explain the target: in words, and what it would leave."""

    fault: FaultName
    text: str
    relative_residual: float


def resemblances(
    operator: LenslessOperator, seen: Array, noise_variance: Array, picture: Array, found: TargetFit
) -> list[Resemblance]:
    """Faults by what they would leave, the least first."""
    place = np.append(found.shift_px, found.growth * max(picture.shape[1:]) / 2)

    def left(changed: LenslessOperator, drawn: Array, more: tuple[Array, ...] = ()) -> float:
        return _levels(changed, seen, noise_variance, drawn, place, more).relative_residual

    tried = [Resemblance("stray-light", "light from beside the scene", left(operator, picture, _slow(seen.shape[1:])))]
    if operator.channels > 1:
        swapped = min(left(replace(operator, psf=operator.psf[::-1]), picture), left(operator, picture[::-1]))
        tried.append(Resemblance("swapped-channels", "the first and the last channel exchanged", swapped))
    turned = [replace(operator, psf=_turned(operator.psf, degrees)) for degrees in ROTATIONS_DEG]
    turn = min(left(one, picture) for one in turned)
    tried.append(Resemblance("stale-point", "a mask that was turned since its point source was captured", turn))
    return sorted(tried, key=lambda one: one.relative_residual)


def _turned(psf: Array, degrees: float) -> Array:
    """A PSF (C, p, q) turned about its middle."""
    rows, columns = centred(psf.shape)
    back = np.linalg.inv(turned(degrees))
    middle = (np.array(psf.shape[1:]) - 1) / 2
    places = [back[axis, 0] * rows + back[axis, 1] * columns + middle[axis] for axis in (0, 1)]
    return np.stack([map_coordinates(plane, places, order=3, mode="grid-constant", cval=0.0) for plane in psf])


def _slow(size: tuple[int, ...]) -> tuple[Array, ...]:
    """Lights that change over the whole sensor (h, w)."""
    rows, columns = centred(size)
    down, right = rows / size[0], columns / size[1]
    return down, right, down**2, right**2, down * right

"""The white target: what a calibrated operator predicts of it, what it leaves, and which fault that resembles.

How well the operator fits a scene says little, for a wrong mask can fit better than the right one; a white target of
known lamp spectrum leaves nothing to be fitted but brightness and an offset.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, shift

from cidesign import progress
from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.cassi.optics import Array, corner_weight, turn_scale
from cidesign.checks import FaultName

LIT_SHARE = 0.02
# How far from the code's image the detector must be dark, in pixels of the model.
BESIDE_PX = 2.0
MAX_SHIFT_PX = 10
SHIFT_ROUNDS, ROUGH_ROUNDS = 4, 2
ROTATIONS_DEG = np.arange(-6.0, 6.01, 0.5)
STEPS_PERCENT = np.arange(-32.0, 32.1, 2.0)
# A fault with more freedom must explain this much more than one with less.
FREEDOM_COST = 0.93
# The middle of a large detector is enough to know a fault by.
SEARCH_PX = 160


class Explained(NamedTuple):
    """A prediction `gain * predicted + offset` of a white target, and the share of its structure that it leaves."""

    relative_residual: float
    gain: float
    offset: float


class Resemblance(NamedTuple):
    """A fault that would explain the white target: in words, and the relative residual that it would leave."""

    fault: FaultName
    text: str
    relative_residual: float


@dataclass(frozen=True)
class WhiteTarget:
    """A white target `y` (h, w) where it is `valid`, and the operator that should predict it."""

    operator: CassiOperator
    y: Array
    valid: NDArray[np.bool_]

    @property
    def bands(self) -> int:
        """L."""
        return len(self.operator.response)

    def predicted(self) -> Array:
        """The operator's image (h, w) of a white scene."""
        return self.operator.predict(np.ones_like(self.operator.masks))

    def through_open_code(self) -> Array:
        """The image (h, w) of a white scene without a mask inside the code's borders."""
        opened = replace(self.operator, masks=np.ones_like(self.operator.masks))
        return opened.predict(opened.masks)

    def lit(self, open_image: Array) -> NDArray[np.bool_]:
        """Valid pixels that light reaches."""
        lit: NDArray[np.bool_] = self.valid & (open_image > LIT_SHARE * self.operator.response.sum())
        return lit

    def beside(self, open_image: Array) -> NDArray[np.bool_]:
        """Valid pixels well beside the code's image, where the plate is opaque."""
        away: NDArray[np.bool_] = self.valid & (distance_transform_edt(open_image < 1e-9) > BESIDE_PX)
        return away

    def explained(self, predicted: Array, open_image: Array, lit: NDArray[np.bool_]) -> Explained:
        """Fit gain and offset where it is `lit`.

            relative_residual = |y - gain predicted - offset| / |y - a open - b|

        `open`: the same without a mask, fitted alike, so that the denominator is the structure that the mask gives.
        """
        residual, (gain, offset) = _fitted(self.y[lit], [predicted[lit]])
        bare, _ = _fitted(self.y[lit], [open_image[lit]])
        return Explained(_norm(residual) / max(_norm(bare), 1e-300), float(gain), float(offset))


def _fitted(y: Array, images: list[Array]) -> tuple[Array, Array]:
    basis = np.stack([*images, np.ones_like(y)], axis=1)
    coefficients = np.linalg.lstsq(basis, y, rcond=None)[0]
    return np.asarray(y - basis @ coefficients), np.asarray(coefficients, dtype=np.float64)


def _norm(values: Array) -> float:
    return float(np.sqrt((values**2).sum()))


def lamp_slope_percent(target: WhiteTarget, predicted: Array, lit: NDArray[np.bool_]) -> tuple[float, float]:
    """How much more slope than recorded the lamp has, from end to end of the bands, and its standard error, percent.

    A slope of the bands' light enters the image linearly and is fitted with gain and offset.
    """
    operator = target.operator
    position = np.linspace(-0.5, 0.5, target.bands)
    tilted = replace(operator, response=operator.response * position)
    slope_image = tilted.predict(np.ones_like(operator.masks))
    basis = np.stack([predicted[lit], slope_image[lit], np.ones(int(lit.sum()))], axis=1)
    normal = np.linalg.pinv(basis.T @ basis)
    coefficients = normal @ (basis.T @ target.y[lit])
    left = target.y[lit] - basis @ coefficients
    error = float(np.sqrt(normal[1, 1] * np.mean(left**2)))
    return 100 * float(coefficients[1] / coefficients[0]), 100 * error / abs(float(coefficients[0]))


def resemblances(target: WhiteTarget) -> list[Resemblance]:
    """What each fault, at its best strength, would leave; the most convincing first."""
    target = _middle(target)
    open_image = target.through_open_code()
    lit = target.lit(open_image)
    predicted = target.predicted()
    search = _Search(target, open_image, lit)
    searches: list[tuple[int, Callable[[], Resemblance]]] = [
        (1, search.inversion),
        (1, lambda: search.lamp(predicted)),
        (1, lambda: search.corners(predicted)),
        (2, lambda: search.shifted(predicted)),
        (2, lambda: search.mirrored(2, "left and right")),
        (2, lambda: search.mirrored(1, "top and bottom")),
        (3, search.step),
        (3, search.rotation),
    ]
    tried = [(freedom, found()) for freedom, found in progress.steps("what is wrong", searches)]
    return [
        found for freedom, found in sorted(tried, key=lambda item: item[1].relative_residual / FREEDOM_COST ** item[0])
    ]


def _middle(target: WhiteTarget) -> WhiteTarget:
    operator, cut = middle_of(target.operator)
    return WhiteTarget(operator, target.y[cut], target.valid[cut])


def middle_of(operator: CassiOperator) -> tuple[CassiOperator, tuple[slice, slice]]:
    """Rows and columns around the middle, where an image is so large that a search would take long: the operator for
    them, and which they are."""
    height, width = operator.size
    top, left = max(0, (height - SEARCH_PX) // 2), max(0, (width - SEARCH_PX) // 2)
    size = (min(height, SEARCH_PX), min(width, SEARCH_PX))
    matrices = operator.to_code.copy()
    matrices[:, :, 2] += matrices[:, :, :2] @ np.array([top, left], dtype=np.float64)
    cut = (slice(top, top + size[0]), slice(left, left + size[1]))
    return replace(operator, to_code=matrices, size=size), cut


class _Search:
    """Tries one kind of fault after the other on the same white target."""

    def __init__(self, target: WhiteTarget, open_image: Array, lit: NDArray[np.bool_]) -> None:
        self.target, self.open_image, self.lit = target, open_image, lit
        self.bare = _norm(_fitted(target.y[lit], [open_image[lit]])[0])

    def _left(self, images: list[Array]) -> tuple[float, Array]:
        residual, coefficients = _fitted(self.target.y[self.lit], [image[self.lit] for image in images])
        return _norm(residual) / max(self.bare, 1e-300), coefficients

    def _predict(self, operator: CassiOperator) -> Array:
        return operator.predict(np.ones_like(operator.masks))

    def inversion(self) -> Resemblance:
        operator = self.target.operator
        image = self._predict(replace(operator, masks=1 - operator.masks))
        left, _ = self._left([image])
        return Resemblance("inversion", "clear and opaque exchanged on the plate", left)

    def lamp(self, predicted: Array) -> Resemblance:
        slope, _ = lamp_slope_percent(self.target, predicted, self.lit)
        operator = self.target.operator
        tilt = 1 + 0.01 * slope * np.linspace(-0.5, 0.5, self.target.bands)
        left, _ = self._left([self._predict(replace(operator, response=operator.response * tilt))])
        return Resemblance("wrong-lamp", f"a lamp with {slope:+.0f} % more slope than was recorded", left)

    def corners(self, predicted: Array) -> Resemblance:
        weight = corner_weight(self.target.operator.size)
        left, (gain, slope, _) = self._left([predicted, predicted * weight])
        return Resemblance("gain-map", f"{-100 * slope / gain:+.0f} % of light missing in the corners", left)

    def shifted(self, predicted: Array) -> Resemblance:
        left, (down, right) = self._aligned(predicted)
        text = f"the mask's image {_way(down, 'down', 'up')} and {_way(right, 'to the right', 'to the left')}"
        return Resemblance("shift", text, left)

    def mirrored(self, axis: int, words: str) -> Resemblance:
        operator = self.target.operator
        image = self._predict(replace(operator, masks=np.flip(operator.masks, axis=axis)))
        left, _ = self._aligned(image)
        return Resemblance("mirror", f"{words} of the mask exchanged", left)

    def rotation(self) -> Resemblance:
        operator = self.target.operator
        centre = (np.array(operator.masks.shape[1:]) - 1) / 2

        def turned(degrees: float) -> CassiOperator:
            back = turn_scale(-degrees, 1.0)
            matrices = np.stack(
                [np.column_stack([back @ m[:, :2], back @ (m[:, 2] - centre) + centre]) for m in operator.to_code]
            )
            return replace(operator, to_code=matrices)

        left, degrees = self._scanned(turned, ROTATIONS_DEG)
        return Resemblance("rotation", f"the mask turned by {degrees:+.2f} degrees clockwise", left)

    def step(self) -> Resemblance:
        operator = self.target.operator
        centre = (np.array(operator.size) - 1) / 2
        places = np.stack([m[:, :2] @ centre + m[:, 2] for m in operator.to_code])

        def stretched(percent: float) -> CassiOperator:
            matrices = operator.to_code.copy()
            matrices[:, :, 2] += 0.01 * percent * (places - places.mean(axis=0))
            return replace(operator, to_code=matrices)

        left, percent = self._scanned(stretched, STEPS_PERCENT)
        return Resemblance("wrong-step", f"a dispersion {percent:+.1f} % of the calibrated one", left)

    def _scanned(self, change: Callable[[float], CassiOperator], amounts: Array) -> tuple[float, float]:
        """The best of `amounts`, then half steps around it; each is aligned before it is compared."""
        scores = {
            float(amount): self._aligned(self._predict(change(float(amount))), ROUGH_ROUNDS)[0] for amount in amounts
        }
        step = float(amounts[1] - amounts[0])
        best = min(scores, key=lambda amount: scores[amount])
        for _ in range(5):
            step /= 2
            for amount in (best - step, best + step):
                scores[amount] = self._aligned(self._predict(change(amount)))[0]
            best = min(scores, key=lambda amount: scores[amount])
        return scores[best], best

    def _aligned(self, predicted: Array, rounds: int = SHIFT_ROUNDS) -> tuple[float, tuple[float, float]]:
        """Shift a prediction for the best fit: whole pixels by correlation, the rest by least squares."""
        place = self._whole_shift(predicted)
        best, best_place = self._left([predicted])[0], np.zeros(2)
        for _ in range(rounds):
            image = shift(predicted, place, order=3, mode="constant")
            down, right = np.gradient(image)
            left = self._left([image])[0]
            if left < best:
                best, best_place = left, place.copy()
            _, (gain, by_row, by_column, _) = self._left([image, down, right])
            move = -np.array([by_row, by_column]) / gain if gain else np.zeros(2)
            place = place + np.clip(move, -0.7, 0.7)
            if np.abs(place).max() > MAX_SHIFT_PX + 1:
                break
        return best, (float(best_place[0]), float(best_place[1]))

    def _whole_shift(self, predicted: Array) -> Array:
        """The shift in whole pixels, up to 10, at which a prediction correlates best with the white target."""
        lit = self.lit
        seen = np.where(lit, self.target.y - self.target.y[lit].mean(), 0.0)
        structure = np.where(predicted > 0, predicted - predicted[lit].mean(), 0.0)
        size = [2 * length for length in seen.shape]
        product = np.fft.rfft2(seen, size) * np.conj(np.fft.rfft2(structure, size))
        score = np.fft.irfft2(product, size)
        near = np.roll(score, (MAX_SHIFT_PX, MAX_SHIFT_PX), axis=(0, 1))[: 2 * MAX_SHIFT_PX + 1, : 2 * MAX_SHIFT_PX + 1]
        row, column = np.unravel_index(int(near.argmax()), near.shape)
        return np.array([row - MAX_SHIFT_PX, column - MAX_SHIFT_PX], dtype=np.float64)


def _way(pixels: float, positive: str, negative: str) -> str:
    return f"{abs(pixels):.2f} code pixels {positive if pixels >= 0 else negative}"

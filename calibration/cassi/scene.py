"""The mask in the image of a scene: does a capture without a white target still show the operator as calibrated?

A scene is seen through the mask, so its image is the mask's pattern in every band, times something smooth:

    y(q) = sum_jc w_jc g_c(q) sum_k h_j(k) response_k B[masks_k](T_k q),   w_jc >= 0

with h_j few functions of the wavelength and g_c cells of the image.  The right operator explains most of an image's
fine structure, one that stands otherwise than told explains no more than chance does.  The part explained is

    1 - (|y - fit|^2 - noise) / (|y|^2 - noise),

both sides less their local mean.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import nnls

from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.calibration.cassi.optics import Array, turn_scale
from cidesign.calibration.cassi.place.orient import Mounting
from cidesign.checks import FaultName
from cidesign.orientation import ORIENTATIONS

# The local mean, in pixels of the model: wider than a code pixel, narrower than most objects.
LOCAL_PX = 1.5
# Functions of the wavelength: two tell the step of the dispersion, more let a spectrum stand for another step.
SMOOTH, FREE = 2, 8
# Cells along a side of the image: of 8 pixels, at most 6.
CELL_PX, MOST_CELLS = 8, 6
# Keeps weights of cells without light finite.
RIDGE = 1e-4
# Whole shifts that are looked for, and how many of the likeliest are tried.
MOST_SHIFT_PX, CANDIDATES = 10, 3
SHIFTS_PX = (-0.9, -0.7, -0.5, -0.3, 0.3, 0.5, 0.7, 0.9)
TURNS_DEG = (-4.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
STEPS_PERCENT = (-32.0, -24.0, -18.0, -12.0, -8.0, -4.0, 4.0, 8.0, 12.0, 18.0, 24.0, 32.0)


class Stand(NamedTuple):
    """How the mask may stand against its calibration, `amount` in the unit of the fault, and the part it explains."""

    fault: FaultName
    text: str
    amount: float
    explained: float


@dataclass(frozen=True)
class SceneImage:
    """Readings y (h, w) of a scene with their variances, and the pixels (h, w) that hold and that light can reach."""

    operator: CassiOperator
    y: Array
    variance: Array
    lit: NDArray[np.bool_]

    @cached_property
    def signal_over_noise(self) -> float:
        """Energy of the fine structure above its noise, over that of the noise; -1 where nothing is lit."""
        return self._energy / max(self._noise, 1e-300) - 1 if self.lit.any() else -1.0

    @cached_property
    def spread_px(self) -> float:
        """Over how many pixels the fine structure is spread: (sum z^2)^2 / sum z^4."""
        return self._energy**2 / max(float((self._structure**4).sum()), 1e-300)

    @cached_property
    def told(self) -> float:
        """The part that the operator explains as it was calibrated."""
        return self.explained(self.operator)

    @cached_property
    def told_freely(self) -> float:
        """The same where spectra need not be smooth."""
        return self.explained(self.operator, FREE)

    def explained(self, operator: CassiOperator, functions: int = SMOOTH) -> float:
        """The part of the fine structure that an operator explains, at most 1."""
        columns = self._fine(self._columns(operator, functions))[:, self.lit].T
        normal = columns.T @ columns
        normal[np.diag_indices(len(normal))] += RIDGE * np.trace(normal) / len(normal) + 1e-300
        lower = np.linalg.cholesky(normal)
        weights, _ = nnls(lower.T, np.linalg.solve(lower, columns.T @ self._structure), maxiter=30 * len(normal))
        left = float(((self._structure - columns @ weights) ** 2).sum())
        return 1 - max(left - self._noise, 0.0) / max(self._energy - self._noise, 1e-300)

    def turned_over(self) -> list[Stand]:
        """The mask in all other orientations and in the other polarity, in its place."""
        return [stand_of(one, self.explained(operator)) for one, operator in self._mountings() if not one.as_drawn]

    def shifted(self) -> list[Stand]:
        """The mask in all orientations and polarities, moved to where whole pixels of shift fit best."""
        found = []
        for mounting, operator in self._mountings():
            for by in self._places(operator):
                stand = stand_of(mounting, self.explained(moved(operator, by)))
                found.append(stand._replace(amount=float(np.hypot(*by)), text=_moved_words(stand.text, by)))
        return found

    def across(self) -> Stand:
        """The mask shifted by less than a pixel across the dispersion; along it, a spectrum does the same."""
        places = self.operator.to_code[:, :, 2]
        axis = 1 - int(np.abs(places[-1] - places[0]).argmax())
        step = np.eye(2)[axis]
        best, explained = self._best(lambda px: moved(self.operator, px * step), SHIFTS_PX)
        way = ("down", "up") if axis == 0 else ("to the right", "to the left")
        text = f"the mask's image shifted by about {abs(best):.1f} code pixels {way[best < 0]}"
        return Stand("shift", text, best, explained)

    def rotated(self) -> Stand:
        """The mask turned about its centre."""
        best, explained = self._best(lambda degrees: _rotated(self.operator, degrees), TURNS_DEG)
        return Stand("rotation", f"the mask turned by about {best:+.1f} degrees clockwise", best, explained)

    def stretched(self) -> Stand:
        """Another step of the dispersion."""
        best, explained = self._best(lambda percent: _stretched(self.operator, percent), STEPS_PERCENT)
        return Stand("wrong-step", f"a dispersion about {best:+.0f} % of the calibrated one", best, explained)

    def _best(self, change: Callable[[float], CassiOperator], amounts: tuple[float, ...]) -> tuple[float, float]:
        tried = {amount: self.explained(change(amount)) for amount in amounts}
        best = max(tried, key=lambda amount: tried[amount])
        return best, tried[best]

    def _mountings(self) -> list[tuple[Mounting, CassiOperator]]:
        """All 16 ways to put the plate in that leave the mask its shape; the calibrated one first."""
        masks, found = self.operator.masks, []
        for one in ORIENTATIONS:
            seen = np.stack([one.apply(mask) for mask in masks])
            if seen.shape != masks.shape:
                continue
            for inverted in (False, True):
                operator = replace(self.operator, masks=np.float32(1) - seen if inverted else seen)
                found.append((Mounting(one, inverted), operator))
        return sorted(found, key=lambda pair: not pair[0].as_drawn)

    def _places(self, operator: CassiOperator) -> list[Array]:
        """The likeliest whole shifts: where the image correlates best with that of a grey scene."""
        structure = np.zeros(self.y.shape)
        structure[self.lit] = self._structure
        grey = operator.band_images().sum(axis=0)
        seen = self._fine(grey[None])[0]
        height, width = self.y.shape
        size = (2 * height, 2 * width)
        score = np.fft.irfft2(np.fft.rfft2(structure, size) * np.conj(np.fft.rfft2(seen, size)), size)
        reach = 2 * MOST_SHIFT_PX + 1
        near = np.roll(score, (MOST_SHIFT_PX, MOST_SHIFT_PX), axis=(0, 1))[:reach, :reach]
        best = np.argsort(near, axis=None)[::-1][:CANDIDATES]
        return [np.array(np.unravel_index(place, near.shape), dtype=np.float64) - MOST_SHIFT_PX for place in best]

    @cached_property
    def _structure(self) -> Array:
        """The lit readings less their local mean, (M,)."""
        return np.asarray(self._fine(self.y[None])[0][self.lit])

    @cached_property
    def _energy(self) -> float:
        return float((self._structure**2).sum())

    @cached_property
    def _noise(self) -> float:
        """What independent noise leaves of its energy when the local mean is taken off."""
        spike = np.zeros((41, 41))
        spike[20, 20] = 1.0
        return float(((spike - gaussian_filter(spike, LOCAL_PX)) ** 2).sum() * self.variance[self.lit].sum())

    def _fine(self, images: Array) -> Array:
        """Images (M, h, w) less their local mean over the lit pixels, 0 elsewhere."""
        weight = gaussian_filter(self.lit.astype(np.float64), LOCAL_PX, mode="nearest")
        smooth = gaussian_filter(images * self.lit, LOCAL_PX, mode="nearest", axes=(1, 2))
        return np.asarray(np.where(self.lit, images - smooth / np.maximum(weight, 1e-6), 0.0))

    def _columns(self, operator: CassiOperator, functions: int) -> Array:
        """What each function of the wavelength adds in each cell, (J C, h, w)."""
        bands = operator.band_images()
        mixed = np.tensordot(hats(len(bands), min(functions, len(bands))), bands, 1)
        cells = [self._cells(axis) for axis in (0, 1)]
        return np.asarray(np.einsum("jhw,ah,bw->jabhw", mixed, *cells).reshape(-1, *self.y.shape))

    def _cells(self, axis: int) -> Array:
        """Hat functions (C, size) along an axis, over the lit pixels."""
        used = np.flatnonzero(self.lit.any(axis=1 - axis))
        count = min(max(2, round(len(used) / CELL_PX) + 1), MOST_CELLS)
        cells = np.zeros((count, self.y.shape[axis]))
        cells[:, used] = hats(len(used), count)
        return cells


def hats(length: int, count: int) -> Array:
    """Piecewise linear functions (count, length) that add up to 1."""
    place = np.linspace(0, count - 1, length)
    return np.asarray(np.maximum(1 - np.abs(place - np.arange(count)[:, None]), 0.0))


def stand_of(mounting: Mounting, explained: float) -> Stand:
    """A plate that was put in otherwise than at the calibration."""
    if mounting.fault is None:
        return Stand("shift", "", 0.0, explained)
    text = "clear and opaque exchanged" if mounting.fault == "inversion" else f"the plate {mounting.text}"
    return Stand(mounting.fault, text, 0.0, explained)


def _moved_words(text: str, by: Array) -> str:
    down, right = (int(value) for value in by)
    moved = f"the mask's image {down:+d} code pixels down and {right:+d} to the right"
    return f"{text}, {moved}" if text else moved


def moved(operator: CassiOperator, by: Array) -> CassiOperator:
    """The operator with its image shifted by (down, right) pixels."""
    matrices = operator.to_code.copy()
    matrices[:, :, 2] -= matrices[:, :, :2] @ by
    return replace(operator, to_code=matrices)


def _rotated(operator: CassiOperator, degrees: float) -> CassiOperator:
    centre = (np.array(operator.masks.shape[1:]) - 1) / 2
    back = turn_scale(-degrees, 1.0)
    turned = [np.column_stack([back @ m[:, :2], back @ (m[:, 2] - centre) + centre]) for m in operator.to_code]
    return replace(operator, to_code=np.stack(turned))


def _stretched(operator: CassiOperator, percent: float) -> CassiOperator:
    centre = (np.array(operator.size) - 1) / 2
    places = np.stack([m[:, :2] @ centre + m[:, 2] for m in operator.to_code])
    matrices = operator.to_code.copy()
    matrices[:, :, 2] += 0.01 * percent * (places - places.mean(axis=0))
    return replace(operator, to_code=matrices)

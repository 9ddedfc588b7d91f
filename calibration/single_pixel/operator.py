"""The calibrated single-pixel operator: the designed patterns as they lie on the scene, and the light they get.

A mirror pattern P is seen on the scene's grid as W P, with W the bilinear sampling of the super-pixels at

    q = c + R(rotation)^-1 (p - c - shift),       p, q: (row, column) of super-pixel centres, c: the middle of the field

after it was turned by one of 8 orientations; the scene is dark outside its grid.  With the illumination g the reading
of a frame is S mean((W P) g x).  Overlapping unit squares weigh just so for shifts, and nearly so for small turns.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from cidesign.calibration.interpolation import bilinear
from cidesign.calibration.polynomials import smooth_fields
from cidesign.orientation import Orientation
from cidesign.pattern import Encoding, PatternStack

AS_DESIGNED = Orientation()
# Illuminations are smooth: polynomials of this total degree in x and y, in [-1, 1] over the field.
LIGHT_DEGREE = 4
PATTERNS_AT_ONCE = 256


@dataclass(frozen=True)
class Placement:
    """How the patterns lie on the scene: clockwise turn, and shift downwards and to the right."""

    rotation_deg: float = 0.0
    down_px: float = 0.0
    right_px: float = 0.0
    orientation: Orientation = AS_DESIGNED

    def sampling(self, side: int) -> "csr_matrix":
        """W (n*n, n*n) without the orientation: row p holds the weights of the super-pixels seen at scene pixel p."""
        return _sampling(self.rotation_deg, self.down_px, self.right_px, side)

    def seen(self, patterns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Patterns (K, n, n) on the scene's grid, W P."""
        count, side, _ = patterns.shape
        if self == Placement():
            return patterns
        turned = self.orientation.apply(patterns).reshape(count, -1)
        sampled: NDArray[np.float64] = (self.sampling(side) @ turned.T).T
        return sampled.reshape(patterns.shape)

    def gathered(self, images: NDArray[np.float64]) -> NDArray[np.float64]:
        """The adjoint, W^T f for images (M, n, n) or (n, n): sum (W P) f = sum P (W^T f)."""
        side = images.shape[-1]
        flat = images.reshape(-1, side * side)
        taken: NDArray[np.float64] = (self.sampling(side).T @ flat.T).T.reshape(-1, side, side)
        back = self.orientation.inverse.apply(taken)
        return back.reshape(images.shape)


# A fit asks for one place several times in a row: for the field, for each target, and for its orientations.
@lru_cache(maxsize=2)
def _sampling(rotation_deg: float, down_px: float, right_px: float, side: int) -> "csr_matrix":
    row, column = np.mgrid[:side, :side].astype(np.float64)
    centre, angle = (side - 1) / 2, np.deg2rad(rotation_deg)
    down, right = row - centre - down_px, column - centre - right_px
    # Image axes point right and down, so a clockwise turn takes (right, down) to (c r - s d, s r + c d).
    q_row = centre - np.sin(angle) * right + np.cos(angle) * down
    q_column = centre + np.cos(angle) * right + np.sin(angle) * down
    return bilinear(q_row.ravel(), q_column.ravel(), (side, side))


def of_polarity(signed: NDArray[np.float64], polarity: int, encoding: Encoding) -> NDArray[np.float64]:
    """The weights (K, n, n) of patterns whose on and off mirrors are exchanged where `polarity` is -1.

    Of patterns that are measured as shown, 1 less the weight is left; what is a difference changes its sign.
    """
    if polarity > 0:
        return signed
    return 1.0 - signed if encoding == "as-shown" else -signed


def light_basis(side: int) -> NDArray[np.float64]:
    """What an illumination is made of (M, n, n), the first one constant."""
    return smooth_fields((side, side), LIGHT_DEGREE)


@dataclass(frozen=True)
class SpcOperator:
    """Where the patterns lie and what light they get.

    `illumination` (n, n) > 0, mean 1 over the scene; `polarity` -1 where on and off are exchanged.  The errors are
    standard errors: of the turn, of both shifts, and of the illumination (the same everywhere, relative).
    `fitted`: whether a known card showed where the patterns lie; otherwise they are taken to lie as designed.
    """

    placement: Placement
    polarity: int
    illumination: NDArray[np.float64]
    rotation_error_deg: float
    shift_error_px: float
    light_error: float
    fitted: bool

    @classmethod
    def as_designed(cls, side: int) -> "SpcOperator":
        """The design on an evenly lit scene, nothing known of its errors."""
        return cls(Placement(), 1, np.ones((side, side)), 0.0, 0.0, 0.0, False)

    @property
    def all_on(self) -> NDArray[np.float64]:
        """The light on the scene (n, n) with all mirrors on, in units of the illumination."""
        side = self.illumination.shape[0]
        field: NDArray[np.float64] = self.placement.seen(np.ones((1, side, side)))[0] * self.illumination
        return field

    @property
    def peak_over_mean(self) -> float:
        """The brightest pixel of an all-on white frame over their mean: what scales S to patterns within [-1, 1]."""
        field = self.all_on
        return float(field.max() / field.mean())

    def signed(self, design: PatternStack) -> NDArray[np.float32]:
        """The patterns (K, n, n) that the scene is multiplied with, within [-1, 1]: W phi g / max(W 1 g)."""
        brightest, found = self.all_on.max(), design.signed()
        # Some at a time: in double precision all of them can take gigabytes.
        for first in range(0, len(found), PATTERNS_AT_ONCE):
            part = slice(first, first + PATTERNS_AT_ONCE)
            weights = of_polarity(found[part].astype(np.float64), self.polarity, design.encoding)
            found[part] = self.placement.seen(weights) * self.illumination / brightest
        return found

    def draw(self, rng: np.random.Generator) -> "SpcOperator":
        """Another operator that the calibration captures do not exclude: one draw from the standard errors."""
        turn, down, right = rng.normal(size=3)
        placement = replace(
            self.placement,
            rotation_deg=self.placement.rotation_deg + turn * self.rotation_error_deg,
            down_px=self.placement.down_px + down * self.shift_error_px,
            right_px=self.placement.right_px + right * self.shift_error_px,
        )
        basis = light_basis(self.illumination.shape[0])[1:]
        change = np.tensordot(rng.normal(size=len(basis)), basis, axes=1) * self.light_error / len(basis) ** 0.5
        return replace(self, placement=placement, illumination=self.illumination * np.maximum(1 + change, 0.01))

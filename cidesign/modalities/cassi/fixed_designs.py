"""Fixed coded apertures: random and blue-noise masks, as drawn or made feasible for a process."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from cidesign.constraints.aperture import MinimumFeature
from cidesign.errors import InputError
from cidesign.models.mask_relax import cells_shape, enlarge, feasible
from cidesign.pattern import ApertureMask, Design

if TYPE_CHECKING:
    from cidesign.modalities.cassi.optics import CassiOptics

Mask = NDArray[np.uint8]

# Ulichney's filter: a Gaussian of this deviation, here cut where it is below 2e-8 of its peak.
SIGMA_PX = 1.5
WINDOW_PX = 19
FIRST_FRACTION = 0.1
# Densities closer than this are equal: rounding must not move pixels for ever.
SAME_DENSITY = 1e-9


def random_mask(height: int, width: int, seed: int, fraction: float = 0.5) -> Mask:
    """A random mask (height, width) of 1 (open) and 0, with exactly floor(fraction H W + 1/2) open pixels.

    Raises `InputError` when that leaves no pixel open or none closed.
    """
    count = _open_pixels(height, width, fraction)
    return _scatter(height, width, count, np.random.default_rng([seed, height, width]))


def blue_noise_mask(height: int, width: int, seed: int) -> Mask:
    """A mask (height, width) with floor(H W / 2 + 1/2) open pixels spread evenly, by void-and-cluster; periodic.

    A tenth of the pixels open at random; the one in the tightest cluster moves to the largest void until that is where
    it came from; then largest voids open until half are open.  Source: Ulichney, "The void-and-cluster method for
    dither array generation", Proc. SPIE 1913 (1993), with a Gaussian of 1.5 pixels.  Raises `InputError` when
    there are fewer than two pixels.
    """
    wanted = _open_pixels(height, width, 0.5)
    first = min(wanted, max(1, math.floor(FIRST_FRACTION * height * width)))
    start = _scatter(height, width, first, np.random.default_rng([seed, height, width]))
    pattern = _Spread(start, corner_contacts=True)
    pattern.even_out()
    pattern.fill_to(wanted)
    return pattern.mask()


def feasible_random_mask(rule: MinimumFeature, height: int, width: int, seed: int) -> Mask:
    """A random mask (height, width) that the process can make: cells of equal chance, corner contacts resolved.

    About half of it is open; resolving contacts moves that by about one percent.  Raises `InputError` when
    the mask is smaller than two cells a side.
    """
    return _enlarged(rule, _random_cells(rule, height, width, seed), height, width)


def feasible_blue_noise_mask(rule: MinimumFeature, height: int, width: int, seed: int) -> Mask:
    """A mask (height, width) that the process can make, evened out by void-and-cluster moves that keep it so.

    From a feasible random mask, cells first open or close until half of them are open, then move from the tightest
    cluster to the largest void for as long as that evens the density out.  Where the rule forbids corner contacts, only
    changes that make none are allowed, so that a small mask may stop a few cells from half.  Raises `InputError` when
    the mask is smaller than two cells a side.
    """
    cells = _random_cells(rule, height, width, seed)
    pattern = _Spread(cells, rule.corner_contacts)
    pattern.fill_to(_open_pixels(len(cells), len(cells[0]), 0.5))
    pattern.even_out()
    return _enlarged(rule, pattern.mask(), height, width)


def _random_cells(rule: MinimumFeature, height: int, width: int, seed: int) -> Mask:
    rows, columns = cells_shape(rule, height, width)
    if min(rows, columns) < 2:
        raise InputError(
            f"mask of {height} x {width} pixels: the smallest feature of {rule.profile_id} is {rule.cell_px} pixels, "
            f"so at least {2 * rule.cell_px} a side are needed"
        )
    weight = np.random.default_rng([seed, height, width]).random((rows, columns))
    return feasible(rule, torch.from_numpy(weight)).numpy().astype(np.uint8)


def _enlarged(rule: MinimumFeature, cells: Mask, height: int, width: int) -> Mask:
    return enlarge(rule, torch.from_numpy(cells).float(), height, width).numpy().astype(np.uint8)


def _open_pixels(height: int, width: int, fraction: float) -> int:
    pixels = height * width
    count = math.floor(fraction * pixels + 0.5) if math.isfinite(fraction) else 0
    if min(height, width) < 1 or not 0 < count < pixels:
        raise InputError(
            f"mask of {height} x {width} pixels with a share of {fraction:g} open: at least one pixel must be open and "
            "one closed, or nothing is coded"
        )
    return count


def _scatter(height: int, width: int, count: int, rng: np.random.Generator) -> Mask:
    mask = np.zeros(height * width, dtype=np.uint8)
    mask[rng.choice(len(mask), count, replace=False)] = 1
    return mask.reshape(height, width)


class _Spread:
    """A 0/1 pattern, its periodically filtered density, and where that is highest among 1 and lowest among 0.

    `keys[0]` is the density where a pixel may open, `keys[1]` minus the density where one may close, both infinite
    elsewhere; `least` holds the minimum of each of their rows, so that it is found without reading the whole array.
    """

    def __init__(self, mask: Mask, corner_contacts: bool) -> None:
        self.corner_contacts = corner_contacts
        height, width = mask.shape
        # Framed by its own border: a contact needs all four pixels of a block inside the mask.
        self.framed = np.pad(mask.astype(bool), 1, mode="edge")
        self.down, self.across = _offsets(height), _offsets(width)
        self.kernel = np.outer(_periodic_gaussian(height), _periodic_gaussian(width))
        self.density: NDArray[np.float64] = np.zeros((height, width))
        for row, column in np.argwhere(mask):
            self.density[np.ix_((row + self.down) % height, (column + self.across) % width)] += self.kernel
        self.keys = np.empty((2, height, width))
        self.least = np.empty((2, height))
        self._refresh(np.arange(height))

    def mask(self) -> Mask:
        """The pattern as it stands."""
        return self.framed[1:-1, 1:-1].astype(np.uint8)

    def even_out(self) -> None:
        """Move pixels from the tightest cluster to the largest void for as long as that lowers the density there."""
        while (crowded := self._lowest(1)) is not None:
            self._toggle(crowded)
            void = self._lowest(0)
            # Opening the same pixel again is always possible, so a void is always found.
            if void is None or self.density[void] > self.density[crowded] - SAME_DENSITY:
                self._toggle(crowded)
                return
            self._toggle(void)

    def fill_to(self, wanted: int) -> None:
        """Open the largest voids or close the tightest clusters until `wanted` are open, or no pixel may change."""
        missing = wanted - int(self.mask().sum())
        for _ in range(abs(missing)):
            place = self._lowest(0 if missing > 0 else 1)
            if place is None:
                return
            self._toggle(place)

    def _lowest(self, kind: int) -> tuple[int, int] | None:
        row = int(np.argmin(self.least[kind]))
        if np.isinf(self.least[kind, row]):
            return None
        return row, int(np.argmin(self.keys[kind, row]))

    def _toggle(self, place: tuple[int, int]) -> None:
        row, column = place
        height, width = self.density.shape
        rows, columns = (row + self.down) % height, (column + self.across) % width
        is_open = bool(self.framed[row + 1, column + 1])
        self.density[np.ix_(rows, columns)] += -self.kernel if is_open else self.kernel
        # The frame repeats the border: pixels 0 and 1 of the frame are one pixel of the mask.
        down = slice(row + (row > 0), row + 2 + (row == height - 1))
        across = slice(column + (column > 0), column + 2 + (column == width - 1))
        self.framed[down, across] = not is_open
        self._refresh(rows)

    def _refresh(self, rows: NDArray[np.intp]) -> None:
        density, mask = self.density[rows], self.framed[rows + 1, 1:-1]
        free = np.ones_like(mask) if self.corner_contacts else ~self._touching(rows)
        self.keys[0, rows] = np.where(free & ~mask, density, np.inf)
        self.keys[1, rows] = np.where(free & mask, -density, np.inf)
        self.least[:, rows] = self.keys[:, rows].min(axis=2)

    def _touching(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Where a change makes a corner contact: a block whose two sides equal the pixel, and whose corner does not."""
        above, same, below = (self.framed[rows + step] for step in range(3))
        here = same[:, 1:-1]
        left, right = same[:, :-2] == here, same[:, 2:] == here
        found = np.zeros_like(here)
        for other in (above, below):
            beside = other[:, 1:-1] == here
            found |= beside & left & (other[:, :-2] != here)
            found |= beside & right & (other[:, 2:] != here)
        return found


def _offsets(size: int) -> NDArray[np.intp]:
    """The offsets of the window, each pixel of a small torus once."""
    window = min(size, WINDOW_PX)
    return np.arange(window) - window // 2


def _periodic_gaussian(size: int) -> NDArray[np.float64]:
    """The Gaussian at `_offsets`, with its images one or more periods away."""
    images = np.arange(-math.ceil(WINDOW_PX / size), math.ceil(WINDOW_PX / size) + 1) * size
    distance = _offsets(size)[:, None] + images
    weight: NDArray[np.float64] = np.exp(-(distance**2) / (2 * SIGMA_PX**2)).sum(axis=1)
    return weight


def fixed_designs(optics: "CassiOptics", seed: int) -> dict[str, Design]:
    """Random and blue-noise masks that keep the rule of the profile."""
    profile = optics.profile
    masks = {
        "random 50 %": feasible_random_mask(optics.rule, *optics.mask_size, seed),
        "blue noise": feasible_blue_noise_mask(optics.rule, *optics.mask_size, seed),
    }
    return {
        name: ApertureMask(mask, profile.pixel_pitch_um.value, profile.id, profile.digest)
        for name, mask in masks.items()
    }

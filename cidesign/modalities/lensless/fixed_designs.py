"""Masks that nobody had to learn: random, MURA, separable m-sequence, Fresnel zone aperture, pinholes."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import max_len_seq

from cidesign.models.mask_relax import cells_shape, enlarge, feasible
from cidesign.pattern import ApertureMask, Design

if TYPE_CHECKING:
    from cidesign.modalities.lensless.optics import LenslessOptics

Plane = NDArray[np.float64]
FEWEST_ELEMENTS = 5
# Openings as wide as this are seen with most of their contrast wherever samples fall; those of one sample lose half.
# With the best linear estimate of procedural images, from a tenth to a hundred times the light of a full well, masks of
# 2 are 1 to 4 dB above those of 1; of 3 they are better still in little light, and worse in much.
ELEMENT_SAMPLES = 2.0
# The wider pinhole: the best of those of 1 to 4 samples in the light of a full well, in the same comparison.
WIDE_SAMPLES = 3.0


def fixed_designs(optics: "LenslessOptics", seed: int) -> dict[str, Design]:
    """Masks that keep the rule of the profile, by name."""
    profile = optics.profile
    return {
        name: ApertureMask(_made(optics, plane), profile.pixel_pitch_um.value, profile.id, profile.digest)
        for name, plane in planes(optics, seed).items()
    }


def planes(optics: "LenslessOptics", seed: int) -> dict[str, Plane]:
    """Values in [0, 1] of the cells of masks, by their names; above 1/2 they are open."""
    geometry, rule = optics.geometry, optics.rule
    shape = cells_shape(rule, *geometry.code)
    cell = rule.cell_px * geometry.code_pitch_um * geometry.magnification / geometry.sample_um
    element = max(cell, ELEMENT_SAMPLES)
    # Of a mosaic: what the shadow of one direction throws on the sensor; in cells, and in elements.
    period, elements = max(2, round(optics.settings.sensor_side / cell)), round(optics.settings.sensor_side / element)
    return {
        "random 50 %": scattered(shape, element / cell, seed),
        "MURA": mosaic(mura(nearest_prime(elements)), shape, period),
        "separable m-sequence": mosaic(separable(elements), shape, period),
        "Fresnel zone aperture": zone_aperture(shape, period, element / cell),
        "pinhole": pinhole(shape, 1 / cell),
        "wide pinhole": pinhole(shape, WIDE_SAMPLES / cell),
    }


def scattered(shape: tuple[int, int], element: float, seed: int) -> Plane:
    """Elements `element` cells wide, each with U[0, 1): half of them are open once they are rounded."""
    rows, columns = ((np.arange(count) / element).astype(int) for count in shape)
    values: Plane = np.random.default_rng([seed, *shape]).random((rows[-1] + 1, columns[-1] + 1))
    found: Plane = values[rows[:, None], columns]
    return found


def _made(optics: "LenslessOptics", plane: Plane) -> NDArray[np.uint8]:
    """The nearest mask that can be made to values in [0, 1] of its cells."""
    cells = feasible(optics.rule, torch.from_numpy(plane))
    levels: NDArray[np.uint8] = enlarge(optics.rule, cells, *optics.geometry.code).to(torch.uint8).numpy()
    return levels


def nearest_prime(count: int) -> int:
    """The prime nearest to a number, at least 5; the smaller of two."""
    for step in range(max(count, FEWEST_ELEMENTS)):
        for candidate in (count - step, count + step):
            if candidate >= FEWEST_ELEMENTS and all(candidate % d for d in range(2, int(candidate**0.5) + 1)):
                return candidate
    return FEWEST_ELEMENTS


def mura(prime: int) -> Plane:
    """The modified uniformly redundant array (p, p) of 1 and 0 for a prime p.

    0 in the first row, 1 in the rest of the first column, else 1 where C_i C_j = 1, with C_i = 1 for quadratic residues
    and -1 for others.  Its circular correlation with 2 a - 1, in which the element (0, 0) is made 1, is (p^2 - 1) / 2
    at one place and 0 elsewhere (Gottesman and Fenimore, Appl. Opt. 28, 4344 (1989)).
    """
    residues = {(k * k) % prime for k in range(1, prime)}
    signs = np.array([1 if k in residues else -1 for k in range(prime)])
    array: Plane = (np.outer(signs, signs) == 1).astype(np.float64)
    array[:, 0] = 1
    array[0] = 0
    return array


def mosaic(array: Plane, shape: tuple[int, int], period: int) -> Plane:
    """An array laid out again and again, each `period` cells wide, read at the middles of cells."""
    rows, columns = (
        ((np.arange(count) + 0.5) * size / period).astype(int) % size
        for count, size in zip(shape, array.shape, strict=True)
    )
    laid: Plane = array[rows[:, None], columns]
    return laid


def separable(elements: int) -> Plane:
    """(1 + a a^T) / 2 of an m-sequence a of 1 and -1: half of it is open, and less its mean it is separable.

    The sequence is the longest of at most so many elements, at least 3 (FlatCam: Asif et al., IEEE Trans. Comput.
    Imaging 3, 384 (2017)).  The shadow is separable as far as rays go.
    """
    sequence = 2 * max_len_seq(max(2, int(np.log2(elements + 1))))[0].astype(np.float64) - 1
    array: Plane = (1 + np.outer(sequence, sequence)) / 2
    return array


def zone_aperture(shape: tuple[int, int], radius: float, outermost: float) -> Plane:
    """1/2 + 1/2 cos(pi r^2 / r_1^2) within a radius from the middle, and 0 beyond it; all in cells.

    r_1 is that of the innermost zone (Wu et al., Light Sci. Appl. 9, 53 (2020)).  A zone at r is r_1^2 / (2 r) wide:
    r_1^2 = 2 radius outermost, for the width of the outermost zone.
    """
    rows, columns = ((np.arange(count) + 0.5 - count / 2) for count in shape)
    squared = rows[:, None] ** 2 + columns**2
    plane: Plane = 0.5 + 0.5 * np.cos(np.pi * squared / (2 * radius * outermost))
    plane[squared > radius**2] = 0
    return plane


def pinhole(shape: tuple[int, int], width: float) -> Plane:
    """One square opening in the middle, `width` cells wide, at least one."""
    side = max(1, round(width))
    plane = np.zeros(shape)
    top, left = ((count - side) // 2 for count in shape)
    plane[top : top + side, left : left + side] = 1
    return plane

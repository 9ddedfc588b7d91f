"""Procedural MR data: complex slices with the spectrum of real anatomy, and maps of receive coils.

A slice is an anatomy's magnitude (see `anatomy`) with texture, vessels and a bias field, times a phase (see `phase`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.virtual_coils import covariance_of, leading, strongest
from cidesign.errors import InputError
from cidesign.modalities.mri.data.anatomy import (
    CONTRAST_SPREAD,
    TEXTURE_LEVEL,
    TISSUES,
    WEIGHTINGS,
    Scene,
    head,
    limb,
    trunk,
)
from cidesign.modalities.mri.data.fields import Plane, noise_field, smooth_field, window
from cidesign.modalities.mri.data.phase import AIR, air_phase, is_gradient_echo, smooth_phase
from cidesign.modalities.mri.settings import Echo

SLICES_PER_CANVAS = 96
KINDS: tuple[Callable[[Scene], Plane], ...] = (head, trunk, limb)
KIND_PARTS = (0.6, 0.2, 0.2)
# The largest arrays sold have 64 channels, research arrays 128.
MOST_COILS = 128
LOOP_SEGMENTS = 32
# Of the energy of coil maps: what virtual coils may leave out.  Of 32 coils (64 lines, R of 4 and 8, 64 slices) the
# linear estimate then loses 0.02 dB, 0.006 dB with 0.01.
MAPS_LOST = 0.05
# Of the contrast of bright tissues, what gradient echoes leave (drawn evenly in the logarithm).
LOW_CONTRAST = (0.1, 1.0)
# float16 rounds by at most 2^-11 of a value: with this margin no stored magnitude exceeds 1.
ROUNDING_MARGIN = 1 - 2.0**-11


@dataclass(frozen=True)
class _Fields:
    """Periodic random fields of unit variance on one canvas, from which every slice takes its own windows."""

    bends: tuple[Plane, ...]
    folds: Plane
    blobs: Plane
    grain: Plane


def phantom_slices(count: int, side: int, seed: int, echo: Echo = "spin") -> NDArray[np.float16]:
    """`count` complex slices (count, 2, side, side) as real and imaginary part, the same ones for the same seed.

    The largest magnitude of every slice is 1 (to within the rounding of float16, and never above 1); outside the body
    the signal is exactly 0: noise is the encoder's.
    """
    slices = np.empty((count, 2, side, side), dtype=np.float16)
    fields = None
    for number in range(count):
        canvas, within = divmod(number, SLICES_PER_CANVAS)
        # From 1 on: a seed that ends in 0 is the same seed without it.
        rng = np.random.default_rng([seed, side, canvas, within + 1])
        if fields is None or not within:
            fields = _draw_fields(np.random.default_rng([seed, side, canvas]), 4 * side)
        magnitude = _magnitude(rng, fields, side)
        magnitude *= np.float32(ROUNDING_MARGIN) / magnitude.max()
        phase = smooth_phase(rng, fields.bends[2], side)
        if is_gradient_echo(rng, echo):
            magnitude = _of_low_contrast(rng, magnitude)
            phase += air_phase(rng, magnitude)
        slices[number, 0] = magnitude * np.cos(phase)
        slices[number, 1] = magnitude * np.sin(phase)
    return slices


def coil_maps(coils: int, side: int, seed: int, readout: int | None = None) -> NDArray[np.complex64]:
    """Receive sensitivities (coils, side, readout; None: as many) of loops around a field of view, sum |s|^2 = 1.

    The transverse field Bx - i By of a circular loop by the law of Biot and Savart, which is what a receive coil sees
    (Hoult, "The principle of reciprocity in signal strength calculations", Concepts Magn. Reson. 12, 2000).  The
    loops lie on a cylinder and are shifted along it, so that no wire crosses the slice.  Raises `InputError` for a
    number of coils that no array has.
    """
    if not 1 <= coils <= MOST_COILS:
        raise InputError(f"{coils} coils: 1 to {MOST_COILS} can be simulated")
    rng = np.random.default_rng([seed, side, coils, 7])
    cylinder = rng.uniform(1.2, 1.4)
    loop_radius = float(np.clip(np.pi * cylinder / coils * 1.3, 0.25, 0.8))
    width = side if readout is None else readout
    at, across = (
        (np.arange(count, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / count) - 1 for count in (side, width)
    )
    y, x = at.reshape(-1, 1), across.reshape(1, -1)
    angles = 2 * np.pi * (np.arange(coils) + rng.uniform(0, 1)) / coils + rng.normal(0, 0.15, coils) / coils
    maps = np.empty((coils, side, width), dtype=np.complex64)
    for coil, angle in enumerate(angles):
        reach = cylinder * rng.uniform(0.95, 1.05)
        along = rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 0.4)
        maps[coil] = _loop_field(x, y, angle, reach, loop_radius, along)
    maps *= np.exp(1j * rng.uniform(0, 2 * np.pi, (coils, 1, 1))).astype(np.complex64)
    maps /= np.sqrt((np.abs(maps) ** 2).sum(axis=0))
    return maps


@cache
def virtual_maps(coils: int, matrix: tuple[int, int], count: int | None) -> tuple[NDArray[np.complex64], float]:
    """`count` orthonormal combinations of simulated coils (count, N, n), and the share of the energy that they keep.

    None: as few as keep 95 % of it, and all of a few coils.
    """
    maps = coil_maps(coils, matrix[0], 0, matrix[1])
    covariance = covariance_of(maps)
    if count is None:
        found = strongest(covariance, MAPS_LOST)
    else:
        found = None if count == coils else leading(covariance, count)
    return (maps, 1.0) if found is None else (found.combine(maps), found.kept)


def _loop_field(x: Plane, y: Plane, angle: float, reach: float, radius: float, along: float) -> NDArray[np.complex64]:
    """Sum over straight segments of dl x r / |r|^3 at z = 0; the loop faces the axis and is `along` it in z."""
    turn = 2 * np.pi * (np.arange(LOOP_SEGMENTS) + 0.5) / LOOP_SEGMENTS
    across, up = radius * np.cos(turn), radius * np.sin(turn)
    d_across, d_up = -np.sin(turn), np.cos(turn)
    cosine, sine = np.cos(angle), np.sin(angle)
    field = np.zeros((y.size, x.size), dtype=np.complex64)
    for wire in range(LOOP_SEGMENTS):
        rx = x - np.float32(reach * cosine - across[wire] * sine)
        ry = y - np.float32(reach * sine + across[wire] * cosine)
        rz = np.float32(-along - up[wire])
        dx, dy, dz = (np.float32(value) for value in (-d_across[wire] * sine, d_across[wire] * cosine, d_up[wire]))
        strength = (rx * rx + ry * ry + rz * rz) ** np.float32(-1.5)
        field += strength * ((dy * rz - dz * ry) - np.complex64(1j) * (dz * rx - dx * rz))
    return field


def _draw_fields(rng: np.random.Generator, size: int) -> _Fields:
    smooth = tuple(smooth_field(rng, size) for _ in range(3))
    wobble = tuple(noise_field(rng, size, lambda f: np.exp(-((f / 5.0) ** 2))) for _ in range(2))
    folds = noise_field(rng, size, lambda f: np.exp(-(((f - 9) / 3.0) ** 2)))
    blobs = noise_field(rng, size, lambda f: np.exp(-(((f - 3.5) / 2.0) ** 2)))
    # Tissue texture without a scale of its own: power falls as 1/f^2 from the size of an organ on.
    grain = noise_field(rng, size, lambda f: 1 / np.hypot(f, 6.0))
    return _Fields((*smooth, *wobble), folds, blobs, grain)


def _magnitude(rng: np.random.Generator, fields: _Fields, side: int) -> Plane:
    tissue = WEIGHTINGS[rng.integers(0, len(WEIGHTINGS))] * np.exp(rng.normal(0, CONTRAST_SPREAD, len(TISSUES)))
    at = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / side) - 1
    shift = rng.normal(0, 0.03, 2).astype(np.float32)
    y, x = at.reshape(-1, 1) - shift[0], at.reshape(1, -1) - shift[1]
    # Slices are prescribed along the axes of the body, give or take some degrees.
    angle = rng.integers(0, 4) * np.pi / 2 + rng.normal(0, 0.2)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    bend = np.float32(rng.uniform(0.01, 0.045))
    wobble = np.float32(rng.uniform(0.002, 0.014))
    bent = [
        bend * window(rng, fields.bends[axis], side) + wobble * window(rng, fields.bends[3 + axis], side)
        for axis in (0, 1)
    ]
    kind = KINDS[rng.choice(len(KINDS), p=KIND_PARTS)]
    folds, blobs = (window(rng, field, side, (0.75, 1.4)) for field in (fields.folds, fields.blobs))
    scene = Scene(
        x=cosine * x + sine * y + bent[0],
        y=cosine * y - sine * x + bent[1],
        folds=folds,
        blobs=blobs,
        grain=window(rng, fields.grain, side),
        tissue=dict(zip(TISSUES, tissue.tolist(), strict=True)),
        pixel=2 / side,
        rng=rng,
    )
    image = kind(scene)
    image *= 1 + np.float32(rng.uniform(*TEXTURE_LEVEL)) * scene.grain
    _vessels(rng, image, float(max(tissue)))
    bias = rng.uniform(0.02, 0.25) * window(rng, fields.bends[2], side)
    bias += rng.normal(0, 0.15) * x + rng.normal(0, 0.15) * y
    biased: Plane = np.maximum(image, 0) * np.exp(bias).astype(np.float32)
    return biased


def _of_low_contrast(rng: np.random.Generator, magnitude: Plane) -> Plane:
    """Tissues as a gradient echo of a small angle shows them, by the protons that they hold: nearly alike.

    What is brighter than a quarter of the body comes nearer to that; the largest magnitude stays.
    """
    body = magnitude[magnitude > AIR]
    level = np.float32(np.percentile(body, 25))
    nearer = level + np.float32(np.exp(rng.uniform(*np.log(LOW_CONTRAST)))) * (magnitude - level)
    flat: Plane = np.where(magnitude < level, magnitude, nearer)
    return flat * np.float32(magnitude.max() / flat.max())


def _vessels(rng: np.random.Generator, image: Plane, bright: float) -> None:
    """Thin winding lines, flowing blood bright or dark: random walks of one pixel and less in width."""
    side = image.shape[0]
    mask = np.zeros((side, side), dtype=np.uint8)
    fraction_bits = 6
    for _ in range(rng.integers(0, 12)):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.4, 24))
        steps = rng.uniform(0.005, 0.02) * np.stack([np.cos(heading), np.sin(heading)], axis=1)
        points = (rng.uniform(0.15, 0.85, 2) + np.cumsum(steps, axis=0)) * side * 2**fraction_bits
        strength = int(rng.integers(80, 256))
        cv2.polylines(mask, [points.astype(np.int32)], False, strength, 1, cv2.LINE_AA, fraction_bits)
    signal = bright * rng.uniform(0.5, 1.0) if rng.random() < 0.5 else 0.1 * bright
    body = np.clip(image / np.float32(0.1 * bright), 0, 1)  # none in the air
    image += mask.astype(np.float32) * np.float32(1 / 255) * body * (np.float32(signal) - image)

"""All encoders in all their variants, small enough for explicit matrices."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.constraints.aperture import MinimumFeature
from cidesign.constraints.kspace import LineBudget
from cidesign.constraints.points import PointBudget
from cidesign.constraints.rules import BitDepth
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.mask_relax import cells_shape
from cidesign.physics.base import Encoder

SIDE, PATTERNS = 12, 17
STEPS = Dispersion((0.0, 1.0, 2.0), "columns", 1)
FRACTIONS = Dispersion((0.0, 0.7, 1.9), "columns", 1)


def _random(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def exploring(encoder: Encoder) -> Encoder:
    """The encoder in a training step in which its lines, if it has any, take turns."""
    for seed in range(100):
        encoder.explore(0.1, torch.Generator().manual_seed(seed))
        if not isinstance(encoder, CartesianEncoder) or encoder.choice().requires_grad:
            return encoder
    raise AssertionError("this encoder never explores")


@dataclass(frozen=True)
class Patterns:
    """Single-pixel variants: bits None is the teacher's."""

    bits: int | None

    def __call__(self, dtype: torch.dtype = torch.float32, seed: int = 3) -> SinglePixelEncoder:
        rule = None if self.bits is None else BitDepth(self.bits, tuple(range(1, 9)), "test")
        return SinglePixelEncoder(_random((PATTERNS, SIDE, SIDE), seed, dtype) * 0.6, rule, None)

    def teacher(self, dtype: torch.dtype, seed: int) -> SinglePixelEncoder:
        return SinglePixelEncoder(_random((PATTERNS + 4, SIDE, SIDE), seed, dtype).clamp(-1, 1), None, None)


@dataclass(frozen=True)
class Masks:
    """SD-CASSI variants: cell_px None is the teacher's."""

    optics: Dispersion
    cell_px: int | None = None
    corner_contacts: bool = False
    size: tuple[int, int] = (6, 9)
    cube: bool = False

    def __call__(self, dtype: torch.dtype = torch.float32, seed: int = 3) -> SdCassiEncoder:
        if self.cube:
            shape = (len(self.optics.shift_px), *self.size)
            return SdCassiEncoder.fixed(torch.sigmoid(_random(shape, seed, dtype)), self.optics)
        if self.cell_px is None:
            return self.teacher(dtype, seed)
        rule = MinimumFeature(self.cell_px, self.cell_px, self.corner_contacts, 10.0, "test")
        cells = torch.sigmoid(_random(cells_shape(rule, *self.size), seed, dtype))
        return SdCassiEncoder(cells, self.size, rule, self.optics, None)

    def teacher(self, dtype: torch.dtype, seed: int) -> SdCassiEncoder:
        return SdCassiEncoder(torch.sigmoid(_random(self.size, seed, dtype)), self.size, None, self.optics, None)


@dataclass(frozen=True)
class Lines:
    """MRI variants, lines or points; `exploring` leaves the noise of a training step on the scores."""

    rule: LineBudget | PointBudget
    width: int
    coils: int = 1
    exploring: bool = False

    def __call__(self, dtype: torch.dtype = torch.float32, seed: int = 3) -> Encoder:
        maps = torch.ones(1, self.rule.lines, self.width)
        if self.coils > 1:
            parts = _random((2, self.coils, self.rule.lines, self.width), 8, torch.float64)
            maps = torch.complex(parts[0], parts[1])
            maps = maps / maps.abs().square().sum(dim=0).sqrt()
        complex_type = torch.complex128 if dtype == torch.float64 else torch.complex64
        encoder = CartesianEncoder(_random(self.rule.always.shape, seed, dtype), self.rule, maps.to(complex_type), 0.01)
        return exploring(encoder) if self.exploring else encoder

    def teacher(self, dtype: torch.dtype, seed: int) -> Encoder:
        more = replace(self.rule, acquired=self.rule.acquired + 2)
        return Lines(more, self.width, self.coils)(dtype, seed)


Make = Patterns | Masks | Lines
ENCODERS: dict[str, Make] = {
    "patterns, real": Patterns(None),
    "patterns, 1 bit": Patterns(1),
    "patterns, 3 bit": Patterns(3),
    "patterns, 8 bit": Patterns(8),
    "mask, real, whole shifts": Masks(STEPS),
    "mask, real, fractions": Masks(FRACTIONS),
    "mask, real, along rows": Masks(Dispersion((0.0, 0.7, 1.9), "rows", 1)),
    "mask, real, backwards": Masks(Dispersion((0.0, 0.25, 2.5), "columns", -1)),
    "mask, real, backwards along rows": Masks(Dispersion((0.0, 1.0, 2.0), "rows", -1)),
    "mask, real, mean with gain": Masks(Dispersion((0.0, 0.7, 1.9), "columns", 1, "mean", 2.5)),
    "mask cube, as calibrated": Masks(FRACTIONS, cube=True),
    "mask, binary, contacts allowed": Masks(STEPS, 1, corner_contacts=True),
    "mask, binary": Masks(FRACTIONS, 1),
    "mask, binary, cells of 2 and a rest": Masks(STEPS, 2, size=(7, 11)),
    "mask, binary, cells of 2, rows, backwards": Masks(Dispersion((0.0, 0.5, 1.6), "rows", -1), 2, size=(8, 7)),
    "lines, one coil": Lines(LineBudget(12, 5, 2), 10),
    "lines, odd matrix": Lines(LineBudget(9, 4, 3), 7),
    "lines, no calibration": Lines(LineBudget(10, 3, 0), 6),
    "lines, three coils": Lines(LineBudget(10, 4, 2), 8, coils=3),
    "lines, exploring": Lines(LineBudget(12, 5, 2), 10, exploring=True),
    "points, one coil": Lines(PointBudget(10, 8, 30, (3, 2)), 8),
    "points, odd matrix with corners": Lines(PointBudget(9, 7, 20, (0, 0), elliptical=False), 7),
    "points, three coils, exploring": Lines(PointBudget(8, 10, 24, (2, 2)), 10, coils=3, exploring=True),
}


@pytest.fixture(params=ENCODERS)
def make(request: pytest.FixtureRequest) -> Make:
    """One variant: `make(dtype, seed)` builds it, `make.teacher(dtype, seed)` a freer one of its kind."""
    return ENCODERS[request.param]


@pytest.fixture(scope="session")
def explored() -> Callable[[Encoder], Encoder]:
    """Put an encoder into a training step in which its optics can be learnt."""
    return exploring


@pytest.fixture(scope="session")
def images() -> Callable[..., Tensor]:
    """Random images that fit an encoder: `images(encoder, count, seed)`."""

    def draw(encoder: Encoder, count: int, seed: int) -> Tensor:
        if isinstance(encoder, SinglePixelEncoder):
            shape = (1, encoder.side, encoder.side)
        elif isinstance(encoder, SdCassiEncoder):
            shape = (len(encoder.dispersion.shift_px), *encoder.size)
        else:
            assert isinstance(encoder, CartesianEncoder)
            shape = (2, *encoder.coil_maps.shape[-2:])
        return _random((count, *shape), seed, encoder.weight.dtype)

    return draw


@pytest.fixture(scope="session")
def dense(images: Callable[..., Tensor]) -> Callable[[Encoder], np.ndarray]:
    """The matrix of an operator, column by column; real and imaginary parts are rows of their own."""

    def build(encoder: Encoder) -> np.ndarray:
        shape = images(encoder, 1, 0).shape
        unit = torch.eye(shape[1:].numel(), dtype=encoder.weight.dtype).reshape(-1, *shape[1:])
        with torch.no_grad():
            y = encoder.A(unit)
        y = torch.view_as_real(y) if y.is_complex() else y
        return y.flatten(1).T.double().numpy()

    return build

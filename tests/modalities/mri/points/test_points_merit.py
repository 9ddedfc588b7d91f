"""Figures of merit of points, on sets whose values are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.constraints.points import PointBudget
from cidesign.errors import InputError
from cidesign.modalities.mri.data.phantoms import coil_maps
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder, SharedTimeEncoder
from cidesign.modalities.mri.encoders.fourier import centred_ifft, to_channels
from cidesign.modalities.mri.merit import cartesian_bound
from cidesign.modalities.mri.points.merit import point_merits, points_coherence, ring_density
from cidesign.physics.base import ImagePrior
from cidesign.physics.encoder_metrics import point_spread, spread_of_points
from cidesign.physics.linear_bound import Bound

SHAPE, NOISE = (8, 6), 0.05


def _mask(chosen: list[tuple[int, int]], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape)
    mask[tuple(np.transpose(chosen))] = 1
    return mask


def _encoder(mask: np.ndarray, maps: Tensor | None = None) -> CartesianEncoder:
    budget = PointBudget(*SHAPE, int(mask.sum()), (0, 0), elliptical=False)
    maps = torch.ones(1, *SHAPE, dtype=torch.complex64) if maps is None else maps
    return CartesianEncoder(torch.from_numpy(mask).float(), budget, maps, NOISE).requires_grad_(False)


def _prior() -> ImagePrior:
    down, across = ((torch.arange(size) - size // 2).abs() for size in SHAPE)
    power = 0.5 / (1.0 + down[:, None] + 2 * across) ** 2
    return ImagePrior(torch.zeros(2), torch.eye(2), power.expand(2, -1, -1).clone())


def test_a_block_spreads_as_the_product_of_two_kernels() -> None:
    """4 x 3 points around the centre of 8 x 6."""
    block = np.zeros(SHAPE)
    block[2:6, 2:5] = 1

    def kernel(count: int, size: int, at: int) -> float:
        return abs(math.sin(math.pi * count * at / size) / (count * math.sin(math.pi * at / size))) if at else 1.0

    wanted = [[kernel(4, 8, row - 4) * kernel(3, 6, column - 3) for column in range(6)] for row in range(8)]
    np.testing.assert_allclose(point_spread(block), wanted, atol=1e-12)
    found = spread_of_points(block)
    assert found.coherence == pytest.approx(max(kernel(4, 8, 1), kernel(3, 6, 1)))
    assert found.side_lobe == pytest.approx(max(kernel(4, 8, 3), kernel(3, 6, 3)))


def test_lattices_alias_and_whole_scans_do_not() -> None:
    lattice = np.zeros(SHAPE)
    lattice[::2, ::3] = 1
    assert spread_of_points(lattice) == pytest.approx((1.0, 1.0))
    assert spread_of_points(np.ones(SHAPE)) == (0, 0)
    assert spread_of_points(_mask([(4, 3)])).coherence == pytest.approx(1.0)
    with pytest.raises(InputError, match="none is acquired"):
        spread_of_points(np.zeros(SHAPE))


def test_density_by_rings_leaves_corners_out() -> None:
    """4 x 4: radii 0 at (2, 2), 0.5 at its neighbours, 0.71 at diagonal ones, 1 at (0, 2) and (2, 0)."""
    mask = _mask([(2, 2), (1, 2), (2, 1), (0, 0), (0, 2)], (4, 4))
    found = ring_density(mask, 2)
    # The second ring: four neighbours, four diagonal ones, two at the edge; (0, 0) lies beyond.
    assert found.tolist() == pytest.approx([1.0, 3 / 10])
    assert np.isnan(ring_density(mask, 40)).any()


def test_merits_of_points_and_of_shares() -> None:
    mask = _mask([(4, 3), (3, 3), (4, 2), (1, 1), (6, 4), (4, 5)])
    found = point_merits(_encoder(mask))
    assert list(found) == ["acceleration", "point_density", "spread_coherence", "side_lobe", "column_coherence"]
    assert found["acceleration"] == 8
    assert found["spread_coherence"] == pytest.approx(found["column_coherence"])
    budget = PointBudget(*SHAPE, 24, (0, 0), elliptical=False)
    shares = SharedTimeEncoder(torch.zeros(SHAPE), budget, torch.ones(1, *SHAPE, dtype=torch.complex64), NOISE)
    half = point_merits(shares.requires_grad_(False))
    assert half["acceleration"] == pytest.approx(2.0, rel=1e-3)
    assert half["spread_coherence"] == pytest.approx(0, abs=1e-5)


def test_coils_tell_aliased_pixels_apart() -> None:
    """The coherence of the columns, as the samples of unit images have it."""
    mask = np.zeros(SHAPE)
    mask[::2, ::2] = 1
    maps = torch.from_numpy(coil_maps(3, 8, 1)[..., :6].copy()).to(torch.complex64)
    encoder = _encoder(mask, maps)
    pixels = SHAPE[0] * SHAPE[1]
    unit = torch.eye(pixels).reshape(pixels, 1, *SHAPE)
    columns = encoder.A(torch.cat([unit, 0 * unit], dim=1)).flatten(1).T.to(torch.complex128)
    columns = columns / torch.linalg.vector_norm(columns, dim=0)
    products = (columns.mH @ columns).abs().fill_diagonal_(0)
    found = points_coherence(mask, maps)
    assert found == pytest.approx(float(products.max()), abs=1e-5)
    assert found < 0.999


def test_the_bound_of_one_coil_by_hand_and_of_two_that_see_the_same() -> None:
    chosen = [(4, 3), (3, 3), (2, 1), (6, 4)]
    power, s_squared = _prior().variance[0].double(), 2 * NOISE**2
    left = power.clone()
    for at in chosen:
        left[at] = power[at] * s_squared / (power[at] + s_squared)
    found = cartesian_bound(_encoder(_mask(chosen)), _prior())
    assert isinstance(found, Bound)
    assert found.mean_square == pytest.approx(float(left.sum()) / (2 * left.numel()), rel=1e-6)
    twice = torch.full((2, *SHAPE), 0.5**0.5, dtype=torch.complex64)
    coils = cartesian_bound(_encoder(_mask(chosen), twice), _prior())
    assert isinstance(coils, Bound)
    assert coils.mean_square == pytest.approx(found.mean_square, rel=1e-5)


def test_a_missing_point_can_come_in() -> None:
    """The data term pulls in the point that holds the error, and never a corner."""
    budget = PointBudget(12, 10, 20, (2, 2))
    scores = -torch.from_numpy(budget.radius).float()
    encoder = CartesianEncoder(scores, budget, torch.ones(1, 12, 10, dtype=torch.complex64), 1e-3)
    encoder.explore(0.1, torch.Generator().manual_seed(1))
    missing = torch.argwhere((encoder.choice() == 0) & ~torch.from_numpy(budget.never))
    absent = tuple(missing[(scores[tuple(missing.T)]).argmax()].tolist())
    k = torch.zeros(1, 12, 10, dtype=torch.complex64)
    k[0, 6, 5], k[0, *absent], k[0, 0, 0] = 4.0, 2.0, 3.0
    x = to_channels(centred_ifft(k))
    prior = ImagePrior(torch.zeros(2), torch.eye(2), torch.ones(2, 12, 10))
    y = encoder._all(x) * encoder.mask()
    (encoder.estimator(prior).estimate(y) - x).square().sum().backward()
    assert encoder.weight.grad is not None
    lowest = int(encoder.weight.grad.argmin())
    assert (lowest // 10, lowest % 10) == absent
    assert float(encoder.weight.grad[absent]) < 0
    assert float(encoder.weight.grad[torch.from_numpy(budget.never)].abs().max()) == 0

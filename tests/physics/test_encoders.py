"""Every encoder passes the same tests: linear, adjoint, gradient to the optics, dtype, matrix."""

import numpy as np
import pytest
import torch

from cidesign.constraints.rules import BitDepth
from cidesign.physics.base import Encoder
from cidesign.physics.designs import low_frequency_cosines
from cidesign.physics.single_pixel import SinglePixelEncoder

SIDE, PATTERNS = 12, 17


def _weight() -> torch.Tensor:
    return torch.randn(PATTERNS, SIDE, SIDE, generator=torch.Generator().manual_seed(3)) * 0.6


def _rule(bits: int) -> BitDepth:
    return BitDepth(bits, tuple(range(1, 9)), "test")


ENCODERS = {
    "single-pixel real": lambda: SinglePixelEncoder(_weight(), None, None),
    "single-pixel 1 bit": lambda: SinglePixelEncoder(_weight(), _rule(1), None),
    "single-pixel 3 bit": lambda: SinglePixelEncoder(_weight(), _rule(3), None),
    "single-pixel 8 bit": lambda: SinglePixelEncoder(_weight(), _rule(8), None),
}


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return ENCODERS[request.param]()


def _images(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def test_linear(encoder: Encoder) -> None:
    x, z = _images(4, 1), _images(4, 2)
    torch.testing.assert_close(encoder.A(2.5 * x - z), 2.5 * encoder.A(x) - encoder.A(z), rtol=1e-4, atol=1e-5)


def test_adjoint(encoder: Encoder) -> None:
    x = _images(5, 1)
    y = torch.randn(encoder.A(x).shape, generator=torch.Generator().manual_seed(2))
    left, right = (encoder.A(x) * y).sum(), (x * encoder.A_adjoint(y)).sum()
    assert abs(left - right) <= 1e-5 * encoder.A(x).norm() * y.norm()


def test_matrix_is_the_operator(encoder: Encoder) -> None:
    x = _images(3, 1)
    torch.testing.assert_close(encoder.A(x), x.flatten(1) @ encoder.matrix().T)


def test_gradient_reaches_every_optical_weight(encoder: Encoder) -> None:
    encoder.A(_images(8, 1)).square().sum().backward()
    (weight,) = encoder.parameters()
    assert weight.grad is not None
    inside = weight.detach().abs() < 1
    assert torch.isfinite(weight.grad).all()
    assert (weight.grad[inside] != 0).float().mean() > 0.99


def test_single_precision_throughout(encoder: Encoder) -> None:
    y = encoder.A(_images(2, 1))
    assert y.dtype == encoder.A_adjoint(y).dtype == torch.float32


def test_definition_on_an_asymmetric_image() -> None:
    pattern = np.full((1, 4, 4), -1.0, dtype=np.float32)
    pattern[0, 0, 3] = 1.0
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 3], x[0, 0, 2, 1] = 1.0, 0.5
    # y = (1 * 1.0 - 1 * 0.5) / n
    assert float(SinglePixelEncoder.fixed(pattern).A(x)) == pytest.approx(0.5 / 4)


@pytest.mark.parametrize("bits", range(1, 9))
def test_what_is_trained_is_what_is_built(bits: int) -> None:
    encoder = SinglePixelEncoder(_weight() * 1.5, _rule(bits), None)
    stack = encoder.pattern("complementary", "test", "0" * 64)
    np.testing.assert_allclose(encoder.signed().detach().numpy(), stack.signed(), atol=1e-6)
    assert _rule(bits).check(stack) == []
    assert set(np.unique(stack.levels)) <= set(range(2**bits))


def test_weight_outside_cannot_drift_away() -> None:
    encoder = SinglePixelEncoder(torch.tensor([[[1.2, -1.2], [0.2, -0.2]]]), _rule(1), None)
    (-encoder.signed().sum()).backward()  # asks every weight to grow
    assert encoder.weight.grad is not None
    assert encoder.weight.grad.tolist() == [[[0.0, -1.0], [-1.0, -1.0]]]


def test_teacher_cannot_be_built() -> None:
    with pytest.raises(TypeError, match="cannot be shown"):
        SinglePixelEncoder(_weight(), None, None).pattern("offset", "test", "")


@pytest.mark.parametrize(("side", "count"), [(8, 64), (32, 102), (12, 30)])
def test_starting_design_is_low_pass_and_signed(side: int, count: int) -> None:
    design = low_frequency_cosines(side, count)
    assert design.shape == (count, side, side)
    assert set(np.unique(design)) <= {-1.0, 1.0}
    assert (design[0] == 1).all()
    changes = (np.diff(design, axis=1) != 0).sum(axis=(1, 2)) + (np.diff(design, axis=2) != 0).sum(axis=(1, 2))
    assert changes[:10].mean() < changes[-10:].mean()


def test_starting_design_follows_the_cosine() -> None:
    n, u, v = 8, 3, 2
    order = sorted(((a, b) for a in range(n) for b in range(n)), key=lambda t: (t[0] + t[1], t[0]))
    i = np.arange(n) + 0.5
    wanted = np.sign(np.cos(np.pi * u * i / n)[:, None] * np.cos(np.pi * v * i / n)[None, :])
    np.testing.assert_array_equal(low_frequency_cosines(n, n * n)[order.index((u, v))], wanted)

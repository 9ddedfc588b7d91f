"""The laws of an encoder: linear, adjoint, gradient to the optics, bound, repeatable noise.

    @pytest.mark.parametrize("law", encoders.LAWS, ids=lambda law: law.__name__)
    def test_my_encoder(law):
        law(lambda dtype: MyEncoder(...).to(dtype), (1, 16, 16))

A law takes a maker of the encoder for a dtype and the shape (C, H, W) of an image; it raises `AssertionError`.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from cidesign.physics.base import Encoder


class Maker(Protocol):
    """Makes the same encoder again, in a dtype."""

    def __call__(self, dtype: torch.dtype, /) -> Encoder:
        """The encoder."""


Shape = tuple[int, int, int]
Law = Callable[[Maker, Shape], None]


def require(holds: bool, text: str) -> None:
    """Raise `AssertionError` where a law is broken (also under python -O)."""
    if not holds:
        raise AssertionError(text)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """The real inner product; complex numbers count as two real ones."""
    return (a.conj() * b).real.sum() if a.is_complex() else (a * b).sum()


def drawn(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    """Normal numbers of a seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def dense(encoder: Encoder, shape: Shape) -> Tensor:
    """The matrix (readings, unknowns) of an operator in float64; real and imaginary parts are rows of their own."""
    unit = torch.eye(shape[0] * shape[1] * shape[2], dtype=encoder.weight.dtype).reshape(-1, *shape)
    with torch.no_grad():
        y = encoder.A(unit)
    return (torch.view_as_real(y) if y.is_complex() else y).flatten(1).T.double()


def exploring(encoder: Encoder, x: Tensor) -> Encoder:
    """The encoder in a training step in which its optics can be learnt (MRI lines take turns)."""
    for seed in range(100):
        encoder.explore(0.1, torch.Generator().manual_seed(seed))
        if encoder.A(x).requires_grad:
            return encoder
    raise AssertionError("no gradient reaches the optics in 100 steps of exploration")


def linear(make: Maker, shape: Shape) -> None:
    """A(a x - z) = a A(x) - A(z), and A(0) = 0."""
    encoder = make(torch.float64)
    x, z = drawn((4, *shape), 1, torch.float64), drawn((4, *shape), 2, torch.float64)
    torch.testing.assert_close(encoder.A(2.5 * x - z), 2.5 * encoder.A(x) - encoder.A(z), rtol=1e-12, atol=1e-12)
    require(encoder.A(0 * x).abs().max().item() == 0, "A(0) is not 0")


def adjoint(make: Maker, shape: Shape) -> None:
    """<A x, y> = <x, A_adjoint y> within 1e-5 in float32."""
    encoder = make(torch.float32)
    x = drawn((5, *shape), 1, torch.float32)
    forward = encoder.A(x)
    y = drawn(tuple(forward.shape), 2, forward.dtype)
    difference = abs(inner(forward, y) - inner(x, encoder.A_adjoint(y)))
    require(bool(difference <= 1e-5 * forward.norm() * y.norm()), f"<Ax, y> and <x, A'y> differ by {difference:.3g}")


def adjoint_on_every_unit_image(make: Maker, shape: Shape) -> None:
    """The matrix of A_adjoint is the transpose, entry by entry, and batches do not mix."""
    encoder = make(torch.float64)
    y = encoder.A(drawn((3, *shape), 1, torch.float64)).detach()
    y = drawn(tuple(y.shape), 4, y.dtype)
    flat = (torch.view_as_real(y) if y.is_complex() else y).flatten(1)
    found = encoder.A_adjoint(y).flatten(1).detach()
    torch.testing.assert_close(found, flat @ dense(encoder, shape), rtol=0, atol=1e-12)


def gradient_reaches_the_optics(make: Maker, shape: Shape) -> None:
    """A loss on the measurement moves the optics, where they are learnt."""
    encoder = make(torch.float32)
    x = drawn((8, *shape), 1, torch.float32)
    if not encoder.weight.requires_grad:
        require(not encoder.A(x).requires_grad, "a calibrated operator is trained")
        return
    y = exploring(encoder, x).A(x)
    inner(y, drawn(tuple(y.shape), 2, y.dtype)).backward()  # type: ignore[no-untyped-call]
    (weight,) = encoder.parameters()
    require(weight is encoder.weight, "weights beside `weight`")
    gradient = weight.grad
    require(gradient is not None and bool(torch.isfinite(gradient).all()), "no finite gradient reaches the optics")
    require(gradient is not None and float(gradient.norm()) > 0, "the gradient of the optics is 0")


def gradient_flows_to_the_images(make: Maker, shape: Shape) -> None:
    """The gradient of <A x, y> with respect to x is A_adjoint(y)."""
    encoder = make(torch.float64)
    x = drawn((2, *shape), 1, torch.float64).requires_grad_()
    forward = encoder.A(x)
    y = drawn(tuple(forward.shape), 5, forward.dtype)
    (found,) = torch.autograd.grad(inner(forward, y), x)
    torch.testing.assert_close(found, encoder.A_adjoint(y).detach(), rtol=1e-12, atol=1e-12)


def same_generator_same_measurement(make: Maker, shape: Shape) -> None:
    """Noise comes from the generator alone."""
    encoder = make(torch.float32)
    x = drawn((2, *shape), 1, torch.float32)
    first, second = (encoder(x, torch.Generator().manual_seed(7)) for _ in range(2))
    require(torch.equal(first, second), "two measurements with the same generator differ")
    require(first.shape == encoder.A(x).shape, "the measurement has not the shape of A(x)")


def norm_bounds_the_largest_eigenvalue(make: Maker, shape: Shape) -> None:
    """|A|^2 <= norm_squared() <= 1.6 |A|^2, without gradient: unrolled steps neither diverge nor creep."""
    encoder = make(torch.float64)
    largest = float(torch.linalg.matrix_norm(dense(encoder, shape), 2)) ** 2
    bound = encoder.norm_squared()
    require(largest * (1 - 1e-9) <= float(bound) <= 1.6 * largest, f"norm_squared {float(bound)}, |A|^2 {largest}")
    require(not bound.requires_grad, "norm_squared carries a gradient")


def freezing_does_not_change_the_optics(make: Maker, shape: Shape) -> None:
    """A teacher's weights may end outside their range; frozen, it remains the operator that was trained."""
    encoder = make(torch.float32).requires_grad_(True)
    with torch.no_grad():
        encoder.weight.mul_(1.5)
    x = drawn((2, *shape), 1, torch.float32)
    before = encoder.A(x).detach().clone()
    require(torch.equal(encoder.requires_grad_(False).A(x), before), "frozen optics are another operator")


LAWS: tuple[Law, ...] = (
    linear,
    adjoint,
    adjoint_on_every_unit_image,
    gradient_reaches_the_optics,
    gradient_flows_to_the_images,
    same_generator_same_measurement,
    norm_bounds_the_largest_eigenvalue,
    freezing_does_not_change_the_optics,
)

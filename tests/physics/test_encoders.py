"""Every encoder passes the same tests: linear, adjoint, gradient to the optics, dtype, bound, distance to a teacher."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.constraints.rules import BitDepth
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder, gram_distance
from cidesign.physics.base import Encoder
from cidesign.testing import encoders

Make = Any
Images = Callable[..., Tensor]
Dense = Callable[[Encoder], np.ndarray]
Explored = Callable[[Encoder], Encoder]
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """The real inner product; complex numbers count as two real ones."""
    return (a.conj() * b).real.sum() if a.is_complex() else (a * b).sum()


def _like(y: Tensor, seed: int) -> Tensor:
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a.T @ a / np.linalg.norm(a.T @ a) - b.T @ b / np.linalg.norm(b.T @ b)).sum())


@pytest.mark.parametrize("law", encoders.LAWS, ids=lambda law: law.__name__)
def test_laws(law: encoders.Law, make: Make, images: Images) -> None:
    _, *shape = images(make(), 1, 1).shape
    law(make, (shape[0], shape[1], shape[2]))


def test_gradient_reaches_nearly_every_weight(make: Make, images: Images, explored: Explored) -> None:
    encoder = make(torch.float32)
    if not encoder.weight.requires_grad or isinstance(encoder, CartesianEncoder):
        return  # as calibrated; and of the lines, those far from the threshold may have none
    y = explored(encoder).A(images(encoder, 8, 1))
    _inner(y, _like(y, 2)).backward()
    assert encoder.weight.grad is not None
    inside = (encoder.weight.detach() > -1) & (encoder.weight.detach() < 1)
    assert (encoder.weight.grad[inside] != 0).float().mean() > 0.99


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_precision_and_device_are_kept(dtype: torch.dtype, device: str, make: Make, images: Images) -> None:
    encoder = make(dtype).to(device)
    if isinstance(encoder, CartesianEncoder):
        encoder.explore(1.0, None)
    x = images(encoder, 2, 1).to(device)
    y = encoder.A(x)
    assert y.real.dtype == dtype
    assert y.is_complex() == isinstance(encoder, CartesianEncoder)
    assert y.device.type == encoder.A_adjoint(y).device.type == device
    assert encoder.A_adjoint(y).dtype == dtype
    assert encoder(x, torch.Generator(device).manual_seed(1)).real.dtype == dtype
    assert encoder.norm_squared().dtype == dtype


def test_distance_to_a_teacher_is_that_of_the_full_grams(make: Make, dense: Dense) -> None:
    encoder = make(torch.float64)
    if isinstance(encoder, CartesianEncoder):
        return  # lines are compared by their scores, see test_mri
    teacher = make.teacher(torch.float64, 5)
    found = encoder.encoder_loss(teacher, published=False)
    assert found.item() == pytest.approx(_relative(dense(encoder), dense(teacher)), rel=1e-9)
    assert 0 < found.item() <= 2


def test_equal_optics_have_no_distance(make: Make) -> None:
    encoder, twin = make(torch.float64), make(torch.float64)
    for published in (False, True):
        assert encoder.encoder_loss(twin, published).item() == pytest.approx(0, abs=1e-9)


def test_distance_is_free_of_scale(make: Make) -> None:
    encoder, teacher = make(torch.float64), make.teacher(torch.float64, 5)
    before = encoder.encoder_loss(teacher, published=False).item()
    with torch.no_grad():
        if isinstance(encoder, CartesianEncoder):
            teacher.weight.add_(3.0)  # scores mean the same when all are raised
        else:
            teacher.weight.mul_(0.25)
    assert encoder.encoder_loss(teacher, published=False).item() == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize("published", [False, True])
def test_distance_moves_the_student_alone(published: bool, make: Make, explored: Explored) -> None:
    encoder, teacher = make(), make.teacher(torch.float32, 5)
    if not encoder.weight.requires_grad:
        return  # as calibrated, never a student
    explored(encoder)
    encoder.encoder_loss(teacher, published).backward()
    assert encoder.weight.grad is not None
    assert torch.isfinite(encoder.weight.grad).all()
    assert float(encoder.weight.grad.norm()) > 0
    assert teacher.weight.grad is None


def test_a_teacher_of_another_kind_is_refused(make: Make) -> None:
    from torch import nn

    class Other(nn.Module):
        pass

    with pytest.raises(TypeError, match="must be one"):
        make().encoder_loss(Other(), False)


# The single-pixel camera alone.


def _patterns(seed: int = 3) -> Tensor:
    return torch.randn(17, 12, 12, generator=torch.Generator().manual_seed(seed)) * 0.6


def _rule(bits: int) -> BitDepth:
    return BitDepth(bits, tuple(range(1, 9)), "test")


def test_matrix_is_the_operator() -> None:
    encoder = SinglePixelEncoder(_patterns(), _rule(2), None)
    x = torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(encoder.A(x), x.flatten(1) @ encoder.matrix().T)


def test_definition_on_an_asymmetric_image() -> None:
    pattern = np.full((1, 4, 4), -1.0, dtype=np.float32)
    pattern[0, 0, 3] = 1.0
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 3], x[0, 0, 2, 1] = 1.0, 0.5
    # y = (1 * 1.0 - 1 * 0.5) / n
    assert float(SinglePixelEncoder.fixed(pattern).A(x)) == pytest.approx(0.5 / 4)


@pytest.mark.parametrize("bits", range(1, 9))
def test_what_is_trained_is_what_is_built(bits: int) -> None:
    encoder = SinglePixelEncoder(_patterns() * 1.5, _rule(bits), None)
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
        SinglePixelEncoder(_patterns(), None, None).pattern("offset", "test", "")


def test_gram_distance_is_the_full_one() -> None:
    a, b = (_patterns(seed).double().flatten(1)[:rows] for seed, rows in ((1, 5), (2, 8)))
    wanted = (a.T @ a - b.T @ b).square().sum()
    assert float(gram_distance(a, b)) == pytest.approx(float(wanted), rel=1e-12)


def test_published_distance_is_that_of_the_latent_weights() -> None:
    """The mean square over the entries of both Grams' difference, of what is trained and not of what is built."""
    student = SinglePixelEncoder(_patterns(1).double(), _rule(1), None)
    teacher = SinglePixelEncoder(_patterns(2).double(), None, None)
    a, b = student.weight.detach().flatten(1), teacher.weight.detach().flatten(1)
    wanted = (a.T @ a - b.T @ b).square().mean()
    assert student.encoder_loss(teacher, published=True).item() == pytest.approx(float(wanted), rel=1e-12)


def test_effective_distance_sees_what_is_built() -> None:
    """Rotating the rows leaves the Gram alone, quantising the rotated rows does not."""
    weight = _patterns().double() * 0.3
    rotation, _ = torch.linalg.qr(torch.randn(17, 17, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    rotated = (rotation @ weight.flatten(1)).reshape(weight.shape)
    assert float(rotated.abs().max()) < 2
    scale = 1 / float(rotated.abs().max())
    plain = [SinglePixelEncoder(scale * part, None, None) for part in (weight, rotated)]
    built = [SinglePixelEncoder(scale * part, _rule(1), None) for part in (weight, rotated)]
    assert plain[0].encoder_loss(plain[1], False).item() == pytest.approx(0, abs=1e-9)
    assert built[0].encoder_loss(built[1], False).item() > 0.1


def test_optics_are_made_once_while_they_are_unchanged(make: Make, images: Images, explored: Explored) -> None:
    """One graph for a step: the same values and the same gradient as with optics that are made at every use."""
    encoder = explored(make(torch.float64))
    made: list[str] = []

    def build() -> str:
        made.append("optics")
        return "optics"

    assert [encoder.once("this", build) for _ in range(2)] == ["optics"] * 2
    assert len(made) == 2
    with encoder.unchanged():
        assert [encoder.once("this", build) for _ in range(2)] == ["optics"] * 2
        with encoder.unchanged():
            encoder.once("this", build)
        encoder.once("this", build)
    assert len(made) == 3
    encoder.once("this", build)
    assert len(made) == 4
    x = images(encoder, 3, 1).double()
    found = []
    for held in (encoder.unchanged, contextlib.nullcontext):
        with held():
            again = encoder.A_adjoint(encoder.A(x))
        found.append([again.detach()])
        if again.requires_grad:
            # Outside of its limits a weight heeds only what does not push it further, of the sum or of each use.
            inside = encoder.weight.detach().abs() < 1
            found[-1].append(torch.autograd.grad(again.square().sum(), encoder.weight)[0][inside])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)

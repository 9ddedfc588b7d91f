"""The coded aperture against a slow loop over pixels, photons that are counted, and masks that can be made."""

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cidesign.constraints.aperture import MinimumFeature
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder, _Seen, _Spread
from cidesign.models.mask_relax import cells_shape
from cidesign.physics.autograd import applied
from cidesign.physics.base import ImagePrior
from cidesign.physics.noise import PixelNoise


def _slow(cube: np.ndarray, mask: np.ndarray, optics: Dispersion) -> np.ndarray:
    """y by asking each detector pixel where its light comes from: position minus shift, between two pixels."""
    if optics.axis == "rows":
        masks = mask.T if mask.ndim == 2 else mask.transpose(0, 2, 1)
        turned = Dispersion(optics.shift_px, "columns", optics.sign, optics.reduction, optics.gain)
        return _slow(cube.transpose(0, 2, 1), masks, turned).T
    bands, height, width = cube.shape
    span = int(np.ceil(max(optics.shift_px)))
    y = np.zeros((height, width + span))
    for k in range(bands):
        shift = optics.sign * optics.shift_px[k] + (span if optics.sign < 0 else 0)
        for i in range(height):
            for p in range(width + span):
                source = p - shift
                left = int(np.floor(source))
                for j, part in ((left, 1 - (source - left)), (left + 1, source - left)):
                    if 0 <= j < width:
                        y[i, p] += part * (mask if mask.ndim == 2 else mask[k])[i, j] * cube[k, i, j]
    return optics.gain * y / (bands if optics.reduction == "mean" else 1)


@pytest.mark.parametrize("cube_mask", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("axis", ["columns", "rows"])
@pytest.mark.parametrize("shift_px", [(0.0, 1.0, 3.0, 4.0), (0.0, 0.3, 1.5, 3.9), (0.0, 0.0, 0.5, 2.0)])
def test_known_values(shift_px: tuple[float, ...], axis: str, sign: int, reduction: str, cube_mask: bool) -> None:
    optics = Dispersion(shift_px, axis, sign, reduction, 1.7)  # type: ignore[arg-type]
    rng = np.random.default_rng(4)
    cube, mask = rng.random((4, 5, 7)), rng.random((4, 5, 7) if cube_mask else (5, 7))
    encoder = SdCassiEncoder.fixed(torch.from_numpy(mask), optics)
    found = encoder.A(torch.from_numpy(cube)[None])[0].numpy()
    np.testing.assert_allclose(found, _slow(cube, mask, optics), rtol=1e-12, atol=1e-12)


def test_one_bright_pixel_lands_where_its_band_says() -> None:
    """Band 2 of 3, shifted by 1.25 pixels to the right; and to the left of the last band's place with sign -1."""
    x = torch.zeros(1, 3, 2, 4, dtype=torch.float64)
    x[0, 1, 0, 1] = 8.0
    ones = torch.ones(2, 4, dtype=torch.float64)
    right = SdCassiEncoder.fixed(ones, Dispersion((0.0, 1.25, 3.0), "columns", 1)).A(x)[0]
    assert right.tolist() == [[0, 0, 6, 2, 0, 0, 0], [0] * 7]
    left = SdCassiEncoder.fixed(ones, Dispersion((0.0, 1.25, 3.0), "columns", -1)).A(x)[0]
    assert left.tolist() == [[0, 0, 2, 6, 0, 0, 0], [0] * 7]


def test_light_is_neither_made_nor_lost() -> None:
    cube = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    encoder = SdCassiEncoder.fixed(torch.ones(6, 6), Dispersion((0.0, 0.4, 1.3, 2.6), "rows", -1, "mean", 0.5))
    assert encoder.A(cube).sum().item() == pytest.approx(0.5 * cube.sum().item() / 4, rel=1e-12)


@pytest.mark.parametrize(
    ("shifts", "taken", "sign", "span"),
    [
        ([0.0, 1.0, 2.5], (0.0, 1.0, 2.5), 1, 3),
        ([-2.0, 0.0, 3.0], (0.0, 2.0, 5.0), 1, 5),
        ([4.0, 1.5, 0.0], (0.0, 2.5, 4.0), -1, 4),
        ([-1.0, -3.0], (0.0, 2.0), -1, 2),
    ],
)
def test_shifts_of_a_profile(shifts: list[float], taken: tuple[float, ...], sign: int, span: int) -> None:
    optics = Dispersion.from_shifts(shifts, "rows")
    assert (optics.shift_px, optics.sign, optics.span_px, optics.axis) == (taken, sign, span, "rows")


def test_a_falling_profile_is_the_mirror_image_of_a_rising_one() -> None:
    """Band 0 lies at the far end: its light comes out where the profile's largest shift is."""
    x = torch.zeros(1, 2, 1, 3)
    x[0, 0, 0, 0] = 1.0
    falling = SdCassiEncoder.fixed(torch.ones(1, 3), Dispersion.from_shifts([2.0, 0.0], "columns"))
    assert falling.A(x)[0, 0].tolist() == [0, 0, 1, 0, 0]


def _explicit(encoder: SdCassiEncoder) -> np.ndarray:
    shape = (len(encoder.dispersion.shift_px), *encoder.size)
    unit = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
    return encoder.A(unit).detach().flatten(1).T.numpy()


@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_a_a_transposed_is_tridiagonal_as_said(axis: str) -> None:
    """The diagonal and the one beside it, and nothing else, also for fractions: the encoder loss rests on this."""
    mask = torch.rand(4, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    encoder = SdCassiEncoder.fixed(mask, Dispersion((0.0, 0.3, 1.5, 2.0), axis, 1))  # type: ignore[arg-type]
    a = _explicit(encoder)
    full = a @ a.T
    main, beside = encoder._products(mask.square())
    step = 1 if axis == "columns" else main.shape[1]
    np.testing.assert_allclose(np.diag(full), main.flatten(), atol=1e-12)
    np.testing.assert_allclose(encoder.row_energy().flatten(), main.flatten(), atol=1e-12)
    np.testing.assert_allclose(np.diag(full, step), beside.flatten()[: len(full) - step], atol=1e-12)
    rest = full - np.diag(np.diag(full)) - np.diag(np.diag(full, step), step) - np.diag(np.diag(full, step), -step)
    assert np.abs(rest).max() < 1e-12


def test_published_distance_is_of_the_latent_masks_only() -> None:
    """Rank one: |a a^T - b b^T|^2 / N^2 of the flattened weights, blind to the dispersion and to what is built."""
    rule = MinimumFeature(2, 2, False, 10.0, "test")
    cells = torch.rand(3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = torch.rand(6, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    optics = Dispersion((0.0, 0.5), "columns", 1)
    student = SdCassiEncoder(cells, (6, 9), rule, optics, None)
    teacher = SdCassiEncoder(wanted, (6, 9), None, optics, None)
    large = np.kron(cells.numpy(), np.ones((2, 2)))
    a, b = np.concatenate([large, large[:, -1:]], axis=1).ravel(), wanted.numpy().ravel()
    full = np.square(np.outer(a, a) - np.outer(b, b)).sum() / len(a) ** 2
    assert student.encoder_loss(teacher, published=True).item() == pytest.approx(full, rel=1e-12)


@pytest.mark.parametrize("size", [(8, 9), (9, 8), (6, 6)])
@pytest.mark.parametrize("cell", [1, 2, 3])
def test_what_is_trained_is_what_is_built(cell: int, size: tuple[int, int]) -> None:
    rule = MinimumFeature(cell, 1, False, 10.0, "test")
    for seed in range(20):
        cells = torch.rand(cells_shape(rule, *size), generator=torch.Generator().manual_seed(seed))
        encoder = SdCassiEncoder(cells, size, rule, Dispersion((0.0, 1.0), "columns", 1), None)
        mask = encoder.pattern(10.0, "test", "0" * 64)
        np.testing.assert_array_equal(encoder.mask().detach().numpy(), mask.levels)
        assert mask.levels.shape == size
        assert mask.pitch_um == 10.0
        assert rule.check(mask) == []


def test_a_teacher_cannot_be_made() -> None:
    encoder = SdCassiEncoder(torch.rand(4, 4), (4, 4), None, Dispersion((0.0, 1.0), "columns", 1), None)
    with pytest.raises(TypeError, match="cannot be made"):
        encoder.pattern(10.0, "test", "")


def test_a_teacher_stays_between_dark_and_open_and_can_come_back() -> None:
    weight = torch.tensor([[1.4, -0.3], [0.2, 0.9]])
    encoder = SdCassiEncoder(weight, (2, 2), None, Dispersion((0.0, 1.0), "columns", 1), None)
    torch.testing.assert_close(encoder.mask().detach(), torch.tensor([[1.0, 0.0], [0.2, 0.9]]))
    encoder.mask().sum().backward()  # asks every weight to fall
    assert encoder.weight.grad is not None
    assert encoder.weight.grad.tolist() == [[1.0, 0.0], [1.0, 1.0]]


def test_a_calibrated_cube_is_taken_as_it_is() -> None:
    """Flat-field corrections may lie a little outside [0, 1]."""
    cube = torch.tensor([[[1.05, -0.01]], [[0.5, 0.9]]])
    encoder = SdCassiEncoder.fixed(cube, Dispersion((0.0, 1.0), "columns", 1))
    assert torch.equal(encoder.mask(), cube)
    assert not encoder.weight.requires_grad


def test_noise_has_the_variance_of_counted_photons() -> None:
    rng = np.random.default_rng(5)
    charge, read, full_scale, draws = 900.0, 7.0, 3.0, 40_000
    y = np.array([0.0, 0.2, 1.1, 3.0])
    counts = rng.poisson(charge / full_scale * y, (draws, 4)) + rng.normal(0, read, (draws, 4))
    measured = counts * full_scale / charge
    noise = PixelNoise(charge, read, full_scale)
    drawn = noise.sample(torch.tensor(y).expand(draws, -1), torch.Generator().manual_seed(1)).numpy()
    np.testing.assert_allclose(drawn.mean(axis=0), y, atol=5 * measured.std() / draws**0.5)
    # 40,000 draws know a variance to 0.7 %; both sides have this error.
    np.testing.assert_allclose(drawn.var(axis=0), measured.var(axis=0), rtol=0.05)
    assert noise.variance(torch.tensor([-1.0])).item() == pytest.approx((read * full_scale / charge) ** 2)


def test_noise_is_added_to_the_reading() -> None:
    noise = PixelNoise(1e4, 2.0, 2.0)
    encoder = SdCassiEncoder.fixed(torch.ones(4, 5), Dispersion((0.0, 1.0), "columns", 1), noise)
    x = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(1))
    noisy = encoder(x, torch.Generator().manual_seed(2))
    assert torch.equal(noisy, noise.sample(encoder.A(x), torch.Generator().manual_seed(2)))
    assert 0 < (noisy - encoder.A(x)).abs().max() < 0.1


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_adjoint_for_any_dispersion(data: st.DataObject) -> None:
    bands = data.draw(st.integers(1, 4))
    shifts = tuple(data.draw(st.lists(st.floats(0, 6), min_size=bands, max_size=bands)))
    axis, sign = data.draw(st.sampled_from(["columns", "rows"])), data.draw(st.sampled_from([1, -1]))
    height, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    mask = torch.rand(height, width, generator=generator, dtype=torch.float64)
    encoder = SdCassiEncoder.fixed(mask, Dispersion(shifts, axis, sign))  # type: ignore[arg-type]
    x = torch.randn(2, bands, height, width, generator=generator, dtype=torch.float64)
    y = encoder.A(x)
    wanted = (height, width + encoder.dispersion.span_px)
    assert tuple(y.shape[1:]) == (wanted if axis == "columns" else (height + encoder.dispersion.span_px, width))
    z = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    left, right = (y * z).sum().item(), (x * encoder.A_adjoint(z)).sum().item()
    assert left == pytest.approx(right, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("size", [(5, 9), (9, 5), (8, 8)])
@pytest.mark.parametrize("axis", ["columns", "rows"])
@pytest.mark.parametrize("shift_px", [(0.0, 2.0, 4.0), (0.0, 1.3, 2.9)])
def test_a_grey_mask_of_any_size_has_an_exact_adjoint_and_a_linear_estimate(
    size: tuple[int, int], axis: Literal["columns", "rows"], shift_px: tuple[float, ...]
) -> None:
    generator = torch.Generator().manual_seed(2)
    grey = torch.rand(size, generator=generator, dtype=torch.float64)
    encoder = SdCassiEncoder.fixed(grey, Dispersion(shift_px, axis, 1))
    x = torch.rand((2, 3, *size), generator=generator, dtype=torch.float64)
    y = torch.rand(encoder.A(x).shape, generator=generator, dtype=torch.float64)
    assert float((encoder.A(x) * y).sum()) == pytest.approx(float((x * encoder.A_adjoint(y)).sum()), rel=1e-12)
    prior = ImagePrior(
        torch.full((3,), 0.5, dtype=torch.float64), torch.eye(3, dtype=torch.float64),
        torch.full((3, *size), 0.05, dtype=torch.float64),
    )  # fmt: skip
    estimate = encoder.estimator(prior).estimate(encoder.A(x))
    assert estimate.shape == x.shape
    misfit = (encoder.A(estimate) - encoder.A(x)).norm() / encoder.A(x - 0.5).norm()
    assert float(misfit) < 0.05


@pytest.mark.parametrize("axis", ["columns", "rows"])
@pytest.mark.parametrize("cube_mask", [False, True])
@pytest.mark.parametrize("shift_px", [(0.0, 1.0, 2.0), (0.0, 0.4, 1.7)])
def test_derivatives_on_scene_and_mask_are_those_of_finite_differences(
    axis: Literal["columns", "rows"], cube_mask: bool, shift_px: tuple[float, ...]
) -> None:
    optics = Dispersion(shift_px, axis, -1, "mean", 1.3)
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand(*([3] if cube_mask else []), 4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    encoder = SdCassiEncoder.fixed(mask.detach(), optics)
    x = torch.rand(2, 3, 4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    y = torch.rand(encoder.A(x).shape, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda cube, mask: applied(_Seen, cube, mask, optics), (x, mask))
    assert torch.autograd.gradcheck(lambda image, mask: applied(_Spread, image, mask, optics), (y, mask))

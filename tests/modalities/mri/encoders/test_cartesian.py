"""Cartesian MRI against sums over every sample, exact budgets, and scores that know the anatomy's spectrum."""

import numpy as np
import pytest
import torch

from cidesign.constraints.kspace import LineBudget
from cidesign.constraints.points import PointBudget
from cidesign.modalities.mri.data.phantoms import coil_maps, phantom_slices
from cidesign.modalities.mri.encoders.cartesian import (
    FIRST_TEMPERATURE,
    CartesianEncoder,
    fit_fourier_prior,
    start_scores,
)
from cidesign.modalities.mri.encoders.fourier import centred_fft, centred_ifft, to_channels, to_complex
from cidesign.pattern import centre_block


def _slow(x: np.ndarray) -> np.ndarray:
    """k(u, v) = sum x(h, w) exp(-2 pi i (u h / H + v w / W)) / sqrt(H W), all counted from the centres H//2, W//2."""
    height, width = x.shape
    k = np.zeros((height, width), complex)
    for u in range(height):
        for v in range(width):
            for h in range(height):
                for w in range(width):
                    turn = (u - height // 2) * (h - height // 2) / height + (v - width // 2) * (w - width // 2) / width
                    k[u, v] += x[h, w] * np.exp(-2j * np.pi * turn)
    return k / np.sqrt(height * width)


def _image(height: int, width: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(height, width)) + 1j * rng.normal(size=(height, width))


def _channels(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([x.real, x.imag]))[None]


def _encoder(rule: LineBudget, width: int, scores: torch.Tensor | None = None, noise: float = 0.01) -> CartesianEncoder:
    weight = torch.randn(rule.lines, generator=torch.Generator().manual_seed(3)) if scores is None else scores
    return CartesianEncoder(weight, rule, torch.ones(1, rule.lines, width, dtype=torch.complex64), noise)


@pytest.mark.parametrize("size", [(6, 6), (7, 7), (6, 5), (5, 8), (1, 4)])
def test_centred_transform_is_the_sum(size: tuple[int, int]) -> None:
    x = _image(*size)
    np.testing.assert_allclose(centred_fft(torch.from_numpy(x)).numpy(), _slow(x), atol=1e-12)
    back = centred_ifft(centred_fft(torch.from_numpy(x)))
    np.testing.assert_allclose(back.numpy(), x, atol=1e-12)


@pytest.mark.parametrize("size", [(6, 5), (7, 8)])
def test_a_constant_image_is_one_sample_at_the_centre(size: tuple[int, int]) -> None:
    k = centred_fft(torch.ones(size, dtype=torch.complex128)).numpy()
    assert k[size[0] // 2, size[1] // 2] == pytest.approx((size[0] * size[1]) ** 0.5)
    k[size[0] // 2, size[1] // 2] = 0
    assert np.abs(k).max() < 1e-12


@pytest.mark.parametrize("size", [(6, 5), (7, 8)])
def test_known_values_with_coils(size: tuple[int, int]) -> None:
    """An asymmetric complex image, three complex coil maps, four lines along the first axis."""
    x, maps = _image(*size), np.stack([_image(*size, seed) for seed in (2, 3, 4)])
    rule = LineBudget(size[0], 4, 1)
    scores = torch.randn(size[0], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    encoder = CartesianEncoder(scores, rule, torch.from_numpy(maps), 0.0)
    free = scores.clone()
    free[size[0] // 2] = float("inf")
    lines = np.zeros(size[0])
    lines[free.argsort(descending=True)[:4]] = 1
    wanted = np.stack([lines[:, None] * _slow(coil * x) for coil in maps])
    np.testing.assert_allclose(encoder.A(_channels(x))[0].detach().numpy(), wanted, atol=1e-12)


def test_channels_are_real_and_imaginary_part() -> None:
    x = torch.from_numpy(_image(3, 4))[None]
    assert torch.equal(to_complex(to_channels(x)), x)
    assert torch.equal(to_channels(x)[0, 1], x[0].imag)


def test_noise_is_on_measured_lines_alone_with_the_stated_deviation() -> None:
    rule = LineBudget(32, 8, 2)
    encoder = _encoder(rule, 32, noise=0.05).requires_grad_(False)
    x = torch.zeros(64, 2, 32, 32)
    y = encoder(x, torch.Generator().manual_seed(1))
    lines = encoder.choice().bool()
    assert torch.equal(y[:, :, ~lines], torch.zeros_like(y[:, :, ~lines]))
    drawn = torch.view_as_real(y[:, :, lines])
    assert drawn[..., 0].std().item() == pytest.approx(0.05, rel=0.03)
    assert drawn[..., 1].std().item() == pytest.approx(0.05, rel=0.03)
    assert abs((drawn[..., 0] * drawn[..., 1]).mean().item()) < 1e-4


@pytest.mark.parametrize(
    ("lines", "acquired", "calibration"), [(16, 4, 2), (15, 5, 3), (12, 12, 2), (9, 3, 3), (8, 1, 0)]
)
def test_exactly_the_budget_whatever_is_explored(lines: int, acquired: int, calibration: int) -> None:
    rule = LineBudget(lines, acquired, calibration)
    generator = torch.Generator().manual_seed(2)
    encoder = _encoder(rule, 6, 0.1 * torch.randn(lines, generator=generator))
    seen = set()
    for step in range(60):
        encoder.explore(step / 60, generator)
        mask = encoder.choice().detach()
        assert set(mask.tolist()) <= {0.0, 1.0}
        assert int(mask.sum()) == acquired
        assert bool(mask[torch.from_numpy(rule.always)].all())
        seen.add(tuple(mask.tolist()))
    assert len(seen) > 1 or acquired in (calibration, lines)
    encoder.explore(1.0, generator)
    trajectory = encoder.pattern(6, "test", "0" * 64)
    assert rule.check(trajectory) == []
    np.testing.assert_array_equal(trajectory.mask, encoder.choice().detach().numpy())
    assert trajectory.acceleration == pytest.approx(lines / acquired)


def test_exploration_ends_and_needs_a_generator() -> None:
    encoder = _encoder(LineBudget(16, 4, 2), 6)
    built = encoder.choice().detach()
    encoder.explore(0.0, None)
    assert torch.equal(encoder.choice().detach(), built)
    encoder.explore(0.9, torch.Generator().manual_seed(1))
    assert torch.equal(encoder.choice().detach(), built)
    assert not encoder.choice().requires_grad  # the choice is made; only the decoder still learns


def _explore(encoder: CartesianEncoder) -> None:
    """Put the encoder into a training step in which its lines can be learnt."""
    for seed in range(100):
        encoder.explore(0.1, torch.Generator().manual_seed(seed))
        if encoder.choice().requires_grad:
            return
    raise AssertionError("this encoder never explores")


def test_a_missing_line_can_come_in() -> None:
    """The data term pulls in the line that holds the error; the estimate must let that gradient through."""
    rule = LineBudget(16, 5, 3)
    scores = -0.3 * (torch.arange(16.0) - 8).abs()
    encoder = _encoder(rule, 16, scores, noise=1e-3)
    _explore(encoder)
    absent = int((encoder.choice() == 0).nonzero()[-3])
    k = torch.zeros(1, 16, 16, dtype=torch.complex64)
    k[0, 8, 8], k[0, absent, 8] = 4.0, 2.0
    x = to_channels(centred_ifft(k))
    prior = fit_fourier_prior(torch.randn(8, 2, 16, 16, generator=torch.Generator().manual_seed(1)))
    y = encoder._all(x) * encoder.mask()
    error = (encoder.estimator(prior).estimate(y) - x).square().sum()
    error.backward()
    assert encoder.weight.grad is not None
    assert int(encoder.weight.grad.argmin()) == absent
    assert float(encoder.weight.grad[absent]) < 0


def test_distance_is_that_of_what_both_would_choose_with_this_budget() -> None:
    """The sum of squared differences of relaxed lines over the budget, against bisection in NumPy."""
    rule, more = LineBudget(12, 4, 2), LineBudget(12, 7, 2)
    own, other = (
        torch.randn(12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (1, 2)
    )

    def relaxed(scores: np.ndarray) -> np.ndarray:
        free = np.delete(scores, [5, 6]) / FIRST_TEMPERATURE
        low, high = free.min() - 30, free.max() + 30
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if (1 / (1 + np.exp(middle - free))).sum() > 2 else (low, middle)
        return np.insert(1 / (1 + np.exp(low - free)), 5, [1.0, 1.0])

    maps = torch.ones(1, 12, 4, dtype=torch.complex128)
    student, teacher = CartesianEncoder(own, rule, maps, 0.01), CartesianEncoder(other, more, maps, 0.01)
    wanted = np.square(relaxed(own.numpy()) - relaxed(other.numpy())).sum() / 4
    assert student.encoder_loss(teacher, published=False).item() == pytest.approx(wanted, rel=1e-9)
    masks = [encoder.choice().detach().numpy() for encoder in (student, teacher)]
    published = np.square(masks[0] - masks[1]).mean()
    assert student.encoder_loss(teacher, published=True).item() == pytest.approx(published, rel=1e-12)


def test_a_teacher_with_more_lines_is_no_distance_by_itself() -> None:
    """Equal scores rank lines equally: the effective form is 0 where the published one counts the extra lines."""
    student, teacher = _encoder(LineBudget(16, 4, 2), 4), _encoder(LineBudget(16, 8, 2), 4)
    assert student.encoder_loss(teacher, published=False).item() == pytest.approx(0, abs=1e-12)
    assert student.encoder_loss(teacher, published=True).item() == pytest.approx(4 / 16)


def test_prior_is_the_mean_power_and_never_blind() -> None:
    images = torch.from_numpy(np.stack([_channels(_image(5, 6, seed))[0] for seed in range(7)])).float()
    images[:, 1] = 0  # real images
    prior = fit_fourier_prior(images)
    power = np.mean([np.abs(_slow(image[0].numpy())) ** 2 for image in images], axis=0)
    np.testing.assert_allclose(prior.variance[0].numpy(), power, rtol=1e-4)
    assert torch.equal(prior.variance[0], prior.variance[1])
    assert prior.mean.tolist() == [0.0, 0.0]
    assert (fit_fourier_prior(torch.zeros(2, 2, 4, 4)).variance > 0).all()


def test_line_scores_start_from_the_centre_and_prefer_one_side() -> None:
    images = torch.from_numpy(phantom_slices(64, 32, 1)).float()
    rule = LineBudget(32, 10, 4)
    scores = start_scores(images, rule)
    assert scores.shape == (32,)
    assert torch.isfinite(scores).all()
    assert scores.mean().item() == pytest.approx(0, abs=1e-5)
    assert scores.std().item() == pytest.approx(1, abs=1e-4)
    encoder = _encoder(rule, 32, scores)
    chosen = encoder.pattern(32, "test", "").acquired
    assert np.abs(chosen - 16).max() <= 10  # lines with energy, not the corners of k-space
    above, below = (chosen > 16).sum(), (chosen < 16).sum()
    assert above != below or abs(int(chosen.max()) - 16) != abs(int(chosen.min()) - 16)


def test_batches_give_the_statistics_of_all_images() -> None:
    images = torch.from_numpy(phantom_slices(20, 32, 1)).float()
    rule = LineBudget(32, 10, 4)
    torch.testing.assert_close(start_scores(images.split(7), rule), start_scores(images, rule), rtol=0, atol=1e-5)
    found, wanted = fit_fourier_prior(images.split(7)), fit_fourier_prior(images)
    torch.testing.assert_close(found.variance, wanted.variance, rtol=1e-5, atol=0)


def _one_after_the_other(images: torch.Tensor, rule: LineBudget | PointBudget) -> np.ndarray:
    """The scores of `start_scores` as it defines them: in every step what adds most to those that are there."""
    shape = rule.always.shape
    x = np.asarray(to_complex(images.double()).numpy())
    window = np.ones(images.shape[2:])
    for axis, (size, part) in enumerate(zip(shape, rule.core, strict=True)):
        along = np.zeros(size)
        block = centre_block(size, part)
        along[block.start : block.stop] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, part + 1) / (part + 1))
        window *= along[:, None] if axis == 0 else along
    k = np.stack([_slow(one) for one in x])
    coarse = np.stack([centred_ifft(torch.from_numpy(window * one)).numpy() for one in k])
    flat = np.stack([_slow(one * np.exp(-1j * np.angle(phase))) for one, phase in zip(x, coarse, strict=True)])
    power, mirrored = (np.abs(flat) ** 2).mean(axis=0), np.zeros(x.shape[1:], dtype=complex)
    other = {}
    for at in np.ndindex(x.shape[1:]):
        other[at] = tuple((2 * (size // 2) - place) % size for place, size in zip(at, x.shape[1:], strict=True))
        mirrored[at] = (flat[(slice(None), *at)] * flat[(slice(None), *other[at])]).mean()
    predicted = np.array([abs(mirrored[at]) ** 2 / power[other[at]] for at in other]).reshape(power.shape)
    if len(shape) == 1:
        power, predicted = power.sum(axis=1), predicted.sum(axis=1)
    predicted = np.clip(predicted / power, 0, 1)
    first = set(np.ndindex(shape)) & {
        at
        for at in np.ndindex(shape)
        if all(a in centre_block(n, c) for a, n, c in zip(at, shape, rule.core, strict=True))
    }
    gains = {at: power[at] for at in first}

    def gain(at: tuple[int, ...]) -> float:
        mirror = tuple((2 * (size // 2) - place) % size for place, size in zip(at, shape, strict=True))
        if mirror == at:
            return float(power[at])
        if mirror in gains:
            return float((1 - predicted[at]) * power[at])
        return float(power[at] + predicted[mirror] * power[mirror])

    while len(gains) < power.size:
        best = max((at for at in np.ndindex(shape) if at not in gains), key=lambda at: (gain(at), at))
        gains[best] = gain(best)
    scores = np.log(np.array([gains[at] for at in np.ndindex(shape)])).reshape(shape)
    return (scores - scores.mean()) / scores.std(ddof=1)


@pytest.mark.parametrize("rule", [LineBudget(8, 4, 2), LineBudget(7, 3, 1), PointBudget(8, 7, 20, (2, 2))])
def test_scores_rank_what_adds_most_one_after_the_other(rule: LineBudget | PointBudget) -> None:
    images = torch.from_numpy(phantom_slices(6, 8, 1)).float()[:, :, : rule.always.shape[0], :7]
    found = start_scores(images, rule)
    assert found.shape == rule.always.shape
    np.testing.assert_allclose(found.numpy(), _one_after_the_other(images, rule), atol=1e-4)


def test_line_scores_follow_the_energy_of_images_without_structure() -> None:
    """White phase: no line predicts another, so the ranking is that of the energies."""
    generator = torch.Generator().manual_seed(4)
    weight = torch.rand(12, generator=generator) + 0.2
    k = torch.randn(400, 12, 12, 2, generator=generator)
    x = to_channels(centred_ifft(torch.view_as_complex(k) * weight[:, None]))
    scores = start_scores(x, LineBudget(12, 4, 1))
    free = [line for line in range(12) if line != 6]
    found = sorted(free, key=lambda line: -float(scores[line]))
    wanted = sorted(free, key=lambda line: -float(weight[line]))
    # A line whose mirror image came first loses what little is predicted by chance.
    assert set(found[:5]) == set(wanted[:5])
    assert found[:3] == wanted[:3]


def test_simulated_coils_fit_the_bound() -> None:
    maps = torch.from_numpy(coil_maps(4, 16, 0))
    encoder = CartesianEncoder(torch.zeros(16), LineBudget(16, 4, 2), maps, 0.01)
    assert encoder.norm_squared().item() == pytest.approx(1, abs=1e-5)

"""The noise model agrees with photons that are really counted."""

import numpy as np
import pytest
import torch

from cidesign.pattern import Encoding, PatternStack
from cidesign.physics.noise import DetectorNoise


@pytest.mark.parametrize("encoding", ["complementary", "offset", "as-shown"])
def test_variance_agrees_with_counted_photons(encoding: Encoding) -> None:
    rng = np.random.default_rng(5)
    side, count, charge, read = 6, 4, 4000.0, 20.0
    stack = PatternStack((rng.random((count, side, side)) < 0.4).astype(np.uint8), 1, encoding, "test", "")
    x = rng.random((side, side))
    y = (stack.signed() * x).sum(axis=(1, 2)) / side
    light = charge * (stack.displayed() * x).mean(axis=(1, 2))
    counts = rng.poisson(light, (40_000, len(light))) + rng.normal(0, read, (40_000, len(light)))
    if encoding == "complementary":
        measured = side * (counts[:, 0::2] - counts[:, 1::2]) / charge
    elif encoding == "as-shown":
        measured = side * counts / charge
    else:
        measured = side * (2 * counts[:, :-1] - counts[:, -1:]) / charge
    np.testing.assert_allclose(measured.mean(axis=0), y, atol=5 * measured.std() / 200)
    noise = DetectorNoise(charge, read, encoding)
    truth = torch.tensor(y, dtype=torch.float32)[None].expand(40_000, -1)
    drawn = noise.sample(truth, torch.full((40_000, 1), float(x.mean())), side, torch.Generator().manual_seed(1))
    # 40,000 draws know a variance to 0.7 %; 5 standard errors.
    np.testing.assert_allclose(np.cov(drawn.numpy().T), np.cov(measured.T), rtol=0.04, atol=0.04 * measured.var())
    np.testing.assert_allclose(drawn.numpy().var(axis=0), measured.var(axis=0), rtol=0.05)


def test_same_generator_same_noise() -> None:
    noise = DetectorNoise(1e4, 5.0, "offset")
    draws = [
        noise.sample(torch.zeros(3, 4), torch.full((3, 1), 0.5), 8, torch.Generator().manual_seed(7)) for _ in "ab"
    ]
    assert torch.equal(*draws)


def test_more_light_is_less_noise() -> None:
    variances = [DetectorNoise(charge, 10.0, "complementary").typical_variance(0.4, 32) for charge in (1e3, 1e5, 1e7)]
    assert variances[0] > variances[1] > variances[2]
    # Shot noise only: n^2 m / Q.
    assert DetectorNoise(1e6, 0.0, "complementary").typical_variance(0.5, 32) == pytest.approx(1024 * 0.5 / 1e6)

"""The image of least total variation within the noise: what it must satisfy, and that it is the least."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.modalities.single_pixel.fixed_designs import hadamard_patterns
from cidesign.modalities.single_pixel.total_variation import _divergence, _gradient, least_variation

SIDE = 16


def _blocks() -> NDArray[np.float32]:
    image = np.full((SIDE, SIDE), 0.2, dtype=np.float32)
    image[3:9, 4:12] = 0.9
    image[10:14, 2:6] = 0.6
    return image


def _variation(image: NDArray[np.floating]) -> float:
    return float(np.sum(np.sqrt(np.sum(_gradient(image.astype(np.float32)) ** 2, axis=0))))


def _measured(
    count: int, noise: float, seed: int = 0, as_shown: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    patterns = hadamard_patterns(SIDE, count, "sequency")
    patterns = 0.5 * (1 + patterns) if as_shown else patterns
    matrix = (patterns.reshape(count, -1) / SIDE / noise).astype(np.float32)
    rng = np.random.default_rng(seed)
    return matrix, (matrix @ _blocks().reshape(-1) + rng.normal(size=count)).astype(np.float32)


def test_the_divergence_is_the_adjoint_of_the_gradient() -> None:
    rng = np.random.default_rng(1)
    x, edges = rng.normal(size=(SIDE, SIDE)).astype(np.float32), rng.normal(size=(2, SIDE, SIDE)).astype(np.float32)
    assert float(np.sum(_gradient(x) * edges)) == pytest.approx(float(np.sum(x * _divergence(edges))), abs=1e-3)
    assert _variation(np.full((SIDE, SIDE), 3.0)) == 0


@pytest.mark.parametrize("as_shown", [False, True])
@pytest.mark.parametrize(("count", "noise"), [(40, 0.01), (100, 0.02), (256, 0.05)])
def test_it_explains_the_readings_to_their_noise_with_the_least_variation(
    count: int, noise: float, as_shown: bool
) -> None:
    matrix, y = _measured(count, noise, 0, as_shown)
    x = least_variation(matrix, y, np.full((SIDE, SIDE), 0.4, dtype=np.float32), float(count))
    rest = matrix @ x.reshape(-1) - y
    assert float(rest @ rest) / count == pytest.approx(1.0, abs=0.1)
    # The truth explains them too, to its noise, and has more variation than the least.
    assert _variation(x) < 1.03 * _variation(_blocks())
    # Nor is any way from it to images that explain the readings as well one of less variation.
    for other in (_blocks(), np.linalg.lstsq(matrix, y, rcond=None)[0].reshape(SIDE, SIDE)):
        for step in (0.02, 0.2):
            assert _variation(x + step * (other - x)) > _variation(x) * 0.999


def test_edges_come_back_sharper_than_from_least_squares() -> None:
    matrix, y = _measured(100, 0.01)
    x = least_variation(matrix, y, np.full((SIDE, SIDE), 0.4, dtype=np.float32), 100.0)
    plain = np.linalg.lstsq(matrix, y, rcond=None)[0].reshape(SIDE, SIDE)
    assert float(np.mean((x - _blocks()) ** 2)) < 0.5 * float(np.mean((plain - _blocks()) ** 2))


def test_the_start_does_not_matter() -> None:
    matrix, y = _measured(100, 0.02)
    flat = least_variation(matrix, y, np.zeros((SIDE, SIDE), dtype=np.float32), 100.0)
    rough = np.random.default_rng(2).normal(size=(SIDE, SIDE)).astype(np.float32)
    assert least_variation(matrix, y, rough, 100.0) == pytest.approx(flat, abs=0.03)


def test_without_noise_to_speak_of_nothing_is_smoothed_away() -> None:
    matrix, y = _measured(256, 1e-3)
    x = least_variation(matrix, y, np.zeros((SIDE, SIDE), dtype=np.float32), 256.0)
    assert x == pytest.approx(_blocks(), abs=0.01)

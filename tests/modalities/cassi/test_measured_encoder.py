"""The measured SD-CASSI operator: it is what the calibration defines, its adjoint is exact, and estimates converge."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.encoders.measured import MeasuredCassiEncoder
from cidesign.physics.base import ImagePrior
from cidesign.physics.cosine_filter import dct_matrix
from cidesign.physics.noise import PixelNoise
from cidesign.physics.splitting import LongSplittingEstimator, SplittingEstimator

BANDS, CODE, DETECTOR = 3, (7, 9), (10, 14)
NOISE = PixelNoise(1e4, 2.0, 3.0)
IDENTITY = ((1.0, 0.0), (0.0, 1.0))
# To the detector's (row, column) belongs this linear part of the way to the code.
TURNS: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "straight": IDENTITY,
    "turned by 4 degrees": ((0.998, -0.07), (0.07, 0.998)),
    "left and right exchanged": ((1.0, 0.0), (0.0, -1.0)),
    "transposed and enlarged": ((0.02, 0.9), (0.9, -0.01)),
}


def _random(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def _ways(turn: str, fraction: float = 0.3) -> np.ndarray:
    """The middle of the code lies near the middle of the detector, and moves right by 1.4 pixels from band to band."""
    linear = np.array(TURNS[turn])
    centre = (np.array(CODE) - 1) / 2
    middle = (np.array(DETECTOR) - 1) / 2 + np.array([fraction, fraction / 2])
    return np.stack(
        [np.column_stack([linear, centre - linear @ (middle + np.array([0.0, 1.4 * (k - 1)]))]) for k in range(BANDS)]
    )


def _operator(turn: str = "turned by 4 degrees", seed: int = 3) -> CassiOperator:
    masks = torch.sigmoid(_random((BANDS, *CODE), seed)).numpy() - 0.1  # noise leaves a few below 0
    return CassiOperator(masks.astype(np.float32), _ways(turn), np.array([0.7, 1.0, 1.3]), DETECTOR)


def _encoder(operator: CassiOperator, dtype: torch.dtype = torch.float64, **more: Any) -> MeasuredCassiEncoder:
    masks, to_code, response = operator.masks, operator.to_code, operator.response
    return MeasuredCassiEncoder(
        torch.from_numpy(masks).to(dtype), torch.from_numpy(to_code), torch.from_numpy(response), operator.size, **more
    )


def _matrix(encoder: MeasuredCassiEncoder) -> np.ndarray:
    count = BANDS * CODE[0] * CODE[1]
    unit = torch.eye(count, dtype=encoder.weight.dtype).reshape(-1, BANDS, *CODE)
    return encoder.A(unit).flatten(1).T.double().numpy()


def _prior(dtype: torch.dtype = torch.float64, shape: tuple[int, int, int] = (BANDS, *CODE)) -> ImagePrior:
    basis = torch.linalg.qr(_random((shape[0], shape[0]), 1))[0]
    down, across = (torch.arange(count) ** 2 for count in shape[1:])
    variance = 0.3 / (1 + down[:, None] + across[None]) * torch.tensor([1.0, 0.2, 0.03])[: shape[0], None, None]
    return ImagePrior(torch.linspace(0.3, 0.5, shape[0]).to(dtype), basis.to(dtype), variance.to(dtype))


def _covariance(prior: ImagePrior) -> np.ndarray:
    waves = np.kron(*(dct_matrix(count).double().numpy() for count in CODE))
    transform = np.kron(prior.basis.double().numpy(), waves)
    return transform.T @ np.diag(prior.variance.double().numpy().ravel()) @ transform


@pytest.fixture(params=TURNS)
def turn(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_is_the_operator_of_the_calibration(turn: str) -> None:
    operator = _operator(turn)
    cube = _random((BANDS, *CODE), 1, torch.float32)
    wanted = operator.predict(cube.numpy())
    assert np.count_nonzero(wanted) > 50
    found = _encoder(operator, torch.float32).A(cube[None])[0].numpy()
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()
    exact = _encoder(operator).A(cube[None].double())[0].numpy()
    np.testing.assert_allclose(exact, operator.predict(cube.double().numpy()), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "optics",
    [
        Dispersion((0.0, 1.0, 2.0), "columns", 1),
        Dispersion((0.0, 0.7, 1.9), "columns", 1),
        Dispersion((0.0, 0.25, 2.5), "rows", -1),
    ],
    ids=["whole", "fractions", "backwards along rows"],
)
def test_the_designed_geometry_is_the_designed_operator(optics: Dispersion) -> None:
    cube = torch.sigmoid(_random((BANDS, *CODE), 3))
    designed = SdCassiEncoder.fixed(cube, optics, NOISE)
    axis = 0 if optics.axis == "rows" else 1
    to_code = torch.eye(2, 3, dtype=torch.float64).repeat(BANDS, 1, 1)
    for band, shift in enumerate(optics.shift_px):
        to_code[band, axis, 2] = -(shift if optics.sign > 0 else optics.span_px - shift)
    size = (CODE[0] + (1 - axis) * optics.span_px, CODE[1] + axis * optics.span_px)
    measured = MeasuredCassiEncoder(cube, to_code, torch.ones(BANDS, dtype=torch.float64), size, noise=NOISE)
    x, y = _random((2, BANDS, *CODE), 1), _random((2, *size), 2)
    torch.testing.assert_close(measured.A(x), designed.A(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(measured.A_adjoint(y), designed.A_adjoint(y), rtol=0, atol=1e-12)
    torch.testing.assert_close(measured.row_energy(), designed.row_energy(), rtol=0, atol=1e-12)
    if all(float(shift).is_integer() for shift in optics.shift_px):
        prior = _prior()
        found, wanted = (one.estimator(prior) for one in (measured, designed))
        torch.testing.assert_close(found.estimate(y), wanted.estimate(y))
        torch.testing.assert_close(found.unseen(x), wanted.unseen(x))


def test_linear_and_adjoint(turn: str) -> None:
    encoder = _encoder(_operator(turn), torch.float32)
    x, z = _random((4, BANDS, *CODE), 1, torch.float32), _random((4, BANDS, *CODE), 2, torch.float32)
    torch.testing.assert_close(encoder.A(2.5 * x - z), 2.5 * encoder.A(x) - encoder.A(z), rtol=1e-5, atol=1e-5)
    y = _random((4, *DETECTOR), 5, torch.float32)
    left, right = (encoder.A(x) * y).sum(), (x * encoder.A_adjoint(y)).sum()
    assert abs(float(left - right)) <= 1e-5 * float(encoder.A(x).norm() * y.norm())


def test_adjoint_energy_and_bound_are_those_of_the_matrix(turn: str) -> None:
    valid = torch.ones(DETECTOR, dtype=torch.bool)
    valid[4, 5:8] = False
    encoder = _encoder(_operator(turn), valid=valid)
    matrix = _matrix(encoder)
    y = _random((3, *DETECTOR), 4)
    np.testing.assert_allclose(encoder.A_adjoint(y).flatten(1), y.flatten(1).numpy() @ matrix, rtol=0, atol=1e-12)
    gram = matrix @ matrix.T
    np.testing.assert_allclose(encoder.row_energy().flatten(), np.diag(gram), rtol=0, atol=1e-12)
    sums = (np.abs(matrix) @ np.abs(matrix).T).sum(axis=1)
    np.testing.assert_allclose(encoder.row_sums().flatten(), sums, rtol=0, atol=1e-12)
    assert (np.diag(gram).reshape(DETECTOR)[~valid.numpy()] == 0).all()
    largest = float(np.linalg.norm(matrix, 2) ** 2)
    assert largest <= float(encoder.norm_squared()) * (1 + 1e-12) <= 1.7 * largest


def test_an_f_from_a_mirrored_and_turned_operator_stands_upright() -> None:
    """Left and right are exchanged on this detector; A takes the F there, the estimate brings it back."""
    letter = torch.tensor(
        [[0, 1, 1, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0], [0] * 7]
    ).double()
    cube = torch.stack([0.2 + 0.6 * letter, 0.1 + 0.2 * letter])
    c, s = np.cos(np.radians(3.0)), np.sin(np.radians(3.0))
    linear = np.array([[c, s], [s, -c]])
    ways = np.stack(
        [np.column_stack([linear, np.array([2.0, 3.0]) - linear @ np.array([4.0, 6.0 + 2 * k])]) for k in range(2)]
    )
    encoder = MeasuredCassiEncoder(
        torch.ones(2, 5, 7, dtype=torch.float64), torch.from_numpy(ways), torch.ones(2), (9, 15), thorough=True,
        variance=torch.full((9, 15), 1e-6),
    )  # fmt: skip
    y = encoder.A(cube[None])
    prior = ImagePrior(torch.full((2,), 0.3).double(), torch.eye(2).double(), torch.full((2, 5, 7), 0.05).double())
    found = encoder.estimator(prior).estimate(y)[0, 0].numpy()

    def alike(picture: np.ndarray) -> float:
        return float(np.corrcoef(picture.ravel(), letter.numpy().ravel())[0, 1])

    assert alike(found) > 0.9
    assert max(alike(found[::-1]), alike(found[:, ::-1]), alike(found[::-1, ::-1])) < 0.6


def test_a_step_down_is_read_where_it_should_be() -> None:
    """One lit code pixel; the way says: a detector pixel reads the code 0.25 above and 0.5 to the left of its place."""
    to_code = torch.tensor([[[1.0, 0.0, -0.25], [0.0, 1.0, -0.5]]], dtype=torch.float64)
    encoder = MeasuredCassiEncoder(torch.ones(1, 3, 3).double(), to_code, torch.tensor([2.0]), (4, 4))
    x = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    x[0, 0, 1, 1] = 1.0
    wanted = torch.zeros(4, 4, dtype=torch.float64)
    wanted[1:3, 1:3] = 2 * torch.tensor([[0.75 * 0.5, 0.75 * 0.5], [0.25 * 0.5, 0.25 * 0.5]], dtype=torch.float64)
    torch.testing.assert_close(encoder.A(x)[0], wanted)


@pytest.mark.parametrize("thorough", [False, True])
def test_estimates_against_the_textbook(turn: str, thorough: bool) -> None:
    """Ten steps end at most 1.5 dB below the exact estimate, the long splitting at most 0.2 dB."""
    encoder = _encoder(_operator(turn), torch.float32, noise=NOISE, thorough=thorough)
    prior, covariance = _prior(torch.float32), _covariance(_prior())
    matrix = _matrix(encoder)
    mean = np.repeat(prior.mean.double().numpy(), CODE[0] * CODE[1])
    variance = encoder.mean_variance(prior)
    rng = np.random.default_rng(1)
    factor = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(covariance)))
    x = mean + (factor @ rng.normal(size=(len(mean), 100))).T
    y = x @ matrix.T + variance**0.5 * rng.normal(size=(100, len(matrix)))
    gain = covariance @ matrix.T @ np.linalg.inv(matrix @ covariance @ matrix.T + variance * np.eye(len(matrix)))
    wanted = mean + (y - matrix @ mean) @ gain.T
    estimator = encoder.estimator(prior)
    assert isinstance(estimator, LongSplittingEstimator) == thorough
    found = estimator.estimate(torch.from_numpy(y).float().reshape(-1, *DETECTOR)).flatten(1).double().numpy()
    found_db, exact_db = (-10 * np.log10(np.square(one - x).mean()) for one in (found, wanted))
    assert exact_db - (0.2 if thorough else 1.5) < found_db < exact_db + 0.05
    if thorough:  # what is left of images is what the exact gain leaves
        images = torch.from_numpy(x - mean).float().reshape(-1, BANDS, *CODE)
        left = estimator.unseen(images).flatten(1).double().numpy()
        off = left - (x - mean) @ (np.eye(len(mean)) - gain @ matrix).T
        assert np.square(off).mean() < 0.01 * np.square(x - mean).mean()


def test_splitting_needs_the_row_sums() -> None:
    """Half a pixel along both axes: with the diagonal alone, ten steps would blow up."""
    ways = _ways("straight", 0.5) + np.array([[0, 0, 0.5], [0, 0, 0.5]])
    encoder = _encoder(CassiOperator(np.ones((BANDS, *CODE), np.float32), ways, np.ones(BANDS), DETECTOR))
    prior = _prior()
    x = 0.4 + 0.1 * _random((1, BANDS, *CODE), 2)
    good = encoder.estimator(prior)
    bad = SplittingEstimator(
        encoder.A, encoder.A_adjoint, encoder.row_energy(), good.shrink, good.mean, good.variance, good.level
    )
    y = encoder.A(x)
    assert float((good.estimate(y) - x).abs().max()) < 1
    assert float((bad.estimate(y) - x).abs().max()) > 30
    assert float(encoder.A(good.unseen(x)).norm()) < 0.7 * float(y.norm())


def test_pixels_that_are_not_valid_have_no_say() -> None:
    valid = torch.rand(DETECTOR, generator=torch.Generator().manual_seed(2)) > 0.1
    x = 0.4 + 0.1 * _random((1, BANDS, *CODE), 2)
    for thorough in (False, True):
        encoder = _encoder(_operator(), valid=valid, noise=NOISE, thorough=thorough)
        y = encoder(x, torch.Generator().manual_seed(1))
        assert (y[0][~valid] == 0).all()
        spoilt = torch.where(valid, y, 1e3)
        estimator = encoder.estimator(_prior())
        torch.testing.assert_close(estimator.estimate(spoilt), estimator.estimate(y), rtol=1e-6, atol=1e-6)


def test_the_noise_of_each_reading_is_its_weight() -> None:
    """Readings said to be very noisy count as little as those left out."""
    noisy = torch.rand(DETECTOR, generator=torch.Generator().manual_seed(2)) > 0.8
    spread = torch.where(noisy, 1e6, 1e-3).double()
    y = _encoder(_operator()).A(0.4 + 0.1 * _random((1, BANDS, *CODE), 2))
    weighted = _encoder(_operator(), thorough=True, variance=spread).estimator(_prior()).estimate(y)
    without = _encoder(_operator(), thorough=True, valid=~noisy, variance=spread.clamp(max=1e-3))
    torch.testing.assert_close(weighted, without.estimator(_prior()).estimate(y), atol=1e-3, rtol=0)


def test_noise_has_the_stated_variance() -> None:
    encoder = _encoder(_operator(), noise=NOISE)
    x = 0.4 + 0.1 * _random((1, BANDS, *CODE), 2)
    clean = encoder.A(x)
    draws = encoder(x.expand(4000, -1, -1, -1), torch.Generator().manual_seed(3)) - clean
    expected = NOISE.variance(clean)[0]
    assert float((draws.square().mean(dim=0) / expected - 1).abs().max()) < 0.15
    torch.testing.assert_close(
        encoder(x, torch.Generator().manual_seed(7)), encoder(x, torch.Generator().manual_seed(7))
    )


@pytest.mark.parametrize("thorough", [False, True])
def test_gradients_reach_what_a_decoder_adds(thorough: bool) -> None:
    """Fine-tuning learns through A, A_adjoint and the estimator: their derivatives are their adjoints."""
    encoder = _encoder(_operator(), noise=NOISE, thorough=thorough)
    x = _random((2, BANDS, *CODE), 1).requires_grad_()
    y = _random((2, *DETECTOR), 2).requires_grad_()
    (found,) = torch.autograd.grad((encoder.A(x) * y.detach()).sum(), x)
    torch.testing.assert_close(found, encoder.A_adjoint(y.detach()))
    (found,) = torch.autograd.grad((encoder.A_adjoint(y) * x.detach()).sum(), y)
    torch.testing.assert_close(found, encoder.A(x.detach()))
    estimator = encoder.estimator(_prior())
    weight, change = _random((2, BANDS, *CODE), 5), _random((2, BANDS, *CODE), 6)
    (found,) = torch.autograd.grad((estimator.unseen(x) * weight).sum(), x)
    with torch.no_grad():
        wanted = (estimator.unseen(change) * weight).sum()  # linear, so its derivative along a direction is itself
    assert float((found * change).sum()) == pytest.approx(float(wanted), rel=2e-3)
    assert not encoder.A(x.detach()).requires_grad


def test_the_same_numbers_in_deterministic_mode() -> None:
    encoder = _encoder(_operator(), torch.float32)
    y = _random((3, *DETECTOR), 1, torch.float32)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = encoder.A_adjoint(y), encoder.A_adjoint(y)
        assert torch.equal(first, second)
        assert torch.equal(encoder.A(first), encoder.A(second))
    finally:
        torch.use_deterministic_algorithms(before)


def test_it_is_no_student() -> None:
    encoder = _encoder(_operator())
    with pytest.raises(TypeError, match="is not trained"):
        encoder.encoder_loss(encoder, False)
    assert not encoder.weight.requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"to_code": torch.zeros(2, 2, 3)}, "do not make an operator"),
        ({"masks": torch.zeros(*CODE)}, "do not make an operator"),
        ({"response": torch.ones(BANDS + 1)}, "do not make an operator"),
        ({"size": (0, 4)}, "do not make an operator"),
        ({"valid": torch.ones(3, 3)}, "valid pixels"),
        ({"variance": torch.ones(3, 3)}, "variances"),
        ({"variance": torch.zeros(DETECTOR)}, "above 0"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    operator = _operator()
    given: dict[str, Any] = {
        "masks": torch.from_numpy(operator.masks), "to_code": torch.from_numpy(operator.to_code),
        "response": torch.from_numpy(operator.response), "size": operator.size,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        MeasuredCassiEncoder(**{**given, **change})

"""The lensless operator: the laws of encoders, the NumPy operator, and the best linear estimate beside its matrix."""

import numpy as np
import pytest
import torch

from cidesign.calibration.lensless.operator import LenslessOperator
from cidesign.calibration.lensless.optics import Geometry, Lines, Model, shadow
from cidesign.constraints.aperture import MinimumFeature
from cidesign.modalities.lensless.encoders.designed import MaskEncoder, MeasuredEncoder
from cidesign.modalities.lensless.encoders.propagation import Propagation
from cidesign.physics.base import ImagePrior
from cidesign.physics.noise import PixelNoise
from cidesign.testing import encoders

# Nothing is square, so that no exchanged axis passes.
GEOMETRY = Geometry((20, 14), 50.0, 4000.0, 120.0, (7, 9), (8, 6))
LINES = [Lines(np.array([0.5, 0.55]), np.array([0.4, 0.6])), Lines(np.array([0.6]), np.array([1.0]))]
RULE = MinimumFeature(2, 2, False, 50.0, "test")
NOISE = PixelNoise(1e5, 3.0, 1.0)
IMAGE = (2, 8, 6)


def masked(rule: MinimumFeature | None, shots: int = 1, model: Model = "waves") -> encoders.Maker:
    def make(dtype: torch.dtype) -> MaskEncoder:
        shape = (shots, 20, 14) if rule is None else (shots, 10, 7)
        weight = torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        return MaskEncoder(weight, rule, Propagation(GEOMETRY, LINES, model), 4.0, NOISE).to(dtype)

    return make


def measured(dtype: torch.dtype) -> MeasuredEncoder:
    levels = np.random.default_rng(0).random((20, 14))
    psf = np.stack([shadow(levels, GEOMETRY, lines, "waves") for lines in LINES])
    response = masked(None)(torch.float64).response()
    return MeasuredEncoder(torch.from_numpy(psf), response, NOISE).to(dtype)


MAKERS = {
    "student": masked(RULE),
    "rays": masked(RULE, model="shadow"),
    "real": masked(None),
    "shots": masked(None, 2),
    "measured": measured,
}


@pytest.mark.parametrize("law", encoders.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", MAKERS)
def test_laws(name, law) -> None:
    law(MAKERS[name], IMAGE)


@pytest.mark.parametrize("model", ["waves", "shadow"])
def test_the_psf_is_that_of_the_bench(model) -> None:
    levels = np.random.default_rng(1).random((20, 14))
    found = Propagation(GEOMETRY, LINES, model).psf(torch.from_numpy(levels)[None])[0].numpy()
    wanted = np.stack([shadow(levels, GEOMETRY, lines, model) for lines in LINES])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


def test_readings_are_those_of_the_bench_operator() -> None:
    encoder = measured(torch.float64)
    x = np.random.default_rng(2).random((3, *IMAGE))
    operator = LenslessOperator(encoder.weight.numpy(), encoder.response().numpy())
    found = encoder.A(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, operator.predict(x) * encoder.scale, rtol=0, atol=1e-14)


def test_an_open_mask_before_a_white_scene_reads_one() -> None:
    psf = torch.ones(2, 14, 14, dtype=torch.float64)
    encoder = MeasuredEncoder(psf, torch.ones(8, 6, dtype=torch.float64))
    y = encoder.A(torch.ones(1, *IMAGE, dtype=torch.float64))
    torch.testing.assert_close(y, torch.ones_like(y))


def prior() -> ImagePrior:
    draws = torch.Generator().manual_seed(5)
    basis = torch.linalg.qr(torch.randn(2, 2, generator=draws, dtype=torch.float64)).Q
    variance = 10 ** (-4 * torch.rand(IMAGE, generator=draws, dtype=torch.float64))
    return ImagePrior(torch.tensor([0.4, 0.6], dtype=torch.float64), basis, variance)


def test_the_estimate_is_the_best_linear_one(monkeypatch) -> None:
    """Beside m + C A^T (A C A^T + s^2)^-1 (y - A m) by matrices, with few coefficients solved for exactly."""
    monkeypatch.setattr("cidesign.modalities.lensless.encoders.estimator.STRONGEST", 20)
    encoder, known = measured(torch.float64), prior()
    estimator = encoder.estimator(known)
    matrix = encoders.dense(encoder, IMAGE)
    unit = torch.eye(matrix.shape[1], dtype=torch.float64).reshape(-1, *IMAGE)
    root = estimator.to_images(unit).flatten(1)
    covariance = root.T @ root
    mean = estimator.mean.expand(1, -1, -1, -1).flatten()
    y = encoder(torch.rand(3, *IMAGE, generator=torch.Generator().manual_seed(6), dtype=torch.float64))
    gram = matrix @ covariance @ matrix.T + estimator.noise * torch.eye(len(matrix), dtype=torch.float64)
    solved = torch.linalg.solve(gram, (y.flatten(1) - matrix @ mean).T)
    wanted = (mean[:, None] + covariance @ matrix.T @ solved).T.reshape(-1, *IMAGE)
    torch.testing.assert_close(estimator.estimate(y).double(), wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("photoelectrons", [1e3, 1e7])
def test_the_gradient_of_readings_is_the_adjoint_of_the_estimate(photoelectrons, monkeypatch) -> None:
    """<G r, g> = <r, G^T g> within 1e-5 in float32, from little light to a thousand times that of a full well."""
    # Else the few coefficients of these images are all solved for exactly, and no step is taken.
    monkeypatch.setattr("cidesign.modalities.lensless.encoders.estimator.STRONGEST", 8)
    encoder = measured(torch.float32)
    encoder.noise = PixelNoise(photoelectrons, 3.0, 1.0)
    estimator = encoder.estimator(ImagePrior(*(part.float() for part in prior())))
    base = encoder.A(estimator.mean.expand(3, -1, -1, -1))
    left = 0.1 * encoders.drawn(tuple(base.shape), 11, torch.float32)
    y = (base + left).requires_grad_()
    estimate = estimator.estimate(y)
    pull = encoders.drawn((3, *IMAGE), 12, torch.float32)
    (back,) = torch.autograd.grad(estimate, y, pull)
    gained = (estimate - estimator.mean).detach()
    difference = abs(float((gained.double() * pull).sum() - (left.double() * back).sum()))
    assert difference <= 1e-5 * float(gained.norm() * pull.norm())


@pytest.mark.parametrize("relaxed", [None, RULE], ids=["real", "student"])
def test_the_gradient_of_the_estimate_is_that_of_differences(monkeypatch, relaxed) -> None:
    """In the readings and the transfer function, to the last digits that differences have."""
    monkeypatch.setattr("cidesign.modalities.lensless.encoders.estimator.STRONGEST", 20)
    encoder, known = masked(relaxed)(torch.float64), prior()
    y = encoder.A(torch.rand(2, *IMAGE, generator=torch.Generator().manual_seed(7), dtype=torch.float64)).detach()
    noise = encoder.estimator(known).noise
    # The noise of the estimate does not count as a function of the optics.
    monkeypatch.setattr(encoder, "variance", lambda mean: noise)
    base, direction = encoder.transfer().detach(), encoders.drawn((2, 1, 2, *encoder.plane), 9, torch.float64)
    moves = torch.fft.rfft2(direction * encoder.scale)

    def estimated(readings: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
        transfer = base + torch.einsum("n,nkcpq->kcpq", along.to(moves), moves)
        monkeypatch.setattr(encoder, "transfer", lambda: transfer)
        return encoder.estimator(known).estimate(readings)

    along = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        estimated, (y.requires_grad_(), along), eps=1e-5, atol=1e-6, rtol=1e-5, fast_mode=True
    )


@pytest.mark.parametrize(("model", "apart"), [("shadow", 1e-9), ("waves", 0.1)])
def test_the_slope_of_a_cell_is_what_flipping_it_changes(model, apart) -> None:
    """For open and closed cells alike; with waves, what diffraction spreads of a cell is taken for straight."""
    # Where corners may touch, a cell is flipped alone.
    encoder = masked(MinimumFeature(2, 2, True, 50.0, "test"), model=model)(torch.float64)
    pull = encoders.drawn(tuple(encoder.psf().shape), 13, torch.float64)
    smooth = torch.nn.functional.avg_pool2d(pull[0], 5, 1, 2)[None]
    (encoder.psf() * smooth).sum().backward()
    assert encoder.weight.grad is not None
    cells = encoder.mask()[0, ::2, ::2].detach()
    changes, slopes = [], []
    with torch.no_grad():
        base = float((encoder.psf() * smooth).sum())
        for row, column in ((0, 3), (2, 1), (4, 4), (7, 2), (9, 6), (5, 5)):
            kept, opened = float(encoder.weight[0, row, column]), float(cells[row, column])
            encoder.weight[0, row, column] = 1 - opened
            changes.append((float((encoder.psf() * smooth).sum()) - base) * (1 - 2 * opened))
            encoder.weight[0, row, column] = kept
            slopes.append(float(encoder.weight.grad[0, row, column]))
    assert 0 < float(cells.mean()) < 1
    np.testing.assert_allclose(slopes, changes, rtol=0, atol=apart * max(np.abs(changes)))


def test_a_mask_is_nearest_to_itself() -> None:
    encoder, other = masked(None)(torch.float64), masked(RULE)(torch.float64)
    assert float(encoder.encoder_loss(encoder, False).detach()) == pytest.approx(0, abs=1e-12)
    assert float(encoder.encoder_loss(encoder, True).detach()) == pytest.approx(0, abs=1e-12)
    assert 0 < float(encoder.encoder_loss(other, False).detach()) <= 2

"""The baselines against what they should minimise, the scores of cubes, and the files that are left."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from cidesign.calibration.cassi.calibration import CassiCalibration
from cidesign.calibration.cassi.operator import CassiOperator
from cidesign.modalities.cassi.gap_tv import MOST_ITERATIONS, NOISE_LEFT, gap_tv
from cidesign.modalities.cassi.outcome import CubeImage
from cidesign.modalities.cassi.pictures import NamedCube, colour_png, draw_residuals, false_colours
from cidesign.modalities.cassi.score import residual_of, score_cube
from cidesign.modalities.cassi.solve import calibrated_noise, encoder_of, tikhonov
from cidesign.physics.base import ImagePrior
from cidesign.physics.conjugate_gradients import conjugate_gradients

BANDS, SIDE, DETECTOR = 3, 16, (22, 26)


def operator(mirrored: bool = False, seed: int = 1) -> CassiOperator:
    """A random mask, turned a little, its rows or columns off the detector's; `mirrored`: left and right exchanged."""
    rng = np.random.default_rng(seed)
    masks = np.repeat((rng.random((1, SIDE, SIDE)) > 0.5).astype(np.float32), BANDS, axis=0)
    linear = np.array([[0.9998, -0.02], [0.02, 0.9998]]) @ np.diag([1.0, -1.0 if mirrored else 1.0])
    centre, middle = np.array([7.5, 7.5]), np.array([10.7, 12.4])
    ways = [np.column_stack([linear, centre - linear @ (middle + [0.0, 2.0 * (k - 1)])]) for k in range(BANDS)]  # noqa: RUF005
    return CassiOperator(masks, np.stack(ways), np.array([0.8, 1.0, 1.2]), DETECTOR)


def letter(side: int = SIDE) -> NDArray[np.float32]:
    """A cube (3, n, n): an F of one colour on a ground of another."""
    cube = np.broadcast_to(np.array([0.15, 0.3, 0.2], np.float32)[:, None, None], (BANDS, side, side)).copy()
    mark = np.zeros((side, side), dtype=bool)
    mark[2 : side - 2, 3:6] = True
    mark[2:5, 3 : side - 3] = True
    mark[7:9, 3 : side - 6] = True
    cube[:, mark] = np.array([0.9, 0.5, 0.3], np.float32)[:, None]
    return cube


def prior() -> ImagePrior:
    return ImagePrior(torch.full((BANDS,), 0.4), torch.eye(BANDS), torch.full((BANDS, SIDE, SIDE), 0.05))


def test_conjugate_gradients_solve_each_item() -> None:
    rng = np.random.default_rng(1)
    root = torch.from_numpy(rng.normal(size=(12, 12)))
    matrix = root @ root.T + 0.1 * torch.eye(12)
    right = torch.from_numpy(rng.normal(size=(3, 3, 4)))
    right[1] = 0
    diagonal = matrix.diagonal().reshape(3, 4)
    found = conjugate_gradients(
        lambda z: (z.flatten(1) @ matrix).reshape(z.shape), lambda r: r / diagonal, right, 100, 1e-10
    )
    wanted = torch.linalg.solve(matrix, right.flatten(1).T).T.reshape(right.shape)
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=0)


def test_tikhonov_is_the_formula() -> None:
    encoder = encoder_of(operator())
    unit = torch.eye(BANDS * SIDE * SIDE).reshape(-1, BANDS, SIDE, SIDE)
    matrix = encoder.A(unit).flatten(1).T.double()
    variance = 1e-3 * (1 + torch.rand(DETECTOR, generator=torch.Generator().manual_seed(1)))
    y = torch.rand(2, *DETECTOR, generator=torch.Generator().manual_seed(2))
    weight = torch.diag(variance.flatten().double() / 0.05)
    left = y.flatten(1).double() - matrix @ torch.full((matrix.shape[1],), 0.4, dtype=torch.float64)
    wanted = 0.4 + torch.linalg.solve(matrix @ matrix.T + weight, left.T).T @ matrix
    found = tikhonov(y, encoder, prior(), variance).flatten(1)
    torch.testing.assert_close(found.double(), wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_gap_tv_brings_an_f_back_upright(mirrored: bool) -> None:
    """The detector sees it turned or mirrored, and blurred by interpolation; the operator knows."""
    truth, seen = letter(), operator(mirrored)
    y = torch.from_numpy(seen.predict(truth)).float()[None]
    cube = gap_tv(y, encoder_of(seen), torch.full(DETECTOR, 1e-7), 1e-3)[0].numpy()
    score = score_cube(cube, truth)
    assert score.psnr_db is not None
    assert score.psnr_db > 18
    least = score_cube(tikhonov(y, encoder_of(seen), prior(), torch.full(DETECTOR, 1e-5))[0].numpy(), truth)
    assert least.psnr_db is not None
    assert score.psnr_db > least.psnr_db + 3

    def alike(picture: NDArray[Any]) -> float:
        return float(np.corrcoef(picture.ravel(), truth[0].ravel())[0, 1])

    assert alike(cube[0]) > 0.85
    assert max(alike(cube[0][::-1]), alike(cube[0][:, ::-1]), alike(cube[0].T), alike(cube[0][::-1, ::-1])) < 0.7
    # Told the other one, the F does not come out: the operator decides, not the picture.
    wrong = gap_tv(y, encoder_of(operator(not mirrored)), torch.full(DETECTOR, 1e-7), 1e-3)[0].numpy()
    assert alike(wrong[0]) < 0.8


def test_gap_tv_ends_at_the_noise_and_not_at_the_truth() -> None:
    """The more noise, the fewer steps; pixels that no light reaches have no say in it."""
    truth, left = letter(), []
    to_code = np.stack([np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -2.0 * k]]) for k in range(BANDS)])
    seen = CassiOperator(operator().masks, to_code, np.array([0.8, 1.0, 1.2]), (SIDE, SIDE + 4))
    encoder = encoder_of(seen)
    lit = torch.from_numpy(seen.row_energy() > 0)
    assert 0.5 < float(lit.double().mean()) < 0.9
    clean = torch.from_numpy(seen.predict(truth)).float()[None]
    for noise in (0.02, 0.1):
        y = clean + noise * torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
        variance = torch.full(seen.size, noise**2)
        cube = gap_tv(y, encoder, variance, 0.05)

        # It ends with the first step that leaves no more than that of the noise.
        for steps in range(1, MOST_ITERATIONS):
            made = gap_tv(y, encoder, variance, 0.05, most_iterations=steps)
            if float(((encoder.A(made) - y).square() / variance)[0][lit].mean()) <= NOISE_LEFT:
                break
        assert steps < MOST_ITERATIONS - 1
        assert torch.equal(cube, made)
        left.append(float((encoder.A(cube) - clean).square().mean()))
    assert left[0] < left[1]


def calibration(gain: float = 0.5, binning: int = 2) -> CassiCalibration:
    raw = (DETECTOR[0] * binning, DETECTOR[1] * binning)
    return CassiCalibration(
        operator=operator(), dark_counts=np.full(raw, 100.0), scale_counts=5000.0, read_noise_counts=4.0,
        gain_counts_per_photoelectron=gain, flat=np.ones(DETECTOR), pixel_uncertainty_px=0.01,
        shift_px=np.arange(BANDS) * 2.0, notes=(), saturation_counts=65535.0,
    )  # fmt: skip


@pytest.mark.parametrize(("gain", "repeats"), [(0.5, 1), (0.5, 3), (0.0, 1)])
def test_training_noise_is_that_of_the_calibrated_detector(gain: float, repeats: int) -> None:
    found = calibration(gain)
    raw = np.stack([np.full(found.dark_counts.shape, 3100.0)] * repeats)
    y, variance, _ = found.measurements(raw)
    noise = calibrated_noise(found, repeats)
    modelled = noise.variance(torch.from_numpy(y)).numpy()
    np.testing.assert_allclose(modelled, variance, rtol=1e-9 if gain else 2e-3)
    assert noise.full_scale == BANDS


def test_pixels_that_are_not_valid_need_no_variance() -> None:
    valid = np.ones(DETECTOR, dtype=bool)
    valid[3, 4] = False
    encoder = encoder_of(operator(), valid, np.where(valid, 1e-3, np.nan))
    assert float(encoder.row_energy()[3, 4]) == 0
    assert encoder.thorough
    assert torch.isfinite(encoder.estimator(prior()).estimate(torch.ones(1, *DETECTOR))).all()


def test_scores_of_cubes() -> None:
    truth = letter()
    assert score_cube(truth, truth)[0] is None
    score = score_cube(truth + 0.1, truth)
    assert score.psnr_db == pytest.approx(20, abs=1e-5)
    brighter = score_cube(1.1 * truth, truth)
    assert brighter.spectral_angle_degrees == pytest.approx(0, abs=1e-4)
    assert score.spectral_angle_degrees is not None
    assert score.spectral_angle_degrees > 3
    assert score_cube(truth[:, :8, :8] + 0.1, truth[:, :8, :8]).ssim is None
    assert score_cube(truth, np.zeros_like(truth)).spectral_angle_degrees is None


def test_residuals_of_noise_and_of_structure() -> None:
    rng = np.random.default_rng(1)
    y, used = np.zeros((60, 80)), np.ones((60, 80), dtype=bool)
    used[10:20] = False
    noise = residual_of(0.2 * rng.normal(size=y.shape), y, np.full(y.shape, 0.04), used)
    assert noise.chi_square_reduced == pytest.approx(1, abs=0.1)
    assert abs(noise.neighbour_correlation) < 0.05
    assert (noise.normalised[10:20] == 0).all()
    structure = residual_of(np.broadcast_to(np.sin(np.arange(80) / 8), y.shape), y, np.full(y.shape, 0.04), used)
    assert structure.neighbour_correlation > 0.9


def test_false_colours_are_the_bands_and_upright() -> None:
    cube = letter()
    picture = false_colours(cube, [450.0, 550.0, 650.0])
    np.testing.assert_allclose(picture, np.moveaxis(cube[::-1], 0, -1) ** (1 / 2.2), rtol=1e-6)
    decoded = np.asarray(Image.open(io.BytesIO(colour_png(cube, [450.0, 550.0, 650.0]))))
    assert decoded.shape == (SIDE, SIDE, 3)
    np.testing.assert_allclose(decoded / 255, picture, atol=0.5 / 255 + 1e-6)


BANDS_NM = [450.0, 550.0, 650.0]


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    truth = letter()
    student = truth + np.float32(0.05)
    for name, cube in (("truth", truth), ("student", student)):
        CubeImage(NamedCube(name, name, cube), BANDS_NM).write(tmp_path)
    with np.load(tmp_path / "student.npz") as stored:
        np.testing.assert_array_equal(stored["cube"], student)
        assert stored["wavelengths_nm"].tolist() == BANDS_NM
    pages = tifffile.imread(tmp_path / "student.tiff")
    assert pages.dtype == np.float32
    np.testing.assert_array_equal(pages, student)
    with tifffile.TiffFile(tmp_path / "student.tiff") as file:
        assert len(file.pages) == BANDS
    with Image.open(tmp_path / "truth.png") as picture:
        picture.load()
        assert min(picture.size) >= SIDE


def test_pictures_are_the_same_bytes_for_the_same_numbers() -> None:
    y = operator().predict(letter())
    first, second = (draw_residuals(y, {"student": 0 * y}, y > 0.1) for _ in range(2))
    assert first == second

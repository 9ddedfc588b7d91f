"""What the parts of the modalities compute and draw beside what the encoders do."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from cidesign.constraints.aperture import feature_rule
from cidesign.constraints.kspace import LineBudget
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.cassi import report_figures as cassi_figures
from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.cassi.pictures import distinct_pixels, false_colour_bands
from cidesign.modalities.cassi.report import angle_text, most_colourful, photoelectrons
from cidesign.modalities.mri import report_figures as mri_figures
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.encoders.fourier import centred_ifft, to_channels
from cidesign.modalities.mri.report import exact_quotient, line_energy, ranges, zero_filled
from cidesign.modalities.single_pixel.report import pattern_grid, singular_values
from cidesign.pattern import ApertureMask, CartesianLines
from cidesign.physics.noise import PixelNoise
from cidesign.report import figures
from cidesign.report.parts import verdict


def _grey(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("L"))


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([], ""), ([5], "5"), ([3, 7, 8, 9, 12], "3, 7-9, 12"), ([0, 1], "0-1"), ([0, 2, 4], "0, 2, 4")],
)
def test_ranges(numbers: list[int], said: str) -> None:
    assert ranges(numbers) == said


@pytest.mark.parametrize(("top", "bottom", "said"), [(32, 8, "4"), (64, 24, "about 2.66667"), (160, 64, "2.5")])
def test_acceleration_says_when_it_is_rounded(top: int, bottom: int, said: str) -> None:
    assert exact_quotient(top, bottom) == said


@pytest.mark.parametrize(
    ("bands_nm", "chosen"),
    [
        ([450.0, 478.6, 507.1, 535.7, 564.3, 592.9, 621.4, 650.0], (6, 3, 0)),
        ([460.0, 620.0], (1, 1, 0)),
        ([900.0, 1000.0, 1100.0, 1200.0, 1300.0], (4, 2, 0)),
    ],
)
def test_false_colour_bands(bands_nm: list[float], chosen: tuple[int, int, int]) -> None:
    assert false_colour_bands(bands_nm) == chosen


def test_spectra_are_chosen_by_the_truth() -> None:
    cube = np.full((2, 3, 4), 0.3)
    cube[:, 2, 1] = (0.9, 0.8)
    cube[:, 0, 3] = (0.0, 0.9)
    cube[:, 1, 0] = (0.8, 0.0)
    assert distinct_pixels(cube, 3) == [(2, 1), (0, 3), (1, 0)]
    assert len(distinct_pixels(cube[:, :1, :2], 4)) == 2
    grey = torch.linspace(0.1, 1, 12).reshape(1, 1, 3, 4).expand(1, 2, 3, 4)
    assert most_colourful(torch.cat([grey, torch.from_numpy(cube)[None].float(), grey])) == 1
    assert angle_text(float("nan")) == "too dark for an angle"
    assert angle_text(4.25) == "4.2°"


def test_white_scene_fills_the_pixel() -> None:
    """Where all bands overlap behind an open mask, a white scene gives the full scale."""
    optics = Dispersion.from_shifts([0.0, 1.0, 2.0], "columns")
    encoder = SdCassiEncoder.fixed(torch.ones(4, 6), optics, PixelNoise(20_000.0, 5.0, 3.0))
    charge = photoelectrons(encoder, encoder.A(torch.ones(1, 3, 4, 6))[0])
    assert charge.shape == (4, 8)
    np.testing.assert_allclose(charge[:, 2:6], 20_000)
    np.testing.assert_allclose(charge[:, 0], 20_000 / 3, rtol=1e-6)


def test_broken_rules_are_spelled_out() -> None:
    profile = load_profile("chrome-laser-10um")
    assert isinstance(profile, ApertureProfile)
    touching = ApertureMask(np.eye(4, dtype=np.uint8), 10.0, profile.id, profile.digest)
    assert verdict(feature_rule(profile).check(touching)).startswith("BROKEN: mask at x = ")
    lines = CartesianLines(8, 8, np.array([3, 4]), 0, "p", "d")
    assert verdict(LineBudget(8, 3, 0).check(lines)).startswith("BROKEN: trajectory: line budget is 2 lines")
    assert verdict(LineBudget(8, 2, 0).check(lines)) == "obeyed"


def test_line_energy_is_that_of_the_line() -> None:
    k = torch.zeros(1, 8, 8, dtype=torch.complex64)
    k[0, 2, 5], k[0, 4, 4] = 1, 2j
    np.testing.assert_allclose(line_energy(to_channels(centred_ifft(k))), [0, 0, 0.2, 0, 0.8, 0, 0, 0], atol=1e-6)


def test_zero_filled_is_the_image_when_all_lines_are_there() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 6, 6, generator=generator, dtype=torch.complex64)
    x = torch.randn(2, 2, 6, 6, generator=generator)
    encoder = CartesianEncoder(torch.zeros(6), LineBudget(6, 6, 0), maps, 0.0)
    torch.testing.assert_close(zero_filled(encoder, encoder.A(x).detach()), x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("length", "rounded"), [(320 / 3, 100), (49.9, 20), (50, 50), (0.7, 0.5), (1, 1)])
def test_scale_bars_are_round(length: float, rounded: float) -> None:
    assert cassi_figures.round_length(length) == pytest.approx(rounded)


def test_mask_is_drawn_the_right_way_round() -> None:
    """Light passes in the upper left and lower right only: white there, dark in the other corners."""
    levels = np.kron(np.array([[1, 0], [0, 1]]), np.ones((8, 8))).astype(np.uint8)
    drawn = _grey(cassi_figures.mask(ApertureMask(levels, 10.0, "p", "d")))
    dark = np.argwhere(drawn[:430] < 60)
    rows, columns = dark[:, 0], dark[:, 1]
    top, left = rows < rows.mean(), columns < columns.mean()
    assert np.mean(top == ~left) > 0.95
    wide = cassi_figures.mask(ApertureMask(np.tile(levels, (5, 9)), 10.0, "p", "d"))
    assert _grey(wide).shape[1] > 1.5 * drawn.shape[1]  # whole, and in part


@pytest.mark.parametrize("axis", ["columns", "rows"])
@pytest.mark.parametrize("shifts", [[0.0, 1.0, 2.0], [3.5, 2.0, 0.0]])
def test_detector_is_drawn_for_every_dispersion(axis: str, shifts: list[float]) -> None:
    optics = Dispersion.from_shifts(shifts, "rows" if axis == "rows" else "columns")
    size = (9, 12 + optics.span_px) if axis == "columns" else (9 + optics.span_px, 12)
    y = np.linspace(-5, 900, size[0] * size[1]).reshape(size)
    assert _grey(cassi_figures.detector(np.ones((9, 12, 3)), y, optics, [450.0, 550.0, 650.0])).std() > 5


def test_lines_of_one_and_of_all() -> None:
    whole = CartesianLines(6, 5, np.arange(6), 0, "p", "d")
    one = CartesianLines(6, 5, np.array([3]), 1, "p", "d")
    energy = np.full(6, 1 / 6)
    assert mri_figures.lines(whole, energy) != mri_figures.lines(one, energy)
    assert mri_figures.lobe_text(0.0) == "none"
    assert mri_figures.lobe_text(0.1) == "10.0% of the main lobe (-20.0 dB)"
    picture = mri_figures.point_spread({"student": whole.mask.astype(float), "teacher": np.full(6, 0.5)}, 0.0)
    assert _grey(picture).std() > 5


def test_image_grid_keeps_every_pixel_of_large_images() -> None:
    images = np.zeros((3, 400, 400))
    narrow = _grey(figures.image_grid({"a": images[:, :40, :40]}, {}).png)
    assert _grey(figures.image_grid({"a": images}, {}).png).shape[1] >= 1200 > narrow.shape[1]


def test_singular_values_of_a_rank_deficient_operator() -> None:
    matrix = np.outer(np.arange(1.0, 4), np.arange(1.0, 6))
    assert _grey(singular_values({"student": (matrix, figures.STUDENT)})).std() > 1


@pytest.mark.parametrize("count", [1, 5, 13, 60])
def test_pattern_grid_of_any_count(count: int) -> None:
    drawn = _grey(pattern_grid(np.ones((count, 4, 4), dtype=np.uint8), 1).png)
    assert drawn.shape[1] == pytest.approx(990 * min(count, 12) / 12, abs=2)


@pytest.mark.parametrize("rows", [1, 3])
def test_spots_lie_on_the_pixels_that_they_name(rows: int) -> None:
    # Of different heights and widths, every value another one.
    images = {str(row): np.linspace(0.1 * row, 0.6 + 0.1 * row, 2 * 5 * 7).reshape(2, 5, 7) for row in range(rows)}
    found = figures.image_grid(images, {"0": ["first", "second"]})
    assert [spot.text for spot in found.spots[:2]] == ["0, image 1: first", "0, image 2: second"]
    assert len(found.spots) == 2 * rows
    grey, values = _grey(found.png), np.concatenate(list(images.values()))
    for spot, wanted in zip(found.spots, values, strict=True):
        assert (spot.rows, spot.columns, spot.most) == (5, 7, 1.0)
        y = spot.top + spot.height * (np.arange(5) + 0.5) / 5
        x = spot.left + spot.width * (np.arange(7) + 0.5) / 7
        read = grey[np.ix_((y * grey.shape[0]).astype(int), (x * grey.shape[1]).astype(int))] / 255
        assert np.abs(read - wanted).max() < 0.02


def test_colours_have_no_value_to_read() -> None:
    assert all(spot.most == 0 for spot in figures.image_grid({"a": np.ones((1, 4, 4, 3))}, {}).spots)
    assert all(spot.most == 0 for spot in figures.image_grid({"a": np.ones((1, 4, 4))}, {}, (1.0, "error")).spots)


def test_spots_of_curves_lie_on_their_points() -> None:
    epochs = [figures.Epoch("teacher", (20.0, 18.0)), figures.Epoch("student", (25.0, 19.0))]
    found = figures.training_curves(epochs, {"teacher": "teacher (real)"}, ["PSNR", "linear estimate"], "PSNR / dB")
    assert [spot.text for spot in found.spots] == [
        "teacher (real), epoch 1: 20 (PSNR / dB)", "its linear estimate, epoch 1: 18 (PSNR / dB)",
        "student, epoch 2: 25 (PSNR / dB)", "its linear estimate, epoch 2: 19 (PSNR / dB)",
    ]  # fmt: skip
    middles = [(spot.left + spot.width / 2, spot.top + spot.height / 2) for spot in found.spots]
    with Image.open(io.BytesIO(found.png)) as picture:
        drawn = np.asarray(picture.convert("RGB")).astype(int)
    height, width = drawn.shape[:2]
    for (x, y), colour in zip(middles, [[0xB4, 0x5F, 0x06]] * 2 + [[0x0B, 0x53, 0x94]] * 2, strict=True):
        # A marker in the colour of teacher or student, in the middle of the place to within a pixel or two.
        rows, columns = np.nonzero(np.abs(drawn - colour).sum(axis=-1) < 60)
        near = np.hypot(rows - y * height, columns - x * width) < 12
        assert np.hypot((rows[near] - y * height).mean(), (columns[near] - x * width).mean()) < 2

"""Instruments from TOML files: the operator that they describe, sizes that do not fit, and what a capture says."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

from cidesign.calibration.cassi.instrument import Instrument, read_instrument
from cidesign.calibration.cassi.instrument_check import NAME, instrument_verification, mask_check
from cidesign.checks import Check
from cidesign.errors import FileError

BANDS, HEIGHT, WIDTH, STEP = 8, 90, 96, 2
SPAN = (BANDS - 1) * STEP
NM = np.linspace(450, 650, BANDS)
SPECTRA = Path(__file__).parents[4] / "shared" / "data" / "hsi" / "instrument"
RNG = np.random.default_rng(5)
MASK = np.clip(gaussian_filter((RNG.random((HEIGHT, WIDTH)) > 0.5).astype(float), 0.6), 0, 1)


def scene(seed: int, bands: int = BANDS) -> np.ndarray:
    """Discs with smooth spectra before a smooth background."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    cube = np.zeros((bands, HEIGHT, WIDTH))
    wave = np.linspace(0, 1, bands)
    cube += (0.4 + 0.2 * np.sin(3 * wave + seed))[:, None, None] * (0.6 + 0.4 * columns / WIDTH)
    for _ in range(60):
        row, column, radius = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH), rng.uniform(3, 14)
        inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        light = rng.uniform(0.1, 1) * np.exp(-(((wave - rng.uniform(0, 1)) / rng.uniform(0.2, 0.8)) ** 2))
        cube[:, inside] = light[:, None]
    return cube


def captured(
    cube: np.ndarray,
    mask: np.ndarray = MASK,
    sign: int = 1,
    axis: str = "columns",
    step: int = STEP,
    noise: float = 0.01,
) -> np.ndarray:
    """By the definition: every band of the masked scene, shifted by whole pixels."""
    masked = mask * cube
    if axis == "rows":
        return captured(cube.transpose(0, 2, 1), np.swapaxes(mask, -1, -2), sign, "columns", step, noise).T
    bands, height, width = masked.shape
    y = np.zeros((height, width + (bands - 1) * step))
    for k in range(bands):
        first = k * step if sign > 0 else (bands - 1 - k) * step
        y[:, first : first + width] += masked[k]
    return y + noise * np.random.default_rng(3).normal(size=y.shape)


def written(folder: Path, stored: np.ndarray | None = MASK, **fields: object) -> Path:
    if stored is not None:
        np.save(folder / "mask.npy", stored)
    body: dict[str, object] = {
        "mask": "mask.npy", "wavelengths_nm": NM.tolist(), "step_px": float(STEP), "axis": "columns", "sign": 1,
    }  # fmt: skip
    body |= fields
    lines = [f"{name} = {_toml(value)}" for name, value in body.items() if value is not None]
    (folder / "instrument.toml").write_text("\n".join(lines))
    return folder / "instrument.toml"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value).replace("'", '"')


def read(folder: Path, stored: np.ndarray | None = MASK, **fields: object) -> Instrument:
    return read_instrument(written(folder, stored, **fields))


def checked(folder: Path, y: np.ndarray, **fields: object) -> Check:
    calibration = read(folder, MASK, detector=list(y.shape), **fields).calibration(y)
    return mask_check(calibration, y)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_it_is_the_operator_that_the_file_describes(tmp_path: Path, axis: str, sign: int) -> None:
    operator = read(tmp_path, axis=axis, sign=sign).operator
    cube = scene(1).astype(np.float32)
    wanted = captured(cube, MASK.astype(np.float32), sign, axis, noise=0)
    assert operator.size == wanted.shape
    np.testing.assert_allclose(operator.predict(cube), wanted, atol=1e-5)


def test_shifts_lists_and_tables_say_the_same(tmp_path: Path) -> None:
    by_step = read(tmp_path)
    by_list = read(tmp_path, step_px=None, shift_px=[3.0 + STEP * k for k in range(BANDS)])
    (tmp_path / "table.csv").write_text("nm,px\n400,0\n700,21\n")
    by_table = read(tmp_path, step_px=None, dispersion="table.csv")
    for other in (by_list, by_table):
        np.testing.assert_allclose(other.operator.to_code, by_step.operator.to_code, atol=1e-9)
    fractions = read(tmp_path, step_px=1.3)
    assert fractions.operator.size == (HEIGHT, WIDTH + 10)
    with pytest.raises(FileError, match=r"table.csv is known from 400 to 700 nm, the bands are 390 to"):
        read(tmp_path, step_px=None, dispersion="table.csv", wavelengths_nm=[390.0, 500.0])
    with pytest.raises(FileError, match="give one of step_px, shift_px, dispersion"):
        read(tmp_path, dispersion="table.csv")
    with pytest.raises(FileError, match="2 shifts in shift_px for 8 wavelengths"):
        read(tmp_path, step_px=None, shift_px=[0.0, 1.0])


def test_turned_and_scaled_images_of_the_mask(tmp_path: Path) -> None:
    stored = np.rint(MASK * 255).astype(np.uint8)
    stored.flat[0] = 255
    turned = read(tmp_path, stored.T[::-1].copy(), transpose=True, flip_horizontal=True)
    # Transposed first: the stored columns become rows, and the flip of the stored rows one of the columns.
    np.testing.assert_allclose(turned.operator.masks[3], (stored / 255).astype(np.float32), atol=1e-7)
    with pytest.raises(FileError, match=r"mask_white = 180"):
        read(tmp_path, np.rint(MASK / MASK.max() * 180))
    scaled = read(tmp_path, np.rint(MASK / MASK.max() * 180), mask_white=180.0)
    assert scaled.operator.masks.max() == 1
    inverted = read(tmp_path, MASK, mask_white=0.0, mask_black=1.0)
    np.testing.assert_allclose(inverted.operator.masks[0], 1 - MASK, atol=1e-6)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_cubes_of_masks_on_either_grid(tmp_path: Path, last: bool, sign: int) -> None:
    cube = np.stack([MASK ** (1 + 0.1 * k) for k in range(BANDS)]).astype(np.float32)
    on_detector = np.zeros((BANDS, HEIGHT, WIDTH + SPAN), np.float32)
    for k in range(BANDS):
        first = k * STEP if sign > 0 else SPAN - k * STEP
        on_detector[k, :, first : first + WIDTH] = cube[k]
    for stored, grid in ((cube, "mask"), (on_detector, "detector")):
        savemat(tmp_path / "mask.mat", {"mask_3d": np.moveaxis(stored, 0, -1) if last else stored})
        operator = read(tmp_path, None, mask="mask.mat", mask_array="mask_3d", cube_grid=grid, sign=sign).operator
        assert np.array_equal(operator.masks, cube)
        assert operator.size == (HEIGHT, WIDTH + SPAN)
    with pytest.raises(FileError, match="is a cube: are its images cut to the mask"):
        read(tmp_path, None, mask="mask.mat", mask_array="mask_3d")
    with pytest.raises(FileError, match="for 4 wavelengths; one axis holds one mask for each"):
        read(tmp_path, None, mask="mask.mat", mask_array="mask_3d", wavelengths_nm=[500.0, 510.0, 520.0, 530.0])


def test_sizes_that_do_not_fit_are_told_with_those_that_would(tmp_path: Path) -> None:
    needed = f"a mask of 90 x 96 in 8 bands of 2 px needs 90 x {96 + SPAN} pixels"
    with pytest.raises(FileError, match=f"{needed}, the detector has 90 x 103; a step of 1 px would fit its columns"):
        read(tmp_path, detector=[90, 103])
    with pytest.raises(FileError, match=f"{needed}, the detector has 90 x 131: the mask is smaller than the capture"):
        read(tmp_path, detector=[90, 131])
    with pytest.raises(FileError, match=f"{needed}, the detector has 80 x 110"):
        read(tmp_path, detector=[80, 110])
    placed = read(tmp_path, detector=[100, 131], origin_px=[4.0, 9.0])
    cube = scene(2).astype(np.float32)
    seen = placed.operator.predict(cube)
    np.testing.assert_allclose(
        seen[4:94, 9 : 9 + 96 + SPAN], captured(cube, MASK.astype(np.float32), noise=0), atol=1e-5
    )
    assert not seen[:4].any()
    with pytest.raises(FileError, match=r"a capture of 90 x 108 pixels for a detector of 90 x 110 \(mask 90 x 96\)"):
        read(tmp_path).calibration(np.ones((90, 108)))


def test_lamps_and_efficiencies_make_the_light_of_the_bands(tmp_path: Path) -> None:
    assert np.array_equal(read(tmp_path).operator.response, np.ones(BANDS))
    (tmp_path / "lamp.csv").write_text("nm,light\n400,1\n700,4\n")
    (tmp_path / "qe.csv").write_text("400.0, 80.0\n700.0, 20.0\n")
    found = read(tmp_path, lamp="lamp.csv", efficiencies=["qe.csv"])
    light = (1 + (NM - 400) / 100) * (80 - (NM - 400) / 5)
    np.testing.assert_allclose(found.operator.response, light / light.mean(), rtol=1e-12)
    assert "light of the bands: lamp.csv, qe.csv" in found.notes
    (tmp_path / "short.csv").write_text("500.0, 80.0\n700.0, 20.0\n")
    with pytest.raises(FileError, match=r"short.csv: known from 500 to 700 nm, which leaves out the band\(s\) at 450"):
        read(tmp_path, lamp="short.csv")


@pytest.mark.skipif(not SPECTRA.is_dir(), reason="real spectra are not here")
def test_real_spectra_of_detectors_and_gratings(tmp_path: Path) -> None:
    for name in ("imx252qe.csv", "600lpmm_28.7_grating.csv"):
        (tmp_path / name).write_bytes((SPECTRA / name).read_bytes())
    response = read(tmp_path, efficiencies=["imx252qe.csv", "600lpmm_28.7_grating.csv"]).operator.response
    assert response.mean() == pytest.approx(1)
    assert response.min() > 0.3
    assert np.ptp(response) > 0.05


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"axis": "diagonal"}, "axis"),
        ({"sign": 0}, "sign"),
        ({"typo": 1}, "typo"),
        ({"mask": "no.npy"}, "no.npy"),
        ({"wavelengths_nm": [600.0, 500.0]}, "must rise from band to band"),
        ({"cube_grid": "mask"}, "is one image: leave them out"),
    ],
)
def test_wrong_files_are_refused_in_one_line(tmp_path: Path, fields: dict, said: str) -> None:
    with pytest.raises(FileError, match=said) as caught:
        read(tmp_path, **fields)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_toml_or_hold_no_mask(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text("mask = ")
    with pytest.raises(FileError, match="is no TOML file"):
        read_instrument(path)
    with pytest.raises(FileError, match="all values are 1; there is no mask"):
        read(tmp_path, np.ones((90, 96)))
    bad = MASK.copy()
    bad[3, 4] = np.nan
    with pytest.raises(FileError, match=r"mask\[3, 4\] is nan"):
        read(tmp_path, bad)


@pytest.mark.parametrize("seed", range(4))
def test_a_capture_that_shows_the_mask_leaves_it_not_verified(tmp_path: Path, seed: int) -> None:
    y = captured(scene(seed))
    calibration = read(tmp_path).calibration(y)
    found = instrument_verification(calibration, y)
    by_name = {check.name: check for check in found.checks}
    assert by_name[NAME].status == "passed"
    assert by_name["white target"].status == "not checked"
    assert found.verdict == "not verified"
    assert instrument_verification(calibration, None).verdict == "not verified"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"flip_horizontal": True}, "mirror"),
        ({"flip_vertical": True}, "mirror"),
        ({"flip_horizontal": True, "flip_vertical": True}, "rotation"),
        ({"mask_white": 0.0, "mask_black": 1.0}, "inversion"),
        ({"step_px": STEP * 0.8, "origin_px": [0.0, 0.0]}, "wrong-step"),
        ({"step_px": STEP * 0.8, "origin_px": [0.0, SPAN * 0.1]}, "wrong-step"),
    ],
)
@pytest.mark.parametrize("seed", range(2))
def test_a_mask_or_step_that_is_not_the_captures_is_named(tmp_path: Path, fields: dict, fault: str, seed: int) -> None:
    y = captured(scene(seed))
    calibration = read(tmp_path, detector=list(y.shape), **fields).calibration(y)
    check = mask_check(calibration, y)
    assert (check.status, check.fault) == ("failed", fault)
    assert instrument_verification(calibration, y).verdict == "failed"


def test_a_shifted_mask_is_named_with_the_way_back(tmp_path: Path) -> None:
    y = captured(scene(1))
    framed = np.pad(y, ((5, 5), (0, 0)))
    check = checked(tmp_path, framed, origin_px=[7.0, 0.0])
    assert (check.status, check.fault) == ("failed", "shift")
    assert "2 px further up" in check.text
    assert checked(tmp_path, framed, origin_px=[5.0, 0.0]).status == "passed"


def test_a_scene_of_few_bands_is_no_wrong_step(tmp_path: Path) -> None:
    for chosen in ([0], [7], [3], [0, 7], [2, 3]):
        cube = np.zeros((BANDS, HEIGHT, WIDTH))
        cube[chosen] = scene(3)[chosen]
        check = checked(tmp_path, captured(cube))
        assert check.fault is None, (chosen, check)


@pytest.mark.parametrize("kind", ["dark", "noise", "spot"])
def test_a_capture_that_shows_nothing_cannot_tell(tmp_path: Path, kind: str) -> None:
    y = np.full((HEIGHT, WIDTH + SPAN), 1.0)
    if kind == "noise":
        y += np.random.default_rng(0).normal(size=y.shape) * 0.1
    if kind == "spot":
        y[40:44, 40:44] = 50.0
    for fields in ({}, {"flip_horizontal": True}):
        assert checked(tmp_path, y, **fields).status == "not checked"


def test_what_the_file_does_not_say_is_said(tmp_path: Path) -> None:
    y = captured(scene(1)) * 500 + 100
    told = read(tmp_path, dark_counts=100.0, white_counts=400.0, read_noise_counts=5.0, saturation_counts=4095.0)
    calibration = told.calibration(y)
    found, variance, valid = calibration.measurements(y)
    np.testing.assert_allclose(found, (y - 100) / 400, rtol=1e-12)
    np.testing.assert_allclose(variance, (5 / 400) ** 2, rtol=1e-12)
    assert valid.all()
    assert not any("is not given" in note for note in calibration.notes)
    bare = read(tmp_path).calibration(y).notes
    assert sum("is not given" in note for note in bare) == 3
    assert any("which nobody has verified" in note for note in bare)
    with pytest.raises(FileError, match="the capture is dark"):
        read(tmp_path, dark_counts=5000.0).calibration(y)

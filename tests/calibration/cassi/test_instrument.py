"""Instruments from TOML files: the operator that they describe, sizes that do not fit, and what a capture says."""

from pathlib import Path

import numpy as np
import pytest
from instruments import (
    BANDS,
    DESIGN,
    HEIGHT,
    MASK,
    NM,
    PROFILE,
    SPAN,
    STEP,
    WIDTH,
    alone,
    captured,
    designed,
    made_for,
    read,
    scene,
    written,
)
from scipy.io import savemat

from cidesign.calibration.cassi.instrument.described import nominal_instrument, read_instrument
from cidesign.errors import FileError

SPECTRA = Path(__file__).parents[4] / "shared" / "data" / "hsi" / "instrument"


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
    savemat(tmp_path / "mask.mat", {"mask_3d": cube[:5]})
    with pytest.raises(FileError, match="for 8 wavelengths; one axis holds one mask for each"):
        read(tmp_path, None, mask="mask.mat", mask_array="mask_3d")


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
        read(tmp_path, MASK, np.ones((90, 108)), detector=[90, 110])
    with pytest.raises(FileError, match="the detector has 90 x 117; a step of 3 px would fit its columns"):
        read(tmp_path, MASK, np.ones((90, 117)), step_px=4.0)
    with pytest.raises(FileError, match="the detector has 110 x 90; with rows and columns exchanged it would"):
        read(tmp_path, MASK, np.ones((110, 90)))
    with pytest.raises(FileError, match=r"from \(4, 25\) on it leaves the detector"):
        read(tmp_path, detector=[100, 131], origin_px=[4.0, 25.0])


def test_another_mask_or_other_bands_than_the_designs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="the mask as the detector sees it has 80 x 96 pixels, that of the design 90 x"):
        read(tmp_path, MASK[:80])
    with pytest.raises(FileError, match="8 bands from 460 to 650 nm, and profile chrome-laser-10um has 8 bands from 4"):
        read(tmp_path, wavelengths_nm=np.linspace(460, 650, BANDS).tolist())
    near = (NM + 0.5).tolist()
    assert read(tmp_path, wavelengths_nm=near).bands.wavelengths_nm.tolist() == near


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("axis", ["columns", "rows"])
def test_what_the_file_leaves_out_is_the_designs(tmp_path: Path, axis: str, falling: bool) -> None:
    """An empty file, no file, and one that says the same."""
    shifts = [float(STEP * k) for k in range(BANDS)]
    profile = made_for(NM, shifts[::-1] if falling else shifts, axis)
    design = designed(profile=profile)
    cube = scene(1)
    y = captured(cube, MASK, -1 if falling else 1, axis, noise=0)
    (tmp_path / "empty.toml").write_text("")
    empty = read_instrument(tmp_path / "empty.toml", design, profile, alone(y))
    for instrument in (empty, nominal_instrument(design, profile, alone(y))):
        np.testing.assert_allclose(instrument.operator.predict(cube.astype(np.float32)), y, atol=1e-4)
    told = written(tmp_path, MASK, axis=axis, sign=-1 if falling else 1)
    same = read_instrument(told, design, profile, alone(y)).operator
    assert np.array_equal(same.to_code, empty.operator.to_code)
    assert np.array_equal(same.masks, empty.operator.masks)
    with pytest.raises(FileError, match=r"scene\.npy: a mask of 90 x 96 in 8 bands of 2 px needs"):
        nominal_instrument(design, profile, alone(y[2:]))


def test_a_pixel_of_the_mask_may_be_several_of_the_detector(tmp_path: Path) -> None:
    y = captured(scene(1), noise=0)
    fine = y.repeat(2, axis=0).repeat(2, axis=1)
    calibration = read(tmp_path, MASK, fine, detector_px_per_mask_px=2, white_counts=1.0).calibration()
    np.testing.assert_allclose(calibration.measurements(fine)[0], y, atol=1e-12)
    with pytest.raises(FileError, match="images of 179 x 220 pixels, of which 2 x 2 are one of the mask"):
        read(tmp_path, MASK, fine[1:], detector_px_per_mask_px=2)


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
        read_instrument(path, DESIGN, PROFILE)
    with pytest.raises(FileError, match="all values are 1; there is no mask"):
        read(tmp_path, np.ones((90, 96)))
    bad = MASK.copy()
    bad[3, 4] = np.nan
    with pytest.raises(FileError, match=r"mask\[3, 4\] is nan"):
        read(tmp_path, bad)

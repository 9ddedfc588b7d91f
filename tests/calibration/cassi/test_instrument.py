"""Instruments from TOML files: the operator that they describe, sizes that do not fit, and what a capture says."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

from cidesign.calibration.cassi.capture import CassiCapture, read_cassi_capture
from cidesign.calibration.cassi.instrument.check import LIGHT, NAME, described_verification, mask_check
from cidesign.calibration.cassi.instrument.described import Instrument, nominal_instrument, read_instrument
from cidesign.calibration.cassi.record import described_calibration, read_cassi_calibration, write_described_calibration
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import ApertureMask

BANDS, HEIGHT, WIDTH, STEP = 8, 90, 96, 2
SPAN = (BANDS - 1) * STEP
NM = np.linspace(450, 650, BANDS)
SPECTRA = Path(__file__).parents[4] / "shared" / "data" / "hsi" / "instrument"
RNG = np.random.default_rng(5)
MASK = np.clip(gaussian_filter((RNG.random((HEIGHT, WIDTH)) > 0.5).astype(float), 0.6), 0, 1)


def made_for(nm: np.ndarray, shifts: list[float], axis: str = "columns") -> ApertureProfile:
    """A profile of other bands."""
    raw = load_profile("chrome-laser-10um").model_dump(mode="json")
    for name, value in (("wavelengths_nm", nm.tolist()), ("shift_px", shifts), ("axis", axis)):
        raw["spectrograph"][name]["value"] = value
    return ApertureProfile.model_validate(raw)


PROFILE = made_for(NM, [float(STEP * k) for k in range(BANDS)])


def designed(levels: np.ndarray = MASK, profile: ApertureProfile = PROFILE) -> ApertureMask:
    return ApertureMask(levels.astype(np.float32), 10.0, profile.id, profile.digest)


DESIGN = designed()


def alone(y: np.ndarray) -> CassiCapture:
    """A capture of which the images alone are there."""
    return CassiCapture(Path("scene.npy"), None, {"scene": y})


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
    """By the definition: every band of the masked scene, displaced by whole pixels."""
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


def read(folder: Path, stored: np.ndarray | None = MASK, y: np.ndarray | None = None, **fields: object) -> Instrument:
    capture = None if y is None else alone(y)
    return read_instrument(written(folder, stored, **fields), DESIGN, PROFILE, capture)


def checked(folder: Path, y: np.ndarray, **fields: object) -> Check:
    return mask_check(read(folder, MASK, y, detector=list(y.shape), **fields).calibration(), y)


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


@pytest.mark.parametrize("seed", range(4))
def test_a_capture_that_shows_the_mask_leaves_it_not_verified(tmp_path: Path, seed: int) -> None:
    y = captured(scene(seed))
    instrument = read(tmp_path, MASK, y)
    found = described_verification(instrument, instrument.calibration())
    by_name = {check.name: check for check in found.checks}
    assert by_name[NAME].status == by_name["mask of the file"].status == "passed"
    assert by_name[LIGHT].status == "not checked"
    assert [one.check for one in found.not_looked_at] == [LIGHT]
    assert found.verdict == "not verified"
    without = read(tmp_path)
    unseen = described_verification(without, without.calibration())
    assert [one.check for one in unseen.not_looked_at] == [LIGHT, NAME]
    assert unseen.verdict == "not verified"


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
    instrument = read(tmp_path, MASK, y, detector=list(y.shape), **fields)
    check = mask_check(instrument.calibration(), y)
    assert (check.status, check.fault) == ("failed", fault)
    assert described_verification(instrument, instrument.calibration()).verdict == "failed"


def test_a_displaced_mask_is_named_with_the_way_back(tmp_path: Path) -> None:
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
    said = {"dark_counts": 100.0, "white_counts": 400.0, "read_noise_counts": 5.0, "saturation_counts": 4095.0}
    calibration = read(tmp_path, MASK, y, **said).calibration()
    found, variance, valid = calibration.measurements(y)
    np.testing.assert_allclose(found, (y - 100) / 400, rtol=1e-12)
    np.testing.assert_allclose(variance, (5 / 400) ** 2, rtol=1e-12)
    assert valid.all()
    assert not any("is not given" in note for note in calibration.notes)
    bare = read(tmp_path, MASK, y).calibration().notes
    assert sum("is not given" in note for note in bare) == 3
    assert any("which nobody has verified" in note for note in bare)
    with pytest.raises(FileError, match="the capture is dark"):
        read(tmp_path, MASK, y, dark_counts=5000.0).calibration()


def test_the_mask_of_the_file_is_held_against_that_of_the_design(tmp_path: Path) -> None:
    other = np.random.default_rng(8).random((HEIGHT, WIDTH))
    for stored, status, fault in ((MASK, "passed", None), (MASK[::-1], "corrected", "mirror"),
                                  (1 - MASK, "corrected", "inversion"), (other, "failed", None)):  # fmt: skip
        instrument = read(tmp_path, np.clip(stored, 0, 1))
        check = described_verification(instrument, instrument.calibration()).checks[0]
        assert (check.name, check.status, check.fault) == ("mask of the file", status, fault)


def test_a_white_target_verifies_a_description(tmp_path: Path) -> None:
    """Its brightness gives the scale; a wrong lamp is seen."""
    tilt = np.linspace(0.5, 1.5, BANDS)[:, None, None]
    for lit, verdict in ((1.0, "passed"), (tilt, "failed")):
        white = 700 * captured(np.ones((BANDS, HEIGHT, WIDTH)) * lit, noise=0.02)
        frames = {"scene": 700 * captured(scene(2) * lit), "white": white[None]}
        capture = CassiCapture(Path("capture"), None, {name: one + 100 for name, one in frames.items()})
        path = written(tmp_path, dark_counts=100.0)
        instrument = read_instrument(path, DESIGN, PROFILE, capture)
        found = described_verification(instrument, instrument.calibration())
        assert found.verdict == verdict, found.checks
        if verdict == "passed":
            assert instrument.calibration().scale_counts == pytest.approx(700, rel=0.01)
            assert found.score is not None
        else:
            assert "wrong-lamp" in found.faults


def test_a_described_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    y = captured(scene(1))
    instrument = read(tmp_path, MASK, y)
    stored = write_described_calibration(tmp_path / "cal", instrument, "2026-01-01T00:00:00+00:00", False)
    found = read_cassi_calibration(tmp_path / "cal")
    assert found.record == stored.record
    assert found.record.source == "description"
    assert found.record.placement is None
    assert (tmp_path / "cal" / "instrument.png").read_bytes().startswith(b"\x89PNG")
    assert np.array_equal(found.calibration.operator.masks, instrument.operator.masks)
    assert found.calibration.notes == instrument.calibration().notes
    examined = found.examine(alone(y), DESIGN)
    assert [check.name for check in examined.verification.checks if check.status == "passed"] == [NAME]
    assert not examined.same
    with pytest.raises(FileError, match="scene of 90 x 108 pixels, and 90 x 110 were calibrated"):
        found.examine(alone(y[:, 2:]), DESIGN)
    mirrored = found.examine(alone(y[::-1].copy()), DESIGN)
    assert mirrored.verification.faults == ("mirror",)


def test_a_capture_is_not_looked_at_twice() -> None:
    capture = alone(captured(scene(1)))
    stored = described_calibration(nominal_instrument(DESIGN, PROFILE, capture), "2026-01-01T00:00:00+00:00")
    assert stored.verification.verdict == "not verified"
    assert stored.examine(capture, DESIGN).same
    assert not stored.examine(alone(capture.scene[0]), DESIGN).same


def test_images_alone_are_a_capture(tmp_path: Path) -> None:
    y = np.rint(1000 * captured(scene(1), noise=0))
    counts = y.astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([counts, counts + 2]))
    savemat(tmp_path / "frames.mat", {"scan": {"meas": np.stack([counts, counts], axis=-1)}})
    with h5py.File(tmp_path / "new.mat", "w", userblock_size=512) as file:
        file["meas_real"] = y.T
    with (tmp_path / "new.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        tifffile.imwrite(tmp_path / "pictures" / f"shot_{number}.tif", counts)
    np.save(tmp_path / "y.npy", y)
    for name, frames in (("stack.tif", 2), ("frames.mat", 2), ("new.mat", 1), ("pictures", 2), ("y.npy", 1)):
        capture = read_cassi_capture(tmp_path / name)
        assert capture.scene.shape == (frames, *y.shape), name
        np.testing.assert_array_equal(capture.scene[0], y)
        assert capture.record is None
    np.savez(tmp_path / "two.npz", meas=y, other=y)
    assert np.array_equal(read_cassi_capture(tmp_path / "two.npz", "meas").scene[0], y)
    with pytest.raises(FileError, match="holds no array 'scene', only meas, other"):
        read_cassi_capture(tmp_path / "two.npz")
    np.save(tmp_path / "line.npy", y[0])
    with pytest.raises(FileError, match=r"scene has shape \(110,\); the detector's image"):
        read_cassi_capture(tmp_path / "line.npy")

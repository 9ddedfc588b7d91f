"""Training cubes: bands resampled without extrapolation, a white level per cube, validation of other cubes."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from cidesign.errors import FileError, InputError
from cidesign.modalities.cassi.data.images import (
    SpectralCube,
    measure_cubes,
    read_cube_scene,
    read_cubes,
    resample_bands,
)

SHARED = Path(__file__).parents[4].parent / "shared" / "data" / "hsi"
NM = np.arange(400.0, 701.0, 5.0)
BANDS_NM = (450.0, 500.0, 560.0, 650.0)


def _cube(spectrum: np.ndarray, nm: np.ndarray = NM) -> SpectralCube:
    return SpectralCube(np.broadcast_to(spectrum[:, None, None], (nm.size, 2, 3)).astype(np.float32), nm, ())


def _save(path: Path, values: np.ndarray, nm: np.ndarray = NM) -> None:
    np.savez(path, cube=values.astype(np.float32), wavelengths_nm=nm)


def _ramp(height: int, width: int) -> np.ndarray:
    """Brighter to lower right and to longer waves."""
    plane = 1 + np.arange(height)[:, None] * 3.0 + np.arange(width) * 2.0
    return plane * (1 + (NM - 400) / 300)[:, None, None]


def test_own_bands_come_back_unchanged() -> None:
    rng = np.random.default_rng(0)
    cube = SpectralCube(rng.random((NM.size, 4, 5), dtype=np.float32), NM, ())
    np.testing.assert_allclose(resample_bands(cube, NM), cube.values, atol=1e-6)
    np.testing.assert_allclose(resample_bands(cube, NM[::-1]), cube.values[::-1], atol=1e-6)
    np.testing.assert_allclose(resample_bands(cube, [NM[7]])[0], cube.values[7], atol=1e-6)


@pytest.mark.parametrize("bands", [BANDS_NM, (401.0, 402.5, 699.0), (400.0, 700.0), (523.0,)])
def test_straight_spectra_stay_straight(bands: tuple[float, ...]) -> None:
    found = resample_bands(_cube(2 * NM - 300), bands)
    np.testing.assert_allclose(found[:, 1, 2], 2 * np.array(bands) - 300, rtol=1e-4)


def test_wide_bands_average_noise_and_narrow_ones_do_not() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (400, NM.size))
    cube = SpectralCube(noise.T[:, :, None].astype(np.float32), NM, ())
    assert resample_bands(cube, [450.0, 550.0, 650.0]).std() < 0.35
    assert resample_bands(cube, [450.0, 455.0, 460.0]).std() > 0.9


def test_nothing_is_extrapolated() -> None:
    with pytest.raises(InputError, match="from 399 to 650 nm are wanted, but the cube has 400 to 700 nm"):
        resample_bands(_cube(NM), (399.0, 650.0))
    with pytest.raises(InputError, match="finite numbers"):
        resample_bands(_cube(NM), (float("nan"),))


def test_bands_that_are_not_asked_for_may_hold_anything() -> None:
    spectrum = np.ones(NM.size)
    spectrum[[0, -1]] = np.nan
    assert np.isfinite(resample_bands(_cube(spectrum), (450.0, 500.0))).all()


def test_crops_keep_direction_and_scale(tmp_path: Path) -> None:
    for number, scale in enumerate((1.0, 4000.0)):
        _save(tmp_path / f"{number}.npz", scale * _ramp(40, 50))
    found = read_cubes(tmp_path, 8, BANDS_NM, 60, 20, 1)
    assert found.train.shape == (60, 4, 8, 8)
    assert found.validation.shape == (20, 4, 8, 8)
    assert (found.pictures, found.skipped) == (2, ())
    for part in (found.train, found.validation):  # the scale of a cube does not matter
        assert 200 < part.max() <= 255
        for crop in part.astype(float):
            down, right = crop[:, -1, 0] - crop[:, 0, 0], crop[:, 0, -1] - crop[:, 0, 0]
            np.testing.assert_allclose(down, 1.5 * right, atol=4)
            assert (np.diff(crop.mean(axis=(1, 2))) > 0).all()


def test_validation_cubes_are_not_trained_on(tmp_path: Path) -> None:
    for number in range(11):
        level = np.where(np.indices((12, 12)).sum(0) % 2, (number + 1) / 24, (number + 2) / 12)
        level[0, 0] = 1.5  # the white level of all
        _save(tmp_path / f"{number:02d}.npz", np.broadcast_to(level, (NM.size, 12, 12)))
    found = read_cubes(tmp_path, 12, BANDS_NM, 200, 50, 1)
    levels = [{int(np.median(crop)) for crop in part} for part in (found.train, found.validation)]
    assert not levels[0] & levels[1]
    assert len(found.trained) == 10


def test_lines_of_one_cube_are_shared_out(tmp_path: Path) -> None:
    values = np.ones((NM.size, 40, 20)) * np.where(np.arange(40) < 30, 0.4, 1.0)[:, None]
    values[:, :, 7:9] = 0
    _save(tmp_path / "one.npz", values)
    found = read_cubes(tmp_path / "one.npz", 8, BANDS_NM, 30, 10, 1)
    assert found.train.max() == 102  # no half level, which rounds either way
    assert (found.validation.max(axis=(1, 2, 3)) == 255).all()
    assert any("last quarter" in note for note in found.notes)
    with pytest.raises(InputError, match="40 x 20 pixels are less"):
        read_cubes(tmp_path / "one.npz", 24, BANDS_NM, 3, 3, 1)
    _save(tmp_path / "square.npz", _ramp(20, 20))
    with pytest.raises(InputError, match=r"one cube of 20 lines is not enough.* give 32 lines"):
        read_cubes(tmp_path / "square.npz", 16, BANDS_NM, 3, 3, 1)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    for number in range(2):
        _save(tmp_path / f"good{number}.npz", _ramp(20, 20))
    _save(tmp_path / "small.npz", _ramp(7, 20))
    _save(tmp_path / "short.npz", _ramp(20, 20), NM + 200)
    _save(tmp_path / "dark.npz", np.zeros((NM.size, 20, 20)))
    _save(tmp_path / "plain.npz", np.ones((NM.size, 20, 20)) * (1 + (NM - 400) / 300)[:, None, None])
    holes = _ramp(20, 20)
    holes[10, 3, 3] = np.nan
    _save(tmp_path / "holes.npz", holes)
    np.savez(tmp_path / "bare.npz", cube=_ramp(20, 20))
    (tmp_path / "broken.mat").write_bytes(b"rubbish")
    (tmp_path / "brain.hdr").write_bytes(b"\x5c\x01\x00\x00 of another format")
    found = read_cubes(tmp_path, 8, tuple(NM), 9, 3, 1)
    named = dict(line.split(": ", 1) for line in found.skipped)
    assert set(named) == {"small.npz", "short.npz", "dark.npz", "plain.npz", "holes.npz", "bare.npz", "broken.mat"}
    assert "no contrast: within every band" in named["plain.npz"]
    assert "7 x 20 pixels are less than the 8 x 8" in named["small.npz"]
    assert "400 to 700 nm are wanted, but the cube has 600 to 900 nm" in named["short.npz"]
    assert "0.2% of its pixels have holes" in named["holes.npz"]
    for name in named:
        with pytest.raises((FileError, InputError), match=name):
            read_cubes(tmp_path / name, 8, tuple(NM), 9, 3, 1)


def test_noise_below_zero_is_counted(tmp_path: Path) -> None:
    values = _ramp(20, 20)
    values[:, 0, 0] = -1
    _save(tmp_path / "a.npz", values)
    found = read_cubes(tmp_path / "a.npz", 8, BANDS_NM, 9, 3, 1)
    assert any("0.25% of the values are negative" in note for note in found.notes)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no hyperspectral cubes below"):
        read_cubes(tmp_path, 8, BANDS_NM, 9, 3, 1)
    (tmp_path / "a.mat").write_bytes(b"")
    with pytest.raises(FileError, match="none of 1 cubes can be used"):
        read_cubes(tmp_path, 8, BANDS_NM, 9, 3, 1)
    with pytest.raises(FileError, match="no such file or folder"):
        read_cubes(tmp_path / "missing", 8, BANDS_NM, 9, 3, 1)
    (tmp_path / "a.txt").write_bytes(b"")
    with pytest.raises(FileError, match=r"\.txt files are not read as hyperspectral cubes"):
        read_cubes(tmp_path / "a.txt", 8, BANDS_NM, 9, 3, 1)


def test_same_seed_same_crops(tmp_path: Path) -> None:
    _save(tmp_path / "a.npz", _ramp(30, 20))
    first, again, other = (read_cubes(tmp_path, 8, BANDS_NM, 9, 3, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.train, again.train)
    assert (first.train != other.train).any()


def test_every_cube_is_measured(tmp_path: Path) -> None:
    for number in range(12):
        _save(tmp_path / f"{number:02d}.npz", np.roll(_ramp(20, 20), number, axis=2))
    (tmp_path / "broken.mat").write_bytes(b"rubbish")
    found = measure_cubes(tmp_path, 20, BANDS_NM, 5, 1, frozenset())
    assert found.images.shape == (12, 4, 20, 20)
    assert len({one.tobytes() for one in found.images}) == 12
    assert [line.split(":")[0] for line in found.skipped] == ["broken.mat"]
    trained = read_cubes(tmp_path, 8, BANDS_NM, 8, 8, 1).trained
    again = measure_cubes(tmp_path, 8, BANDS_NM, 8, 1, trained)
    assert (again.pictures, again.left_out, again.held_out) == (12, 11, True)
    single = measure_cubes(tmp_path / "00.npz", 16, BANDS_NM, 8, 1, trained)  # too small to be split
    assert (single.images.shape, single.held_out) == ((8, 4, 16, 16), False)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cubes are not here")
def test_real_cubes_are_cut() -> None:
    bands_nm = np.linspace(450, 650, 8)
    found = read_cubes(SHARED, 24, bands_nm, 60, 20, 1)
    assert (found.pictures, found.skipped) == (3, ())
    larger = read_cubes(SHARED, 40, bands_nm, 60, 20, 1)
    assert len(larger.skipped) == 2
    assert larger.train.std() > 15


def test_a_cube_as_a_scene(tmp_path: Path) -> None:
    """A ramp down, another across in the last band: what is cut is the middle, what is averaged keeps its direction."""
    nm = np.array([450.0, 550.0, 650.0])
    cube = np.zeros((20, 48, 3))
    cube[..., 0] = np.arange(20)[:, None]
    cube[..., 1] = 10.0
    cube[..., 2] = np.arange(48)[None] / 48 * 19
    savemat(tmp_path / "b.mat", {"scan": {"cube": cube, "wavelengths_nm": nm}})
    found, remarks = read_cube_scene(tmp_path / "b.mat", (10, 12), tuple(nm))
    assert found.shape == (3, 10, 12)
    np.testing.assert_allclose(np.diff(found[0], axis=0), 2 / 19, atol=2e-3)
    np.testing.assert_allclose(found[0, 0], 0.5 / 19, atol=2e-3)
    across = np.arange(12, 36).reshape(12, 2).mean(axis=1) / 48
    np.testing.assert_allclose(found[2], np.broadcast_to(across, (10, 12)), atol=2e-3)
    assert any("the centred 20 x 24 of 20 x 48 pixels are used" in remark for remark in remarks)
    assert any("averaged from 20 x 24 down to 10 x 12" in remark for remark in remarks)
    with pytest.raises(InputError, match=r"b\.mat: 20 x 48 pixels are less than the 24 x 24 of the mask"):
        read_cube_scene(tmp_path / "b.mat", (24, 24), tuple(nm))
    (tmp_path / "a.mat").write_bytes(b"rubbish")
    again, remarks = read_cube_scene(tmp_path, (10, 12), tuple(nm))
    np.testing.assert_array_equal(again, found)
    assert any("a.mat" in remark for remark in remarks)

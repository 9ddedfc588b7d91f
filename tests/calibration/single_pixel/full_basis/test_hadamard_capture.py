"""Full-basis Hadamard captures: the transform, the readers, and the real ones where they are present."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.linalg import hadamard

from cidesign.calibration.single_pixel.full_basis.hadamard import read_hadamard_capture
from cidesign.errors import FileError, InputError

REAL = Path(__file__).parents[4] / ".." / "shared" / "data" / "spi" / "denbo313_hologram"
MakeScene = Callable[[int], NDArray[np.float64]]


def test_an_f_comes_back_upright(tmp_path: Path, f_scene: MakeScene) -> None:
    scene = f_scene(8)
    readings = hadamard(64) @ scene.reshape(-1)
    np.savez(tmp_path / "f.npz", data=np.stack([readings, 2 * readings, 3 * readings]), n=8, roi_px=[1, 5, 9])
    capture = read_hadamard_capture(tmp_path / "f.npz")
    assert capture.image(0) == pytest.approx(scene)
    assert capture.image(2) == pytest.approx(3 * scene)
    assert capture.labels[1] == "region 1 (roi 5 px)"
    assert (capture.choose_region(None), capture.choose_region(2)) == (1, 2)
    for wrong in (3, -1):
        with pytest.raises(InputError, match="holds regions 0 to 2"):
            capture.choose_region(wrong)


def test_mat_and_npz_agree(tmp_path: Path, f_scene: MakeScene) -> None:
    readings = np.rint(1000 * hadamard(64) @ f_scene(8).reshape(-1)).astype(np.int32)
    np.savez(tmp_path / "f.npz", data=readings)
    vecs = hadamard(64).astype(np.int32)
    for row, compressed in ((readings[None], False), (readings[:, None], True)):
        savemat(tmp_path / "f.mat", {"data": row, "vecs": vecs}, do_compression=compressed)
        first, second = read_hadamard_capture(tmp_path / "f.mat"), read_hadamard_capture(tmp_path / "f.npz")
        assert np.array_equal(first.readings, second.readings)
        assert first.size == second.size == (8, 8)


def test_an_only_array_is_the_readings_whatever_its_name(tmp_path: Path, f_scene: MakeScene) -> None:
    readings = hadamard(64) @ f_scene(8).reshape(-1)
    np.savez(tmp_path / "f.npz", volts=readings)
    assert np.array_equal(read_hadamard_capture(tmp_path / "f.npz").readings, readings[None])
    np.savez(tmp_path / "f.npz", volts=readings, seconds=readings)
    with pytest.raises(FileError, match=r"only .*seconds.*volts.*; call the readings `data`"):
        read_hadamard_capture(tmp_path / "f.npz")


def test_noise_and_removed_offset() -> None:
    rng = np.random.default_rng(0)
    scene = np.outer(np.linspace(0, 1, 32), np.linspace(1, 0.5, 32))
    readings = 1e4 * hadamard(1024) @ scene.reshape(-1) + rng.normal(0, 3000, 1024)
    capture = _capture_of(readings)
    assert 3000 * 0.9 < capture.reading_noise(0) < 3000 * 1.4  # an upper bound: fine detail is in it
    assert capture.corner_excess(0) == pytest.approx(capture.image(0)[0, 0] / capture.image(0).mean() - 1)
    assert abs(capture.corner_excess(0)) > 0.1
    readings[1:] -= readings[1:].mean()
    assert _capture_of(readings).corner_excess(0) == pytest.approx(0, abs=1e-9)


def _capture_of(readings: NDArray[np.float64]) -> Any:
    from cidesign.calibration.single_pixel.full_basis.hadamard import HadamardCapture

    return HadamardCapture(Path("x"), readings[None], ("region 0",), (32, 32))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"readings": np.ones(16), "s": np.ones(16)}, "no array `data`, only readings, s"),
        ({"data": np.ones(15)}, r"data has shape \(1, 15\)"),
        ({"data": np.ones((2, 36))}, "n a power of two"),
        ({"data": np.ones((2, 16)), "n": np.array(8)}, "16 readings, but 8 x 8 has 64 patterns"),
        ({"data": np.ones((2, 16)), "roi_px": np.ones(3)}, "3 values of roi_px for 2 regions"),
        ({"data": np.full(16, np.nan)}, r"data\[0\] is nan"),
        ({"data": np.zeros((0, 16))}, "data has shape"),
    ],
)
def test_wrong_npz(tmp_path: Path, arrays: dict[str, NDArray[np.generic]], said: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(FileError, match=said):
        read_hadamard_capture(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"readings": np.ones((1, 16)), "s": 1}, "no array `data`, only readings, s"),
        ({"data": np.ones((1, 16)), "vecs": np.ones((4, 4))}, r"vecs has shape \(4, 4\), but data holds 16"),
        ({"data": np.ones((1, 16)), "vecs": np.flipud(hadamard(16))}, "not the Hadamard matrix in natural"),
        ({"data": {"a": 1}, "vecs": hadamard(16)}, "`data` is a struct"),
        ({"data": 1j * np.ones((1, 16)), "vecs": hadamard(16)}, "`data` is a complex matrix"),
        ({"data": np.ones((1, 15)), "vecs": hadamard(16)}, "but data holds 15 readings"),
    ],
)
def test_wrong_mat(tmp_path: Path, variables: dict[str, Any], said: str) -> None:
    savemat(tmp_path / "x.mat", variables)
    with pytest.raises(FileError, match=said):
        read_hadamard_capture(tmp_path / "x.mat")


def test_other_files(tmp_path: Path) -> None:
    for content in (b"MATLAB 7.3 MAT-file" + bytes(105) + b"\x00\x02IM", b"short", bytes(200)):
        (tmp_path / "x.mat").write_bytes(content)
        with pytest.raises(FileError, match="not a sound MATLAB file"):
            read_hadamard_capture(tmp_path / "x.mat")
    with pytest.raises(FileError, match=r"from \.npz, \.mat, \.npy and \.csv"):
        read_hadamard_capture(tmp_path / "x.xlsx")
    with pytest.raises(FileError, match="cannot be read"):
        read_hadamard_capture(tmp_path / "absent.mat")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real captures are not here")
def test_real_captures_agree(tmp_path: Path) -> None:
    """The lab's own files and the collected ones hold the same readings; the car is bright below a dark window."""
    with zipfile.ZipFile(REAL / "original_mat.zip") as archive:
        for name, collected, roi in (
            ("Car_boat_roi_1_data.mat", "Car_boat.npz", 1),
            ("Car_boat_roi_33_data.mat", "Car_boat.npz", 33),
            ("Car_half_roi_33_data.mat", "Car_half.npz", 33),
        ):
            (tmp_path / name).write_bytes(archive.read(name))
            own = read_hadamard_capture(tmp_path / name)
            capture = read_hadamard_capture(REAL / collected)
            (region,) = (i for i, label in enumerate(capture.labels) if label.endswith(f"(roi {roi} px)"))
            assert np.array_equal(own.readings[0], capture.readings[region])
            assert capture.readings[region, 0] == 255 * roi
    image = read_hadamard_capture(REAL / "Car_boat.npz").image(16)
    assert image.argmax() // 32 in range(12, 20)  # the bonnet
    assert image[16:20, 12:20].mean() > 3 * image[9:12, 12:20].mean()  # above it, the windscreen is dark
    assert image[8:14, 26:31].mean() > 2 * image[8:14, 2:7].mean()  # and to the right of it, light

"""Pictures as scenes: orientation, scale, crop."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from cidesign.data.scenes import read_scene
from cidesign.errors import FileError


def _an_f(side: int) -> NDArray[np.uint8]:
    """An F on a slope: no flip, turn or transposition leaves it as it is."""
    scene = np.linspace(10, 50, side * side).reshape(side, side)
    scene[2:14, 4:6], scene[2:4, 4:12], scene[6:8, 4:9] = 230, 200, 180
    return np.rint(scene).astype(np.uint8)


def test_an_f_stays_an_f(tmp_path: Path) -> None:
    levels = _an_f(16)
    Image.fromarray(levels).save(tmp_path / "f.png")
    scene, remarks = read_scene(tmp_path / "f.png", 16)
    assert np.array_equal(scene, levels / 255)
    assert remarks == []


def test_whatever_trains_is_a_scene(tmp_path: Path) -> None:
    f = _an_f(16)
    stack = np.stack([f, f.T, 255 - f, f // 2, f // 3])
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 5, 16, 16)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + stack.tobytes()))
    np.savez(tmp_path / "a.npz", images=stack, labels=np.arange(5)[:, None])
    tifffile.imwrite(tmp_path / "pages.tif", stack, photometric="minisblack")
    Image.fromarray(f).save(tmp_path / "f.webp", lossless=True)
    savemat(tmp_path / "f.mat", {"scan": {"f": f}})
    for name in ("t10k-images-idx3-ubyte.gz", "a.npz", "pages.tif", "f.webp", "f.mat"):
        scene, remarks = read_scene(tmp_path / name, 16)
        assert np.array_equal(scene, f / 255), name
        several = name[0] in "tap"
        assert (f"scene: the first picture of {name} is taken" in remarks) == several
    (tmp_path / "0.png").write_bytes(b"")
    assert np.array_equal(read_scene(tmp_path, 16)[0], f / 255)
    assert "scene: a.npz, the first of 6 files, is taken" in read_scene(tmp_path, 16)[1]
    np.save(tmp_path / "twelve.npy", (16 * f.astype(np.uint16))[None])
    scene, remarks = read_scene(tmp_path / "twelve.npy", 16)
    assert np.allclose(scene, f * 16.0 / 4095)
    assert remarks == ["scene: 16-bit files that use only 12 bits are read as 12-bit pictures"]


def test_depths_and_colours(tmp_path: Path) -> None:
    half = np.full((8, 8), 32768, np.uint16)
    Image.fromarray(half).save(tmp_path / "deep.png")
    assert read_scene(tmp_path / "deep.png", 8)[0] == pytest.approx(32768 / 65535)
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_scene(tmp_path / "red.png", 8)[0] == pytest.approx(0.299, abs=1 / 255)


def test_crop_and_average(tmp_path: Path) -> None:
    picture = np.zeros((4, 8))
    picture[:, 2] = 1.0  # first column of the centred 4 x 4
    np.save(tmp_path / "wide.npy", picture)
    scene, remarks = read_scene(tmp_path / "wide.npy", 2)
    assert scene.tolist() == [[0.5, 0.0], [0.5, 0.0]]
    assert len(remarks) == 2
    assert "centred square of 4 x 4 of 8 x 4" in remarks[0]


def test_wrong_pictures(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    with pytest.raises(FileError, match="cannot be read"):
        read_scene(tmp_path / "broken.png", 8)
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(FileError, match="cannot be read"):
        read_scene(tmp_path / "empty.png", 8)
    Image.new("L", (8, 8)).save(tmp_path / "small.png")
    with pytest.raises(FileError, match="8 x 8 pixels; a scene needs at least 16 x 16: enlarge the picture, or name"):
        read_scene(tmp_path / "small.png", 16)
    np.save(tmp_path / "bright.npy", np.full((8, 8), 200.0))
    with pytest.raises(FileError, match="reflectances from 0 to 1"):
        read_scene(tmp_path / "bright.npy", 8)
    (tmp_path / "scene.txt").write_text("x")
    with pytest.raises(FileError, match=r"\.txt files are not read as pictures"):
        read_scene(tmp_path / "scene.txt", 8)

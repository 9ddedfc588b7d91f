"""Pictures as scenes: orientation, scale, crop."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cidesign.calibration.single_pixel.scenes import read_scene
from cidesign.errors import FileError


def test_an_f_stays_an_f(tmp_path: Path, f_scene: Callable[[int], NDArray[np.float64]]) -> None:
    levels = np.rint(255 * f_scene(16)).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "f.png")
    scene, remarks = read_scene(tmp_path / "f.png", 16)
    assert np.array_equal(scene, levels / 255)
    assert remarks == []


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
    with pytest.raises(FileError, match="8 x 8 pixels; a scene needs at least 16 x 16"):
        read_scene(tmp_path / "small.png", 16)
    np.save(tmp_path / "bright.npy", np.full((8, 8), 200.0))
    with pytest.raises(FileError, match="reflectances from 0 to 1"):
        read_scene(tmp_path / "bright.npy", 8)
    (tmp_path / "scene.txt").write_text("x")
    with pytest.raises(FileError, match="scenes are read from"):
        read_scene(tmp_path / "scene.txt", 8)

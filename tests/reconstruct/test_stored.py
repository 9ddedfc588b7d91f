"""Reconstruction folders read back, and what is said of those that cannot be."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import hadamard

import cidesign as ci
from cidesign.errors import FileError
from cidesign.modalities.single_pixel.full_basis.compare import reconstruct_hadamard
from cidesign.runs import Run


@pytest.fixture
def folder(make_run: Callable[..., Run], f_scene: Callable[[int], NDArray[np.float64]], tmp_path: Path) -> Path:
    np.savez(tmp_path / "f.npz", data=hadamard(256) @ f_scene(16).reshape(-1))
    reconstruct_hadamard(make_run(patterns=40), tmp_path / "f.npz", None).write(tmp_path / "out")
    return tmp_path / "out"


def test_images_and_record_of_a_folder(folder: Path) -> None:
    found = ci.open_reconstruction(folder)
    assert "full_basis" in found.images
    np.testing.assert_array_equal(found.images.student_linear, np.load(folder / "student_linear.npz")["image"])
    assert found.record.value == json.loads((folder / "reconstruction.json").read_text())
    assert not found.maps


def test_folders_that_are_none(folder: Path) -> None:
    with pytest.raises(FileError, match="no such reconstruction folder"):
        ci.open_reconstruction(folder / "absent")
    record = json.loads((folder / "reconstruction.json").read_text())
    (folder / "reconstruction.json").write_text(json.dumps(record | {"schema_version": 1}))
    with pytest.raises(FileError, match="schema version 1, this program reads 2; reconstruct again"):
        ci.open_reconstruction(folder)
    (folder / "reconstruction.json").write_text(json.dumps(record | {"patterns": "many"}))
    with pytest.raises(FileError, match=r"patterns: .*; reconstruct again"):
        ci.open_reconstruction(folder)
    (folder / "reconstruction.json").write_text(json.dumps(record))
    np.savez(folder / "student_linear.npz", image=np.zeros((2, 2)))
    with pytest.raises(FileError, match="not an image of a reconstruction"):
        ci.open_reconstruction(folder)
    for path in folder.glob("*.npz"):
        path.unlink()
    with pytest.raises(FileError, match="holds no image"):
        ci.open_reconstruction(folder)

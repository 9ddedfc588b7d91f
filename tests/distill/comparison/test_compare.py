"""What a run is measured on: all of the user's pictures, and none that it was trained on without saying so."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.distill.comparison.compare import Comparison
from cidesign.distill.job import Listener, start_run
from cidesign.errors import FileError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

NM = np.arange(440.0, 661.0, 10.0)


def _write(modality: str, folder: Path, numbers: range) -> None:
    """One picture, cube or file of four slices for each number."""
    folder.mkdir()
    for number in numbers:
        rng = np.random.default_rng(number)
        if modality == "cassi":
            np.savez(folder / f"{number:02d}.npz", cube=rng.random((NM.size, 24, 24)), wavelengths_nm=NM)
        elif modality == "mri":
            np.save(folder / f"{number:02d}.npy", np.kron(rng.random((4, 4, 4)), np.ones((4, 4))))
        else:
            np.save(folder / f"{number:02d}.npy", rng.random((24, 30)))


@pytest.fixture(scope="module", params=["single-pixel", "cassi", "mri"])
def trained(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Callable[..., TrainingSettings],
    profile_of: Callable[[str], HardwareProfile],
) -> tuple[str, Path, Run]:
    """A run that was trained on eleven files, the tenth of which was kept for validation."""
    modality, base = request.param, tmp_path_factory.mktemp("compare")
    _write(modality, base / "own", range(11))
    changes: dict[str, Any] = {"data": str(base / "own"), "images": 32, "validation_images": 16}
    settings = make_settings(modality, teacher_epochs=1, student_epochs=1, **changes)
    return modality, base, start_run(base / "run", settings, profile_of(modality), False, Listener())


def test_all_of_the_users_data_are_measured(trained: tuple[str, Path, Run], tmp_path: Path) -> None:
    modality, _, run = trained
    _write(modality, tmp_path / "other", range(20, 43))
    (tmp_path / "other" / "broken.npy").write_bytes(b"")
    found = Comparison(run, str(tmp_path / "other")).measured_on
    pictures = 23 * (4 if modality == "mri" else 1)
    assert (found.pictures, found.left_out, found.held_out) == (pictures, 0, True)
    assert len(found.images) == pictures
    assert [line.split(":")[0] for line in found.skipped] == ["broken.npy"]


def test_one_picture_is_measured(trained: tuple[str, Path, Run], tmp_path: Path) -> None:
    modality, _, run = trained
    _write(modality, tmp_path / "other", range(20, 21))
    (only,) = (tmp_path / "other").iterdir()
    found = Comparison(run, str(only)).measured_on
    assert found.held_out
    assert len(found.images) == (4 if modality == "mri" else 16)


def test_what_the_run_was_trained_on_is_left_out(trained: tuple[str, Path, Run], tmp_path: Path) -> None:
    modality, base, run = trained
    shutil.copytree(base / "own", tmp_path / "copy")
    each = 4 if modality == "mri" else 1
    found = Comparison(run, str(tmp_path / "copy")).measured_on
    assert (found.pictures, found.left_out, found.held_out) == (11 * each, 10 * each, True)
    (tmp_path / "copy" / next(name.name for name in (tmp_path / "copy").iterdir() if name.stem == "09")).unlink()
    found = Comparison(run, str(tmp_path / "copy")).measured_on
    assert (found.pictures, found.left_out, found.held_out) == (10 * each, 0, False)
    assert found.where.endswith("on which the run was trained")
    assert found.notes[0].startswith("not held out")


def test_the_runs_own_data_are_its_validation_images(trained: tuple[str, Path, Run]) -> None:
    _, base, run = trained
    own = Comparison(run, None).measured_on
    found = Comparison(run, str(base / "own")).measured_on
    np.testing.assert_array_equal(found.images, own.images)
    assert "is what this run was trained on" in found.notes[0]


def test_changed_training_data_are_told(
    trained: tuple[str, Path, Run],
) -> None:
    modality, base, run = trained
    moved = base / "moved"
    (base / "own").rename(moved)
    try:
        _write(modality, base / "own", range(1, 12))
        with pytest.raises(FileError, match="are not those that this run started with"):
            Comparison(run, None)
    finally:
        shutil.rmtree(base / "own")
        moved.rename(base / "own")

"""A mask that exists and an image of a camera: a cube without any training, and a described instrument."""

from pathlib import Path

import numpy as np
import pytest

import cidesign as ci
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.designs.folder import DesignFolder
from cidesign.errors import CidesignError, FileError, LimitError
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.modalities.cassi import reconstruct as steps
from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves

BANDS, ROWS, COLUMNS, STEP = 4, 48, 56, 2
NM = [480.0, 530.0, 580.0, 630.0]
MASK = np.random.default_rng(1).uniform(0.1, 1, (ROWS, COLUMNS)) * (
    np.random.default_rng(2).random((ROWS, COLUMNS)) > 0.4
)


def profile(shift_px: list[float]) -> ApertureProfile:
    raw = ci.profile("chrome-laser-10um").model_dump(mode="json")
    raw["spectrograph"]["wavelengths_nm"]["value"] = NM
    raw["spectrograph"]["shift_px"]["value"] = shift_px
    return ApertureProfile.model_validate(raw)


PROFILE = profile([float(STEP * band) for band in range(BANDS)])


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    cubes = spectral_dead_leaves(16, COLUMNS, NM, 2**33 + 5)[:, :, :ROWS] / 255.0
    return cubes[cubes.std(axis=(1, 2, 3)).argmax()]


@pytest.fixture(scope="module")
def y(scene: np.ndarray) -> np.ndarray:
    """The image of the camera in counts, by the definition."""
    seen = np.zeros((ROWS, COLUMNS + STEP * (BANDS - 1)))
    for band in range(BANDS):
        seen[:, STEP * band : STEP * band + COLUMNS] += MASK * scene[band]
    return np.rint(2000 * seen + 3 * np.random.default_rng(4).normal(size=seen.shape))


@pytest.fixture(scope="module")
def mask(tmp_path_factory: pytest.TempPathFactory) -> DesignFolder:
    folder = tmp_path_factory.mktemp("mask")
    np.save(folder / "mask.npy", MASK)
    return ci.design(folder / "mask.npy", PROFILE, folder / "design")


def alone(y: np.ndarray) -> CassiCapture:
    return CassiCapture(Path("scene.npy"), None, {"scene": y})


def described(folder: Path, **fields: object) -> Path:
    told = {"white_counts": 2000.0, "dark_counts": 0.0, "read_noise_counts": 3.0, **fields}
    path = folder / "instrument.toml"
    path.write_text("\n".join(f"{name} = {str(value).lower()}" for name, value in told.items()))
    return path


def psnr_db(cube: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((cube - truth) ** 2)))


def test_a_grey_mask_that_is_not_square_and_an_image_alone_give_a_cube(
    mask: DesignFolder, scene: np.ndarray, y: np.ndarray, tmp_path: Path
) -> None:
    cal = ci.calibrate(mask, alone(y), instrument=described(tmp_path))
    assert cal.verification.verdict == "not verified"
    done = ci.reconstruct(mask, alone(y), cal)
    assert list(done.images) == ["linear", "gap_tv", "tikhonov"]
    assert done.images.linear.shape == (BANDS, ROWS, COLUMNS)
    level = psnr_db(np.full_like(scene, scene.mean()), scene)
    assert psnr_db(done.images.linear, scene) > level + 8
    assert psnr_db(done.images.gap_tv, scene) > level + 5
    assert done.record.verdict == "not verified"
    assert [one.check for one in done.record.not_looked_at] == ["light of the bands", "fit of the scene"]
    nominal = ci.reconstruct(mask, alone(y))
    # The same but for its brightness, of which nobody told the scale.
    cubes = nominal.images.gap_tv, done.images.gap_tv
    assert np.corrcoef(cubes[0].ravel(), cubes[1].ravel())[0, 1] > 0.95
    assert nominal.record.verdict == "not verified"
    assert any("in units of the capture's brightest light" in note for note in nominal.remarks)


def test_a_mirrored_mask_and_a_wrong_step_are_refused_by_name(
    mask: DesignFolder, y: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(LimitError, match="this resembles: mirror") as caught:
        ci.reconstruct(mask, alone(y[::-1].copy()))
    assert caught.value.fault == "mirror"
    told = described(tmp_path, flip_vertical=True)
    mirrored = ci.calibrate(mask, alone(y), instrument=told)
    assert mirrored.verification.faults == ("mirror",)
    with pytest.raises(LimitError, match="mirror"):
        ci.reconstruct(mask, alone(y), mirrored)
    turned = ci.reconstruct(mask, alone(y[::-1].copy()), ci.calibrate(mask, alone(y[::-1].copy()), instrument=told))
    assert turned.record.verdict == "not verified"


def test_sizes_that_do_not_fit_are_refused_with_those_that_would(mask: DesignFolder, y: np.ndarray) -> None:
    with pytest.raises(FileError, match="needs 48 x 62 pixels, the detector has 48 x 59; a step of 1 px would fit its"):
        ci.reconstruct(mask, alone(y[:, 3:]))
    with pytest.raises(FileError, match="needs 48 x 62 pixels, the detector has 60 x 80: the mask is smaller than the"):
        ci.reconstruct(mask, alone(np.pad(y, ((6, 6), (9, 9)))))
    with pytest.raises(FileError, match="with rows and columns exchanged it would"):
        ci.reconstruct(mask, alone(y.T.copy()))


def test_the_scatter_of_a_large_cube_is_said_not_to_be_evaluated(
    mask: DesignFolder, y: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(steps, "MOST_DRAWN", 1000)
    done = ci.reconstruct(mask, alone(y), out=tmp_path / "images")
    assert done.record.uncertainty is None
    assert any(note.startswith("uncertainty: not evaluated") for note in done.remarks)
    assert list(done.maps) == ["disagreement"]
    assert not (tmp_path / "images" / "uncertainty.npz").exists()


def test_masks_that_are_learnt_are_square_and_others_are_trained_in_square_crops(
    mask: DesignFolder, tmp_path: Path
) -> None:
    run = ci.distill(
        design=mask, out=tmp_path / "own", images=8, validation_images=2, batch=4, student_epochs=1, teacher_epochs=0,
        channels=4,
    )  # fmt: skip
    assert run.settings.crop == 48
    assert run.settings.mask_size == run.design.levels.shape == (48, 56)
    with pytest.raises(CidesignError, match="columns 56: masks that are learnt are square"):
        ci.distill(PROFILE, out=tmp_path / "run", columns=56)


def test_a_capture_with_all_that_a_calibration_takes_is_calibrated(mask: DesignFolder, tmp_path: Path) -> None:
    """The twin's mask is displaced, which the design does not know."""
    frames = {"dark_frames": 4, "flat_frames": 4, "white_frames": 2}
    capture = ci.simulate(mask, tmp_path / "capture", seed=3, **frames)
    assert capture.truth.shape == (BANDS, ROWS, COLUMNS)
    done = ci.reconstruct(mask, capture)
    assert done.record.verdict == "passed"
    assert any("calibrated with the frames of this capture" in note for note in done.remarks)
    bare = CassiCapture(capture.path, capture.record, {"scene": capture.scene, "truth": capture.truth})
    nominal = ci.reconstruct(mask, bare, accept_failed=True)
    assert psnr_db(done.images.linear, capture.truth) > psnr_db(nominal.images.linear, capture.truth) + 2

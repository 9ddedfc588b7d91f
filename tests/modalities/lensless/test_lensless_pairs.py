"""From somebody's raw image and PSF to images, from Python and as a user types it, without a run."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.signal import fftconvolve

import cidesign as ci
from cidesign.cli import main
from cidesign.errors import InputError

SIDE, BLACK = 40, 200.0


def shared(folder: Path) -> np.ndarray:
    """Write a pair of 16-bit colour TIFFs; the scene (SIDE, SIDE, 3), like no turned one of itself."""
    rng = np.random.default_rng(4)
    speckle = np.zeros((SIDE, SIDE))
    speckle[8:-8, 8:-8] = rng.exponential(1.0, (SIDE - 16, SIDE - 16)) ** 2
    scene = np.full((SIDE, SIDE, 3), 0.05)
    scene[6:18, 5:12] = (0.9, 0.3, 0.2)
    scene[24:30, 10:34] = (0.2, 0.8, 0.4)
    scene[10:14, 22:36] = (0.1, 0.2, 0.9)
    raw = np.stack([fftconvolve(scene[..., band], speckle, "full") for band in range(3)], axis=-1)
    # The shadow of a point in the middle pixel lies in the middle of the sensor.
    raw = raw[SIDE // 2 : SIDE // 2 + SIDE, SIDE // 2 : SIDE // 2 + SIDE]
    tifffile.imwrite(folder / "raw.tif", np.rint(BLACK + 40_000 * raw / raw.max()).astype(np.uint16))
    psf = np.repeat(speckle[..., None], 3, axis=-1)
    tifffile.imwrite(folder / "psf.tif", np.rint(BLACK + 50_000 * psf / psf.max()).astype(np.uint16))
    return scene


def alike(image: np.ndarray, scene: np.ndarray) -> float:
    return float(np.corrcoef(image.ravel(), np.moveaxis(scene, -1, 0).ravel())[0, 1])


def test_a_pair_becomes_images_that_are_neither_turned_nor_recoloured(tmp_path: Path) -> None:
    scene = shared(tmp_path)
    found = ci.reconstruct(None, tmp_path / "raw.tif", reader="psf", psf=str(tmp_path / "psf.tif"))
    assert set(found.images) == {"wiener", "admm_tv"}
    for name, image in found.images.items():
        assert image.shape == (3, SIDE, SIDE)
        right = alike(image, scene)
        # Wiener's filter knows nothing of what falls beside the sensor.
        assert right > {"wiener": 0.7, "admm_tv": 0.95}[name]
        for other in (scene[::-1], scene[:, ::-1], scene[::-1, ::-1], scene[..., ::-1], np.roll(scene, 2, axis=0)):
            assert alike(image, other) < right - 0.1
    assert found.record.images["admm_tv"].relative_residual < 0.05
    assert found.record.verdict is None
    assert found.record.black_levels == [BLACK] * 3


def test_as_a_user_types_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared(tmp_path)
    monkeypatch.chdir(tmp_path)
    typed = ["cidesign", "reconstruct", "raw.tif", "--reader", "psf", "--set", "psf=psf.tif", "--set", "side=20"]
    monkeypatch.setattr(sys, "argv", typed)
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    folder = tmp_path / "raw-images"
    record = json.loads((folder / "reconstruction.json").read_text())
    assert (record["run"], record["pixels_per_sample"], record["channels"]) == ("(no run)", 2.0, 3)
    assert np.load(folder / "admm_tv.npz")["cube"].shape == (3, 20, 20)
    assert {"admm_tv.png", "wiener.tiff", "comparison.png"} <= {path.name for path in folder.iterdir()}
    assert "nothing of this camera was verified" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 5
    assert "raw-images" in capsys.readouterr().err


def test_without_its_psf_a_raw_image_is_refused(tmp_path: Path) -> None:
    shared(tmp_path)
    with pytest.raises(InputError, match="--set psf=FILE"):
        ci.reconstruct(None, tmp_path / "raw.tif", reader="psf")

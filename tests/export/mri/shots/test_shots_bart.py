"""BART reads the exported trajectory as what it is: its own sums are ours, and its reconstruction is the image."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cidesign.export.mri.shots.bart import bart_points
from cidesign.io.bart import read_cfl, write_cfl

pytest.importorskip("finufft", reason="the extra 'mri' is not installed")
from cidesign.calibration.mri.shots.nufft import ShotSums

SIDE = 32


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_bart_makes_the_same_samples_and_the_image_of_them(tmp_path: Path) -> None:
    angles = 0.2 + np.arange(48) * 1.94161
    along = (np.arange(64) - 31.5) / 32 * 15.5
    samples = np.stack([along * np.sin(angles)[:, None], along * np.cos(angles)[:, None]], axis=-1)
    image = np.zeros((SIDE, SIDE), dtype=np.complex64)
    image[6:22, 9:20], image[8:12, 11:14] = 1.0, 2.0 + 1j
    write_cfl(tmp_path / "traj", bart_points(samples))
    # BART's first dimension runs along x, the columns.
    write_cfl(tmp_path / "image", np.ascontiguousarray(image.T))
    y = ShotSums(samples, (SIDE, SIDE)).forward(image[None])[0]

    def bart(*words: str) -> None:
        subprocess.run(["bart", *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    bart("nufft", "traj", "image", "k")
    theirs = read_cfl(tmp_path / "k", 3)[0].T
    assert theirs.shape == y.shape
    scale = np.vdot(theirs, y) / np.vdot(theirs, theirs)
    # At the very edge of k-space BART's kernel is cut off.
    inside = np.linalg.norm(samples, axis=2) <= 13
    assert np.abs(scale * theirs - y)[inside].max() < 1e-3 * np.abs(y).max()
    write_cfl(tmp_path / "ours", y.T[None].astype(np.complex64))
    write_cfl(tmp_path / "maps", np.ones((SIDE, SIDE, 1, 1), dtype=np.complex64))
    bart("pics", "-l2", "-r", "1e-4", "-i", "60", "-t", "traj", "ours", "maps", "found")
    found = np.abs(read_cfl(tmp_path / "found", 2)).T
    right, *turned = (
        np.corrcoef(found.ravel(), np.abs(one).ravel())[0, 1] for one in (image, image[::-1], image[:, ::-1], image.T)
    )
    assert right > 0.98
    assert right > max(turned) + 0.1

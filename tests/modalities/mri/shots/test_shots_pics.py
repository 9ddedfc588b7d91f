"""BART's `pics` reconstructs shots of several coils with the exported trajectory as the CG-SENSE here does."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cidesign.export.mri.shots.bart import bart_points
from cidesign.io.bart import read_cfl, write_cfl

pytest.importorskip("finufft", reason="the extra 'mri' is not installed")
from cidesign.calibration.mri.shots.nufft import ShotSums
from cidesign.modalities.mri.shots.solve import PlacedShots
from cidesign.modalities.mri.solve import cg_sense, to_numpy

SIDE, COILS, SHOTS = 32, 4, 9
# Of the least squares that both minimise, far below the largest eigenvalue.
WEIGHT = 0.05


def scene() -> NDArray[np.complex64]:
    """An object that looks like itself in no other orientation, with a phase."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    image = np.zeros((SIDE, SIDE))
    image[5:24, 8:21], image[8:12, 11:14], image[20:23, 9:11] = 1.0, 2.0, 0.3
    return (image * np.exp(1j * (1.5 * rows - 0.7 * columns))).astype(np.complex64)


def maps() -> NDArray[np.complex64]:
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    places = 2 * np.pi * np.arange(COILS)[:, None, None] / COILS
    found = np.exp(np.cos(places) * rows * 2 + np.sin(places) * columns * 2 + 1j * (places + rows * columns))
    return (found / np.sqrt((np.abs(found) ** 2).sum(axis=0))).astype(np.complex64)


def spokes() -> NDArray[np.float64]:
    """A third of the spokes that a full sampling needs.  At the very edge of k-space BART's kernel is cut off."""
    angles = 0.2 + np.arange(SHOTS) * 1.94161
    along = (np.arange(64) - 31.5) / 32 * 13
    return np.stack([along * np.sin(angles)[:, None], along * np.cos(angles)[:, None]], axis=-1)


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_bart_finds_the_same_image_of_undersampled_shots(tmp_path: Path) -> None:
    samples, sums = spokes(), ShotSums(spokes(), (SIDE, SIDE))
    rng = np.random.default_rng(4)
    y = sums.forward(maps() * scene())
    y = y + 0.01 * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
    encoder = PlacedShots(samples, maps(), 0.01)
    ours = to_numpy(cg_sense(torch.from_numpy(y.astype(np.complex64))[None], encoder, WEIGHT, 100))

    def bart(*words: str) -> None:
        subprocess.run(["bart", *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)

    write_cfl(tmp_path / "traj", bart_points(samples))
    write_cfl(tmp_path / "image", np.ascontiguousarray(scene().T))
    bart("nufft", "traj", "image", "k")
    own, theirs = sums.forward(scene()[None])[0], read_cfl(tmp_path / "k", 3)[0].T
    scale = float(abs(np.vdot(own, theirs) / np.vdot(own, own)))
    # BART's first dimension runs along x, the columns.
    write_cfl(tmp_path / "maps", np.ascontiguousarray(maps().transpose(2, 1, 0))[:, :, None])
    write_cfl(tmp_path / "y", (scale * y.transpose(2, 1, 0))[None].astype(np.complex64))
    bart("pics", "-l2", "-r", str(scale**2 * WEIGHT), "-i", "100", "-w", "1", "-t", "traj", "y", "maps", "found")
    found = read_cfl(tmp_path / "found", 2).T

    def apart(image: NDArray[np.complex64]) -> float:
        return float(np.linalg.norm(found - image) / np.linalg.norm(ours))

    assert apart(ours) < 5e-3
    assert min(apart(image) for image in (ours[::-1], ours[:, ::-1], ours.T, ours.conj())) > 0.3

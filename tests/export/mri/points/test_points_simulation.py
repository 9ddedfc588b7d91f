"""A file of points on a simulated scanner, read by parsers of another project (MRzero, for tests only)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.export.family import family
from cidesign.export.mri.points.manifest import PointsManifest
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import CartesianPoints

LINES, PARTITIONS, SAMPLES = 12, 6, 16
FOV_MM, DEPTH_MM = 192.0, 72.0


def phantom() -> NDArray[np.float32]:
    """(samples, lines, partitions): no flip of any axis is like it."""
    density = np.zeros((SAMPLES, LINES, PARTITIONS), dtype=np.float32)
    density[3:13, 2:10, 1:5] = 0.4
    density[4:7, 3:5, 1:3] = 1.0
    density[9:12, 4:9, 3:5] = 0.8
    return density


Played = Callable[..., NDArray[np.complex64]]


@pytest.mark.parametrize(
    ("version", "parser", "order"), [("v150", "pulseq_rs", "segments"), ("v141", "pydisseqt", "centre-out")]
)
def test_the_simulated_volume_is_the_phantom_and_not_a_flip_of_it(
    tmp_path: Path, played: Played, version: str, parser: str, order: str
) -> None:
    profile, points = load_profile("mri-generic-3t"), family("mri-points")
    acquired = np.argwhere(np.ones((LINES, PARTITIONS))).astype(np.int64)
    design = CartesianPoints(LINES, PARTITIONS, SAMPLES, acquired, (2, 2), profile.id, profile.digest)
    settings = {
        "fov_mm": FOV_MM, "slab_thickness_mm": 60.0, "partition_fov_mm": DEPTH_MM, "tr_ms": 12.0, "dummies": 60,
        "oversampling": 1, "noise_scan": False, "order": order,
    }  # fmt: skip
    points.export(design, profile, tmp_path / "out", points.options(("pulseq",), settings))
    manifest = points.manifest(tmp_path / "out")
    assert isinstance(manifest, PointsManifest)
    steps_mm = (FOV_MM / SAMPLES, FOV_MM / LINES, DEPTH_MM / PARTITIONS)
    signal = played(tmp_path / "out" / f"{manifest.name}_{version}.seq", phantom(), steps_mm, parser)
    kspace = np.zeros((SAMPLES, LINES, PARTITIONS), dtype=np.complex64)
    for readout, point in zip(signal.reshape(-1, SAMPLES), manifest.scan.points, strict=True):
        kspace[(slice(None), *divmod(point, PARTITIONS))] = readout
    found, truth = np.abs(np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace)))), phantom()

    def alike(other: NDArray[np.float32]) -> float:
        return float(np.corrcoef(found.ravel(), other.ravel())[0, 1])

    flips = [truth[::-1], truth[:, ::-1], truth[:, :, ::-1], truth[::-1, ::-1], truth[::-1, :, ::-1]]
    assert alike(truth) > 0.98
    assert max(map(alike, flips)) < alike(truth) - 0.05

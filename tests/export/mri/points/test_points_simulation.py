"""A file of points on a simulated scanner, read by parsers of another project (MRzero, for tests only)."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.export.family import family
from cidesign.export.mri.points.manifest import PointsManifest
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import CartesianPoints

torch = pytest.importorskip("torch")
pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    mr0 = pytest.importorskip("MRzeroCore", reason="mrzerocore (AGPL, for tests only) is not installed")

LINES, PARTITIONS, SAMPLES = 12, 6, 16
FOV_MM, DEPTH_MM = 192.0, 72.0


def phantom() -> NDArray[np.float32]:
    """(samples, lines, partitions): no flip of any axis is like it."""
    density = np.zeros((SAMPLES, LINES, PARTITIONS), dtype=np.float32)
    density[3:13, 2:10, 1:5] = 0.4
    density[4:7, 3:5, 1:3] = 1.0
    density[9:12, 4:9, 3:5] = 0.8
    return density


def simulate(path: Path, parser: str) -> NDArray[np.complex64]:
    """The signal of every sample, (readouts, samples)."""
    density = torch.from_numpy(phantom())
    one = torch.ones_like(density)
    steps = torch.tensor([FOV_MM / SAMPLES, FOV_MM / LINES, DEPTH_MM / PARTITIONS, 1.0])
    body = mr0.VoxelGridPhantom(
        PD=density,
        T1=1.0 * one,
        T2=0.1 * one,
        T2dash=0.05 * one,
        D=0 * one,
        B0=0 * one,
        B1=one[None],
        coil_sens=one[None],
        affine=torch.diag(steps),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sequence, data = mr0.Sequence.import_file(str(path), backend=parser), body.build(voxel_shape="point")
        graph = mr0.compute_graph(sequence, data, max_state_count=40, min_state_mag=1e-3)
        signal = mr0.execute_graph(graph, sequence, data, print_progress=False)
    found: NDArray[np.complex64] = signal.reshape(-1, SAMPLES).numpy()
    return found


@pytest.mark.parametrize(
    ("version", "parser", "order"), [("v150", "pulseq_rs", "segments"), ("v141", "pydisseqt", "centre-out")]
)
def test_the_simulated_volume_is_the_phantom_and_not_a_flip_of_it(
    tmp_path: Path, version: str, parser: str, order: str
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
    signal = simulate(tmp_path / "out" / f"{manifest.name}_{version}.seq", parser)
    kspace = np.zeros((SAMPLES, LINES, PARTITIONS), dtype=np.complex64)
    for readout, point in zip(signal, manifest.scan.points, strict=True):
        kspace[(slice(None), *divmod(point, PARTITIONS))] = readout
    found, truth = np.abs(np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(kspace)))), phantom()

    def alike(other: NDArray[np.float32]) -> float:
        return float(np.corrcoef(found.ravel(), other.ravel())[0, 1])

    flips = [truth[::-1], truth[:, ::-1], truth[:, :, ::-1], truth[::-1, ::-1], truth[::-1, :, ::-1]]
    assert alike(truth) > 0.98
    assert max(map(alike, flips)) < alike(truth) - 0.05

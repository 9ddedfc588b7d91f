"""Our files on a simulated scanner, read by parsers of another project (MRzero, for tests only)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.export.mri.lines import write_mri_export
from cidesign.export.mri.manifest import MriManifest
from cidesign.export.mri.protocol import GreProtocol, TseProtocol
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

SIDE, FOV_MM = 32, 320.0
PARSERS = [("v150", "pulseq_rs"), ("v141", "pulseq_rs"), ("v141", "pydisseqt")]
MASKED = (1, 5, 9, 12, 13, 14, 15, 16, 17, 18, 19, 22, 27, 30)


def export(folder: Path, lines: tuple[int, ...], protocol: GreProtocol | TseProtocol) -> MriManifest:
    profile = load_profile("mri-generic-3t")
    assert isinstance(profile, MriProfile)
    design = CartesianLines(SIDE, SIDE, np.array(lines, dtype=np.int64), 4, profile.id, profile.digest)
    return write_mri_export(design, profile, folder, protocol, ("pulseq",))


def protocol(kind: str, **changes: Any) -> GreProtocol | TseProtocol:
    values: dict[str, Any] = {
        "fov_mm": FOV_MM,
        "slice_thickness_mm": 5.0,
        "te_ms": None,
        "dwell_us": 40.0,
        "oversampling": 1,
        "noise_scan": False,
        "tr_ms": 12.0,
        "flip_angle_deg": 15.0,
        "dummies": 0,
    }
    if kind == "gre":
        return GreProtocol(**{**values, **changes})
    train = {"echo_train_length": 8, "flip_angle_deg": 90.0, "tr_ms": 3000.0, "order": "centre-out"}
    return TseProtocol(**{**values, **train, **changes})


def phantom() -> NDArray[np.float32]:
    """No flip, shift or turn of it is like it; x (readout) first."""
    density = np.zeros((SIDE, SIDE), dtype=np.float32)
    density[6:26, 8:24] = 0.4
    density[8:12, 10:14] = 1.0
    density[9:24, 19:21] = 0.8
    density[20:24, 10:12] = 0.1
    return density


@pytest.fixture
def simulate(played: Callable[..., NDArray[np.complex64]]) -> Callable[[Path], NDArray[np.complex64]]:
    """The signal of every sample, (readouts, SIDE)."""
    steps_mm = (FOV_MM / SIDE, FOV_MM / SIDE, 5.0)
    return lambda path: played(path, phantom()[:, :, None], steps_mm).reshape(-1, SIDE)


def placed(signal: NDArray[np.complex64], order: list[int]) -> NDArray[np.complex64]:
    kspace = np.zeros((SIDE, SIDE), dtype=np.complex64)
    kspace[:, order] = signal.T
    return kspace


def image(kspace: NDArray[np.complex64]) -> NDArray[np.float32]:
    # k-space holds exp(-i 2 pi k x) of the density, so the inverse transform brings the image back unflipped.
    found: NDArray[np.float32] = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace))))
    return found


@pytest.mark.parametrize(("version", "parser"), PARSERS)
@pytest.mark.parametrize("kind", ["gre", "tse"])
def test_other_parsers_find_the_lines(
    tmp_path: Path, sequence_of: Callable[[Path, str], Any], kind: str, version: str, parser: str
) -> None:
    lines = (1, 5, 14, 15, 16, 17, 22, 30)
    manifest = export(tmp_path / "out", lines, protocol(kind, noise_scan=True))
    kspace = sequence_of(tmp_path / "out" / f"{manifest.name}_{version}.seq", parser).get_kspace().numpy()
    steps = kspace[:, :2].reshape(len(lines), SIDE, 2) * FOV_MM * 1e-3
    wanted_x = np.arange(SIDE) - SIDE // 2
    assert np.abs(steps[:, :, 0] - wanted_x).max() < 2e-3
    wanted_y = np.array(manifest.scan.lines) - SIDE // 2
    assert np.abs(steps[:, :, 1] - wanted_y[:, None]).max() < 2e-3


@pytest.mark.parametrize(("kind", "version"), [("gre", "v150"), ("gre", "v141"), ("tse", "v150")])
def test_the_simulated_image_is_the_phantom_and_not_a_flip_of_it(
    tmp_path: Path, simulate: Callable[[Path], NDArray[np.complex64]], kind: str, version: str
) -> None:
    manifest = export(tmp_path / "out", tuple(range(SIDE)), protocol(kind, dummies=40 if kind == "gre" else 0))
    signal = simulate(tmp_path / "out" / f"{manifest.name}_{version}.seq")
    found = image(placed(signal, manifest.scan.lines))
    truth = phantom()
    flips = {"none": truth, "x": truth[::-1], "y": truth[:, ::-1], "both": truth[::-1, ::-1], "turned": truth.T}
    match = {name: float(np.corrcoef(found.ravel(), turned.ravel())[0, 1]) for name, turned in flips.items()}
    best = match.pop("none")
    assert best > 0.98, (best, match)
    assert best > max(match.values()) + 0.05, (best, match)


def test_a_masked_scan_measures_what_the_full_one_does_once_dummies_suffice(
    tmp_path: Path, simulate: Callable[[Path], NDArray[np.complex64]]
) -> None:
    """Without dummies the lines are measured on the way to the steady state, and the mask changes the contrast."""
    differences = []
    for dummies in (0, 120):
        signals = []
        for name, lines in (("full", tuple(range(SIDE))), ("masked", MASKED)):
            folder = tmp_path / f"{name}{dummies}"
            manifest = export(folder, lines, protocol("gre", dummies=dummies))
            signal = simulate(folder / f"{manifest.name}_v150.seq")
            signals.append(placed(signal, manifest.scan.lines)[:, list(MASKED)])
        differences.append(float(np.linalg.norm(signals[0] - signals[1]) / np.linalg.norm(signals[0])))
    assert differences[0] > 0.1
    assert differences[1] < 0.02

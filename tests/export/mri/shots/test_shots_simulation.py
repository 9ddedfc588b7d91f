"""Files of shots on a simulated scanner, read by parsers of another project (MRzero, for tests only)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.designs.fixed import fixed_designs
from cidesign.distill.presets import settings_for
from cidesign.export.mri.shots.plan import ShotProtocol
from cidesign.export.mri.shots.scan import SHOTS
from cidesign.export.mri.writer import write_scan
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian

SIDE, FOV_MM, SHOTS_OF_ALL, DUMMIES = 32, 256.0, 24, 40


def phantom() -> NDArray[np.float64]:
    """No flip, shift or turn of it is like it; rows down first."""
    density = np.zeros((SIDE, SIDE))
    density[6:26, 8:24] = 0.4
    density[8:12, 10:14] = 1.0
    density[9:24, 19:21] = 0.8
    density[20:24, 10:12] = 0.1
    return density


def design() -> tuple[NonCartesian, MriProfile]:
    """More arms of a spiral than a full sampling needs."""
    profile = load_profile("mri-siemens-prisma")
    assert isinstance(profile, MriProfile)
    settings = settings_for(
        profile, sampling="spiral", side=SIDE, shots=SHOTS_OF_ALL, fov_mm=FOV_MM, device="cpu", images=8
    )
    found = fixed_designs(settings, profile)["spiral"]
    assert isinstance(found, NonCartesian)
    return found, profile


# pydisseqt takes gradients as steps where they are straight between corners, and is off by part of one.
PARSERS = [("v150", "pulseq_rs", 2e-3), ("v141", "pulseq_rs", 2e-3), ("v141", "pydisseqt", 1e-2)]


@pytest.mark.parametrize(("version", "parser", "steps"), PARSERS)
def test_the_simulated_image_is_the_phantom_and_not_a_flip_of_it(
    tmp_path: Path,
    played: Callable[..., NDArray[np.complex64]],
    sequence_of: Callable[[Path, str], Any],
    version: str,
    parser: str,
    steps: float,
) -> None:
    shots, profile = design()
    protocol = ShotProtocol(
        slice_thickness_mm=5.0, flip_angle_deg=15.0, te_ms=None, tr_ms=12.0, dummies=DUMMIES, noise_scan=False
    )
    manifest = write_scan(SHOTS, shots, profile, tmp_path / "out", protocol, ("pulseq",))
    path, step_mm = tmp_path / "out" / f"{manifest.name}_{version}.seq", FOV_MM / SIDE
    # Along x lie the columns of the phantom.
    signal = played(path, phantom().T[:, :, None], (step_mm, step_mm, 5.0), parser)
    kspace = sequence_of(path, parser).get_kspace().numpy()[:, :2].astype(np.float64) * FOV_MM * 1e-3
    # x of the scanner is to the right, y is down.
    wanted = shots.samples[..., ::-1].reshape(-1, 2)
    assert np.abs(kspace - wanted).max() < steps
    place = (np.arange(SIDE) - SIDE // 2) / SIDE
    down, right = (np.exp(-2j * np.pi * np.outer(shots.samples[..., axis].ravel(), place)) for axis in (0, 1))
    operator = (down[:, :, None] * right[:, None, :]).reshape(len(signal), -1)
    found = np.abs(np.linalg.lstsq(operator, signal, rcond=1e-3)[0]).reshape(SIDE, SIDE)
    truth = phantom()
    flips = {
        "none": truth,
        "rows": truth[::-1],
        "columns": truth[:, ::-1],
        "both": truth[::-1, ::-1],
        "turned": truth.T,
    }
    match = {name: float(np.corrcoef(found.ravel(), turned.ravel())[0, 1]) for name, turned in flips.items()}
    best = match.pop("none")
    assert best > 0.98, (best, match)
    assert best > max(match.values()) + 0.05, (best, match)

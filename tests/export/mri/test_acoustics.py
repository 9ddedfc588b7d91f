"""Tones of gradients in bands that a profile names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.checks import Check
from cidesign.errors import LimitError
from cidesign.export.mri.acoustics import acoustics
from cidesign.export.mri.checks import check_sequence
from cidesign.export.mri.shots.plan import ShotProtocol
from cidesign.export.mri.shots.scan import SHOTS
from cidesign.export.mri.writer import write_scan
from cidesign.hardware_profiles.loader import load_profile, validate_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian

pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
TONE_HZ = 800.0


def scanner(*bands: tuple[float, float]) -> MriProfile:
    """A scanner that resonates at these centres, with these widths."""
    raw: dict[str, Any] = load_profile("mri-generic-3t").model_dump(mode="json", exclude_none=True)

    def given(value: float) -> dict[str, object]:
        return {"value": value, "source": "a test", "confidence": "D"}

    if bands:
        raw["acoustic_bands"] = [{"centre_hz": given(centre), "width_hz": given(width)} for centre, width in bands]
    profile = validate_profile(raw, "test")
    assert isinstance(profile, MriProfile)
    return profile


def humming(profile: MriProfile) -> NonCartesian:
    """One shot of 20 periods of a tone along x."""
    t = np.arange(2501) * 1e-5
    gradients = np.zeros((1, len(t), 2))
    gradients[0, :, 1] = 12 * np.sin(2 * np.pi * TONE_HZ * t)
    gradients[:, [0, -1]] = 0
    return NonCartesian(
        (64, 64), 220.0, gradients, np.zeros((1, 2)), 10_000, 1000, 20_000, 20_000, profile.id, profile.digest
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hum") / "out"
    protocol = ShotProtocol(slice_thickness_mm=5.0, flip_angle_deg=15.0, te_ms=None, tr_ms=None, dummies=1)
    write_scan(SHOTS, humming(scanner()), scanner(), folder, protocol, ("pulseq",))
    return folder / "gre_1shots_v150.seq"


def found(path: Path, profile: MriProfile) -> Check:
    return next(one for one in check_sequence(path, profile) if one.name == "acoustics")


def test_the_strongest_tone_may_not_lie_in_a_band(written: Path) -> None:
    struck = found(written, scanner((1500, 50), (810, 60)))
    assert struck.status == "failed"
    assert struck.fault == "limit"
    assert struck.value is not None
    assert "inside the band 780 to 840 Hz" in str(struck.value)
    assert str(struck.value).startswith("strongest tone at 80")


def test_a_tone_beside_the_bands_is_shown_with_their_share(written: Path) -> None:
    beside = found(written, scanner((600, 50)))
    assert beside.status == "passed"
    assert "of it in 575 to 625 Hz" in str(beside.value)


def test_without_bands_nothing_is_evaluated(written: Path) -> None:
    assert found(written, scanner()).status == "not checked"
    assert acoustics(None, scanner((600, 50))).status == "not checked"


def test_a_design_that_hums_in_a_band_is_not_exported(tmp_path: Path) -> None:
    profile = scanner((800, 100))
    protocol = ShotProtocol(slice_thickness_mm=5.0, flip_angle_deg=15.0, te_ms=None, tr_ms=None, dummies=1)
    with pytest.raises(
        LimitError, match=r"acoustics is strongest tone at 80\d Hz, from \d+ ms on, inside the band 750"
    ):
        write_scan(SHOTS, humming(profile), profile, tmp_path / "out", protocol, ("pulseq",))
    assert not list(tmp_path.iterdir())


def test_bands_leave_the_digest_of_a_profile_as_it_was() -> None:
    assert scanner((600, 50)).digest == load_profile("mri-generic-3t").digest

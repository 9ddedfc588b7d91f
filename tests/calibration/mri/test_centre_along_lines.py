"""A k-space whose centre is not on the middle line: moved back where all lines are there, refused where not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scanned import SIDE, check, design, raised, scanned, verified

from cidesign.calibration.mri.centre import recounted
from cidesign.calibration.mri.examine import examine
from cidesign.calibration.mri.kspace import RawKspace
from cidesign.calibration.mri.verify import verify_stored
from cidesign.errors import LimitError


class TestCentreAlongTheLines:
    """A k-space whose centre is not on the middle line."""

    @pytest.mark.parametrize("coils", [1, 4])
    @pytest.mark.parametrize("above", [-3.0, 1.0, 2.0, 4.0])
    def test_a_full_scan_is_moved_back(self, tmp_path: Path, coils: int, above: float) -> None:
        sound, _ = verified(scanned(tmp_path / "sound", coils=coils, all_lines=True, noise=1e-4))
        raw = scanned(tmp_path / "off", {"line-offset": above}, coils=coils, all_lines=True, noise=1e-4)
        calibration, verification = verified(raw)
        found = check(verification, "centre along the lines")
        assert (found.status, found.fault) == ("corrected", "line-offset")
        assert found.value == pytest.approx(above, abs=0.2)
        assert calibration.corrections.offset_lines == above
        assert verification.faults == ("line-offset",)
        # The lines of the design hold what they hold in a sound scan.
        lines = design().acquired
        there = sound.coil_kspace(scanned(tmp_path / "sound", coils=coils, all_lines=True, noise=1e-4))[:, lines]
        here = calibration.coil_kspace(raw)[:, lines]
        here = here / calibration.scale * sound.scale
        assert np.linalg.norm(np.abs(here) - np.abs(there)) < 0.02 * np.linalg.norm(there)
        assert raised(verify_stored(calibration, raw, found_echo(raw))) == {}

    def test_lines_of_a_design_cannot_be_moved(self, tmp_path: Path) -> None:
        _, verification = verified(scanned(tmp_path / "capture", {"line-offset": 2}))
        found = check(verification, "centre along the lines")
        assert (found.status, verification.verdict) == ("failed", "failed")
        assert "the centre of k-space of the phantom lies +1.9" in found.text

    @pytest.mark.parametrize("all_lines", [False, True])
    def test_the_object_tells_where_there_is_no_phantom(self, tmp_path: Path, all_lines: bool) -> None:
        raw = scanned(tmp_path / "capture", {"line-offset": 3}, phantom=False, all_lines=all_lines)
        _, verification = verified(raw)
        found = check(verification, "centre along the lines")
        assert (found.status, found.fault) == ("corrected" if all_lines else "failed", "line-offset")
        assert "a phantom would tell" in found.text

    def test_a_calibration_of_another_centre_is_refused(self, tmp_path: Path) -> None:
        calibration, _ = verified(scanned(tmp_path / "sound", all_lines=True))
        for all_lines in (False, True):
            raw = scanned(tmp_path / "off", {"line-offset": 2}, all_lines=all_lines)
            assert "line-offset" in verify_stored(calibration, raw, 0.3).faults

    def test_lost_readouts_are_no_other_centre(self, tmp_path: Path) -> None:
        for lost in (1, 2, 3):
            _, verification = verified(scanned(tmp_path / "capture", {"lost-trigger": lost}, seed=lost))
            assert check(verification, "centre along the lines").status == "not checked"
            assert verification.faults == ("lost-trigger",)

    def test_a_centre_stored_first_is_named(self, tmp_path: Path) -> None:
        raw = scanned(tmp_path / "capture", phantom=False, all_lines=True)
        rolled = replace(raw, k=np.roll(raw.k, SIDE // 2, axis=1))
        with pytest.raises(LimitError, match=r"At most 4 are moved; .*fftshift.*resembles: line-offset"):
            verified(rolled)

    def test_padded_scans_keep_their_padding(self, tmp_path: Path) -> None:
        raw = scanned(tmp_path / "capture", phantom=False, all_lines=True)
        kept = np.arange(3, SIDE - 2)
        padded = replace(raw, k=raw.k[:, kept], lines=kept, edges=None, order=None)
        moved = recounted(padded, 4)
        assert moved.lines.tolist() == list(range(0, SIDE - 6))
        np.testing.assert_array_equal(moved.k, padded.k[:, 1:])
        few = replace(raw, k=raw.k[:, :9], lines=np.arange(9), edges=None, order=None)
        assert recounted(few, 4) is few


def found_echo(raw: RawKspace) -> float | None:
    """The echo of the phantom, as a calibration stores it."""
    seen = examine(raw).phantom
    return None if seen is None else seen.echo_samples

"""What the command line prints and returns for a scanner."""

import json
from pathlib import Path

import numpy as np
import pytest

from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.files import check_mri, export_mri
from cidesign.pattern import Trajectory

pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")


def test_export_and_check_speak_plainly(tmp_path: Path) -> None:
    profile = load_profile("mri-ge-uhp")
    assert isinstance(profile, MriProfile)
    lines = Trajectory(16, 12, np.array([2, 7, 8, 9, 13], dtype=np.int64), 3, profile.id, profile.digest)
    folder = tmp_path / "out"
    asked = {
        "kind": "gre",
        "fov_mm": 220.0,
        "slice_thickness_mm": 5.0,
        "flip_angle_deg": 15.0,
        "te_ms": None,
        "tr_ms": 12.0,
        "dwell_us": 20.0,
        "t1_ms": 800.0,
    }
    value, text = export_mri(lines, profile, folder, asked)
    assert "5 of 16 lines, R = 3.2: TE 2.654 ms, TR 12 ms, 110 dummies, 1.38 s in all" in text
    assert "not evaluated: samples of a readout, divisor of the samples, SAR, B1 limit, acoustics" in text
    assert "note: Nothing here has been on a scanner" in text
    assert json.loads(json.dumps(value))["scan"]["dummies"] == 110
    value, text = check_mri(folder)
    assert value["ok"] is True
    assert "--  gre_5of16_v150.seq: SAR: not evaluated" in text
    assert "ok  gre_5of16.h5: 5 acquisitions" in text
    value, text = check_mri(folder / "gre_5of16_v141.seq", profile, lines)
    assert value["ok"] is True
    assert text.splitlines()[-1].endswith("29 passed, 5 not evaluated")
    json.dumps(value)
    other = load_profile("mri-generic-3t")
    assert isinstance(other, MriProfile)
    value, text = check_mri(folder / "gre_5of16_v141.seq", other)
    assert value["ok"] is False
    assert "fail: raster GradientRasterTime: 4 us; limit 10 us (mri-generic-3t: Pulseq demos" in text
    with pytest.raises(InputError, match="give one with --profile"):
        check_mri(folder / "gre_5of16_v141.seq")

"""What the command line prints and returns for a scanner."""

import json
from pathlib import Path

import numpy as np
import pytest

from cidesign.checks import WORDS
from cidesign.designs.checking import check_path
from cidesign.errors import InputError, LimitError
from cidesign.export.mri.checks import check_sequence
from cidesign.export.mri.family import FAMILY, sequence_report
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines

pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")


def test_export_and_check_speak_plainly(tmp_path: Path) -> None:
    profile = load_profile("mri-ge-uhp")
    assert isinstance(profile, MriProfile)
    lines = CartesianLines(16, 12, np.array([2, 7, 8, 9, 13], dtype=np.int64), 3, profile.id, profile.digest)
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
    done = FAMILY.export(lines, profile, folder, FAMILY.options((), asked))
    value, text = done.value, done.text
    assert "5 of 16 lines, R = 3.2, 3 calibration lines: TE 2.654 ms, TR 12 ms, 110 dummies, 1.38 s in all" in text
    assert "not evaluated: samples of a readout, divisor of the samples, SAR, B1 limit, acoustics" in text
    assert "note: Nothing here has been on a scanner" in text
    assert json.loads(json.dumps(value))["scan"]["dummies"] == 110
    found = check_path(folder)
    assert found.ok
    said = [f"{WORDS[check.status]}: {check.name}: {check.text}" for _, check in found.found]
    assert "not evaluated: gre_5of16_v150.seq: SAR: not evaluated: no body model; the scanner decides" in said
    assert any(text.startswith("pass: gre_5of16.h5: 5 acquisitions") for text in said)
    path = folder / "gre_5of16_v141.seq"
    report = sequence_report(path, profile, check_sequence(path, profile, lines))
    assert (report.value["ok"], report.failure) == (True, None)
    assert report.text.splitlines()[-1].endswith("29 passed, 5 not evaluated")
    json.dumps(report.value)
    other = check_path(path, "mri-generic-3t")
    assert (other.ok, other.value["ok"]) == (False, False)
    assert "fail: raster GradientRasterTime: 4 us; limit 10 us (mri-generic-3t: Pulseq demos" in other.text
    with pytest.raises(LimitError, match=r"gre_5of16_v141\.seq: \d of the checks failed: raster GradientRasterTime, "):
        other.require_ok()
    with pytest.raises(InputError, match="give one with --profile"):
        check_path(path)

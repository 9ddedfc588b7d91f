"""Readouts as a Siemens header describes them: what changes a sample is honoured, or refused by its name."""

from pathlib import Path

import numpy as np
import pytest
from raw_files import COILS, LINES, RECORDED, SAMPLES, Complex, kspace, plain

from cidesign.calibration.mri.raw.assemble import assemble
from cidesign.calibration.mri.raw.child import FIELDS
from cidesign.calibration.mri.raw.flags import SIEMENS_FLAGS
from cidesign.calibration.mri.raw.readouts import Matrix, Readouts
from cidesign.errors import FileError

SIEMENS_FIELDS = {
    "discard": "mdh.CutOff.Pre, Post", "measurement": "mdh.MeasUID", "dwell_ps": "alDwellTime",
    "channel_mask": "ChannelId", "number_of_samples": "mdh.SamplesInScan", "recorded": "lBaseResolution",
}  # fmt: skip


class TestSiemens:
    """Readouts as a Siemens header describes them, without a file."""

    def readouts(self, path: Path, k: Complex, flags: int = 0, **changes: int) -> Readouts:
        path.write_bytes(b"twix")
        row = {"samples": RECORDED, "channels": COILS, "centre_sample": SAMPLES, "dwell_ps": 1, **changes}
        table = np.array(
            [[{**row, "line": line}.get(name, 0) for name in FIELDS] for line in range(LINES)], dtype=np.int64
        )
        flat = np.ascontiguousarray(k.transpose(1, 0, 2)).reshape(-1)
        marks = np.full(LINES, flags, dtype=np.uint64)
        return Readouts(path, "Siemens twix", table, marks, flat, SIEMENS_FLAGS)

    def test_cut_off_samples_are_0(self, tmp_path: Path) -> None:
        spoilt, k = kspace(), kspace()
        spoilt[..., :6], k[..., :6] = 1e3, 0
        matrix = Matrix(LINES, LINES // 2, SAMPLES, SIEMENS_FIELDS)
        raw = assemble(self.readouts(tmp_path / "a.dat", spoilt, discard_pre=6), matrix, 0, "")
        np.testing.assert_allclose(raw.k, plain(k), atol=2e-6)
        assert "(mdh.CutOff.Pre, Post)" in raw.notes[0]

    @pytest.mark.parametrize(
        ("bit", "name"),
        [(12, "SCANSCALEFACTOR"), (13, "2NDHADAMARPULSE"), (17, "SIGNREV"), (19, "SWAPPED"), (42, "LAST_BLADE_IN_TR")],
    )  # fmt: skip
    def test_flags_that_change_samples_are_refused(self, tmp_path: Path, bit: int, name: str) -> None:
        matrix = Matrix(LINES, LINES // 2, SAMPLES, SIEMENS_FIELDS)
        with pytest.raises(FileError, match=rf"flagged {name} .*\(mdh.EvalInfoMask\)"):
            assemble(self.readouts(tmp_path / "a.dat", kspace(), flags=1 << bit), matrix, 0, "")

    def test_harmless_flags_are_read_and_factors_remarked(self, tmp_path: Path) -> None:
        matrix = Matrix(LINES, LINES // 2, SAMPLES, SIEMENS_FIELDS)
        flags = 1 << 3 | 1 << 8 | 1 << 11 | 1 << 18 | 1 << 28 | 1 << 10
        raw = assemble(self.readouts(tmp_path / "a.dat", kspace(), flags=flags), matrix, 0, "")
        np.testing.assert_allclose(raw.k, plain(kspace()), atol=2e-6)
        assert "RAWDATACORRECTION (one factor for each coil, not applied)" in raw.notes[0]

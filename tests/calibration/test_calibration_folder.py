"""Where a calibration is put: in one step, and a failed one never over an earlier one."""

from pathlib import Path

import pytest

from cidesign.calibration.folder import replacing_calibration
from cidesign.calibration.verify import Verification
from cidesign.checks import Check
from cidesign.errors import FileError

PASSED = Verification(score=None, score_meaning="", checks=[])
FAILED = Verification(score=None, score_meaning="", checks=[Check(name="x", status="failed", text="")])


def _write(folder: Path, verification: Verification, content: str, force: bool) -> Path:
    with replacing_calibration(folder, verification, force) as (temporary, place):
        (temporary / "calibration.json").write_text(content)
    return place


def test_what_goes_where(tmp_path: Path) -> None:
    folder = tmp_path / "cal"
    assert _write(folder, FAILED, "0", force=False) == folder  # nothing was there: a failed one may be looked at
    assert _write(folder, PASSED, "1", force=True) == folder
    beside = tmp_path / "cal-failed"
    assert _write(folder, FAILED, "2", force=True) == beside
    assert _write(folder, FAILED, "3", force=True) == beside  # replaced, as it is a failed one itself
    assert (folder / "calibration.json").read_text() == "1"
    assert (beside / "calibration.json").read_text() == "3"
    with pytest.raises(FileError, match="--force"):
        _write(folder, FAILED, "4", force=False)
    with pytest.raises(FileError, match="--force"):
        _write(folder, PASSED, "5", force=False)
    assert {path.name for path in tmp_path.iterdir()} == {"cal", "cal-failed"}


def test_an_error_leaves_the_earlier_one(tmp_path: Path) -> None:
    folder = tmp_path / "cal"
    _write(folder, PASSED, "1", force=False)

    def fail() -> None:
        with replacing_calibration(folder, PASSED, True) as (temporary, _):
            (temporary / "calibration.json").write_text("2")
            raise FileError("the disk is full")

    with pytest.raises(FileError, match="disk"):
        fail()
    assert (folder / "calibration.json").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["cal"]

"""The study of stored teachers: every row once, kept in a file, and what is read out of the rows."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "studies" / "stored_teacher.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("stored_teacher_study", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_rows_are_kept_and_not_trained_again(
    study: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--scale", "smoke", "--seeds", "1", "--out", str(tmp_path)]
    study.main(words)
    said = capsys.readouterr().out
    for modality in study.PROFILES:
        rows = json.loads((tmp_path / f"smoke-{modality}-procedural-1.json").read_text())
        assert list(rows) == ["E2E 1", "E2E 2", "E2E 4", "E2E 5", "teacher", "student 1", "student 2"]
        assert all(row["psnr_db"] > 5 and row["seconds"] >= 0 for row in rows.values())
        assert f"## {modality}: side" in said
    # (4 + 8 * 2) of 8 * 5 epochs.
    assert said.count("0.50 of the epochs") == 3
    # A row that is missing alone is trained alone, and with the same bits: the teacher is read from its file.
    path = tmp_path / "smoke-mri-procedural-1.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({name: row for name, row in whole.items() if name != "student 2"}))
    study.main([*words, "--modality", "mri"])
    again = capsys.readouterr().out
    assert again.count(" dB, ") == 1
    assert json.loads(path.read_text())["student 2"]["psnr_db"] == whole["student 2"]["psnr_db"]
    study.main([*words, "--tables-only", "--seeds", "1,7"])
    assert capsys.readouterr().out.count("(procedural), 1 seeds") == 3
    study.main([*words, "--modality", "single-pixel", "--family"])
    family = capsys.readouterr().out
    for name in study.FAMILY["single-pixel"]:
        assert f"same teacher, {name}: student of 2 epochs " in family


def test_epochs_that_are_needed_lie_between_the_rows(study: ModuleType) -> None:
    scale = study.SCALES["cpu"]
    assert scale.alone == [1, 2, 4, 8, 16]

    def needed(wanted: float, *students: float) -> float | None:
        rows = {f"student {epochs}": {"psnr_db": psnr} for epochs, psnr in zip((1, 2, 4), students, strict=True)}
        found: float | None = study.epochs_needed({**rows, "E2E 16": {"psnr_db": wanted}}, scale)
        return found

    assert needed(20.0, 20.0, 21.0, 22.0) == 1.0
    assert needed(21.0, 20.0, 21.0, 22.0) == 2.0
    assert needed(21.5, 20.0, 21.0, 22.0) == pytest.approx(2 * 2**0.5)
    assert needed(22.5, 20.0, 21.0, 22.0) is None

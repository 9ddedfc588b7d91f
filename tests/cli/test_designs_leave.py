"""From a finished run to checked files, and beside what it must beat: the same commands for all modalities."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.distill.job import Listener, start_run
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.mri.run import MriRun
from cidesign.pattern import ApertureMask, CartesianLines
from cidesign.run_settings import TrainingSettings

Command = Callable[..., Any]
MODALITIES = ("single-pixel", "cassi", "mri", "lensless")


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Callable[..., TrainingSettings],
    profile_of: Callable[[str], Any],
) -> dict[str, Path]:
    """A really trained, tiny run of each modality."""
    folder = tmp_path_factory.mktemp("runs")
    for modality in MODALITIES:
        settings = make_settings(modality, teacher_epochs=1, student_epochs=1)
        start_run(folder / modality, settings, profile_of(modality), False, Listener())
    return {modality: folder / modality for modality in MODALITIES}


@pytest.fixture
def run_of(runs: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy that a test may change."""

    def copy(modality: str) -> Path:
        return Path(shutil.copytree(runs[modality], tmp_path / modality))

    return copy


@pytest.mark.parametrize("modality", MODALITIES)
def test_export_and_check(modality: str, run_of: Callable[[str], Path], cidesign: Command) -> None:
    run = run_of(modality)
    assert cidesign("check", run).code == 0
    done = cidesign("export", run)
    assert done.code == 0, done.err
    assert f"next: cidesign check {run / 'export'}" in done.err
    for path in (run, run / "export"):
        checked = cidesign("check", path, "--json")
        assert checked.code == 0, checked.err
        assert json.loads(checked.out)["ok"] is True
    again = cidesign("export", run)
    assert again.code == 5
    assert "--force" in again.err
    assert cidesign("export", run, "--force").code == 0


@pytest.mark.parametrize("name", ["mask.tif", "mask.gds", "mask.oas"])
def test_single_mask_file(name: str, run_of: Callable[[str], Path], cidesign: Command) -> None:
    run = run_of("cassi")
    assert cidesign("export", run).code == 0
    assert cidesign("check", run / "export" / name, "--profile", "chrome-laser-10um").code == 0
    finer = cidesign("check", run / "export" / name, "--profile", "film-20000dpi")
    assert finer.code == 3
    assert "um" in finer.err


def test_single_sequence(run_of: Callable[[str], Path], cidesign: Command) -> None:
    pytest.importorskip("pypulseq", reason="the extra mri is not installed")
    run = run_of("mri")
    exported = cidesign("export", run, "--set", "te_ms=6", "--set", "order=centre-out")
    assert exported.code == 0
    assert "Pulseq 1.4.1 and 1.5.0 hold the same sequence: take the one that your interpreter accepts" in exported.out
    assert "Nothing here has been on a scanner" in exported.out
    sequence = next((run / "export").glob("*_v141.seq"))
    assert cidesign("check", sequence, "--profile", "mri-generic-3t").code == 0
    sequence.write_text(sequence.read_text().replace("Name ", "Name X", 1))
    edited = cidesign("check", sequence, "--profile", "mri-generic-3t")
    assert edited.code == 5
    assert "signature" in edited.err
    assert cidesign("check", run).code == 5
    sequence.write_text("no sequence")
    assert cidesign("check", sequence, "--profile", "mri-generic-3t").code == 5


@pytest.mark.parametrize(
    ("modality", "words", "code", "said"),
    [
        ("cassi", ["--set", "tones=clear"], 2, "no such field; known are name, tone"),
        ("cassi", ["--set", "tone=grey"], 2, "tone 'grey' is not known; choose clear or chrome"),
        ("cassi", ["--set", "fiducials=maybe"], 2, "a value of the kind bool is needed"),
        ("cassi", ["--set", "tone"], 2, "write NAME=VALUE"),
        ("cassi", ["--exposure-us", "100"], 2, "are for micromirror devices"),
        ("cassi", ["--format", "dxf"], 2, "dxf"),
        ("single-pixel", ["--set", "tone=clear"], 2, "--set is for apertures, MRI, 3-D MRI and non-Cartesian MRI"),
        ("mri", ["--set", "te_ms=0.5"], 3, "te_ms"),
        ("mri", ["--set", "te=5"], 2, "te"),
        ("mri", ["--set", "te_ms=5", "--set", "te-ms=6"], 2, "given twice"),
    ],
)
def test_refused_before_anything_is_written(
    modality: str, words: list[str], code: int, said: str, run_of: Callable[[str], Path], cidesign: Command
) -> None:
    if modality == "mri":
        pytest.importorskip("pypulseq", reason="the extra mri is not installed")
    run = run_of(modality)
    done = cidesign("export", run, *words)
    assert done.code == code, done.err
    assert said in done.err
    assert not (run / "export").exists()


def test_infeasible_mask_is_caught(run_of: Callable[[str], Path], cidesign: Command) -> None:
    path = run_of("cassi")
    run = CassiRun(path)
    levels = run.design.levels.copy()
    levels[:2, :2] = np.eye(2, dtype=np.uint8)
    forged = ApertureMask(levels, run.design.pitch_um, run.profile.id, run.profile.digest)
    forged.save(path / "design.npz")
    record = json.loads((path / "run.json").read_text())
    record["design_digest"] = forged.design_digest
    (path / "run.json").write_text(json.dumps(record))
    done = cidesign("check", path)
    assert done.code == 3
    assert "corner contact" in done.err
    assert (path.parent / "cassi.violations.png").is_file()


def test_line_too_few_is_caught(run_of: Callable[[str], Path], cidesign: Command) -> None:
    path = run_of("mri")
    run = MriRun(path)
    fewer = CartesianLines(16, 16, run.design.acquired[:-1], 0, run.profile.id, run.profile.digest)
    fewer.save(path / "design.npz")
    record = json.loads((path / "run.json").read_text())
    record["design_digest"] = fewer.design_digest
    (path / "run.json").write_text(json.dumps(record))
    done = cidesign("check", path)
    assert done.code == 3
    assert "line budget is 3 lines, the limit is exactly 4 of 16 lines" in done.err


@pytest.mark.parametrize("modality", MODALITIES)
def test_captures_of_another_modality_are_refused(
    modality: str, run_of: Callable[[str], Path], cidesign: Command, tmp_path: Path
) -> None:
    """In one line, by calibrate and by reconstruct, with nothing written."""
    run, other = run_of(modality), run_of(MODALITIES[MODALITIES.index(modality) - 1])
    assert cidesign("simulate", other, "--out", tmp_path / "capture").code == 0
    done = cidesign("calibrate", tmp_path / "capture", "--run", run, "--out", tmp_path / "cal")
    assert done.code == 5, done.err
    assert done.err.startswith("error: ")
    assert not (tmp_path / "cal").exists()
    done = cidesign("reconstruct", run, tmp_path / "capture", "--calibration", tmp_path, "--out", tmp_path / "images")
    assert done.code == 5, done.err
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("modality", MODALITIES)
def test_evaluate_trains_once(modality: str, run_of: Callable[[str], Path], cidesign: Command) -> None:
    run = run_of(modality)
    before = json.loads(cidesign("evaluate", run, "--no-training", "--json").out)
    assert [row["name"].split()[0] for row in before["rows"]] == ["student", "teacher"]
    first = json.loads(cidesign("evaluate", run, "--json").out)
    names = [row["name"] for row in first["rows"]]
    assert "E2E" in names
    assert len(names) >= 5
    assert first["epochs"] == 2
    kept = {path: path.stat().st_mtime_ns for path in (run / "baselines").iterdir()}
    assert len(kept) == len(names) - 2
    again = json.loads(cidesign("evaluate", run, "--json").out)
    assert again["rows"] == first["rows"]
    assert {path: path.stat().st_mtime_ns for path in (run / "baselines").iterdir()} == kept
    if modality == "mri":
        assert all(row["optics"]["acceleration"] == 4 for row in first["rows"] if not row["name"].startswith("teacher"))


def test_scanner_to_image(run_of: Callable[[str], Path], cidesign: Command) -> None:
    run = run_of("mri")
    capture, calibration, images = run / "capture", run / "calibration", run / "images"
    assert cidesign("simulate", run, "--set", "coils=1", "--seed", "4").code == 0
    assert cidesign("calibrate", capture, "--run", run).code == 0
    done = cidesign("reconstruct", run, capture, "--calibration", calibration)
    assert done.code == 0, done.err
    assert "student decoder" in done.out
    assert "zero-filled" in done.out
    assert cidesign("report", run, "--include", images).code == 0
    record = json.loads((images / "reconstruction.json").read_text())
    assert record["design_digest"] == MriRun(run).design.design_digest


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (
            "simulate",
            ["--fault", "flicker"],
            "flicker: this bench has no such fault; known",
        ),
        ("simulate", ["--set", "coilz=2"], "no such setting here; known are coils"),
        ("simulate", ["--set", "coils=two"], "a value of the kind int is needed"),
        (
            "reconstruct",
            ["nowhere", "--reader", "hadamard"],
            "no such reader for a run of the modality mri; known are folder",
        ),
    ],
)
def test_options_of_other_modalities(
    command: str, words: list[str], said: str, run_of: Callable[[str], Path], cidesign: Command
) -> None:
    done = cidesign(command, run_of("mri"), *words)
    assert done.code == 2
    assert said in done.err

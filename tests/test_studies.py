"""The studies of `benchmarks/studies`: what is trained is kept and not trained again, and tables are of all rows."""

import json
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

STUDIES = Path(__file__).parent.parent / "benchmarks" / "studies"
Run = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a study in the smallest size; the lines that it prints."""

    def run(name: str, *words: str) -> list[str]:
        script = STUDIES / f"{name}.py"
        monkeypatch.syspath_prepend(str(STUDIES))
        monkeypatch.delitem(sys.modules, "rows", raising=False)
        asked = ["--scale", "smoke", "--threads", "1", "--out", str(tmp_path), *words]
        monkeypatch.setattr(sys, "argv", [str(script), *asked])
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def _trained(lines: list[str]) -> list[str]:
    """The rows that were trained, in order."""
    return [line.split(": ", 1)[1].split(": psnr_db")[0] for line in lines if ": psnr_db" in line]


def _cells(lines: list[str], first: str) -> list[str]:
    """Of the first table that has the row."""
    line = next(line for line in lines if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_published(study: Run, tmp_path: Path) -> None:
    lines = study("published", "--seeds", "1,2", "--case", "single-pixel")
    rows = _trained(lines)
    learnt = ["E2E, S epochs", "E2E, T + S epochs", "teacher", "student"]
    wanted = [f"{label} {name}" for label in ("published", "our") for name in learnt]
    quiet = [f"noiseless {name}" for name in wanted if "T + S" not in name]
    assert rows[:14] == wanted + quiet
    fixed = rows[14 : len(rows) // 2]
    assert len(fixed) >= 3
    assert all(name.startswith("fixed: ") for name in fixed)
    assert rows == 2 * rows[: len(rows) // 2]
    found = [json.loads((tmp_path / f"published-smoke-single_pixel-{seed}.json").read_text()) for seed in (1, 2)]
    curves = [of["rows"]["our student"]["curves"]["psnr_db"] for of in found]
    assert [len(curve) for curve in curves] == [2, 2]
    means = np.mean(curves, axis=0)
    errors = np.std(curves, axis=0, ddof=1) / 2**0.5
    shown = [f"{value:.2f} +- {error:.2f}" for value, error in zip(means, errors, strict=True)]
    # Epochs 1 and 2; then those of T + S; then seconds.
    assert _cells(lines, "our student")[:3] == [*shown, "-"]
    assert _cells(lines, "published E2E, T + S epochs")[2] != "-"
    published = [of["rows"]["published student"]["curves"]["psnr_db"][-1] for of in found]
    ahead = np.array([curve[-1] for curve in curves]) - published
    assert f"| published student | {ahead.mean():.2f} +- {ahead.std(ddof=1) / 2**0.5:.2f} |" in lines
    # The second time nothing is trained, and a row that is lost is trained again, to the same bits.
    again = study("published", "--seeds", "1,2", "--case", "single-pixel")
    assert _trained(again) == []
    assert [line for line in again if line.startswith("|")] == [line for line in lines if line.startswith("|")]
    lost = found[0]["rows"].pop("published student")
    (tmp_path / "published-smoke-single_pixel-1.json").write_text(json.dumps(found[0]))
    assert _trained(study("published", "--seeds", "1", "--case", "single-pixel")) == ["published student"]
    redone = json.loads((tmp_path / "published-smoke-single_pixel-1.json").read_text())["rows"]["published student"]
    assert redone["curves"] == lost["curves"]


def test_encoder_loss(study: Run, tmp_path: Path) -> None:
    lines = study("encoder_loss", "--seeds", "1")
    file = tmp_path / "encoder_loss-smoke-cassi-1.json"
    curves = {name: row["curves"] for name, row in json.loads(file.read_text())["rows"].items()}
    assert set(curves) == {
        f"{form}: {row}" for form in ("published", "ours") for row in ("teacher", "without", "with the encoder loss")
    }
    for found in curves.values():
        # Before training too.
        assert len(found["condition_number"]) == len(found["psnr_db"]) + 1
        assert all(value > 1 for value in found["condition_number"])
    starts = [curves[f"published: {row}"]["condition_number"][0] for row in ("without", "with the encoder loss")]
    assert starts[0] == starts[1]
    ratio = np.divide(*(curves[f"ours: {row}"]["condition_number"][-1] for row in ("with the encoder loss", "without")))
    assert any(
        line.startswith(f"ours: condition number with the loss over that without: {ratio:.2f}") for line in lines
    )


def test_teacher_gap(study: Run, tmp_path: Path) -> None:
    lines = study("teacher_gap", "--seeds", "1", "--case", "mri")
    rows = json.loads((tmp_path / "teacher_gap-smoke-mri-1.json").read_text())["rows"]
    final = {name: row["curves"]["psnr_db"][-1] for name, row in rows.items()}
    relaxations = ["R4", "soft", "R3", "R2", "R1.5", "R1"]
    for label in ("ours", "published"):
        gaps = {one: final[f"{label}: {one}"] - final[f"{label}: E2E"] for one in relaxations}
        start = lines.index(f"{label} (E2E {final[f'{label}: E2E']:.2f} dB)")
        told = [line.split("|")[1].strip() for line in lines[start + 4 : start + 10]]
        assert told == sorted(relaxations, key=gaps.__getitem__)
        student = final[f"{label}: student of R2"]
        (line,) = [line for line in lines[start : start + 10] if line.startswith("| R2 |")]
        cells = [f"{final[f'{label}: R2']:.2f}", f"{gaps['R2']:.2f}", f"{student:.2f}"]
        assert [cell.strip() for cell in line.split("|")[2:5]] == cells
    assert len([line for line in lines if line.startswith("it breaks at: ")]) == 2


def test_weights(study: Run, tmp_path: Path) -> None:
    lines = study("weights", "--seeds", "1", "--case", "single-pixel")
    rows = json.loads((tmp_path / "weights-smoke-single_pixel-1.json").read_text())["rows"]
    final = {name: row["curves"]["psnr_db"][-1] for name, row in rows.items()}
    grid = [name for name in final if name.startswith("fixed: decoder")]
    assert len(grid) == 12
    assert len({final[name] for name in grid}) > 1  # the weights act, hardly in so few steps
    best = max(grid, key=final.__getitem__)
    assert f"best of the grid: {best}" in lines
    less = final["uncertainty"] - final[best]
    assert any(line.startswith(f"uncertainty less the best of the grid: {less:.3f} dB") for line in lines)
    assert _cells(lines, "gradient")[1] == f"{final['gradient'] - final['no guiding term']:.3f}"


def test_rows_of_other_sizes_are_not_mixed(study: Run, tmp_path: Path) -> None:
    study("encoder_loss", "--seeds", "1", "--case", "cassi")
    file = tmp_path / "encoder_loss-smoke-cassi-1.json"
    stored = json.loads(file.read_text())
    stored["case"]["images"] = 999
    file.write_text(json.dumps(stored))
    with pytest.raises(SystemExit, match="rows of other sizes are here"):
        study("encoder_loss", "--seeds", "1", "--case", "cassi")

"""The studies of `benchmarks/studies`: what is trained is kept and not trained again, and tables are of all rows."""

import importlib
import json
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.modalities.single_pixel.fixed_designs import HADAMARD_ORDERS

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
        for shared in ("rows", "means"):
            monkeypatch.delitem(sys.modules, shared, raising=False)
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


def test_searched(study: Run, tmp_path: Path) -> None:
    lines = study("searched", "--seeds", "1")
    rows = json.loads((tmp_path / "searched-smoke-K___6-1.json").read_text())["rows"]
    final = {name: row["curves"]["psnr_db"][-1] for name, row in rows.items()}
    assert list(final) == [f"{start}, {how}" for start in ("lowest", "searched") for how in ("kept", "E2E")]
    assert final["searched, kept"] != final["lowest, kept"]
    gain = final["searched, E2E"] - final["lowest, E2E"]
    assert f"searched less lowest, E2E: {gain:.2f} dB" in lines


def test_rows_of_other_sizes_are_not_mixed(study: Run, tmp_path: Path) -> None:
    study("encoder_loss", "--seeds", "1", "--case", "cassi")
    file = tmp_path / "encoder_loss-smoke-cassi-1.json"
    stored = json.loads(file.read_text())
    stored["case"]["images"] = 999
    file.write_text(json.dumps(stored))
    with pytest.raises(SystemExit, match="rows of other sizes are here"):
        study("encoder_loss", "--seeds", "1", "--case", "cassi")


LOW_LIGHT = "single-pixel, 1e3 photoelectrons"


def test_means(study: Run, tmp_path: Path) -> None:
    lines = study("means", "--seeds", "1", "--case", LOW_LIGHT)
    found = json.loads((tmp_path / "means-smoke-single_pixel__1e3_photoelectrons-1.json").read_text())["rows"]
    wanted = {
        "E2E, T + S", "E2E, T + S, averaged", "real optics, T + S", "teacher, T", "start of ours", "ours",
        "ours, averaged", "soft labels", "all terms", "averaged teacher", "ours, then search", "start of row space",
        "row space", "operators", "operators, search", "start of search first", "search first, then E2E",
        "search first, then E2E, averaged", "search first, then ours",
    }  # fmt: skip
    assert set(found) == wanted == set(_trained(lines))
    bounds = {name: row["curves"]["bound_db"][0] for name, row in found.items()}
    # Where there is little light, readings that are taken again and again are worth more than further ones.
    assert bounds["start of search first"] > bounds["start of ours"] + 0.5
    final = {name: row["curves"]["psnr_db"][0] for name, row in found.items()}
    gain = final["search first, then E2E"] - final["E2E, T + S"]
    assert _cells(lines, "search first, then E2E")[:3] == ["1", f"{final['search first, then E2E']:.2f}", f"{gain:.2f}"]
    # What a student starts from costs its seconds too.
    seconds = {name: row["seconds"] for name, row in found.items()}
    assert seconds["ours"] > seconds["teacher, T"] > 0
    assert seconds["ours, then search"] > seconds["ours"]
    assert _trained(study("means", "--seeds", "1", "--case", LOW_LIGHT)) == []


@pytest.mark.parametrize(("kind", "case"), [("cassi", "SD-CASSI, features of 4"), ("mri", "MRI, R = 8")])
def test_a_search_lowers_the_error_and_keeps_the_limits(
    kind: str, case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    means = _module("means", monkeypatch)
    bench = means.Bench(tmp_path / "rows.json", means.SCALES["smoke"][case], 1, name=case)
    hard = means.Hard(bench, 4.0 if kind == "cassi" else None)
    batch = means.as_floats(hard.train[: means.JUDGED])

    def error(system: torch.nn.Module) -> float:
        y = system.encoder(batch, torch.Generator().manual_seed(1))
        return float((system.decoder.linear_estimate(y, system.encoder) - batch).square().mean())

    with torch.no_grad():
        before, after = error(hard.maker.system("student").eval()), error(hard.searched[0].eval())
    assert after <= before
    if kind == "cassi":
        assert after < 0.9 * before
        mask = hard.maker.optics.design(hard.searched[0].encoder).levels
        blocks = mask.reshape(4, 4, 4, 4)
        assert np.array_equal(blocks, np.broadcast_to(blocks[:, :1, :, :1], blocks.shape))
    else:
        chosen = hard.maker.optics.design(hard.searched[0].encoder)
        assert len(chosen.acquired) == hard.settings.acquired
        assert set(range(8 - hard.settings.acs_lines // 2, 8)) <= set(chosen.acquired.tolist())


def test_rotated_patterns_span_the_same_and_lose_less(monkeypatch: pytest.MonkeyPatch) -> None:
    means = _module("means", monkeypatch)
    draws = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (6, 64), generator=draws).double() * 2 - 1
    mixing = torch.linalg.qr(torch.randn(6, 6, generator=draws, dtype=torch.float64)).Q
    rows = mixing @ signs
    turned = means.rotated(rows.reshape(6, 8, 8)).flatten(1).double()

    def outside(patterns: torch.Tensor) -> float:
        """The share of signs that is not in the span of the rows."""
        kept = torch.linalg.lstsq(rows.T, patterns.sign().T).solution
        return float((rows.T @ kept - patterns.sign().T).square().mean())

    assert outside(rows) > 0.2
    assert outside(turned) < 0.5 * outside(rows)


def test_own_images(study: Run, tmp_path: Path) -> None:
    places = np.arange(28) / 28
    phases = np.random.default_rng(0).random((80, 2, 1))
    waves = 0.5 + 0.5 * np.sin(2 * np.pi * (phases + places))
    pictures = tmp_path / "pictures.npz"
    np.savez(pictures, images=np.round(255 * waves[:, 0, :, None] * waves[:, 1, None]).astype(np.uint8))
    lines = study("own_images", "--seeds", "1,2", "--case", "clothing", "--data", f"clothing={pictures}")
    found = [json.loads((tmp_path / f"own_images-smoke-clothing-{seed}.json").read_text())["rows"] for seed in (1, 2)]
    fixed = {"fixed: random", "fixed: low-pass cosines", *(f"fixed: Hadamard, {order}" for order in HADAMARD_ORDERS)}
    learnt = {"E2E, T + S epochs", "teacher", "student", "search first, then E2E", "search first, then student"}
    assert set(found[0]) == {*fixed, *learnt, "search first, then E2E, averaged"}
    # Weak ones with the first seed only, and never the best.
    assert set(found[0]) - set(found[1]) == fixed - {"fixed: low-pass cosines", "fixed: Hadamard, sequency"}
    final = [{name: row["curves"]["psnr_db"][-1] for name, row in of.items()} for of in found]
    low_pass, sequency = ([of[f"fixed: {name}"] for of in final] for name in ("low-pass cosines", "Hadamard, sequency"))
    best = max(low_pass, sequency, key=sum)
    gains = np.array([of["student"] for of in final]) - best
    said = f"clothing: student less fixed: {'low-pass cosines' if best is low_pass else 'Hadamard, sequency'}: "
    said += f"{gains.mean():.2f} +- {gains.std(ddof=1) / 2**0.5:.2f} dB"
    assert any(line.startswith(said) for line in lines)
    with pytest.raises(SystemExit, match="rows of other images are here"):
        study("own_images", "--seeds", "1", "--case", "clothing", "--data", f"clothing={tmp_path}")
    assert _trained(study("own_images", "--seeds", "3", "--case", "clothing")) == []


def test_own_images_are_kept_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own_images = _module("own_images", monkeypatch)
    # Each picture is of one value, framed by zeros.
    pictures = np.arange(1, 81, dtype=np.uint8)[:, None, None] * np.ones((1, 12, 12), dtype=np.uint8)
    rows = np.concatenate([pictures.reshape(80, -1), np.zeros((80, 1), dtype=np.uint8)], axis=1)
    np.savetxt(tmp_path / "pictures.csv", rows, delimiter=",", fmt="%d")
    case = own_images.SCALES["smoke"]["clothing"]
    held = []
    for seed in (1, 2):
        bench = own_images.Bench(tmp_path / "rows.json", case, seed, data=str(tmp_path / "pictures.csv"))
        train, measured = own_images._images(bench)
        assert (tuple(train.shape), tuple(measured.shape)) == ((64, 1, 16, 16), (16, 1, 16, 16))
        values = torch.cat([train, measured]).flatten(1)
        assert sorted(values.max(dim=1).values.tolist()) == list(range(1, 81))
        assert (values > 0).sum(dim=1).tolist() == 80 * [144]
        held.append(measured)
    assert not torch.equal(*held)


def _module(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(STUDIES))
    return importlib.import_module(name)

"""simulate -> calibrate -> reconstruct as a user types them, and what they say when something is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.linalg import hadamard

from cidesign.runs import SinglePixelRun

SIDE, PATTERNS = 16, 40


Command = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> Path:
    """A finished run without training: its decoder is the linear first step."""
    path = tmp_path_factory.mktemp("trained") / "run"
    settings = make_settings(side=SIDE, patterns=PATTERNS, read_noise_photoelectrons=50.0)
    finished_run(path, settings, SinglePixelRun)
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "runs" / "mine")
    return Path("runs/mine")


def _error(done: Any, code: int) -> str:
    assert done.code == code
    assert done.out == ""
    (line,) = (line for line in done.err.splitlines() if line.startswith("error: "))
    assert "Traceback" not in done.err
    return line


def test_the_chain(cidesign: Command, run: Path) -> None:
    simulated = cidesign("simulate", run, "--drift", "3", "--out", "cap")
    assert simulated.code == 0
    assert "80 readings" in simulated.out
    assert simulated.err.endswith("next: cidesign calibrate cap --run runs/mine --out calibration\n")
    calibrated = cidesign("calibrate", "cap", "--run", run, "--out", "cal")
    assert calibrated.code == 0
    assert "simulated truth" in calibrated.out
    assert "next: cidesign reconstruct runs/mine cap --calibration cal" in calibrated.err
    done = cidesign("reconstruct", run, "cap", "--calibration", "cal", "--out", "images")
    assert done.code == 0
    assert "student" in done.out
    assert "peak to peak found in the pair sums and divided out" in done.err
    assert "next: cidesign report runs/mine" in done.err
    names = {path.name for path in Path("images").iterdir()}
    stems = {f"{name}.{suffix}" for name in ("student", "lmmse", "tikhonov") for suffix in ("png", "tiff", "npz")}
    assert names == stems | {"comparison.png", "reconstruction.json"}


def test_json_and_defaults(cidesign: Command, run: Path) -> None:
    """Without names, the newest run is used and named, and everything goes beside it."""
    first = cidesign("simulate", "--json")
    assert json.loads(first.out)["bench"]["simulated_at"] == "super-pixel"
    assert "run: runs/mine (the newest)" in first.err
    second = cidesign("calibrate", run / "capture", "--json")
    value = json.loads(second.out)
    truth = json.loads(first.out)["bench"]
    scale = truth["gain_counts_per_photoelectron"] * truth["photoelectrons_per_frame"]
    assert value["scale_counts"]["value"] == pytest.approx(scale, abs=5 * value["scale_counts"]["standard_error"])
    third = cidesign("reconstruct", run / "capture", "--calibration", run / "calibration", "--json")
    assert "run: runs/mine (the newest)" in third.err
    record = json.loads(third.out)
    assert record["images"]["student"]["psnr_db"] > 12
    assert Path(record["file"]).is_file()


def test_a_scene_of_ones_own(cidesign: Command, run: Path) -> None:
    picture = np.zeros((32, 48), np.uint8)
    picture[4:28, 12:16] = 255
    Image.fromarray(picture).save("scene.png")
    done = cidesign("simulate", run, "--scene", "scene.png", "--out", "cap")
    assert "centred square of 32 x 32 of 48 x 32" in done.err
    truth = np.load("cap/readings.npz")["truth"]
    assert truth.shape == (16, 16)
    assert truth[8].tolist() == [0.0, 0.0, 1.0, 1.0, *[0.0] * 12]
    assert "no such" in _error(cidesign("simulate", run, "--scene", "absent.png", "--out", "c2"), 5).lower()


def test_nothing_is_overwritten(cidesign: Command, run: Path) -> None:
    cidesign("simulate", run, "--out", "cap")
    cidesign("calibrate", "cap", "--out", "cal")
    cidesign("reconstruct", run, "cap", "--calibration", "cal", "--out", "images")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for words in (
        ("simulate", run, "--out", "cap"),
        ("calibrate", "cap", "--out", "cal"),
        ("reconstruct", run, "cap", "--calibration", "cal", "--out", "images"),
    ):
        assert "--force" in _error(cidesign(*words), 5)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert cidesign("simulate", run, "--out", "cap", "--seed", "5", "--force").code == 0
    assert before[Path("cap/readings.npz")] != Path("cap/readings.npz").read_bytes()


def test_what_is_wrong_is_said(cidesign: Command, run: Path) -> None:
    assert "drift_percent -1" in _error(cidesign("simulate", run, "--drift", "-1"), 2)
    assert "no such run folder" in _error(cidesign("simulate", "absent"), 5)
    assert "no such capture" in _error(cidesign("calibrate", "absent"), 5)
    done = cidesign("simulate", run, "--gain", "1", "--out", "bright")
    assert "are saturated; lower --gain" in done.err
    assert "at or above the saturation level of 65535" in _error(cidesign("calibrate", "bright"), 5)
    cidesign("simulate", run, "--out", "cap")
    assert "--calibration is missing" in _error(cidesign("reconstruct", run, "cap"), 2)
    assert "3 paths" in _error(cidesign("reconstruct", run, "cap", "cap"), 2)
    assert "--region" in _error(cidesign("reconstruct", run, "cap", "--region", "1"), 2)
    cidesign("calibrate", "cap", "--out", "cal")
    np.save("short.npy", np.arange(79.0))
    line = _error(cidesign("reconstruct", run, "short.npy", "--calibration", "cal"), 5)
    assert "79 scene readings, but the design shows 80 frames" in line
    assert not (run / "images").exists()


def test_hadamard_captures(cidesign: Command, run: Path) -> None:
    scene = np.outer(np.linspace(0.2, 1, SIDE), np.linspace(1, 0.1, SIDE))
    scene[3:9, 4:7] = 0.0
    np.savez("car.npz", data=np.stack([hadamard(SIDE**2) @ scene.reshape(-1)] * 3), n=SIDE)
    done = cidesign("reconstruct", run, "car.npz", "--reader", "hadamard", "--out", "table")
    assert done.code == 0
    assert len([line for line in done.out.splitlines() if "best linear" in line or "student decoder" in line]) == 6
    assert "region 1 of 3 (the middle one; --region chooses)" in done.err
    record = json.loads(Path("table/reconstruction.json").read_text())
    assert len(record["table"]) == 6
    assert {path.name for path in Path("table").glob("*.png")} >= {"full_basis.png", "student_decoder.png"}
    chosen = cidesign("reconstruct", "car.npz", "--reader", "hadamard", "--region", "2", "--json")
    assert json.loads(chosen.out)["region"] == 2
    assert "takes none" in _error(
        cidesign("reconstruct", run, "car.npz", "--reader", "hadamard", "--calibration", "cal", "--out", "t"), 2
    )
    assert "--reader hadamard" in _error(cidesign("reconstruct", run, "car.npz", "--calibration", "cal"), 5)

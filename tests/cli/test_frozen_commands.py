"""`cidesign export --decoder onnx` and `reconstruct --decoder`, as they are typed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cidesign as ci
from cidesign.modalities.single_pixel.run import SinglePixelRun

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> Path:
    """A finished run without training: its decoder is the linear first step."""
    path = tmp_path_factory.mktemp("trained") / "run"
    settings = make_settings(side=16, patterns=80, read_noise_photoelectrons=50.0)
    finished_run(path, settings, SinglePixelRun)
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "runs" / "mine")
    return Path("runs/mine")


def test_a_frozen_decoder_reconstructs_what_it_was_frozen_for(cidesign: Command, run: Path) -> None:
    for words in (
        ("simulate", run, "--fault", "rotation=3", "--out", "bench"),
        ("calibrate", "bench", "--run", run, "--out", "found"),
        ("export", run, "--decoder", "onnx", "--calibration", "found", "--out", "d.onnx"),
        ("reconstruct", run, "bench", "--calibration", "found", "--out", "own"),
        ("reconstruct", "--decoder", "d.onnx", "bench", "--calibration", "found", "--out", "frozen"),
    ):
        done = cidesign(*words)
        assert done.code == 0, done.err
    own, frozen = (ci.open_reconstruction(name).images.student for name in ("own", "frozen"))
    assert np.abs(own - frozen).max() < 1e-3
    assert json.loads(Path("frozen/reconstruction.json").read_text())["verdict"] == "passed"


def test_what_it_was_not_frozen_for_is_refused(cidesign: Command, run: Path) -> None:
    assert cidesign("simulate", run, "--out", "bench").code == 0
    assert cidesign("calibrate", "bench", "--run", run, "--out", "found").code == 0
    assert cidesign("export", run, "--decoder", "onnx", "--out", "d.onnx").code == 0
    done = cidesign("reconstruct", "--decoder", "d.onnx", "bench", "--calibration", "found", "--out", "images")
    assert done.code != 0
    assert done.err.splitlines()[-1].startswith("error: ")
    assert not Path("images").exists()
    done = cidesign("export", run, "--calibration", "found", "--out", "files")
    assert done.code == 2
    assert "--decoder onnx" in done.err

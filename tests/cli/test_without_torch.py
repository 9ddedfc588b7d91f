"""A bench without torch: what is promised there works, for every kind of design, and the rest ends in one line."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cidesign as ci
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.single_pixel.run import SinglePixelRun

# One process for several commands: each costs a second of imports.
PROGRAM = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Absent())
from cidesign.cli import main
for words in {commands!r}:
    sys.argv = ["cidesign", *words]
    try:
        main()
    except SystemExit as left:
        if left.code:
            sys.exit(left.code)
"""


def _typed(folder: Path, *commands: str) -> Any:
    program = PROGRAM.format(commands=[command.split() for command in commands])
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> Path:
    """A run of each kind, as training leaves it."""
    folder = tmp_path_factory.mktemp("bench")
    finished_run(folder / "single", make_settings(side=16, patterns=80, read_noise_photoelectrons=50.0), SinglePixelRun)
    finished_run(folder / "cassi", make_settings("cassi"), CassiRun)
    ci.simulate(folder / "single", folder / "capture")
    tiny: Any = {"images": 16, "validation_images": 8, "batch": 8, "channels": 4, "device": "cpu"}
    ci.distill("mri-generic-3t", side=32, teacher_epochs=1, student_epochs=1, out=folder / "mri", **tiny)
    return folder


@pytest.mark.parametrize("kind", ["single", "cassi", "mri"])
def test_a_stored_design_is_checked_exported_simulated_and_calibrated(kind: str, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / kind, tmp_path / "run")
    done = _typed(
        tmp_path,
        "check run",
        "export run" if kind != "cassi" else "export run --format tiff",
        "check run",
        "calibrate --plan --run run",
        "simulate run",
        "calibrate run/capture --run run",
    )
    # A tiny bench may fail its verification: that is a verdict, not an error.
    assert done.returncode in (0, 3), done.stderr
    assert (tmp_path / "run" / "calibration" / "calibration.json").is_file()


def test_a_frozen_decoder_makes_the_image_that_the_run_makes(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    shutil.copytree(runs / "single", tmp_path / "run")
    shutil.copytree(runs / "capture", tmp_path / "capture")
    ci.export_decoder(tmp_path / "run", tmp_path / "decoder.onnx")
    own = ci.reconstruct(tmp_path / "run", tmp_path / "capture").images.student
    done = _typed(tmp_path, "reconstruct --decoder decoder.onnx capture --out images")
    assert done.returncode == 0, done.stderr
    assert np.abs(own - ci.open_reconstruction(tmp_path / "images").images.student).max() < 1e-3


@pytest.mark.parametrize(
    "command",
    ["reconstruct run capture", "report run", "evaluate run", "distill --profile dlp4500 --out other"],
)
def test_what_needs_torch_says_so_in_one_line(command: str, runs: Path, tmp_path: Path) -> None:
    for source, target in (("single", "run"), ("capture", "capture")):
        shutil.copytree(runs / source, tmp_path / target)
    done = _typed(tmp_path, command)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: this needs torch, which is not installed here; `cidesign doctor` tells")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "other").exists()

"""`cidesign calibrate --fine-tune` as a function, on a simulated bench: from its captures to a decoder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cidesign.benchwork import calibrate, simulate
from cidesign.data.procedural import dead_leaves
from cidesign.distill import fine_tune
from cidesign.errors import FileError, InputError, LimitError
from cidesign.files import sha256_file, write_json
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modality import modality
from cidesign.models.system import load_student
from cidesign.reconstruct.fine_tune import fine_tune_for
from cidesign.reconstruct.fine_tuned import RECORD_FILE, WEIGHTS_FILE, load_decoder_for


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> SinglePixelRun:
    """Random patterns of 16 x 16, and a decoder whose network adds what no image has."""
    settings = make_settings(side=16, patterns=120, weight_decoder=0.0, learning_rate=1e-2)
    torch.manual_seed(0)  # the network's weights
    found: SinglePixelRun = finished_run(tmp_path_factory.mktemp("command") / "run", settings, SinglePixelRun)
    system = load_student(found)
    last = system.decoder.get_parameter("unet.last.weight")
    last.copy_(torch.randn(last.shape, generator=torch.Generator().manual_seed(2)))
    y = system.encoder(torch.from_numpy(dead_leaves(16, 16, 1))[:, None].float() / 255)
    added = system.decoder(y, system.encoder).prediction - system.decoder.linear_estimate(y, system.encoder)
    last.mul_(0.15 / added.square().mean().sqrt())
    system.save(found.path / "student.safetensors")
    return found


@pytest.fixture(scope="module")
def bench(run: SinglePixelRun) -> tuple[Path, Path]:
    """A capture with turned patterns, and its calibration."""
    capture, calibration = run.path.parent / "capture", run.path.parent / "calibration"
    simulate(run, capture, faults={"rotation": 3.0}, seed=1)
    done = calibrate(run, capture, calibration)
    verification = done.verification
    place = done.calibration.path
    assert (verification.verdict, place) == ("passed", calibration)
    return capture, calibration


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many images decide, and as many are reported."""
    monkeypatch.setattr(fine_tune, "VALIDATION_IMAGES", 32)


@pytest.fixture
def folder(bench: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bench[1], tmp_path / "calibration"))


def contents(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in folder.iterdir()}


def test_a_calibration_gets_a_decoder_of_its_own(run: SinglePixelRun, folder: Path) -> None:
    before, in_run = contents(folder), contents(run.path)
    tuned = fine_tune_for(run, folder, epochs=2, images=128, seed=4)
    value, text = tuned.value, tuned.text
    assert value["kept"]
    assert "decoder fine-tuned for this calibration" in text
    after = contents(folder)
    assert {name: digest for name, digest in after.items() if name in before} == before
    assert set(after) - set(before) == {RECORD_FILE, WEIGHTS_FILE}
    assert contents(run.path) == in_run
    assert value["reported"]["after"]["mean"] > value["reported"]["before"]["mean"]
    assert value["reported"]["before"]["mean"] > value["reported"]["blind"]["mean"]
    system, remarks = load_decoder_for(run, folder)
    assert "fine-tuned for this calibration" in remarks[0]
    with pytest.raises(FileError, match="--force"):
        fine_tune_for(run, folder, epochs=2, images=128, seed=4)
    again = fine_tune_for(run, folder, epochs=2, images=128, seed=4, force=True).value
    assert again["decoder_sha256"] == value["decoder_sha256"]
    assert contents(folder)[WEIGHTS_FILE] == after[WEIGHTS_FILE]
    assert not any(parameter.requires_grad for parameter in system.parameters())


def test_the_operator_is_that_of_the_calibration(run: SinglePixelRun, folder: Path) -> None:
    from cidesign.calibration.single_pixel.record import read_calibration

    family, found = modality("single-pixel").operator_family(run, folder, "cpu"), read_calibration(folder)
    assert torch.equal(family.centre.weight, torch.from_numpy(found.optics.signed(run.design)))
    assert family.designed_scale == found.optics.peak_over_mean
    assert found.optics.placement.rotation_deg == pytest.approx(3.0, abs=0.2)


def test_a_calibration_of_another_field_is_refused(
    tmp_path: Path, folder: Path, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> None:
    smaller = finished_run(tmp_path / "smaller", make_settings(side=12, patterns=60), SinglePixelRun)
    with pytest.raises(FileError, match=r"a field of \(16, 16\) was calibrated, the run has \(12, 12\)"):
        fine_tune_for(smaller, folder)
    raw = json.loads((folder / "calibration.json").read_text())
    write_json(folder / "calibration.json", {**raw, "profile_digest": "f" * 64})
    with pytest.raises(FileError, match="profile ffffffffffff was calibrated"):
        fine_tune_for(smaller, folder)


def test_a_failed_calibration_trains_nothing(run: SinglePixelRun, folder: Path) -> None:
    raw = json.loads((folder / "calibration.json").read_text())
    failed = {"name": "turn", "status": "failed", "text": "the patterns are off", "fault": "rotation"}
    raw["verification"]["checks"].append(failed)
    write_json(folder / "calibration.json", raw)
    before = contents(folder)
    with pytest.raises(LimitError, match="failed its verification: turn"):
        fine_tune_for(run, folder, epochs=1, images=16)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs 0: from 1 to"),
        ({"images": 0}, "images 0: from 1 to"),
        ({"seed": -1}, "seed -1: from 0 to"),
    ],
)
def test_settings_out_of_range_are_refused(
    run: SinglePixelRun, folder: Path, settings: dict[str, Any], message: str
) -> None:
    before = contents(folder)
    with pytest.raises(InputError, match=message):
        fine_tune_for(run, folder, **settings)
    assert contents(folder) == before


def test_without_a_calibration_there_is_nothing_to_tune_for(run: SinglePixelRun, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no calibration"):
        fine_tune_for(run, tmp_path)

"""Two processes train one run: as one does, or stopped, killed and failed together."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.distill.computing.ranks import LONGEST_S
from cidesign.distill.job import Listener, resume_run, start_run
from cidesign.distill.presets import settings_for
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

PROGRAM = Path(__file__).parent / "trains_together.py"
PROFILES = {"single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}
# A batch of 7 is 4 and 3.  Terms that are ratios over all images, weights that follow from gradients, learnt ones.
CASES: dict[str, dict[str, Any]] = {
    "plain": {"weight_decoder": 0.0, "weight_encoder": 0.0},
    "features and operators": {},
    "published": {"losses": "published"},
    "gradients weighed": {"weighting": "gradient", "weight_output": 0.2},
    "variances": {"weighting": "uncertainty", "weight_output": 0.2},
    "masks": {"modality": "cassi", "weighting": "gradient"},
    # Nine places in the three steps of an epoch: each process sees some images of each.
    "masks in crops": {"modality": "cassi", "side": 24, "crop": 12},
    "lines": {"modality": "mri", "weighting": "gradient", "coils": 2},
}


def launch(folder: Path, told: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Two processes of the program."""
    (folder / "told.json").write_text(json.dumps(told))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return subprocess.run(
        [*torchrun, str(PROGRAM), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def told_of(settings: TrainingSettings) -> dict[str, Any]:
    return {"settings": settings.model_dump(mode="json"), "profile": PROFILES[settings.modality]}


def _classifying(folder: Path, profile: HardwareProfile) -> TrainingSettings:
    """A run that tells bars at the left from bars at the top."""
    images = np.random.default_rng(1).integers(10, 50, (60, 8, 8), dtype=np.uint8)
    images[:, 1:7, 1:3] += 150
    images[::2] = images[::2].transpose(0, 2, 1)
    np.savez(folder / "bars.npz", images=images, labels=np.arange(60) % 2)
    return settings_for(
        profile, task="classify", data=str(folder / "bars.npz"), side=8, patterns=20, images=40, validation_images=20,
        batch=9, channels=4, threads=1, teacher_epochs=3, student_epochs=3, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen(
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Callable[..., TrainingSettings],
    profile_of: Callable[[str], Any],
) -> tuple[list[dict[str, Any]], Path]:
    """What each of two processes saw, and their folder."""
    folder = tmp_path_factory.mktemp("together")
    cases = {name: told_of(make_settings(**{"batch": 7, "images": 22, **case})) for name, case in CASES.items()}
    told = {"cases": cases, "run": told_of(make_settings(weighting="gradient", batch=15))}
    done = launch(folder, {**told, "classify": told_of(_classifying(folder, profile_of("single-pixel")))})
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)], folder


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_of_two_is_that_of_one_on_the_whole_batch(
    case: str, seen: tuple[list[dict[str, Any]], Path]
) -> None:
    for one in seen[0]:
        apart, moving, tensors = one["differences"][case]
        assert moving >= tensors - 1  # of a system that starts as its teacher one number may be 0
        assert apart < 2e-4


def test_both_hold_the_same_weights_and_the_first_alone_tells(seen: tuple[list[dict[str, Any]], Path]) -> None:
    first, second = seen[0]
    assert first["whole"] == second["whole"]
    assert first["metrics"]["training_processes"] == 2
    assert first["heard"] == {"remark": 0, "needs": 1, "pace": 0, "epoch": 4, "steps": 24}
    assert second["heard"] == {"remark": 0, "needs": 0, "pace": 0, "epoch": 0, "steps": 24}


def test_stopped_and_killed_as_if_it_had_never_been(seen: tuple[list[dict[str, Any]], Path]) -> None:
    """What one process is asked is done by both after the same step; the end has the same bits."""
    for one in seen[0]:
        assert one["stopped"] == ["Interrupted", ""]
        assert one["stopped after"] == 4
        assert one["killed"][0] == "Killed"
        assert one["broken"] == one["whole"]


def test_the_failure_of_one_ends_both_with_one_error(seen: tuple[list[dict[str, Any]], Path]) -> None:
    first, second = seen[0]
    assert second["failed"] == ["DeviceError", "the third step of process 1"]
    assert first["failed"] == ["OtherRankFailed", "process 1 of 2 failed and all have ended; it says itself why"]
    assert first["fault"] == ["ValueError", "a fault of the program"]
    assert second["fault"][0] == "OtherRankFailed"
    for name, kind, text in (
        ("in the way", "FileError", "exists already"),
        ("unlike", "CidesignError", "settings: the 2 processes differ in it"),
        ("small", "LimitError", "batch 1: 2 processes share it, and each needs an image; start 1 at the most"),
    ):
        assert first[name][0] == kind
        assert text in first[name][1]
        assert second[name][0] == "OtherRankFailed"


def test_a_stored_teacher_is_trained_and_taken_by_two(seen: tuple[list[dict[str, Any]], Path]) -> None:
    (first, second), folder = seen
    assert first["student"] == second["student"]
    assert Run(folder / "student").record.teacher_digest == Run(folder / "teacher").record.teacher_digest


def test_weights_that_drift_apart_are_not_kept(seen: tuple[list[dict[str, Any]], Path]) -> None:
    text = "weights after the phase teacher: the 2 processes differ in it; start all with the same command"
    kind, said = seen[0][0]["apart"]
    assert kind == "CidesignError"
    assert text in said
    assert seen[0][1]["apart"][0] == "OtherRankFailed"


def test_two_tell_classes_apart(seen: tuple[list[dict[str, Any]], Path]) -> None:
    for one in seen[0]:
        assert one["classes"]["student_accuracy_percent"] >= 95
        assert one["classes"]["training_processes"] == 2


def test_two_learn_as_one_does(
    seen: tuple[list[dict[str, Any]], Path], profile: HardwareProfile, make_settings: Callable[..., TrainingSettings]
) -> None:
    """Only draws of noise and last digits differ."""
    alone = start_run(
        seen[1] / "alone", make_settings(weighting="gradient", batch=15), profile, False, Listener()
    ).record.metrics
    both = seen[0][0]["metrics"]
    assert both["student_psnr_db"] == pytest.approx(alone["student_psnr_db"], abs=0.2)
    assert both["student_psnr_db"] != alone["student_psnr_db"]
    assert "training_processes" not in alone


def test_one_goes_on_where_two_stopped_and_says_so(
    seen: tuple[list[dict[str, Any]], Path], profile: HardwareProfile
) -> None:
    said: list[str] = []

    class Hears(Listener):
        def remark(self, text: str) -> None:
            said.append(text)

    assert resume_run(seen[1] / "left", Hears()).complete
    assert "processes that share each batch: 2 until now, and 1 from here on;" in said[-1]


def test_one_that_dies_without_a_word_ends_the_other(
    tmp_path: Path, make_settings: Callable[..., TrainingSettings]
) -> None:
    done = launch(tmp_path, {"die": True, "run": told_of(make_settings())})
    assert done.returncode != 0
    kind, text = json.loads((tmp_path / "0.json").read_text())
    assert kind == "LostRank"
    assert "ended without a word" in text
    assert f"{LONGEST_S / 60:.0f} minutes" in text

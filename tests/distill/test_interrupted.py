"""Runs that are in training or were interrupted: left alone, or resumed only where everything is as it was."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.loop import StepReport
from cidesign.errors import FileError
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.locks import FolderLock
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run


class _StopAt(Listener):
    """Interrupts at a step, counted over both phases."""

    def __init__(self, step: int) -> None:
        self.left = step

    def step(self, report: StepReport) -> None:
        self.left -= 1
        if self.left == 0:
            raise Interrupted


def _stamps(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def _interrupted(path: Path, settings: TrainingSettings, profile: DmdProfile) -> Path:
    with pytest.raises(Interrupted):
        start_run(path, settings, profile, False, _StopAt(2))
    return path


@pytest.mark.parametrize("force", [False, True])
def test_a_run_in_training_is_left_alone(
    force: bool, tmp_path: Path, settings: TrainingSettings, profile: DmdProfile
) -> None:
    """Neither a start nor --force nor --resume enters a folder that is trained in; all name the process."""
    path = _interrupted(tmp_path / "run", settings, profile)
    with FolderLock(path, "cidesign distill"):
        before = _stamps(path / "checkpoint") | {"run.json": (0, (path / "run.json").read_bytes())}
        for second in (
            lambda: start_run(path, settings, profile, force, Listener()),
            lambda: resume_run(path, Listener()),
        ):
            with pytest.raises(FileError, match=rf"in use by `cidesign distill` \(process {os.getpid()} on .*kill"):
                second()
        assert _stamps(path / "checkpoint") | {"run.json": (0, (path / "run.json").read_bytes())} == before
        assert {entry.name for entry in path.iterdir()} == {"run.json", "metrics.jsonl", "checkpoint", ".lock"}
    assert resume_run(path, Listener()).complete
    assert list(tmp_path.iterdir()) == [path]


def test_the_lock_is_held_while_training_and_gone_after_it(
    tmp_path: Path, settings: TrainingSettings, profile: DmdProfile
) -> None:
    class Looks(Listener):
        def step(self, report: StepReport) -> None:
            with pytest.raises(FileError, match="in use"), FolderLock(tmp_path / "run", "another"):
                pytest.fail("two hold one folder")
            raise Interrupted

    for work in (
        lambda: start_run(tmp_path / "run", settings, profile, False, Looks()),
        lambda: resume_run(tmp_path / "run", Looks()),
        lambda: start_run(tmp_path / "run", settings, profile, True, Looks()),
    ):
        with pytest.raises(Interrupted):
            work()
        assert {entry.name for entry in (tmp_path / "run").iterdir()} == {"run.json", "metrics.jsonl", "checkpoint"}
        assert list(tmp_path.iterdir()) == [tmp_path / "run"]


def test_a_start_removes_what_a_killed_start_left(
    tmp_path: Path, settings: TrainingSettings, profile: DmdProfile
) -> None:
    left = tmp_path / ".run.0123456789ab.partial"
    left.mkdir()
    (left / "run.json").write_text("{}")
    _interrupted(tmp_path / "run", settings, profile)
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]


def test_the_checkpoint_of_another_run_is_refused(
    tmp_path: Path, settings: TrainingSettings, profile: DmdProfile
) -> None:
    """The same shapes, another seed: the weights would fit and the result would be of no run."""
    path = _interrupted(tmp_path / "run", settings, profile)
    other = _interrupted(tmp_path / "other", settings.model_copy(update={"seed": 4}), profile)
    shutil.copy(other / "checkpoint" / "state.safetensors", path / "checkpoint")
    with pytest.raises(FileError, match="checkpoint of a run with other settings, images or profile"):
        resume_run(path, Listener())


def test_a_metrics_file_that_lost_lines_is_said(
    tmp_path: Path, settings: TrainingSettings, profile: DmdProfile
) -> None:
    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        start_run(path, settings, profile, False, _StopAt(8))
    (path / "metrics.jsonl").write_text("")
    with pytest.raises(FileError, match=r"metrics\.jsonl: 0 bytes, but the checkpoint was written after \d+"):
        resume_run(path, Listener())
    assert (path / "metrics.jsonl").read_bytes() == b""


def test_unfinished_run_says_how_to_go_on(tmp_path: Path, settings: TrainingSettings, profile: DmdProfile) -> None:
    with pytest.raises(Interrupted):
        start_run(tmp_path / "run", settings, profile, False, _StopAt(2))
    with pytest.raises(FileError, match="--resume"):
        _ = Run(tmp_path / "run").design
    with pytest.raises(FileError, match=r"unfinished run.*--resume.*--force"):
        start_run(tmp_path / "run", settings, profile, False, Listener())


def test_damaged_checkpoint_is_said(tmp_path: Path, settings: TrainingSettings, profile: DmdProfile) -> None:
    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        start_run(path, settings, profile, False, _StopAt(2))
    checkpoint = path / "checkpoint" / "state.safetensors"
    whole = checkpoint.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1  # a weight
    moved = whole.replace(b'\\"step\\": 2', b'\\"step\\": 3')
    assert moved != whole
    for content in (whole[:100], b"", whole[:-1], bytes(flipped), moved, whole.replace(b'"digest"', b'"digets"')):
        checkpoint.write_bytes(content)
        with pytest.raises(FileError, match=r"this checkpoint (is damaged|holds no 'digest').*--force") as caught:
            resume_run(path, Listener())
        assert "\n" not in str(caught.value)


def test_changed_images_are_noticed(tmp_path: Path, settings: TrainingSettings, profile: DmdProfile) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        np.save(pictures / f"{number}.npy", np.random.default_rng(number).random((20, 24)))
    own = settings.model_copy(update={"data": str(pictures)})
    with pytest.raises(Interrupted):
        start_run(tmp_path / "run", own, profile, False, _StopAt(2))
    np.save(pictures / "1.npy", np.random.default_rng(9).random((20, 24)))
    with pytest.raises(FileError, match="not those that this run started with"):
        resume_run(tmp_path / "run", Listener())

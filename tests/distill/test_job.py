"""A run from start to finish: complete, frozen teacher, and the same bits after every kind of interruption."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cidesign.distill import job
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.loop import StepReport
from cidesign.errors import CidesignError, FileError
from cidesign.hardware_profiles.dmd_schema import DmdProfile
from cidesign.models.system import load_student, load_teacher
from cidesign.runs import Run, RunSettings


class _StopAt(Listener):
    """Stops at a step, counted over both phases, with the given exception."""

    def __init__(self, step: int, exception: type[BaseException]) -> None:
        self.left, self.exception = step, exception

    def step(self, report: StepReport) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.exception


class _Killed(BaseException):
    """Nothing in the program may catch this, as nothing can act on SIGKILL."""


RESULTS = ("student.safetensors", "teacher.safetensors", "design.npz")


def _bits(run: Path) -> dict[str, bytes]:
    from safetensors.torch import load_file

    weights = {}
    for name in RESULTS[:2]:
        weights |= {f"{name}:{key}": tensor.numpy().tobytes() for key, tensor in load_file(run / name).items()}
    return weights | {"design": Run(run).design.levels.tobytes()}


def _metrics(run: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, settings: RunSettings, profile: DmdProfile) -> Path:
    path = tmp_path_factory.mktemp("trained") / "whole"
    start_run(path, settings, profile, False, Listener())
    return path


@pytest.fixture
def whole(trained: Path, tmp_path: Path) -> Path:
    """A copy of the uninterrupted run."""
    return shutil.copytree(trained, tmp_path / "whole")


def test_finished_run_is_whole(whole: Path, settings: RunSettings, profile: DmdProfile) -> None:
    run = Run(whole)
    assert run.complete
    assert run.settings == settings
    assert run.profile == profile
    assert run.design.count == 7
    assert not (whole / "checkpoint").exists()
    assert [line["epoch"] for line in _metrics(whole)] == [1, 2, 1, 2]
    assert {"teacher_psnr_db", "student_psnr_db", "student_ssim"} <= set(run.record.metrics)
    student = load_student(run)
    built = torch.from_numpy(run.design.signed())
    torch.testing.assert_close(student.encoder.signed(), built)


def test_teacher_is_bit_identical_before_and_after(whole: Path) -> None:
    assert job._weights_digest(load_teacher(Run(whole))) == Run(whole).record.teacher_digest


def test_a_teacher_that_moves_is_noticed(
    tmp_path: Path, settings: RunSettings, profile: DmdProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = job._run_phase

    def drifting(run, system, teacher, *rest):  # type: ignore[no-untyped-def]
        original(run, system, teacher, *rest)
        if teacher is not None:
            teacher.decoder.unet.last.bias.add_(1e-7)

    monkeypatch.setattr(job, "_run_phase", drifting)
    with pytest.raises(CidesignError, match="teacher changed"):
        start_run(tmp_path / "run", settings, profile, False, Listener())


def test_student_obeys_its_limit_and_learns(whole: Path) -> None:
    metrics = Run(whole).record.metrics
    assert set(Run(whole).design.levels.flatten()) == {0, 1}
    assert metrics["student_psnr_db"] > 15


# 96 images / 16 = 6 steps an epoch: inside and at the end of epochs, in both phases, and at the very first step.
@pytest.mark.parametrize("step", [1, 4, 6, 11, 12, 13, 18, 20, 23])
@pytest.mark.parametrize("exception", [Interrupted, _Killed])
def test_resume_gives_the_same_bits(
    step: int, exception: type[BaseException], whole: Path, settings: RunSettings, profile: DmdProfile
) -> None:
    path = whole.parent / "broken"
    with pytest.raises(exception):
        start_run(path, settings, profile, False, _StopAt(step, exception))
    assert not Run(path).complete
    assert resume_run(path, Listener()).complete
    assert _bits(path) == _bits(whole)
    assert _metrics(path) == _metrics(whole)


def test_resume_after_two_interruptions(whole: Path, settings: RunSettings, profile: DmdProfile) -> None:
    path = whole.parent / "broken"
    with pytest.raises(Interrupted):
        start_run(path, settings, profile, False, _StopAt(9, Interrupted))
    with pytest.raises(_Killed):
        resume_run(path, _StopAt(7, _Killed))
    resume_run(path, Listener())
    assert _bits(path) == _bits(whole)


def test_resume_after_a_real_kill(whole: Path, settings: RunSettings) -> None:
    path = whole.parent / "killed"
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from cidesign.distill.job import Listener, start_run\n"
        "from cidesign.hardware_profiles.loader import load_profile\n"
        "from cidesign.runs import RunSettings\n"
        "class Kill(Listener):\n"
        "    count = 0\n"
        "    def step(self, report):\n"
        "        self.count += 1\n"
        "        if self.count == 15: os.kill(os.getpid(), signal.SIGKILL)\n"
        "settings = RunSettings.model_validate_json(sys.argv[2])\n"
        "start_run(Path(sys.argv[1]), settings, load_profile('dlp4500'), False, Kill())\n"
    )
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), settings.model_dump_json()], env=threads, check=False
    )
    assert done.returncode == -signal.SIGKILL
    resume_run(path, Listener())
    assert _bits(path) == _bits(whole)


def test_existing_run_is_kept_without_force(whole: Path, settings: RunSettings, profile: DmdProfile) -> None:
    before = _bits(whole)
    with pytest.raises(FileError, match="--force"):
        start_run(whole, settings, profile, False, Listener())
    assert _bits(whole) == before


def test_force_replaces_a_run_but_never_another_folder(
    whole: Path, settings: RunSettings, profile: DmdProfile, tmp_path: Path
) -> None:
    start_run(whole, settings.model_copy(update={"seed": 4}), profile, True, Listener())
    assert Run(whole).settings.seed == 4
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    with pytest.raises(FileError, match="not a run"):
        start_run(precious, settings, profile, True, Listener())
    assert (precious / "thesis.txt").read_text() == "years"


def test_force_on_a_full_disk_keeps_the_old_run(
    whole: Path, settings: RunSettings, profile: DmdProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, record: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = _bits(whole)
    monkeypatch.setattr(job, "write_record", full)
    with pytest.raises(FileError, match="disk is full"):
        start_run(whole, settings.model_copy(update={"seed": 4}), profile, True, Listener())
    assert _bits(whole) == before
    assert list(whole.parent.iterdir()) == [whole]


def test_resuming_a_finished_run_is_refused(whole: Path) -> None:
    with pytest.raises(FileError, match="finished already"):
        resume_run(whole, Listener())


def test_unfinished_run_says_how_to_go_on(tmp_path: Path, settings: RunSettings, profile: DmdProfile) -> None:
    with pytest.raises(Interrupted):
        start_run(tmp_path / "run", settings, profile, False, _StopAt(2, Interrupted))
    with pytest.raises(FileError, match="--resume"):
        _ = Run(tmp_path / "run").design
    with pytest.raises(FileError, match=r"unfinished run.*--resume.*--force"):
        start_run(tmp_path / "run", settings, profile, False, Listener())


def test_damaged_checkpoint_is_said(tmp_path: Path, settings: RunSettings, profile: DmdProfile) -> None:
    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        start_run(path, settings, profile, False, _StopAt(2, Interrupted))
    checkpoint = path / "checkpoint" / "state.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(FileError, match="checkpoint is damaged"):
        resume_run(path, Listener())


def test_changed_images_are_noticed(tmp_path: Path, settings: RunSettings, profile: DmdProfile) -> None:
    import numpy as np

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        np.save(pictures / f"{number}.npy", np.random.default_rng(number).random((20, 24)))
    own = settings.model_copy(update={"data": str(pictures)})
    with pytest.raises(Interrupted):
        start_run(tmp_path / "run", own, profile, False, _StopAt(2, Interrupted))
    np.save(pictures / "1.npy", np.random.default_rng(9).random((20, 24)))
    with pytest.raises(FileError, match="not those this run started with"):
        resume_run(tmp_path / "run", Listener())


def test_disk_full_keeps_the_last_checkpoint(
    whole: Path, settings: RunSettings, profile: DmdProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = whole.parent / "full"
    from cidesign.distill import checkpoint

    original, calls = checkpoint.save_file, []

    def full(*args, **kwargs):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args, **kwargs)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(FileError, match="disk is full"):
        start_run(path, settings, profile, False, Listener())
    assert sorted(entry.name for entry in (path / "checkpoint").iterdir()) == ["state.safetensors"]
    resume_run(path, Listener())
    assert _bits(path) == _bits(whole)


@pytest.mark.parametrize(
    ("name", "read"), [("student.safetensors", load_student), ("design.npz", lambda run: run.design)]
)
def test_missing_or_foreign_parts_are_named(name: str, read: Callable[[Run], object], whole: Path) -> None:
    (whole / name).write_bytes(b"not what it was")
    with pytest.raises(FileError, match=name):
        read(Run(whole))
    (whole / name).unlink()
    with pytest.raises(FileError, match=name):
        read(Run(whole))

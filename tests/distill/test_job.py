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
from typing import Any

import pytest
import torch

from cidesign.distill import job, run_folder
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.loop import StepReport
from cidesign.errors import CidesignError, FileError
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.models.optics import optics_for
from cidesign.models.system import load_student, load_teacher
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run
from cidesign.testing.training import Killed, StopAt

RESULTS = ("student.safetensors", "teacher.safetensors", "design.npz")


def _bits(run: Path) -> dict[str, bytes]:
    from safetensors.torch import load_file

    weights = {}
    for name in RESULTS[:2]:
        weights |= {f"{name}:{key}": tensor.numpy().tobytes() for key, tensor in load_file(run / name).items()}
    return weights | {"design": str(Run(run).design.design_digest).encode()}


def _metrics(run: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


ProfileOf = Callable[[str], Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, settings: TrainingSettings, profile: DmdProfile) -> Path:
    path = tmp_path_factory.mktemp("trained") / "whole"
    start_run(path, settings, profile, False, Listener())
    return path


@pytest.fixture
def whole(trained: Path, tmp_path: Path) -> Path:
    """A copy of the uninterrupted single-pixel run."""
    return shutil.copytree(trained, tmp_path / "whole")


def test_finished_run_is_whole(every: Path, case: TrainingSettings, profile_of: ProfileOf) -> None:
    run = Run(every)
    assert run.complete
    assert run.settings == case
    assert run.profile == profile_of(case.modality)
    assert not (every / "checkpoint").exists()
    teachers = ["teacher"] if len(case.ladder) == 1 else [f"teacher-{number + 1}" for number in range(len(case.ladder))]
    share = 2 // len(teachers)
    wanted = [(phase, epoch + 1) for phase in teachers for epoch in range(share)] + [("student", 1), ("student", 2)]
    assert [(line["phase"], line["epoch"]) for line in _metrics(every)] == wanted
    assert {"teacher_psnr_db", "student_psnr_db", "student_ssim"} <= set(run.record.metrics)
    # The published network begins with no image at all.
    assert run.record.metrics["student_psnr_db"] > (8 if case.decoder == "back-projection" else 15)


def test_the_terms_of_a_student_are_told_epoch_by_epoch(every: Path, case: TrainingSettings) -> None:
    terms = {"task"} | {name for name in ("decoder", "encoder", "output") if getattr(case, f"weight_{name}")}
    wanted = {f"{kind}_{name}" for kind in ("loss", "weight", "gradient") for name in terms}
    for line in _metrics(every):
        found = {name for name in line if name.startswith(("loss_", "weight_", "gradient_"))}
        assert found == (wanted if line["phase"] == "student" else set())


def test_the_student_that_is_loaded_is_the_design_that_was_written(every: Path) -> None:
    run = Run(every)
    student = load_student(run)
    assert optics_for(run.settings, run.profile).design(student.encoder).design_digest == run.design.design_digest


def test_teacher_is_bit_identical_before_and_after(every: Path) -> None:
    assert load_teacher(Run(every)).digest() == Run(every).record.teacher_digest


def test_a_teacher_that_moves_is_noticed(
    tmp_path: Path, settings: TrainingSettings, profile: DmdProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = job._run_phase

    def drifting(run, system, teacher, *rest):  # type: ignore[no-untyped-def]
        original(run, system, teacher, *rest)
        if teacher is not None:
            teacher.decoder.unet.last.bias.add_(1e-7)

    monkeypatch.setattr(job, "_run_phase", drifting)
    with pytest.raises(CidesignError, match="teacher changed"):
        start_run(tmp_path / "run", settings, profile, False, Listener())


# 96 images / 16 = 6 steps an epoch: inside and at the end of epochs, in both phases, and at the very first step.
@pytest.mark.parametrize("step", [1, 4, 6, 11, 12, 13, 18, 20, 23])
@pytest.mark.parametrize("exception", [Interrupted, Killed])
def test_resume_gives_the_same_bits(
    step: int, exception: type[BaseException], whole: Path, settings: TrainingSettings, profile: DmdProfile
) -> None:
    path = whole.parent / "broken"
    with pytest.raises(exception):
        start_run(path, settings, profile, False, StopAt(step, exception))
    assert not Run(path).complete
    assert resume_run(path, Listener()).complete
    assert _bits(path) == _bits(whole)
    assert _metrics(path) == _metrics(whole)


# In the first teacher's phase, at a phase's end, at its first step, and in the student's.
@pytest.mark.parametrize(("step", "exception"), [(4, Killed), (12, Interrupted), (13, Killed), (20, Interrupted)])
def test_every_kind_of_run_resumes_with_the_same_bits(
    step: int,
    exception: type[BaseException],
    every: Path,
    case: TrainingSettings,
    profile_of: ProfileOf,
    tmp_path: Path,
) -> None:
    path = tmp_path / "broken"
    with pytest.raises(exception):
        start_run(path, case, profile_of(case.modality), False, StopAt(step, exception))
    assert not Run(path).complete
    assert resume_run(path, Listener()).complete
    assert _bits(path) == _bits(every)
    assert _metrics(path) == _metrics(every)


@pytest.mark.parametrize("start", ["teacher", "fresh"])
def test_student_starts_where_it_is_told(
    start: str, make_settings: Callable[..., TrainingSettings], profile_of: ProfileOf, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    settings = make_settings("mri", start=start, ladder=("R1", "R2"))
    inherited, begun = [], {}
    original, original_phase = job.SystemMaker.warm_start, job._run_phase

    def warm_start(self, system, teacher):  # type: ignore[no-untyped-def]
        original(self, system, teacher)
        inherited.append((system, teacher))

    def phase(run, system, teacher, images, progress, *rest):  # type: ignore[no-untyped-def]
        begun[progress.phase] = {name: tensor.clone() for name, tensor in system.state_dict().items()}
        original_phase(run, system, teacher, images, progress, *rest)

    monkeypatch.setattr(job.SystemMaker, "warm_start", warm_start)
    monkeypatch.setattr(job, "_run_phase", phase)
    run = start_run(tmp_path / "run", settings, profile_of("mri"), False, Listener())
    assert len(inherited) == (2 if start == "teacher" else 1)  # a teacher always begins at the one before it
    teacher = load_teacher(run).state_dict()
    same = all(torch.equal(begun["student"][name], tensor) for name, tensor in teacher.items())
    assert same == (start == "teacher")


def test_resume_after_two_interruptions(whole: Path, settings: TrainingSettings, profile: DmdProfile) -> None:
    path = whole.parent / "broken"
    with pytest.raises(Interrupted):
        start_run(path, settings, profile, False, StopAt(9, Interrupted))
    with pytest.raises(Killed):
        resume_run(path, StopAt(7, Killed))
    resume_run(path, Listener())
    assert _bits(path) == _bits(whole)


def test_a_resumed_run_goes_on_with_its_threads(
    tmp_path: Path, settings: TrainingSettings, profile: DmdProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, begun = job.training_threads, []

    def noted(settings, current, ranks):  # type: ignore[no-untyped-def]
        begun.append(current)
        return original(settings, current, ranks)

    monkeypatch.setattr(job, "training_threads", noted)
    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        start_run(path, settings, profile, False, StopAt(9, Interrupted))
    found = job.load_checkpoint(Run(path))
    assert found is not None
    assert found[0].threads == 1
    resume_run(path, Listener())
    assert begun == [None, 1]
    assert [line["threads"] for line in _metrics(path)] == [1, 1, 1, 1]


def test_resume_after_a_real_kill(whole: Path, settings: TrainingSettings) -> None:
    path = whole.parent / "killed"
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from cidesign.distill.job import Listener, start_run\n"
        "from cidesign.hardware_profiles.loader import load_profile\n"
        "from cidesign.modalities.single_pixel.settings import SinglePixelSettings\n"
        "class Kill(Listener):\n"
        "    count = 0\n"
        "    def step(self, report):\n"
        "        self.count += 1\n"
        "        if self.count == 15: os.kill(os.getpid(), signal.SIGKILL)\n"
        "settings = SinglePixelSettings.model_validate_json(sys.argv[2])\n"
        "start_run(Path(sys.argv[1]), settings, load_profile('dlp4500'), False, Kill())\n"
    )
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), settings.model_dump_json()], env=threads, check=False
    )
    assert done.returncode == -signal.SIGKILL
    resume_run(path, Listener())
    assert _bits(path) == _bits(whole)


def test_existing_run_is_kept_without_force(whole: Path, settings: TrainingSettings, profile: DmdProfile) -> None:
    before = _bits(whole)
    with pytest.raises(FileError, match="--force"):
        start_run(whole, settings, profile, False, Listener())
    assert _bits(whole) == before


def test_force_replaces_a_run_but_never_another_folder(
    whole: Path, settings: TrainingSettings, profile: DmdProfile, tmp_path: Path
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
    whole: Path, settings: TrainingSettings, profile: DmdProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, record: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = _bits(whole)
    monkeypatch.setattr(run_folder, "write_record", full)
    with pytest.raises(FileError, match="disk is full"):
        start_run(whole, settings.model_copy(update={"seed": 4}), profile, True, Listener())
    assert _bits(whole) == before
    assert list(whole.parent.iterdir()) == [whole]


def _stamps(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_resuming_a_finished_run_changes_nothing(whole: Path) -> None:
    before = _stamps(whole)
    assert resume_run(whole, Listener()).complete
    assert _stamps(whole) == before


def test_what_a_kill_after_the_record_left_is_tidied(whole: Path) -> None:
    """Killed between the final record and the end: checkpoint, half a file and lock are still there."""
    before = _stamps(whole)
    (whole / "checkpoint").mkdir()
    for name in ("checkpoint/state.safetensors", ".teacher.safetensors.0123456789ab.partial", ".lock"):
        (whole / name).write_text("")
    assert resume_run(whole, Listener()).complete
    assert _stamps(whole) == before


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_run_can_be_read_by_whom_the_umask_says(
    umask: int, tmp_path: Path, settings: TrainingSettings, profile: DmdProfile
) -> None:
    short = settings.model_copy(update={"teacher_epochs": 1, "student_epochs": 1})
    modes: dict[str, int] = {}

    class Looks(Listener):
        def step(self, report: StepReport) -> None:
            modes.update({path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run").rglob("*")})

    before = os.umask(umask)
    try:
        start_run(tmp_path / "run", short, profile, False, Looks())
    finally:
        os.umask(before)
    modes.update({path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run").iterdir()})
    assert {"checkpoint", "state.safetensors", ".lock", "metrics.jsonl", "run.json", *RESULTS} == set(modes)
    assert modes == {name: (0o777 if name == "checkpoint" else 0o666) & ~umask for name in modes}


def test_disk_full_keeps_the_last_checkpoint(
    whole: Path, settings: TrainingSettings, profile: DmdProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = whole.parent / "full"
    from cidesign.distill import checkpoint

    original, calls = checkpoint.write_tensors, []

    def full(*args, **kwargs):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*args, **kwargs)

    monkeypatch.setattr(checkpoint, "write_tensors", full)
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

"""`distill --only-teacher`, `--teacher RUN` and `--teacher auto`, and what other verbs say of a teacher alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cidesign as ci
from cidesign.errors import InputError
from cidesign.modality import Preset, modalities
from cidesign.runs import Run

Command = Callable[..., Any]
PROFILES = {"dmd": "dlp4500", "aperture": "chrome-laser-10um", "mri": "mri-generic-3t"}
TINY = Preset(12, 32, 8, 8, 4, 2, 1)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for kind in modalities():
        monkeypatch.setitem(kind.presets, "quick", TINY)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher alone, made in Python; copied to where a test stands."""
    path = tmp_path_factory.mktemp("stored") / "teacher"
    with pytest.MonkeyPatch.context() as patch:
        for kind in modalities():
            patch.setitem(kind.presets, "quick", TINY)
        ci.distill("dlp4500", only_teacher=True, out=path, threads=1)
    return path


@pytest.fixture
def teacher(stored: Path) -> Path:
    """The teacher below runs/."""
    return shutil.copytree(stored, Path("runs") / "teacher")


@pytest.mark.parametrize("kind", PROFILES)
def test_a_teacher_is_stored_and_taken_by_the_next_run(kind: str, cidesign: Command) -> None:
    name = PROFILES[kind]
    done = cidesign("distill", "--profile", name, "--only-teacher", "--threads", "1")
    assert done.code == 0
    path = Path(f"runs/{name}-quick-teacher")
    assert Run(path).settings.only_teacher
    assert "a teacher (" in done.err
    assert "student" not in done.out
    assert done.out.startswith(f"{path}: a teacher for ")
    assert done.err.splitlines()[-1] == f"next: cidesign distill --profile {name} --teacher {path}"
    # `auto` is the default.
    done = cidesign("distill", "--profile", name, "--threads", "1", "--json")
    assert done.code == 0
    value = json.loads(done.out)
    digest = Run(path).record.teacher_digest
    assert value["teacher_digest"] == digest
    assert f"teacher: {path} ({Run(path).settings.ladder[-1]}, 2 epochs, digest {str(digest)[:12]}), stored" in done.err
    assert "training: 4 steps in 1 epoch;" in done.err
    run = Run(Path(value["run"]))
    assert (run.settings.teacher, run.settings.teacher_epochs) == (str(path), 0)
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "run.json", "metrics.jsonl", "teacher.safetensors", "teacher.json", "student.safetensors", "design.npz",
    }  # fmt: skip
    # What comes after has a design, and goes on with the run that has one.
    assert cidesign("check", run.path).code == 0


def test_a_student_for_another_budget_and_size(teacher: Path, cidesign: Command) -> None:
    for words in (["--patterns", "5", "--bit-depth", "2"], ["--side", "16", "--photoelectrons", "1e4"]):
        done = cidesign("distill", "--profile", "dlp6500", "--teacher", teacher, *words, "--out", "run", "--force")
        assert done.code == 0
        assert "teacher: runs/teacher (real, 2 epochs, digest " in done.err
        rows = [line.split()[0] for line in done.out.splitlines()[2:] if line]
        # A teacher of other images is not measured on these.
        assert ("teacher" in rows) == ("--patterns" in words)
        assert cidesign("export", "run", "--force").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["export", "runs/teacher"],
        ["check", "runs/teacher"],
        ["simulate", "runs/teacher"],
        ["evaluate", "runs/teacher"],
        ["report", "runs/teacher"],
        ["calibrate", "--plan", "--run", "runs/teacher"],
        ["calibrate", "capture", "--run", "runs/teacher"],
        ["reconstruct", "runs/teacher", "capture"],
        ["distill", "--design", "runs/teacher"],
        ["upload", "runs/teacher", "--port", "x"],
    ],
)
def test_verbs_that_need_a_design_say_what_it_is(words: list[str], teacher: Path, cidesign: Command) -> None:
    before = sorted(teacher.iterdir())
    done = cidesign(*words)
    assert done.code == 2
    assert done.out == ""
    assert done.err == (
        "error: runs/teacher: holds a teacher alone, with neither design nor student; train one from it with `cidesign "
        "distill --profile dlp4500 --teacher runs/teacher`\n"
    )
    assert sorted(teacher.iterdir()) == before


@pytest.mark.parametrize("verb", ["export", "evaluate", "report", "simulate"])
def test_the_newest_run_is_none_of_the_teachers(verb: str, teacher: Path, cidesign: Command) -> None:
    done = cidesign(verb)
    assert done.code == 2
    assert done.err == (
        "error: below runs/ are teachers alone (runs/teacher), and no run with a design; make one from it with "
        "`cidesign distill --profile dlp4500 --teacher runs/teacher`\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--teacher", "nowhere"], 5, "nowhere: no such run folder"),
        (["--teacher", "runs/teacher", "--only-teacher"], 2, "teacher runs/teacher: only a teacher is trained"),
        (["--teacher", "runs/teacher", "--ladder", "4-bit"], 2, "ladder 4-bit: is for teachers that the run trains"),
        (["--teacher", "runs/teacher", "--teacher-epochs", "3"], 2, "teacher_epochs 3: is for teachers that the run"),
        (["--teacher", "runs/teacher", "--set", "channels=8"], 2, "its decoder has channels 4, and this run's 8"),
        (["--teacher", "runs/teacher", "--decoder", "unrolled"], 2, "its decoder is unet, and this run's is unrolled"),
        (
            ["--teacher", "runs/teacher", "--side", "16", "--weight-decoder", "0.1"], 2,
            "its images are 12 x 12, and this run's 16 x 16: it cannot guide the student",
        ),
        (["--only-teacher", "--student-epochs", "3"], 2, "student_epochs 3: only a teacher is trained, no student"),
        (["--only-teacher", "--weight-encoder", "0.3"], 2, "weight_encoder 0.3: only a teacher is trained"),
        (["--set", "teacher=runs/teacher"], 2, "--set teacher: has an option of its own; write --teacher RUN"),
        (["--set", "only_teacher=true"], 2, "--set only_teacher: has an option of its own; write --only-teacher"),
        (["--resume", "--teacher", "runs/teacher"], 2, "--teacher cannot be given with --resume"),
        (["--resume", "--only-teacher"], 2, "--only-teacher cannot be given with --resume"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("teacher")
def test_what_cannot_be_is_one_line_before_any_image(words: list[str], code: int, said: str, cidesign: Command) -> None:
    asked = words if "--resume" in words else ["--profile", "dlp4500", *words]
    done = cidesign("distill", *asked)
    assert done.code == code
    assert said in done.err
    assert done.out == ""
    assert "training images" not in done.err
    assert len([line for line in done.err.splitlines() if line.lower().startswith("error: ")]) == 1
    assert [path.name for path in Path("runs").iterdir()] == ["teacher"]


def test_a_teacher_of_another_modality_is_refused(teacher: Path, cidesign: Command) -> None:
    done = cidesign("distill", "--profile", "mri-generic-3t", "--teacher", teacher)
    assert done.code == 2
    assert done.err == ("error: teacher runs/teacher: is one of single-pixel, and mri-generic-3t makes mri runs\n")


def test_none_trains_its_own_beside_a_stored_one(teacher: Path, cidesign: Command) -> None:
    done = cidesign("distill", "--profile", "dlp4500", "--teacher", "none", "--out", "run")
    assert done.code == 0
    assert "stored" not in done.err
    assert Run(Path("run")).settings.teacher_epochs == 2
    # Where it does not fit, it is said why, and one is trained.
    done = cidesign("distill", "--profile", "dlp4500", "--side", "16", "--out", "other")
    assert done.code == 0
    assert (
        "no stored teacher fits, so one is trained: runs/teacher (its images are 12 x 12, and this run's 16 x 16)"
    ) in done.err


def test_the_same_in_python(teacher: Path) -> None:
    said: list[str] = []
    from cidesign.distill.job import Listener

    class Hears(Listener):
        def remark(self, text: str) -> None:
            said.append(text)

    run = ci.distill("dlp4500", listener=Hears(), patterns=6)
    digest = str(run.record.teacher_digest)[:12]
    told = "stored; none is trained (--teacher none trains one)"
    assert said == [
        "strategy distill: a stored teacher fits, and saves its epochs",
        f"teacher: runs/teacher (real, 2 epochs, digest {digest}), {told}",
    ]
    again = ci.distill("dlp4500", teacher=ci.open_run(teacher), patterns=6, out="again")
    assert again.record.teacher_digest == run.record.teacher_digest == Run(teacher).record.teacher_digest
    assert again.design.design_digest == run.design.design_digest
    assert ci.distill("dlp4500", teacher="none", out="own").settings.teacher is None
    with pytest.raises(InputError, match="holds a teacher alone"):
        ci.evaluate(teacher)
    with pytest.raises(InputError, match="holds a teacher alone"):
        ci.export(teacher)
    with pytest.raises(InputError, match="holds a teacher alone"):
        _ = ci.open_run(teacher).student
    page = ci.report(run).page.read_text()
    assert "stored teacher (real) of runs/teacher, 2 epochs" in page
    table = ci.evaluate(run)
    assert table.epochs == 3
    assert [row.name for row in table.rows[:3]] == ["student", "stored teacher (real)", "E2E"]
    assert "with the same number of epochs in total, 3" in table.text()


def test_the_best_of_a_few_teachers_is_taken(cidesign: Command) -> None:
    words = ("distill", "--profile", "dlp4500", "--ladder", "auto", "--out", "run", "--threads", "1")
    done = cidesign(*words, "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert value["teacher_choice"]["folder"] == Run(Path("run")).settings.teacher
    assert value["strategy"]["by"] == "teacher"
    names = [line for line in done.err.splitlines() if line.startswith("teacher ") and " of 3: " in line]
    more = 2 * round(0.1 * TINY.side**2)
    assert names == ["teacher 1 of 3: real", "teacher 2 of 3: 4-bit", f"teacher 3 of 3: real@{more}"]
    assert "the student before its training, on training images, with what it inherits of each teacher:" in done.err
    again = cidesign(*words)
    assert again.code == 5
    assert "run: exists already" in again.err
    assert "teacher 1 of 3" not in again.err
    # They are stored: the next student takes one of them.
    done = cidesign("distill", "--profile", "dlp4500", "--strategy", "distill", "--threads", "1", "--out", "other")
    assert "stored teachers that fit" not in done.err  # run-teachers is not below runs/


def test_end_to_end_by_name(cidesign: Command) -> None:
    done = cidesign("distill", "--profile", "mri-generic-3t", "--strategy", "e2e", "--threads", "1", "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert (value["teacher_digest"], value["strategy"]["by"]) == (None, "asked")
    run = Run(Path(value["run"]))
    assert (run.settings.strategy, run.settings.student_epochs) == ("e2e", 3)
    alike = ci.distill("mri-generic-3t", strategy="e2e", threads=1, out="alike")
    assert alike.design.design_digest == run.design.design_digest
    done = cidesign("distill", "--profile", "mri-generic-3t", "--set", "strategy=e2e")
    assert done.code == 2
    assert "--set strategy: has an option of its own; write --strategy NAME" in done.err

"""Which stored teacher a run takes: by name, by itself, and why another one does not fit."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cidesign.distill.job import Interrupted, Listener, start_run
from cidesign.distill.presets import settings_for
from cidesign.distill.teachers import chosen_settings, open_teacher
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.models.system import load_teacher
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run, newest_run
from cidesign.testing.training import StopAt

UNGUIDED: dict[str, Any] = {"weight_decoder": 0.0, "weight_encoder": 0.0}
ALONE: dict[str, Any] = {**UNGUIDED, "only_teacher": True, "student_epochs": 0}
SMALL: dict[str, Any] = {
    "images": 32, "validation_images": 8, "batch": 16, "channels": 4, "side": 8, "student_epochs": 1, "device": "cpu",
    "precision": "float32", "threads": 1,
}  # fmt: skip
ProfileOf = Callable[[str], Any]
Make = Callable[..., TrainingSettings]


def _choose(store: Path | str, profile: Any, **values: Any) -> Any:
    return chosen_settings(profile, "quick", None, store, False, {**SMALL, **values})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"decoder": "unrolled", "channels": 4, "stages": 2}, "its decoder is unet, and this run's is unrolled"),
        ({"channels": 8}, "its decoder has channels 4, and this run's 8; use channels 4"),
        ({"ladder": "real"}, "ladder real: is for teachers that the run trains, and "),
        ({"teacher_epochs": 2}, "teacher_epochs 2: is for teachers that the run trains, and "),
        (
            {"start": "fresh", "weight_decoder": 0.0, "weight_encoder": 0.0},
            "start fresh: nothing would be taken of the stored teacher",
        ),
        ({"side": 12, "weight_encoder": 0.1}, "its images are 8 x 8, and this run's 12 x 12: it cannot guide"),
    ],
)
def test_what_does_not_fit_is_one_line(values: dict[str, Any], said: str, store: Path, profile_of: ProfileOf) -> None:
    with pytest.raises(InputError) as caught:
        _choose(store, profile_of("single-pixel"), **values)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_teachers_of_other_modalities_and_bands_are_refused(
    stores: dict[str, Path], profile_of: ProfileOf, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is one of mri, and dlp4500 makes single-pixel runs"):
        _choose(stores["mri"], profile_of("single-pixel"))
    from cidesign.hardware_profiles.loader import load_profile

    wide = load_profile("chrome-laser-10um-16band")
    with pytest.raises(InputError, match="its images have 8 bands, and those of chrome-laser-10um-16band 16"):
        chosen_settings(wide, "quick", None, stores["cassi"], False, {**SMALL, "side": 32})


def test_damaged_changed_and_unfinished_teachers_are_refused(
    store: Path, tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    with pytest.raises(FileError, match="no such run folder"):
        open_teacher(tmp_path / "nothing")
    other = start_run(tmp_path / "other", make_settings(**ALONE, seed=9), profile_of("single-pixel"), False, Listener())
    changed = shutil.copytree(store, tmp_path / "changed")
    shutil.copy(other.path / "teacher.safetensors", changed)
    with pytest.raises(FileError, match=r"not the teacher that run.json names"):
        open_teacher(changed)
    (changed / "teacher.safetensors").write_bytes(b"half")
    with pytest.raises(FileError, match="these weights are damaged"):
        open_teacher(changed)
    (changed / "teacher.safetensors").unlink()
    with pytest.raises(FileError, match=r"teacher.safetensors is missing"):
        open_teacher(changed)
    with pytest.raises(Interrupted):
        start_run(tmp_path / "half", make_settings(**ALONE), profile_of("single-pixel"), False, StopAt(3, Interrupted))
    with pytest.raises(FileError, match="this run is not finished; finish it with"):
        open_teacher(tmp_path / "half")


class _Runs:
    """Teachers below runs/ of an empty folder, the last one the newest."""

    def __init__(self, source: Path) -> None:
        self.source, self.count = source, 0

    def add(self, name: str, **settings: Any) -> Path:
        """A copy of the source whose record says other settings: what is looked at before weights are."""
        path = shutil.copytree(self.source, Path("runs") / name)
        record = json.loads((path / "run.json").read_text())
        record["settings"].update(settings)
        (path / "run.json").write_text(json.dumps(record))
        self.count += 1
        os.utime(path / "run.json", ns=(self.count * 10**9, self.count * 10**9))
        return path


@pytest.fixture
def runs(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Runs:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return _Runs(store)


def _auto(profile_of: ProfileOf, **values: Any) -> Any:
    return _choose("auto", profile_of("single-pixel"), **{"patterns": 7, "photoelectrons": 1e6, **values})


OF_A_STUDENT = "strategy distill: student_epochs 1 is about a teacher or its student"


def test_auto_takes_a_stored_teacher_and_says_so(runs: _Runs, profile_of: ProfileOf) -> None:
    alone = _auto(profile_of)
    assert (alone.design, alone.teacher, alone.said) == (None, None, (OF_A_STUDENT,))
    path = runs.add("mine")
    chosen = _auto(profile_of)
    assert chosen.settings.teacher == str(path)
    assert chosen.settings.teacher_epochs == 0
    digest = str(Run(path).record.teacher_digest)[:12]
    assert chosen.said == (
        OF_A_STUDENT,
        f"teacher: runs/mine (real, 2 epochs, digest {digest}), stored; none is trained (--teacher none trains one)",
    )


def test_of_several_the_nearest_limits_win_and_then_the_newest(runs: _Runs, profile_of: ProfileOf) -> None:
    runs.add("near-old", patterns=6)
    runs.add("near-new", patterns=6)
    runs.add("dim", photoelectrons_per_frame=1e3)
    chosen = _auto(profile_of, patterns=6)
    # Weights of 7 patterns beside a record of 6 are damaged: these are said, and the next one is taken.
    assert chosen.settings.teacher == "runs/dim"
    shutil.rmtree("runs")
    for name, light in (("far", 1e3), ("near-old", 1e6), ("near-new", 1e6), ("newest", 1e8)):
        runs.add(name, photoelectrons_per_frame=light)
    chosen = _auto(profile_of)
    # The weights are the same, so that the student starts alike from all: the first that is asked stays.
    assert chosen.settings.teacher == "runs/near-new"
    assert [one.folder for one in chosen.choices.teacher.candidates] == [
        "runs/near-new", "runs/near-old", "runs/newest", "runs/far",
    ]  # fmt: skip
    assert len({one.score for one in chosen.choices.teacher.candidates}) == 1
    assert chosen.said[2].startswith("of 4 stored teachers that fit, the student starts best from it (PSNR dB on ")
    assert _auto(profile_of, photoelectrons=2e3).settings.teacher == "runs/far"


def test_of_several_the_one_that_the_student_starts_best_from_is_taken(
    runs: _Runs, make_settings: Make, profile_of: ProfileOf
) -> None:
    """A far one that has learnt something, against a near one whose rates were far too large."""
    runs.add("mine", photoelectrons_per_frame=1e3)
    profile = profile_of("single-pixel")
    harmed = make_settings(**ALONE, teacher_epochs=1, learning_rate=0.3, images=64)
    start_run(Path("runs/harmed"), harmed, profile, False, Listener())
    chosen = _auto(profile_of)
    scores = {one.folder: one.score for one in chosen.choices.teacher.candidates}
    assert list(scores) == ["runs/harmed", "runs/mine"]
    assert scores["runs/mine"] > scores["runs/harmed"] + 1
    assert chosen.settings.teacher == chosen.choices.teacher.folder == "runs/mine"
    assert chosen.choices.teacher.metric == "PSNR dB"
    run = start_run(Path("run"), chosen.settings, profile, False, Listener(), None, chosen.teacher, chosen.choices)
    assert Run(run.path).record.teacher_choice == chosen.choices.teacher
    assert Run(run.path).record.teacher_digest == chosen.choices.teacher.candidates[1].weights_digest


def test_five_teachers_at_most_are_asked(runs: _Runs, profile_of: ProfileOf) -> None:
    for number in range(7):
        runs.add(f"t{number}", photoelectrons_per_frame=10.0**number)
    chosen = _auto(profile_of)
    assert {one.folder for one in chosen.choices.teacher.candidates} == {f"runs/t{number}" for number in range(2, 7)}
    assert chosen.said[2].startswith("of 7 stored teachers that fit, ")


def test_teachers_of_another_choice_are_found(runs: _Runs, profile_of: ProfileOf) -> None:
    path = runs.add("mine")
    (Path("runs") / "other-teachers").mkdir()
    path.rename("runs/other-teachers/real")
    assert _auto(profile_of).settings.teacher == "runs/other-teachers/real"


@pytest.mark.parametrize(
    ("recorded", "values", "said"),
    [
        ({"data": "photos"}, {}, "was trained on photos, and this run on procedural"),
        ({}, {"side": 12}, "its images are 8 x 8, and this run's 12 x 12"),
        ({}, {"channels": 8}, "its decoder has channels 4, and this run's 8; use channels 4"),
        ({}, {"decoder": "unrolled", "stages": 2}, "its decoder is unet, and this run's is unrolled; use decoder unet"),
    ],
)
def test_auto_trains_its_own_where_none_fits_and_says_why(
    recorded: dict[str, Any], values: dict[str, Any], said: str, runs: _Runs, profile_of: ProfileOf
) -> None:
    runs.add("mine", **recorded)
    chosen = _auto(profile_of, **values)
    assert chosen.teacher is None
    assert chosen.settings.teacher_epochs == 4
    assert chosen.said == (OF_A_STUDENT, f"no stored teacher fits, so one is trained: runs/mine ({said})")


@pytest.mark.parametrize("own", [{"ladder": "4-bit"}, {"teacher_epochs": 2}, {"start": "fresh", "weight_output": 0.0}])
def test_what_is_asked_of_an_own_teacher_trains_one(own: dict[str, Any], runs: _Runs, profile_of: ProfileOf) -> None:
    runs.add("mine")
    assert _auto(profile_of, **own).teacher is None
    assert _choose("none", profile_of("single-pixel"), patterns=7).teacher is None


def test_a_recipe_trains_the_teacher_that_it_says(runs: _Runs, profile_of: ProfileOf) -> None:
    runs.add("one")
    assert _auto(profile_of).settings.teacher is not None
    found = _auto(profile_of, recipe="published")
    assert (found.design, found.teacher, found.choices.strategy.by) == (None, None, "recipe")
    assert found.settings.teacher_epochs > 0


def test_a_named_teacher_guides_the_student_of_a_recipe(profile_of: ProfileOf) -> None:
    own = settings_for(profile_of("single-pixel"), recipe="published", **SMALL)
    stored = settings_for(profile_of("single-pixel"), recipe="published", teacher="runs/one", **SMALL)
    alone = settings_for(
        profile_of("single-pixel"), recipe="published", only_teacher=True, **{**SMALL, "student_epochs": None}
    )
    weights = [(one.weight_task, one.weight_decoder, one.weight_encoder) for one in (own, stored, alone)]
    assert weights == [(0.1, 0.1, 0.8), (0.1, 0.1, 0.8), (0.1, 0.0, 0.0)]


def test_teachers_of_other_classes_are_refused(store: Path, make_settings: Make) -> None:
    teacher = open_teacher(store)
    told = replace(
        teacher,
        record=teacher.record.model_copy(update={"settings": teacher.record.settings.changed(classes=("cat", "dog"))}),
    )
    told.require_classes(told.record.settings)
    with pytest.raises(InputError, match="tells cat, dog apart, and procedural has dog, cat"):
        told.require_classes(told.record.settings.changed(classes=("dog", "cat")))


def test_auto_looks_at_stored_teachers_only(
    runs: _Runs, whole_students: dict[str, Path], profile_of: ProfileOf
) -> None:
    shutil.copytree(whole_students["single-pixel"], "runs/whole")
    assert _auto(profile_of).teacher is None
    assert _auto(profile_of).said == (OF_A_STUDENT,)
    damaged = runs.add("damaged")
    (damaged / "teacher.safetensors").write_bytes(b"")
    chosen = _auto(profile_of)
    assert chosen.teacher is None
    assert "runs/damaged (runs/damaged/teacher.safetensors: these weights are damaged" in chosen.said[1]
    unfinished = runs.add("unfinished")
    record = json.loads((unfinished / "run.json").read_text())
    (unfinished / "run.json").write_text(json.dumps({**record, "status": "training"}))
    assert "runs/unfinished (runs/unfinished: this run is not finished" in _auto(profile_of).said[1]


def test_the_newest_run_is_one_with_a_design(runs: _Runs, whole_students: dict[str, Path]) -> None:
    runs.add("teacher")
    with pytest.raises(InputError, match=r"below runs/ are teachers alone \(runs/teacher\), and no run with a design"):
        newest_run()
    shutil.copytree(whole_students["single-pixel"], "runs/whole")
    os.utime("runs/whole/run.json", ns=(0, 0))
    assert newest_run() == Path("runs/whole")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"only_teacher": True}, "student_epochs 2: only a teacher is trained"),
        ({"only_teacher": True, "student_epochs": 0}, "weight_decoder 0.3: only a teacher is trained"),
        ({**ALONE, "teacher_epochs": 0}, "teacher_epochs 0: optics that are learnt take 1 or more"),
        ({**ALONE, "design": "mine"}, "design mine: only a teacher is trained"),
        ({**ALONE, "teacher": "x", "teacher_epochs": 0}, "teacher x: only a teacher is trained"),
        ({"teacher": "x"}, "teacher_epochs 2: the teacher x is stored; leave it out"),
        ({"teacher": "x", "teacher_epochs": 0, "student_epochs": 0}, "student_epochs 0: optics that are learnt"),
        ({"teacher": "x", "teacher_epochs": 0, "start": "fresh", **UNGUIDED}, "start fresh: nothing would be taken"),
    ],
)
def test_settings_that_contradict_each_other(changes: dict[str, Any], said: str, make_settings: Make) -> None:
    with pytest.raises(InputError) as caught:
        make_settings().changed(**changes)
    assert said in str(caught.value)


def test_a_teacher_is_not_replaced_by_mistake(store: Path, tmp_path: Path, profile_of: ProfileOf) -> None:
    """Its own folder as the place of the student: refused without --force; with it, the copy is what is left."""
    path = shutil.copytree(store, tmp_path / "store")
    settings = settings_for(profile_of("single-pixel"), "quick", None, str(path), **SMALL, patterns=7)
    with pytest.raises(FileError, match="--force"):
        start_run(path, settings, profile_of("single-pixel"), False, Listener(), teacher=open_teacher(path))
    run = start_run(path, settings, profile_of("single-pixel"), True, Listener(), teacher=open_teacher(path))
    assert run.record.teacher_digest == Run(store).record.teacher_digest
    assert load_teacher(run) is not None


def test_settings_and_teacher_go_together(store: Path, tmp_path: Path, make_settings: Make, profile_of: Any) -> None:
    with pytest.raises(CidesignError, match="the settings and the teacher itself go together"):
        start_run(
            tmp_path / "run", make_settings(), profile_of("single-pixel"), False, Listener(),
            teacher=open_teacher(store),
        )  # fmt: skip
    assert not (tmp_path / "run").exists()

"""`ladder auto`: candidates of each modality are trained and stored, asked, and the best one is taken."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cidesign as ci
from cidesign.distill.choices.guiding import NO_TERMS
from cidesign.distill.choices.ladder import with_best_teacher
from cidesign.distill.choices.starting import Starting
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.presets import settings_for
from cidesign.distill.teachers import Chosen, chosen_settings, open_teacher
from cidesign.errors import FileError, InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modality import modality as modality_named
from cidesign.runs import Run
from cidesign.testing.training import Killed, StopAt

PROFILES = {"single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}
SMALL: dict[str, Any] = {
    "images": 32, "validation_images": 8, "batch": 16, "channels": 4, "side": 16, "device": "cpu", "threads": 1,
    "precision": "float32", "teacher_epochs": 1, "student_epochs": 1,
}  # fmt: skip
WORDS = {"single-pixel": ("real", "4-bit", "real@52"), "mri": ("R3", "R2", "soft")}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _asked(modality: str, **values: Any) -> Chosen:
    profile = load_profile(PROFILES[modality])
    return chosen_settings(profile, "quick", None, "auto", False, {**SMALL, "ladder": "auto", **values})


class _Told:
    """What was told, and a listener that counts the steps over all runs and may stop at one."""

    def __init__(self, stop: int = 0, exception: type[BaseException] = Interrupted) -> None:
        self.lines: list[str] = []
        self.trained: list[str] = []
        self.listener = StopAt(stop, exception)

    def tell(self, text: str) -> None:
        self.lines.append(text)

    @contextlib.contextmanager
    def listen(self, path: Path) -> Iterator[Listener]:
        self.trained.append(path.name)
        yield self.listener


def _best(chosen: Chosen, modality: str, told: _Told, force: bool = False) -> Chosen:
    profile = load_profile(PROFILES[modality])
    return with_best_teacher(chosen, Path("run"), profile, force, told.tell, told.listen)


@pytest.mark.parametrize(
    ("modality", "values", "words"),
    [
        ("single-pixel", {}, ("real", "4-bit", "real@52")),
        ("single-pixel", {"bit_depth": 4}, ("real", "real@52")),
        ("single-pixel", {"patterns": 129}, ("real", "4-bit")),
        ("cassi", {}, ("real",)),
        ("mri", {"side": 64}, ("R3", "R2", "soft")),
        ("mri", {"side": 64, "acceleration": 8.0}, ("R6", "R4", "soft")),
        ("mri", {"side": 64, "lines": 40}, ("R1.2", "soft")),
        ("mri", {"side": 64, "lines": 64}, ("soft",)),
    ],
)
def test_the_teachers_of_a_modality_can_be_trained(modality: str, values: dict[str, Any], words: Any) -> None:
    profile = load_profile(PROFILES[modality])
    settings = settings_for(profile, **{**SMALL, **values})
    assert tuple(modality_named(modality).teachers(settings)) == words
    for word in words:
        settings_for(profile, **{**SMALL, **values, "ladder": word})


@pytest.mark.parametrize("modality", WORDS)
def test_the_best_start_is_taken(modality: str) -> None:
    chosen, told = _asked(modality), _Told()
    assert chosen.candidates == WORDS[modality]
    best = _best(chosen, modality, told)
    assert told.trained == list(WORDS[modality])
    stored = {word: Path("run-teachers") / word for word in WORDS[modality]}
    assert all(
        Run(path).settings.only_teacher and Run(path).settings.ladder == (word,) for word, path in stored.items()
    )
    choice = best.choices.teacher
    assert choice is not None
    # The same numbers again: they depend on nothing but the settings and the teachers.
    starting = Starting(chosen.settings, load_profile(PROFILES[modality]))
    for one in choice.candidates:
        assert one.score == pytest.approx(starting.score(open_teacher(Path(one.folder)).system), abs=1e-4)
        assert one.weights_digest == Run(Path(one.folder)).record.teacher_digest
    top = max(choice.candidates, key=lambda one: one.score)
    assert best.settings.teacher == choice.folder == top.folder
    assert best.settings.teacher_epochs == 0
    # The cost before anything is trained, and all numbers after it.
    assert "3 teachers (" in told.lines[0]
    assert "are trained for 1 epoch each and stored in run-teachers" in told.lines[0]
    assert "3 epochs of teachers instead of 1" in told.lines[0]
    (numbers,) = (line for line in told.lines if "PSNR dB" in line)
    assert all(f"{one.score:.4g}" in numbers and str(one.relaxation) in numbers for one in choice.candidates)
    run = start_run(
        Path("run"), best.settings, load_profile(PROFILES[modality]), False, Listener(), None, best.teacher,
        best.choices,
    )  # fmt: skip
    kept = json.loads((run.path / "run.json").read_text())["teacher_choice"]
    assert kept == choice.model_dump(mode="json")
    assert run.record.teacher_digest == top.weights_digest


def test_validation_images_decide_nothing() -> None:
    """Other validation images, the same scores: what is reported is not what was chosen on."""
    profile = load_profile("dlp4500")
    settings = settings_for(profile, **SMALL)
    alone = settings.changed(only_teacher=True, student_epochs=0, weighting="fixed", **NO_TERMS)
    teacher = open_teacher(start_run(Path("t"), alone, profile, False, Listener()).path).system
    score = Starting(settings, profile).score(teacher)
    assert Starting(settings.changed(validation_images=11), profile).score(teacher) == score
    assert Starting(settings.changed(seed=5), profile).score(teacher) != score


def test_one_relaxation_is_taken_without_asking() -> None:
    chosen, told = _asked("cassi"), _Told()
    assert (chosen.candidates, chosen.settings.ladder, chosen.settings.teacher) == ((), ("real",), None)
    assert chosen.said[-1] == "ladder auto: there is one teacher to choose, real; it is trained"
    assert _best(chosen, "cassi", told) is chosen
    assert not told.lines


# 2 steps an epoch: in the first teacher, at its end, in the second, and in the third.
@pytest.mark.parametrize(("step", "exception"), [(1, Killed), (2, Interrupted), (3, Killed), (6, Interrupted)])
def test_what_is_stopped_goes_on(step: int, exception: type[BaseException]) -> None:
    whole = _best(_asked("single-pixel"), "single-pixel", _Told())
    Path("run-teachers").rename("whole-teachers")
    with pytest.raises(exception):
        _best(_asked("single-pixel"), "single-pixel", _Told(step, exception))
    before = {path: (path / "run.json").stat().st_mtime_ns for path in Path("run-teachers").iterdir()}
    done = [path.name for path in before if Run(path).complete]
    told = _Told()
    again = _best(_asked("single-pixel"), "single-pixel", told)
    assert told.trained == [word for word in WORDS["single-pixel"] if word not in done]
    after = {path: (path / "run.json").stat().st_mtime_ns for path in before}
    assert all(after[path] == before[path] for path in before if path.name in done)
    assert again.choices.teacher == whole.choices.teacher
    if step in (3, 6):
        assert any("trained already" in line for line in told.lines)
    assert any("goes on where it was stopped" in line for line in told.lines)


def test_a_student_that_began_is_resumed_without_its_teachers() -> None:
    best = _best(_asked("single-pixel"), "single-pixel", _Told())
    profile = load_profile("dlp4500")
    with pytest.raises(Interrupted):
        start_run(Path("run"), best.settings, profile, False, StopAt(1, Interrupted), None, best.teacher, best.choices)
    Path("run-teachers").rename("elsewhere")
    # Nothing is trained for a place that is taken.
    told = _Told()
    with pytest.raises(FileError, match="an unfinished run is here; finish it with"):
        _best(_asked("single-pixel"), "single-pixel", told)
    assert not told.trained
    run = resume_run(Path("run"), Listener())
    assert run.complete
    assert run.record.teacher_choice == best.choices.teacher


def test_teachers_of_other_settings_are_not_taken() -> None:
    _best(_asked("single-pixel"), "single-pixel", _Told())
    other = _asked("single-pixel", seed=9)
    with pytest.raises(FileError) as caught:
        _best(other, "single-pixel", _Told())
    assert "run-teachers/real: holds a teacher of other settings (seed 1, not 9); repeat with --force" in str(
        caught.value
    )
    forced = _best(other, "single-pixel", _Told(), force=True)
    assert forced.teacher is not None
    assert forced.teacher.record.settings.seed == 9


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"start": "fresh"}, "and it starts fresh"),
        ({"recipe": "published"}, "and it starts fresh"),
        ({"teacher_epochs": 0}, "teacher_epochs 0: "),
    ],
)
def test_where_there_is_nothing_to_choose_by(values: dict[str, Any], said: str) -> None:
    for modality in PROFILES:
        with pytest.raises(InputError) as caught:
            _asked(modality, **values)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [{"teacher": "x"}, {"only_teacher": True}])
def test_with_a_teacher_that_is_named_or_alone(words: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="ladder auto: chooses a teacher by what a student inherits of it, and "):
        ci.distill("dlp4500", ladder="auto", **words, **SMALL)


def test_the_same_in_python(tmp_path: Path) -> None:
    said: list[str] = []

    class Hears(Listener):
        def remark(self, text: str) -> None:
            said.append(text)

    run = ci.distill("mri-generic-3t", ladder="auto", out="run", listener=Hears(), **SMALL)
    assert run.record.teacher_choice is not None
    assert run.settings.teacher == run.record.teacher_choice.folder
    assert {path.name for path in Path("run-teachers").iterdir()} == set(WORDS["mri"])
    assert said[0].startswith("strategy distill: ladder auto is about a teacher")
    assert any("the student before its training" in line for line in said)

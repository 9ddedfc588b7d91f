"""Stored teachers: trained alone, taken over by students of other devices and budgets, refused where they misfit."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cidesign.distill.checkpoint import load_checkpoint
from cidesign.distill.comparison.compare import Comparison
from cidesign.distill.fine_tune import fine_tune_settings
from cidesign.distill.given import GivenDesign
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.loop import StepReport, phases_of
from cidesign.distill.needs import needs_of
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.distill.teachers import chosen_settings, open_teacher
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.models.system import load_kept_teacher, load_student, load_teacher
from cidesign.models.teacher_record import read_teacher_record, trained_epochs
from cidesign.report.run_report import write_report
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run, newest_run

MODALITIES = ("single-pixel", "cassi", "mri")
UNGUIDED: dict[str, Any] = {"weight_decoder": 0.0, "weight_encoder": 0.0}
ALONE: dict[str, Any] = {**UNGUIDED, "only_teacher": True, "student_epochs": 0}
SMALL: dict[str, Any] = {
    "images": 32, "validation_images": 8, "batch": 16, "channels": 4, "side": 8, "student_epochs": 1, "device": "cpu",
    "precision": "float32", "threads": 1,
}  # fmt: skip
ProfileOf = Callable[[str], Any]
Make = Callable[..., TrainingSettings]


class _StopAt(Listener):
    def __init__(self, step: int, exception: type[BaseException]) -> None:
        self.left, self.exception = step, exception

    def step(self, report: StepReport) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.exception


class _Killed(BaseException):
    """As SIGKILL: nothing acts on it."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, make_settings: Make, profile_of: ProfileOf) -> dict[str, Path]:
    """A run of each modality that holds a teacher alone; only read."""
    found = {}
    for modality in MODALITIES:
        found[modality] = tmp_path_factory.mktemp("stores") / modality
        start_run(found[modality], make_settings(modality, **ALONE), profile_of(modality), False, Listener())
    return found


@pytest.fixture
def store(stores: dict[str, Path]) -> Path:
    """The single-pixel one."""
    return stores["single-pixel"]


def _student(path: Path, store: Path, settings: TrainingSettings, profile: Any, listener: Any = None) -> Run:
    taken = settings.changed(teacher=str(store), teacher_epochs=0)
    return start_run(path, taken, profile, False, listener or Listener(), teacher=open_teacher(store))


def _bits(run: Path) -> dict[str, bytes]:
    names = ("student.safetensors", "teacher.safetensors", "teacher.json", "design.npz")
    return {name: (run / name).read_bytes() for name in names}


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_teacher_alone_is_a_finished_run_without_a_design(modality: str, stores: dict[str, Path]) -> None:
    run = Run(stores[modality])
    assert run.complete
    assert {path.name for path in run.path.iterdir()} == {"run.json", "metrics.jsonl", "teacher.safetensors"}
    teacher = load_teacher(run)
    assert teacher is not None
    assert run.record.teacher_digest == teacher.digest()
    assert run.record.design_digest is None
    assert {name.split("_")[0] for name in run.record.metrics} == {"training", "validation", "teacher"}
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["phase"], line["epoch"]) for line in lines] == [("teacher", 1), ("teacher", 2)]
    wanted = (
        f"{run.path}: holds a teacher alone, with neither design nor student; train one from it with `cidesign distill "
        f"--profile {run.profile.id} --teacher {run.path}`"
    )
    uses: list[Callable[[], object]] = [
        lambda: run.design, lambda: run.student, lambda: run.operator, lambda: load_student(run),
        lambda: Comparison(run, None), lambda: write_report(run, (), False),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(InputError) as caught:
            use()
        assert str(caught.value) == wanted


def test_it_is_the_teacher_that_a_whole_run_has(
    store: Path, tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    """Bit for bit: stored first and taken then, or trained in the same run."""
    settings = make_settings(**UNGUIDED)
    whole = start_run(tmp_path / "whole", settings, profile_of("single-pixel"), False, Listener())
    assert (whole.path / "teacher.safetensors").read_bytes() == (store / "teacher.safetensors").read_bytes()
    assert whole.record.teacher_digest == Run(store).record.teacher_digest


# 96 images / 16 = 6 steps an epoch, two teachers of one epoch each.
@pytest.mark.parametrize(("step", "exception"), [(3, _Killed), (6, Interrupted), (7, _Killed), (9, Interrupted)])
def test_a_ladder_alone_resumes_with_the_same_bits(
    step: int, exception: type[BaseException], tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    settings, profile = make_settings(**ALONE, ladder=("real@12", "3-bit")), profile_of("single-pixel")
    whole = start_run(tmp_path / "whole", settings, profile, False, Listener())
    with pytest.raises(exception):
        start_run(tmp_path / "broken", settings, profile, False, _StopAt(step, exception))
    assert not Run(tmp_path / "broken").complete
    broken = resume_run(tmp_path / "broken", Listener())
    assert broken.record.teacher_digest == whole.record.teacher_digest
    assert (broken.path / "teacher.safetensors").read_bytes() == (whole.path / "teacher.safetensors").read_bytes()
    assert phases_of(settings) == ["teacher-1", "teacher-2"]


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_run_keeps_a_whole_copy_of_what_it_took(
    modality: str, stores: dict[str, Path], tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    store = shutil.copytree(stores[modality], tmp_path / "store")
    run = _student(tmp_path / "run", store, make_settings(modality), profile_of(modality))
    assert run.complete
    assert phases_of(run.settings) == ["student"]
    assert (run.path / "teacher.safetensors").read_bytes() == (store / "teacher.safetensors").read_bytes()
    assert run.record.teacher_digest == Run(store).record.teacher_digest
    record = read_teacher_record(run)
    assert (record.named, record.epochs) == (str(store), 2)
    assert record.relaxation == Run(store).settings.ladder[-1]
    assert record.settings == Run(store).settings
    assert record.profile_digest == profile_of(modality).digest
    assert trained_epochs(run) == (2, 2)
    shutil.rmtree(store)
    teacher = load_teacher(Run(run.path))
    assert teacher is not None
    assert teacher.digest() == run.record.teacher_digest
    comparison = Comparison(Run(run.path), None)
    assert comparison.epochs == 4
    assert [row.name for row in comparison.own()] == ["student", f"stored teacher ({record.relaxation})"]
    assert run.systems == ("teacher", "student")
    page = write_report(Run(run.path), (), False).page.read_text()
    assert "optics and decoder of the stored teacher" in page
    assert f"stored teacher ({record.relaxation}) of {store}, 2 epochs" in page


@pytest.mark.parametrize("modality", MODALITIES)
def test_it_begins_where_the_teacher_ended(
    modality: str, stores: dict[str, Path], tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    """One epoch from a stored teacher is as good as within a run, but for the draws."""
    settings = make_settings(modality, **UNGUIDED, student_epochs=1)
    run = _student(tmp_path / "run", stores[modality], settings, profile_of(modality))
    alone = settings.changed(teacher_epochs=1)
    whole = start_run(tmp_path / "whole", alone, profile_of(modality), False, Listener())
    assert run.record.metrics["student_psnr_db"] > whole.record.metrics["student_psnr_db"] - 0.5


# Before the first checkpoint, inside epochs, at their ends; guided, so that the frozen teacher takes part.
@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize(("step", "exception"), [(1, _Killed), (4, Interrupted), (6, _Killed), (9, Interrupted)])
def test_resume_gives_the_same_bits(
    modality: str,
    step: int,
    exception: type[BaseException],
    stores: dict[str, Path],
    tmp_path: Path,
    make_settings: Make,
    profile_of: ProfileOf,
    whole_students: dict[str, Path],
) -> None:
    store = shutil.copytree(stores[modality], tmp_path / "store")
    with pytest.raises(exception):
        _student(tmp_path / "run", store, make_settings(modality), profile_of(modality), _StopAt(step, exception))
    shutil.rmtree(store)
    found = load_checkpoint(Run(tmp_path / "run"))
    assert (found is None) == (step == 1)
    # The run has its copy: checkpoints need not hold the teacher once more.
    assert found is None or not [name for name in found[1] if name.startswith("teacher.")]
    assert resume_run(tmp_path / "run", Listener()).complete
    bits, wanted = _bits(tmp_path / "run"), _bits(whole_students[modality])
    for one in (bits, wanted):  # the folder was another one
        one["teacher.json"] = (
            one["teacher.json"]
            .replace(str(tmp_path / "store").encode(), b"")
            .replace(str(stores[modality]).encode(), b"")
        )
    assert bits == wanted


@pytest.fixture(scope="module")
def whole_students(
    stores: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, make_settings: Make, profile_of: ProfileOf
) -> dict[str, Path]:
    """Students that nothing interrupted."""
    folder = tmp_path_factory.mktemp("students")
    return {
        modality: _student(folder / modality, stores[modality], make_settings(modality), profile_of(modality)).path
        for modality in MODALITIES
    }


OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("single-pixel", {"patterns": 4}),
    ("single-pixel", {"patterns": 12, "bit_depth": 3}),
    ("single-pixel", {"photoelectrons_per_frame": 1e4, "encoding": "offset"}),
    ("single-pixel", {"side": 12, "patterns": 9}),
    ("cassi", {"side": 16}),
    ("cassi", {"side": 24, "crop": 12}),
    ("cassi", {"photoelectrons_full_scale": 500.0}),
    ("mri", {"acquired": 8}),
    ("mri", {"side": 24, "acquired": 6}),
    ("mri", {"side": 12, "acquired": 3, "coils": 3}),
    ("mri", {"noise": 0.05, "readout": 20}),
]


@pytest.mark.parametrize(("modality", "changes"), OTHERS)
def test_students_of_other_budgets_sizes_and_light(
    modality: str,
    changes: dict[str, Any],
    stores: dict[str, Path],
    tmp_path: Path,
    make_settings: Make,
    profile_of: ProfileOf,
) -> None:
    settings = make_settings(modality, **UNGUIDED, **{"student_epochs": 1, "images": 64, **changes})
    run = _student(tmp_path / "run", stores[modality], settings, profile_of(modality))
    student, teacher = load_student(run), load_kept_teacher(run)
    assert run.design.design_digest == run.record.design_digest
    same_images = not {"side", "readout"} & set(changes)
    # The statistics are those of the run's own images, which are others here.
    assert not (same_images and torch.equal(student.decoder.prior_variance, teacher.decoder.prior_variance))
    assert run.systems == (("teacher", "student") if same_images else ("student",))
    assert run.record.metrics["student_psnr_db"] > 10
    names = [row.name for row in Comparison(run, None).own()]
    assert names[1:] == ([f"stored teacher ({Run(stores[modality]).settings.ladder[-1]})"] if same_images else [])
    if "side" in changes:
        assert "stored teacher" in write_report(run, (), False).page.read_text()


@pytest.mark.parametrize(("modality", "changes"), OTHERS)
def test_what_is_carried_over_is_all_of_the_network_and_none_of_the_statistics(
    modality: str, changes: dict[str, Any], stores: dict[str, Path], make_settings: Make, profile_of: ProfileOf
) -> None:
    from cidesign.data.source import load_images

    settings = make_settings(modality, **UNGUIDED, **{"images": 16, "validation_images": 4, **changes})
    train = torch.from_numpy(load_images(settings, profile_of(modality)).train)
    maker = SystemMaker(settings, profile_of(modality), train)
    system, teacher = maker.system("student"), open_teacher(stores[modality]).system
    maker.warm_start(system, teacher)
    own, theirs = system.decoder.state_dict(), teacher.decoder.state_dict()
    assert torch.equal(own["prior_variance"], maker.prior.variance)
    assert torch.equal(own["prior_mean"], maker.prior.mean)
    network = [name for name in own if not name.startswith("prior_")]
    assert network
    assert all(torch.equal(own[name], theirs[name]) for name in network)


@pytest.mark.parametrize(
    ("modality", "changes", "said"),
    [
        ("single-pixel", {"patterns": 12}, None),
        ("mri", {"acquired": 8}, None),
        ("cassi", {"photoelectrons_full_scale": 500.0}, None),
        ("single-pixel", {"side": 12}, "its images are 8 x 8, and this run's 12 x 12: it cannot guide"),
        ("mri", {"side": 24, "acquired": 6}, "its images are 16 x 16, and this run's 24 x 24: it cannot guide"),
        ("cassi", {"side": 24, "crop": 12}, "its mask has 12 x 12 code pixels, and this run's 24 x 24: it cannot"),
    ],
)
@pytest.mark.parametrize("term", ["weight_decoder", "weight_encoder"])
def test_guiding_terms_need_the_same_images(
    modality: str,
    changes: dict[str, Any],
    said: str | None,
    term: str,
    stores: dict[str, Path],
    tmp_path: Path,
    make_settings: Make,
    profile_of: ProfileOf,
) -> None:
    from cidesign.distill.teachers import misfit

    settings = make_settings(modality, **{**UNGUIDED, term: 0.3, "student_epochs": 1, "images": 64, **changes})
    theirs = Run(stores[modality])
    reason = misfit(theirs.settings, theirs.profile, settings, profile_of(modality))
    if said is not None:
        assert reason is not None
        assert said in reason
        assert "leave these out" in reason
        return
    assert reason is None
    run = _student(tmp_path / "run", stores[modality], settings, profile_of(modality))
    line = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[0])
    assert line[f"gradient_{term.removeprefix('weight_')}"] >= 0
    # The teacher is frozen, and its copy what it was.
    assert (run.path / "teacher.safetensors").read_bytes() == (theirs.path / "teacher.safetensors").read_bytes()


def _choose(store: Path | str, profile: Any, **values: Any) -> Any:
    return chosen_settings(profile, "quick", None, store, False, {**SMALL, **values})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"decoder": "unrolled", "channels": 4, "stages": 2}, "its decoder is unet, and this run's is unrolled"),
        ({"channels": 8}, "its decoder has channels 4, and this run's 8; use channels 4"),
        ({"ladder": "real"}, "ladder real: is for teachers that the run trains, and "),
        ({"teacher_epochs": 2}, "teacher_epochs 2: is for teachers that the run trains, and "),
        ({"start": "fresh"}, "start fresh: nothing would be taken of the stored teacher"),
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
        start_run(tmp_path / "half", make_settings(**ALONE), profile_of("single-pixel"), False, _StopAt(3, Interrupted))
    with pytest.raises(FileError, match="this run is not finished; finish it with"):
        open_teacher(tmp_path / "half")


@pytest.mark.parametrize("where", ["resume", "load"])
def test_a_copy_that_was_changed_is_noticed(
    where: str, store: Path, tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    profile = profile_of("single-pixel")
    other = start_run(tmp_path / "other", make_settings(**ALONE, seed=9), profile, False, Listener())
    path, settings = tmp_path / "run", make_settings(student_epochs=1)
    if where == "resume":
        with pytest.raises(Interrupted):
            _student(path, store, settings, profile, _StopAt(3, Interrupted))
    else:
        _student(path, store, settings, profile)
    use: Callable[[], object] = (
        (lambda: resume_run(path, Listener())) if where == "resume" else (lambda: load_teacher(Run(path)))
    )
    shutil.copy(other.path / "teacher.safetensors", path)
    with pytest.raises(FileError, match=r"not the weights that teacher.json names"):
        use()
    shutil.copy(store / "teacher.safetensors", path)
    record = json.loads((path / "teacher.json").read_text())
    for change, said in (
        ({"weights_digest": "0" * 64}, "is not of the teacher that run.json names"),
        ({"profile_digest": "0" * 64}, "the profile inside was changed"),
        ({"schema_version": 2}, "schema version 2"),
        ({"epochs": -1}, "this teacher record is damaged: epochs"),
        ({"settings": {"modality": "radar"}}, "modality"),
    ):
        (path / "teacher.json").write_text(json.dumps({**record, **change}))
        with pytest.raises(FileError, match=said):
            use()
    (path / "teacher.json").unlink()
    with pytest.raises(FileError, match=r"teacher.json is missing"):
        use()


def test_a_checkpoint_with_another_teacher_is_another_runs(
    store: Path, tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    profile = profile_of("single-pixel")
    other = start_run(tmp_path / "other", make_settings(**ALONE, seed=9), profile, False, Listener())
    taken = make_settings(teacher="teacher", teacher_epochs=0)
    for name, teacher in (("one", store), ("two", other.path)):
        with pytest.raises(Interrupted):
            start_run(tmp_path / name, taken, profile, False, _StopAt(3, Interrupted), teacher=open_teacher(teacher))
    shutil.copy(tmp_path / "two" / "checkpoint" / "state.safetensors", tmp_path / "one" / "checkpoint")
    with pytest.raises(FileError, match="checkpoint of a run with other settings"):
        resume_run(tmp_path / "one", Listener())


def test_any_finished_run_lends_its_teacher_and_hands_on_one_it_took(
    store: Path, whole_students: dict[str, Path], tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    profile = profile_of("single-pixel")
    whole = start_run(tmp_path / "whole", make_settings(**UNGUIDED, seed=5), profile, False, Listener())
    lent = open_teacher(whole.path)
    assert (lent.record.relaxation, lent.record.epochs) == ("real", 2)
    assert lent.record.weights_digest == whole.record.teacher_digest
    handed = open_teacher(whole_students["single-pixel"])
    assert handed.record.named == str(store)
    assert handed.record.weights_digest == Run(store).record.teacher_digest


@pytest.mark.parametrize("modality", MODALITIES)
def test_where_a_run_had_no_teacher_its_student_serves(
    modality: str, tmp_path: Path, make_settings: Make, profile_of: ProfileOf, whole_students: dict[str, Path]
) -> None:
    """A decoder that was trained for a design that exists; its optics are the design."""
    profile = profile_of(modality)
    given = GivenDesign("mine", Run(whole_students[modality]).design)
    settings = make_settings(modality, **UNGUIDED, design="mine", teacher_epochs=0, student_epochs=1)
    source = start_run(tmp_path / "source", settings, profile, False, Listener(), given.design)
    found = open_teacher(source.path)
    assert (found.record.relaxation, found.record.epochs) == (None, 1)
    run = _student(tmp_path / "run", source.path, make_settings(modality, student_epochs=1), profile)
    shutil.rmtree(source.path)
    teacher = load_teacher(run)
    assert teacher is not None
    assert teacher.digest() == run.record.teacher_digest
    assert [row.name for row in Comparison(run, None).own()][1] == "stored teacher (a student)"
    if modality != "mri":
        (run.path / "teacher_design.npz").unlink()
        with pytest.raises(FileError, match=r"teacher_design.npz is missing"):
            load_teacher(run)


def test_a_design_that_is_given_takes_the_network_alone(
    store: Path, whole_students: dict[str, Path], tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    design = Run(whole_students["single-pixel"]).design
    settings = make_settings(**UNGUIDED, design="mine", teacher=str(store), teacher_epochs=0, student_epochs=0)
    run = start_run(
        tmp_path / "run", settings, profile_of("single-pixel"), False, Listener(), design, open_teacher(store)
    )
    assert run.design.design_digest == design.design_digest
    student, teacher = load_student(run), load_kept_teacher(run)
    theirs = teacher.decoder.state_dict()
    for name, tensor in student.decoder.state_dict().items():
        assert name.startswith("prior_") or torch.equal(tensor, theirs[name])
    linear = make_settings(**ALONE, decoder="linear")
    other = start_run(tmp_path / "linear", linear, profile_of("single-pixel"), False, Listener())
    values = {"decoder": "linear", "images": 16, "batch": 16, "validation_images": 4}
    with pytest.raises(InputError, match="the decoder linear learns nothing and the optics are given"):
        chosen_settings(profile_of("single-pixel"), "quick", GivenDesign("mine", design), other.path, False, values)


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


def test_memory_of_a_stored_teacher_is_counted(store: Path, make_settings: Make, profile_of: ProfileOf) -> None:
    profile, record = profile_of("single-pixel"), open_teacher(store).record
    settings = make_settings(**UNGUIDED, teacher="x", teacher_epochs=0)
    without = needs_of(settings, profile).memories[0].needed_bytes
    beside = needs_of(settings, profile, record).memories[0].needed_bytes
    held = (store / "teacher.safetensors").stat().st_size
    assert 0.9 * held < beside - without < 1.1 * held
    alone = needs_of(make_settings(**ALONE), profile)
    assert (alone.steps, alone.epochs) == (12, 2)


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


def test_auto_takes_a_stored_teacher_and_says_so(runs: _Runs, profile_of: ProfileOf) -> None:
    assert _auto(profile_of)[1:] == (None, None, ())
    path = runs.add("mine")
    chosen = _auto(profile_of)
    assert chosen.settings.teacher == str(path)
    assert chosen.settings.teacher_epochs == 0
    digest = str(Run(path).record.teacher_digest)[:12]
    assert chosen.said == (
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
    assert chosen.settings.teacher == "runs/near-new"
    assert chosen.said[0].endswith("; of 4 that fit it has the newest of the nearest limits")
    assert _auto(profile_of, photoelectrons=2e3).settings.teacher == "runs/far"
    assert _auto(profile_of, photoelectrons=2e3).said[0].endswith("; of 4 that fit it has the nearest limits")


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
    assert chosen.said == (f"no stored teacher fits, so one is trained: runs/mine ({said})",)


@pytest.mark.parametrize("own", [{"ladder": "4-bit"}, {"teacher_epochs": 2}, {"start": "fresh"}])
def test_what_is_asked_of_an_own_teacher_trains_one(own: dict[str, Any], runs: _Runs, profile_of: ProfileOf) -> None:
    runs.add("mine")
    assert _auto(profile_of, **own).teacher is None
    assert _choose("none", profile_of("single-pixel"), patterns=7).teacher is None


def test_auto_looks_at_stored_teachers_only(
    runs: _Runs, whole_students: dict[str, Path], profile_of: ProfileOf
) -> None:
    shutil.copytree(whole_students["single-pixel"], "runs/whole")
    assert _auto(profile_of)[1:] == (None, None, ())
    damaged = runs.add("damaged")
    (damaged / "teacher.safetensors").write_bytes(b"")
    chosen = _auto(profile_of)
    assert chosen.teacher is None
    assert "runs/damaged (runs/damaged/teacher.safetensors: these weights are damaged" in chosen.said[0]
    unfinished = runs.add("unfinished")
    record = json.loads((unfinished / "run.json").read_text())
    (unfinished / "run.json").write_text(json.dumps({**record, "status": "training"}))
    assert "runs/unfinished (runs/unfinished: this run is not finished" in _auto(profile_of).said[0]


def test_the_newest_run_is_one_with_a_design(runs: _Runs, whole_students: dict[str, Path]) -> None:
    runs.add("teacher")
    with pytest.raises(InputError, match=r"below runs/ are teachers alone \(runs/teacher\), and no run with a design"):
        newest_run()
    shutil.copytree(whole_students["single-pixel"], "runs/whole")
    os.utime("runs/whole/run.json", ns=(0, 0))
    assert newest_run() == Path("runs/whole")


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


def test_fine_tuning_counts_the_epochs_of_a_stored_teacher(make_settings: Make) -> None:
    own = make_settings(**UNGUIDED, images=12_000, teacher_epochs=4, student_epochs=4)
    taken = own.changed(teacher="x", teacher_epochs=0)
    wanted = fine_tune_settings(own, None, None, 0, "cpu")
    assert fine_tune_settings(taken, None, None, 0, "cpu", teacher_epochs=4) == wanted

"""Stored teachers: trained alone, taken over by students of other devices and budgets, refused where they misfit."""

import json
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
from cidesign.distill.loop import phases_of
from cidesign.distill.needs import needs_of
from cidesign.distill.systems import SystemMaker
from cidesign.distill.teachers import chosen_settings, open_teacher
from cidesign.errors import FileError, InputError
from cidesign.models.system import load_kept_teacher, load_student, load_teacher
from cidesign.models.teacher_record import read_teacher_record, trained_epochs
from cidesign.report.run_report import write_report
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run
from cidesign.testing.training import Killed, StopAt, student_of

MODALITIES = ("single-pixel", "cassi", "mri")
UNGUIDED: dict[str, Any] = {"weight_decoder": 0.0, "weight_encoder": 0.0}
ALONE: dict[str, Any] = {**UNGUIDED, "only_teacher": True, "student_epochs": 0}
SMALL: dict[str, Any] = {
    "images": 32, "validation_images": 8, "batch": 16, "channels": 4, "side": 8, "student_epochs": 1, "device": "cpu",
    "precision": "float32", "threads": 1,
}  # fmt: skip
ProfileOf = Callable[[str], Any]
Make = Callable[..., TrainingSettings]


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
@pytest.mark.parametrize(("step", "exception"), [(3, Killed), (6, Interrupted), (7, Killed), (9, Interrupted)])
def test_a_ladder_alone_resumes_with_the_same_bits(
    step: int, exception: type[BaseException], tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    settings, profile = make_settings(**ALONE, ladder=("real@12", "3-bit")), profile_of("single-pixel")
    whole = start_run(tmp_path / "whole", settings, profile, False, Listener())
    with pytest.raises(exception):
        start_run(tmp_path / "broken", settings, profile, False, StopAt(step, exception))
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
    run = student_of(store, tmp_path / "run", make_settings(modality), profile_of(modality))
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
    run = student_of(stores[modality], tmp_path / "run", settings, profile_of(modality))
    alone = settings.changed(teacher_epochs=1)
    whole = start_run(tmp_path / "whole", alone, profile_of(modality), False, Listener())
    assert run.record.metrics["student_psnr_db"] > whole.record.metrics["student_psnr_db"] - 0.5


# Before the first checkpoint, inside epochs, at their ends; guided, so that the frozen teacher takes part.
@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize(("step", "exception"), [(1, Killed), (4, Interrupted), (6, Killed), (9, Interrupted)])
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
        student_of(store, tmp_path / "run", make_settings(modality), profile_of(modality), StopAt(step, exception))
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
    run = student_of(stores[modality], tmp_path / "run", settings, profile_of(modality))
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
    from cidesign.distill.teachers import fitted

    settings = make_settings(modality, **{**UNGUIDED, term: 0.3, "student_epochs": 1, "images": 64, **changes})
    theirs = Run(stores[modality])
    profile = profile_of(modality)
    assert fitted(theirs.settings, theirs.profile, settings, profile, {term: 0.3}).settings == settings
    reason = fitted(theirs.settings, theirs.profile, settings, profile, {term: 0.3}).misfit
    if said is not None:
        assert reason is not None
        assert said in reason
        assert "leave these out" in reason
        # Terms that nobody asked for are left out, and that is said.
        by_itself = fitted(theirs.settings, theirs.profile, settings, profile, {})
        assert by_itself.misfit is None
        assert not by_itself.settings.guided
        assert by_itself.said == (f"{said.split(': it')[0]}: the teacher starts the student and does not guide it",)
        return
    assert reason is None
    run = student_of(stores[modality], tmp_path / "run", settings, profile_of(modality))
    line = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[0])
    assert line[f"gradient_{term.removeprefix('weight_')}"] >= 0
    # The teacher is frozen, and its copy what it was.
    assert (run.path / "teacher.safetensors").read_bytes() == (theirs.path / "teacher.safetensors").read_bytes()


@pytest.mark.parametrize("where", ["resume", "load"])
def test_a_copy_that_was_changed_is_noticed(
    where: str, store: Path, tmp_path: Path, make_settings: Make, profile_of: ProfileOf
) -> None:
    profile = profile_of("single-pixel")
    other = start_run(tmp_path / "other", make_settings(**ALONE, seed=9), profile, False, Listener())
    path, settings = tmp_path / "run", make_settings(student_epochs=1)
    if where == "resume":
        with pytest.raises(Interrupted):
            student_of(store, path, settings, profile, StopAt(3, Interrupted))
    else:
        student_of(store, path, settings, profile)
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
            start_run(tmp_path / name, taken, profile, False, StopAt(3, Interrupted), teacher=open_teacher(teacher))
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
    run = student_of(source.path, tmp_path / "run", make_settings(modality, student_epochs=1), profile)
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


def test_memory_of_a_stored_teacher_is_counted(store: Path, make_settings: Make, profile_of: ProfileOf) -> None:
    profile, record = profile_of("single-pixel"), open_teacher(store).record
    settings = make_settings(**UNGUIDED, teacher="x", teacher_epochs=0)
    without = needs_of(settings, profile).memories[0].needed_bytes
    beside = needs_of(settings, profile, record).memories[0].needed_bytes
    held = (store / "teacher.safetensors").stat().st_size
    assert 0.9 * held < beside - without < 1.1 * held
    alone = needs_of(make_settings(**ALONE), profile)
    assert (alone.steps, alone.epochs) == (12, 2)


def test_fine_tuning_counts_the_epochs_of_a_stored_teacher(make_settings: Make) -> None:
    own = make_settings(**UNGUIDED, images=12_000, teacher_epochs=4, student_epochs=4)
    taken = own.changed(teacher="x", teacher_epochs=0)
    wanted = fine_tune_settings(own, None, None, 0, "cpu")
    assert fine_tune_settings(taken, None, None, 0, "cpu", teacher_epochs=4) == wanted

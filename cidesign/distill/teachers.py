"""Stored teachers: which one a new run takes, why another one does not fit, and the copy that the run keeps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cidesign.distill.choices.guiding import NO_TERMS, names_terms
from cidesign.distill.choices.starting import Starting
from cidesign.distill.choices.strategy import by_map, by_what_was_asked
from cidesign.distill.given import GivenDesign
from cidesign.distill.needs import needs_of
from cidesign.distill.presets import OF_OWN_TEACHERS, settings_for
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.files import write_json
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.models.decoders import decoder_class
from cidesign.models.optics import optics_for
from cidesign.models.system import ImagingSystem, load_kept_teacher, load_student, load_teacher
from cidesign.models.teacher_record import DESIGN_FILE, FILE, WEIGHTS_FILE, TeacherRecord, read_teacher_record
from cidesign.pattern import Design
from cidesign.records import shown
from cidesign.run_settings import TrainingSettings, about_a_teacher
from cidesign.runs import RUNS_FOLDER, Choices, Run, StrategyChoice, TeacherChoice, TeacherScore, teacher_runs
from cidesign.text import counted

AUTO, NONE = "auto", "none"
# Of those that do not fit.
MOST_NAMED = 3
# Of those that fit; one takes a second or so.
MOST_ASKED = 5


@dataclass(frozen=True)
class StoredTeacher:
    """A teacher of a finished run, its weights verified; `design`: what its optics are, where they were given."""

    path: Path
    record: TeacherRecord
    system: ImagingSystem
    design: Design | None

    @property
    def described(self) -> str:
        """What it is, in half a line."""
        word = self.record.relaxation or "a student"
        epochs = counted(self.record.epochs, "epoch")
        return f"{self.path} ({word}, {epochs}, digest {self.record.weights_digest[:12]})"

    def require_classes(self, settings: TrainingSettings) -> None:
        """Raise `InputError` where the classes of the student's images are others than the teacher's."""
        its, own = self.record.settings.classes or (), settings.classes or ()
        if its != own:
            raise InputError(
                f"teacher {self.path}: tells {shown(its)} apart, and {settings.data} has {shown(own)}; name a teacher "
                "of the same classes in the same order, or none"
            )

    def keep(self, folder: Path) -> None:
        """Write the copy that a run keeps."""
        self.system.save(folder / WEIGHTS_FILE)
        if self.design is not None:
            self.design.save(folder / DESIGN_FILE)
        write_json(folder / FILE, self.record.model_dump(mode="json"))


class Chosen(NamedTuple):
    """The settings of a new run, the design that is given and the stored teacher where it takes such, what is to be
    said of the choices, and these themselves.

    `candidates`: relaxations of which each is to be trained, as a stored teacher, before one is chosen.
    """

    settings: TrainingSettings
    design: Design | None
    teacher: StoredTeacher | None
    said: tuple[str, ...] = ()
    choices: Choices = Choices()
    candidates: tuple[str, ...] = ()


def open_teacher(path: Path) -> StoredTeacher:
    """The teacher of a finished run: the one that it trained or took over; its student where it had none.

    Raises `FileError` for a run that is unfinished, damaged or changed, and `InputError` where nothing was trained.
    """
    run = Run(path)
    run.require_complete()
    if run.settings.teacher is not None:
        record = read_teacher_record(run)
        return StoredTeacher(path, record, load_kept_teacher(run), record.design(path))
    teacher = load_teacher(run)
    if teacher is not None:
        if teacher.digest() != run.record.teacher_digest:
            raise FileError(f"{path}: {WEIGHTS_FILE} is not the teacher that run.json names (their digests differ)")
        return StoredTeacher(path, _record(run, teacher, run.settings.ladder[-1], None), teacher, None)
    if not run.settings.student_epochs:
        raise InputError(f"teacher {path}: nothing was trained there; name another run")
    student, design = load_student(run), run.given_design()
    return StoredTeacher(path, _record(run, student, None, design), student, design)


def _record(run: Run, system: ImagingSystem, relaxation: str | None, design: Design | None) -> TeacherRecord:
    if not all(bool(torch.isfinite(tensor).all()) for tensor in system.state_dict().values()):
        raise FileError(f"{run.path}: weights of its teacher are not finite; name another run")
    return TeacherRecord(
        schema_version=1,
        kind="teacher",
        named=str(run.path),
        relaxation=relaxation,
        epochs=run.settings.student_epochs if relaxation is None else run.settings.teacher_epochs,
        settings=run.settings,
        profile=run.record.profile,
        profile_digest=run.profile.digest,
        data_digest=run.record.data_digest,
        weights_digest=system.digest(),
        design_digest=None if design is None else design.design_digest,
    )


def usual_folder(profile: HardwareProfile, settings: TrainingSettings) -> Path:
    """Where a run is written unless somebody says where."""
    name = profile.id if settings.design is None else Path(settings.design).stem
    return RUNS_FOLDER / f"{name}-{settings.preset}{'-teacher' if settings.only_teacher else ''}"


def misfit(
    theirs: TrainingSettings, their_profile: HardwareProfile, settings: TrainingSettings, profile: HardwareProfile
) -> str | None:
    """Why a teacher does not fit a run, and what would, for one line; None: it fits.

    Another size, device, light, or number of patterns or lines fits; the optics are taken over as far as they go.
    """
    if theirs.modality != settings.modality:
        return f"is one of {theirs.modality}, and {profile.id} makes {settings.modality} runs"
    if theirs.task != settings.task:
        return f"was trained to {theirs.task}, and this run is to {settings.task}"
    if theirs.decoder != settings.decoder:
        return f"its decoder is {theirs.decoder}, and this run's is {settings.decoder}; use decoder {theirs.decoder}"
    for name in {**theirs.decoder_settings, **settings.decoder_settings}:
        its, own = (one.decoder_settings.get(name) for one in (theirs, settings))
        if its != own:
            return f"its decoder has {name} {its}, and this run's {own}; use {name} {its}"
    if settings.design is not None and not decoder_class(settings.decoder).learns:
        return (
            f"the decoder {settings.decoder} learns nothing and the optics are given, so nothing would be taken of it"
        )
    optics, own_optics = optics_for(theirs, their_profile), optics_for(settings, profile)
    if optics.bands != own_optics.bands:
        return f"its images have {counted(optics.bands, 'band')}, and those of {profile.id} {own_optics.bands}"
    return None


class Fitted(NamedTuple):
    """The settings of a run with a teacher; why it does not fit (None: it does); and what is to be said."""

    settings: TrainingSettings
    misfit: str | None
    said: tuple[str, ...] = ()


def fitted(
    theirs: TrainingSettings,
    their_profile: HardwareProfile,
    settings: TrainingSettings,
    profile: HardwareProfile,
    values: Mapping[str, object],
) -> Fitted:
    """A run's settings with a teacher: without the default guiding terms where it can start the student only.

    Terms that are among the `values` that were asked for make such a teacher a misfit.
    """
    if (reason := misfit(theirs, their_profile, settings, profile)) is not None or not settings.guided:
        return Fitted(settings, reason)
    apart = optics_for(settings, profile).apart(optics_for(theirs, their_profile))
    if apart is None:
        return Fitted(settings, None)
    if names_terms(values):
        return Fitted(settings, f"{apart}: it cannot guide the student (weight_...), only start it; leave these out")
    alone = settings.changed(weighting="fixed", **NO_TERMS)
    return Fitted(alone, None, (f"{apart}: the teacher starts the student and does not guide it",))


def chosen_settings(
    profile: HardwareProfile,
    preset: str,
    given: GivenDesign | None,
    teacher: Run | str | PathLike[str],
    only_teacher: bool,
    values: Mapping[str, Any],
) -> Chosen:
    """The settings of a run with the stored teacher that is asked for: a run's, none, or `auto`, one that fits.

    `auto` looks at the runs below `runs/` that hold a teacher alone, and leaves a run its own teacher where something
    is asked of that.  The `strategy` of the values is `distill`, `e2e`, or `auto`, and their `ladder` may be `auto`:
    then there are `candidates`.  Raises as `settings_for` and `open_teacher` do, and `InputError` for a teacher that
    does not fit.
    """
    named = teacher.path if isinstance(teacher, Run) else None if teacher in (AUTO, NONE) else Path(teacher)
    design = None if given is None else given.design
    values = {name: value for name, value in values.items() if value is not None}
    strategy = str(values.pop("strategy", AUTO))
    asked = values if strategy == AUTO else {**values, "strategy": strategy}
    if values.get("ladder") == AUTO:
        return _of_candidates(profile, preset, given, named, only_teacher, asked)
    if only_teacher:
        if named is not None:
            raise InputError(f"teacher {named}: only a teacher is trained, by itself; leave one of them out")
        return Chosen(settings_for(profile, preset, given, only_teacher=True, **asked), design, None)
    told = None if teacher == AUTO else str(named or teacher)
    if named is not None:
        settings = settings_for(profile, preset, given, teacher=str(named), **asked)
        found = open_teacher(named)
        theirs, their_profile = found.record.settings, found.record.checked_profile(named)
        settings, reason, apart = fitted(theirs, their_profile, settings, profile, values)
        if reason is not None:
            raise InputError(f"teacher {named}: {reason}")
        said = (f"teacher: {found.described}, stored; none is trained", *_other_data(found, settings), *apart)
    else:
        settings, found, said = settings_for(profile, preset, given, **asked), None, ()
    # Optics that are given have no strategy.
    choice = None if given is not None else by_what_was_asked(strategy, settings, values, told)
    decided = Choices(choice)
    if found is not None:
        return Chosen(settings, design, found, said, decided)
    its_own = any(values.get(name) is not None for name in OF_OWN_TEACHERS)
    of_no_use = not settings.student_epochs or (settings.start == "fresh" and not settings.guided)
    # A recipe is a baseline that others repeat, with the teacher that it says.
    if teacher == NONE or its_own or of_no_use or settings.recipe is not None:
        return _said(Chosen(settings, design, None, (), decided))
    automatic = _automatic(settings, design, profile)
    if given is not None or choice is not None:
        return _said(automatic._replace(choices=automatic.choices._replace(strategy=choice)))
    if automatic.teacher is not None:
        choice = StrategyChoice(
            strategy="distill", by="stored-teacher", reason="a stored teacher fits, and saves its epochs"
        )
        return _said(automatic._replace(choices=automatic.choices._replace(strategy=choice)))
    choice = by_map(settings, profile)
    if choice.strategy == "e2e":
        settings = settings_for(profile, preset, strategy="e2e", **values)
        return _said(Chosen(settings, None, None, (), Choices(choice)))
    return _said(automatic._replace(choices=Choices(choice)))


def _said(chosen: Chosen) -> Chosen:
    """With the line of the strategy before the others."""
    choice = chosen.choices.strategy
    return chosen if choice is None else chosen._replace(said=(*choice.said, *chosen.said))


def _of_candidates(
    profile: HardwareProfile,
    preset: str,
    given: GivenDesign | None,
    named: Path | None,
    only_teacher: bool,
    asked: Mapping[str, Any],
) -> Chosen:
    """The settings of a run that is to choose among teachers of its modality; raises `InputError` where it cannot."""
    head = f"ladder {AUTO}: chooses a teacher by what a student inherits of it"
    for there, what in (
        (named is not None, f"{named} is the teacher"),
        (only_teacher, "only a teacher is trained"),
        (given is not None, f"the optics are given ({given.name if given else ''})"),
    ):
        if there:
            raise InputError(f"{head}, and {what}; leave one of them out")
    if asked.get("strategy") == "e2e":
        raise InputError(about_a_teacher("ladder", AUTO))
    settings = settings_for(profile, preset, **{**asked, "ladder": None})
    if settings.start == "fresh":
        raise InputError(f"{head}, and it starts fresh; leave one of them out")
    words = tuple(modality(settings.modality).teachers(settings))
    choice = by_what_was_asked(str(asked.get("strategy", AUTO)), settings, asked, None)
    if len(words) > 1:
        return _said(Chosen(settings, None, None, (), Choices(choice), words))
    only = f"ladder {AUTO}: there is one teacher to choose, {words[0]}; it is trained"
    return _said(Chosen(settings.changed(ladder=words), None, None, (only,), Choices(choice)))


def _other_data(found: StoredTeacher, settings: TrainingSettings) -> tuple[str, ...]:
    if _same_data(found.record.settings, settings):
        return ()
    return (f"the teacher was trained on {found.record.settings.data}, this run on {settings.data}",)


def _same_data(theirs: TrainingSettings, settings: TrainingSettings) -> bool:
    if "procedural" in (theirs.data, settings.data):
        return theirs.data == settings.data
    return Path(theirs.data).resolve() == Path(settings.data).resolve()


def _automatic(settings: TrainingSettings, design: Design | None, profile: HardwareProfile) -> Chosen:
    """Of the stored teachers that fit, the one that the student starts best from; none where none fits.

    Those of the nearest limits, and of equal ones the newest, are asked.
    """
    fitting, left = [], []
    for path in teacher_runs():
        run = Run(path)
        reason = _unfit(run, settings, profile)
        if reason is None:
            fitting.append((_distance(run, settings, profile), path))
        else:
            left.append(f"{path} ({reason})")
    fitting.sort(key=lambda one: one[0])  # stable: of equal ones the newest comes first
    asked: list[StoredTeacher] = []
    for _, path in fitting:
        try:
            asked += [open_teacher(path)] if len(asked) < MOST_ASKED else []
        except CidesignError as error:
            left.append(f"{path} ({error})")
    if asked:
        best, choice = best_start(settings, design, profile, asked)
        said = [f"teacher: {best.described}, stored; none is trained (--teacher none trains one)"]
        if choice is not None:
            said.append(f"of {len(fitting)} stored teachers that fit, {scores_said(choice)}")
        return Chosen(taking(settings, best), design, best, tuple(said), Choices(teacher=choice))
    if not left:
        return Chosen(settings, design, None)
    more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
    said = [f"no stored teacher fits, so one is trained: {'; '.join(left[:MOST_NAMED])}{more}"]
    return Chosen(settings, design, None, tuple(said))


def taking(settings: TrainingSettings, teacher: StoredTeacher) -> TrainingSettings:
    """The settings of a run that takes a stored teacher."""
    return settings.changed(teacher=str(teacher.path), teacher_epochs=0)


def best_start(
    settings: TrainingSettings, design: Design | None, profile: HardwareProfile, teachers: Sequence[StoredTeacher]
) -> tuple[StoredTeacher, TeacherChoice | None]:
    """The teacher from which the student starts best, of equal ones the first; no choice where there is one alone."""
    if len(teachers) == 1:
        return teachers[0], None
    starting = Starting(settings, profile, design)
    scores = []
    for teacher in teachers:
        needs_of(taking(settings, teacher), profile, teacher.record)  # before any image is drawn
        record = teacher.record
        scores.append(
            TeacherScore(
                folder=str(teacher.path),
                relaxation=record.relaxation,
                weights_digest=record.weights_digest,
                score=starting.score(teacher.system),
            )
        )
    best = max(range(len(scores)), key=lambda index: scores[index].score)
    heading = starting.metric.heading()
    return teachers[best], TeacherChoice(metric=heading, folder=scores[best].folder, candidates=tuple(scores))


def scores_said(choice: TeacherChoice) -> str:
    """What the student starts with from each teacher, the best first."""
    ranked = sorted(choice.candidates, key=lambda one: -one.score)
    named = [f"{one.folder} {one.score:.4g}" for one in ranked]
    return f"the student starts best from it ({choice.metric} on training images, before training: {', '.join(named)})"


def _unfit(run: Run, settings: TrainingSettings, profile: HardwareProfile) -> str | None:
    """Why a stored teacher is not taken unasked: it must be for the same size and kind of images too."""
    try:
        run.require_complete()
        reason = misfit(run.settings, run.profile, settings, profile)
    except CidesignError as error:
        return str(error)
    if reason is not None:
        return reason
    if run.settings.recipe is not None:
        return f"is of the recipe {run.settings.recipe}"
    if not _same_data(run.settings, settings):
        return f"was trained on {run.settings.data}, and this run on {settings.data}"
    return optics_for(settings, profile).apart(optics_for(run.settings, run.profile))


def _distance(run: Run, settings: TrainingSettings, profile: HardwareProfile) -> float:
    """How far a teacher's limits are from a run's: the sum over all of them of the doublings between."""
    theirs, own = optics_for(run.settings, run.profile).limits(), optics_for(settings, profile).limits()
    return sum(abs(math.log2(theirs[name] / value)) for name, value in own.items())

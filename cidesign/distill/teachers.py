"""Stored teachers: which one a new run takes, why another one does not fit, and the copy that the run keeps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cidesign.distill.given import GivenDesign
from cidesign.distill.presets import OF_OWN_TEACHERS, settings_for
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.files import write_json
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.models.decoders import decoder_class
from cidesign.models.optics import optics_for
from cidesign.models.system import ImagingSystem, load_kept_teacher, load_student, load_teacher
from cidesign.models.teacher_record import DESIGN_FILE, FILE, WEIGHTS_FILE, TeacherRecord, read_teacher_record
from cidesign.pattern import Design
from cidesign.records import shown
from cidesign.run_settings import TrainingSettings
from cidesign.runs import RUNS_FOLDER, Run, teacher_runs
from cidesign.text import counted

AUTO, NONE = "auto", "none"
# Of those that do not fit.
MOST_NAMED = 3


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
    """The settings of a new run, the design that is given and the stored teacher where it takes such, and what is to be
    said of the choice."""

    settings: TrainingSettings
    design: Design | None
    teacher: StoredTeacher | None
    said: tuple[str, ...] = ()


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
    apart = own_optics.apart(optics) if settings.guided else None
    if apart is not None:
        return f"{apart}: it cannot guide the student (weight_decoder, weight_encoder), only start it; leave these out"
    return None


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
    is asked of that.  Raises as `settings_for` and `open_teacher` do, and `InputError` for a teacher that does not fit.
    """
    named = teacher.path if isinstance(teacher, Run) else None if teacher in (AUTO, NONE) else Path(teacher)
    design = None if given is None else given.design
    if only_teacher:
        if named is not None:
            raise InputError(f"teacher {named}: only a teacher is trained, by itself; leave one of them out")
        return Chosen(settings_for(profile, preset, given, only_teacher=True, **values), design, None)
    if named is not None:
        found = open_teacher(named)
        settings = settings_for(profile, preset, given, teacher=str(named), **values)
        reason = misfit(found.record.settings, found.record.checked_profile(named), settings, profile)
        if reason is not None:
            raise InputError(f"teacher {named}: {reason}")
        said = (f"teacher: {found.described}, stored; none is trained", *_other_data(found, settings))
        return Chosen(settings, design, found, said)
    settings = settings_for(profile, preset, given, **values)
    its_own = any(values.get(name) is not None for name in OF_OWN_TEACHERS)
    of_no_use = not settings.student_epochs or (settings.start == "fresh" and not settings.guided)
    # A recipe is a baseline that others repeat, with the teacher that it says.
    if teacher == NONE or its_own or of_no_use or settings.recipe is not None:
        return Chosen(settings, design, None)
    return _automatic(settings, design, profile)


def _other_data(found: StoredTeacher, settings: TrainingSettings) -> tuple[str, ...]:
    if _same_data(found.record.settings, settings):
        return ()
    return (f"the teacher was trained on {found.record.settings.data}, this run on {settings.data}",)


def _same_data(theirs: TrainingSettings, settings: TrainingSettings) -> bool:
    if "procedural" in (theirs.data, settings.data):
        return theirs.data == settings.data
    return Path(theirs.data).resolve() == Path(settings.data).resolve()


def _automatic(settings: TrainingSettings, design: Design | None, profile: HardwareProfile) -> Chosen:
    """The stored teacher whose limits are nearest, of several of these the newest; none where none fits."""
    fitting, left = [], []
    for path in teacher_runs():
        run = Run(path)
        reason = _unfit(run, settings, profile)
        if reason is None:
            fitting.append((_distance(run, settings, profile), path))
        else:
            left.append(f"{path} ({reason})")
    fitting.sort(key=lambda one: one[0])  # stable: of equal ones the newest comes first
    for number, (distance, path) in enumerate(fitting):
        try:
            found = open_teacher(path)
        except CidesignError as error:
            left.append(f"{path} ({error})")
            continue
        others = [one for one, _ in fitting[number + 1 :]]
        why = ""
        if others:
            nearest = "the newest of the nearest limits" if math.isclose(others[0], distance) else "the nearest limits"
            why = f"; of {len(others) + 1} that fit it has {nearest}"
        said = f"teacher: {found.described}, stored; none is trained (--teacher none trains one){why}"
        taken = settings.changed(teacher=str(path), teacher_epochs=0)
        return Chosen(taken, design, found, (said,))
    if not left:
        return Chosen(settings, design, None)
    more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
    said = f"no stored teacher fits, so one is trained: {'; '.join(left[:MOST_NAMED])}{more}"
    return Chosen(settings, design, None, (said,))


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

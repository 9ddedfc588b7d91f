"""`ladder auto`: the few teachers of a modality are trained, each in a run of its own, and the student asks them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from cidesign.distill.choices.guiding import NO_TERMS
from cidesign.distill.job import Listener, require_free, resume_run, start_run
from cidesign.distill.teachers import Chosen, best_start, open_teacher, taking
from cidesign.errors import FileError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.run_settings import TrainingSettings
from cidesign.runs import TEACHERS_SUFFIX, Run, TeacherChoice
from cidesign.text import counted, table

# What listens to the training of the run in a folder.
Listen = Callable[[Path], AbstractContextManager[Listener]]


def with_best_teacher(
    chosen: Chosen,
    path: Path,
    profile: HardwareProfile,
    force: bool,
    tell: Callable[[str], None],
    listen: Listen,
) -> Chosen:
    """The choice of a run in folder `path` with the best of its candidates as stored teacher; as it is without any.

    Each is trained in PATH-teachers/WORD; what is finished there with the same settings is taken as it is, and what is
    unfinished is resumed, so that repeating goes on where it ended.  Raises `FileError` for a teacher of other settings
    there, which `force` replaces, and for a `path` that is taken.
    """
    if not chosen.candidates:
        return chosen
    require_free(path, force)
    settings, words = chosen.settings, chosen.candidates
    folder = path.with_name(f"{path.name}{TEACHERS_SUFFIX}")
    each, alone = counted(settings.teacher_epochs, "epoch"), counted(settings.student_epochs, "epoch")
    tell(
        f"ladder auto: {len(words)} teachers ({', '.join(words)}) are trained for {each} each and stored in {folder}, "
        f"then the student for {alone} from the best of them: {len(words) * settings.teacher_epochs} epochs of "
        f"teachers instead of {settings.teacher_epochs}"
    )
    runs = []
    for number, word in enumerate(words, start=1):
        tell(f"teacher {number} of {len(words)}: {word}")
        runs.append(_stored(folder / word, _alone(settings, word), profile, force, tell, listen))
    if len({run.record.data_digest for run in runs}) > 1:
        raise FileError(
            f"{folder}: these teachers were trained on different images of {settings.data} (files were changed); "
            "remove the folder, and repeat"
        )
    best, choice = best_start(settings, None, profile, [open_teacher(run.path) for run in runs])
    said = [f"teacher: {best.described}, stored in {folder}"]
    if choice is not None:
        said.insert(0, _table(choice))
    for text in said:
        tell(text)
    return chosen._replace(
        settings=taking(settings, best), teacher=best, candidates=(), choices=chosen.choices._replace(teacher=choice)
    )


def _alone(settings: TrainingSettings, word: str) -> TrainingSettings:
    """The settings of a run that stores a teacher for the student of the given ones."""
    return settings.changed(only_teacher=True, student_epochs=0, ladder=(word,), weighting="fixed", **NO_TERMS)


def _stored(
    folder: Path,
    settings: TrainingSettings,
    profile: HardwareProfile,
    force: bool,
    tell: Callable[[str], None],
    listen: Listen,
) -> Run:
    """The finished run of a teacher: the one that is there, resumed where it is unfinished, or a new one."""
    there = Run(folder) if (folder / "run.json").is_file() else None
    differs = None if there is None else _difference(there, settings, profile)
    if there is not None and differs is None:
        if there.complete:
            tell(f"{folder}: trained already")
            return there
        tell(f"{folder}: goes on where it was stopped")
        with listen(folder) as listener:
            return resume_run(folder, listener)
    if differs is not None and not force:
        raise FileError(
            f"{folder}: holds a teacher of other settings ({differs}); repeat with --force to replace it, or choose "
            "another --out"
        )
    with listen(folder) as listener:
        return start_run(folder, settings, profile, force, listener)


def _difference(there: Run, settings: TrainingSettings, profile: HardwareProfile) -> str | None:
    """What the run that is there has otherwise, in a few words; what is found in the images is left out."""
    if there.record.profile_digest != profile.digest:
        return f"for {there.profile.id}, as its profile was then"
    found_then = {"classes": None, **({"optics_start": "auto"} if settings.optics_start == "auto" else {})}
    theirs, own = (dict(one) | found_then for one in (there.settings, settings))
    if there.settings.modality != settings.modality:
        return f"modality {there.settings.modality}"
    found = next((name for name, value in own.items() if theirs[name] != value), None)
    return None if found is None else f"{found} {theirs[found]}, not {own[found]}"


def _table(choice: TeacherChoice) -> str:
    """What the student starts with from each teacher, on images that decide nothing else; the best first."""
    ranked = sorted(choice.candidates, key=lambda one: -one.score)
    rows = [(str(one.relaxation), f"{one.score:.4g}", "*" * (one.folder == choice.folder)) for one in ranked]
    head = "the student before its training, on training images, with what it inherits of each teacher:"
    return f"{head}\n{table(rows, ('teacher', choice.metric, 'taken'))}"

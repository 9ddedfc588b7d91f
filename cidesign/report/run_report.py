"""The report of a run: what was designed, how training went, what it reconstructs, how to repeat it."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cidesign.distill.comparison.evaluation_record import kept_evaluation
from cidesign.distill.loop import as_floats
from cidesign.distill.tasks.base import Column, Task, task_named
from cidesign.errors import FileError
from cidesign.files import read_limited, write_bytes
from cidesign.modality import modality
from cidesign.models.system import load_comparable_teacher, load_student
from cidesign.models.teacher_record import read_teacher_record, teacher_name
from cidesign.report import figures, html
from cidesign.report.figures import Epoch
from cidesign.report.included import folder_section
from cidesign.report.optics import evaluation_section, optics_section
from cidesign.report.parts import Figure, Section, Shown, reconstruct_scenes
from cidesign.report.terms import TERM_PREFIXES, terms_blocks
from cidesign.report.verdict import BuildVerdict, build_verdict
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

MAX_METRICS_BYTES = 50_000_000
PAGE_FILE = "report.html"
FIGURES_FOLDER = "figures"
SCENES = 8
# Far from every seed that a run can train on (those are below 2**32, validation below 2**33).
SCENE_SEED = 2**40


class Report(NamedTuple):
    """What was written: the page, its pictures, and the verdict that it opens with."""

    page: Path
    pictures: list[Path]
    verdict: BuildVerdict


def refuse_report(run: Run, force: bool) -> None:
    """Raise `FileError` for an unfinished run, and for one with a report where `force` is not set; `InputError` for a
    teacher alone."""
    run.with_design()
    for name in (PAGE_FILE, FIGURES_FOLDER):
        # The names are fixed, so the way out is not another one.
        if (run.known_as / name).exists() and not force:
            raise FileError(f"{run.known_as / name}: exists already; repeat with --force to replace the report")


def write_report(run: Run, included: Sequence[Path], force: bool, scenes: Tensor | None = None) -> Report:
    """Write `report.html` and `figures/` into the run folder; `included` are calibration and reconstruction folders.

    `scenes` (M, C, H, W) are float images that the run has not seen; None: procedural ones.
    Raises `FileError` when a report is there already and `force` is not set, and for an unfinished or damaged run.
    """
    refuse_report(run, force)
    page, folder = run.known_as / PAGE_FILE, run.known_as / FIGURES_FOLDER
    # These are quick, and any of them can fail: they come before the work.
    shown_folders = [folder_section(path, run.design.design_digest) for path in included]
    training = [_training(run)] if run.settings.student_epochs else []
    record, verdict = kept_evaluation(run), build_verdict(run)
    evaluated = [] if record is None else [evaluation_section(run, record)]
    shown = _shown(run, _unseen_scenes(run) if scenes is None else scenes)
    part = modality(run.settings.modality).report_part(run, shown)
    optics = optics_section(run, shown, record)
    first = [part.design, part.measures, optics, *training, part.reconstructions, *part.more]
    sections = [*first, *evaluated, *shown_folders]
    written = []
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Figure) and block.name:
                write_bytes(folder / f"{block.name}.png", block.png)
                written.append(folder / f"{block.name}.png")
    content = [(section.title, _html(section)) for section in [*sections, _provenance(run)]]
    # Last: where the page is, all of it is.
    title, lead = f"{run.known_as.resolve().name}: {part.headline}", html.lead(verdict.line, verdict.verdict)
    write_bytes(page, html.page(title, content, lead).encode())
    return Report(page, written, verdict)


def _unseen_scenes(run: Run) -> Tensor:
    """Images (M, C, n, n) that the run has not seen."""
    kind = modality(run.settings.modality)
    # Crops of one canvas of leaves are alike, so each scene has a canvas of its own; slices are drawn one by one.
    draws = [(SCENES, 0)] if kind.independent_draws else [(1, number) for number in range(SCENES)]
    parts = [kind.procedural_images(run.settings, run.profile, count, SCENE_SEED + number) for count, number in draws]
    return as_floats(torch.from_numpy(np.concatenate(parts)))


def _shown(run: Run, scenes: Tensor) -> Shown:
    student, teacher = load_student(run), load_comparable_teacher(run)
    name = teacher_name(run)
    return Shown(student, teacher, name, reconstruct_scenes(student, teacher, name, scenes))


def _html(section: Section) -> str:
    return "".join(
        html.picture(block.png, block.caption, block.spots) if isinstance(block, Figure) else block
        for block in section.blocks
    )


def _training(run: Run) -> Section:
    settings = run.settings
    epochs = read_epochs(run)
    task, quality = task_named(settings.task), modality(settings.modality).quality
    score, names = task.followed[0], [column.name for column in _drawn(task)]
    axis_title = score.heading(" / ", quality)
    phases = list(dict.fromkeys(epoch.phase for epoch in epochs))
    teachers = [phase for phase in phases if phase != "student"]
    ladder = settings.ladder if settings.teacher_epochs else ()
    if phases != [*teachers, "student"] or len(teachers) != len(ladder):
        raise FileError(
            f"{run.path / 'metrics.jsonl'}: this metrics file is damaged (it should hold the epochs of "
            f"{len(ladder)} teachers, then of the student; it holds {', '.join(phases) or 'none'})"
        )
    labels = {phase: f"{phase} ({word})" for phase, word in zip(teachers, ladder, strict=True)}
    rows = [
        (labels.get(phase, phase), str(sum(epoch.phase == phase for epoch in epochs)), _began(run, number, phases))
        for number, phase in enumerate(phases)
    ]
    beside = "".join(f", and that of the {name}" for name in names[1:])
    caption = (
        f"{score.name}{quality if score.of_quality else ''} on the {_validated(run)} validation images "
        f"after each epoch: the decoder's{beside} with the optics of the same epoch."
    )
    return Section(
        "Training",
        [
            html.paragraph(_trained_said(settings)),
            html.table(("phase", "epochs", "began with"), rows),
            _quality_table(run),
            Figure.of("training", figures.training_curves(epochs, labels, names, axis_title), caption),
            *terms_blocks(epochs),
        ],
    )


def _trained_said(settings: TrainingSettings) -> str:
    """What was trained."""
    if settings.design is not None:
        return f"The optics are a design that was given ({settings.design}): only the decoder was trained."
    if settings.strategy == "e2e":
        return "Optics and decoder were trained together, end to end; the optics obey every rule of the profile."
    return "The teachers' optics are freer than the device allows; the student's obey every rule of the profile."


def _drawn(task: Task) -> list[Column]:
    """What is followed on the axis of the score."""
    return [column for column in task.followed if column.unit == task.followed[0].unit]


def _validated(run: Run) -> int:
    """How many validation images there were; pictures that are taken whole can be fewer than were asked for."""
    return int(run.record.metrics.get("validation_images", run.settings.validation_images))


def _began(run: Run, number: int, phases: list[str]) -> str:
    """Where a phase took its optics and its decoder from."""
    if phases[number] == "student" and run.settings.design is not None:
        if run.settings.start == "fresh" or not run.settings.has_teacher:
            return "the given design, new decoder"
        return f"the given design, decoder of {'the stored teacher' if number == 0 else phases[number - 1]}"
    starts = {"designed": "a fixed design", "searched": "a searched design", "random": "random optics"}
    anew = f"{starts[run.settings.optics_start]}, new decoder"
    if number == 0:
        stored = run.settings.teacher is not None and run.settings.start == "teacher"
        return "optics and decoder of the stored teacher" if stored else anew
    if phases[number] == "student" and run.settings.start == "fresh":
        return f"{anew} (start: fresh)"
    return f"optics and decoder of {phases[number - 1]}"


def read_epochs(run: Run) -> list[Epoch]:
    """The lines of `metrics.jsonl`; raises `FileError` when one of them is damaged."""
    path = run.file("metrics.jsonl")
    content = read_limited(path, "metrics file", MAX_METRICS_BYTES)
    followed = [column.metric for column in _drawn(task_named(run.settings.task))]
    try:
        lines = [json.loads(line) for line in content.decode().splitlines()]
        return [
            Epoch(
                str(line["phase"]),
                tuple(float(line[name]) for name in followed),
                {str(name): float(value) for name, value in line.items() if name.startswith(TERM_PREFIXES)},
            )
            for line in lines
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise FileError(f"{path}: this metrics file is damaged ({error})") from error


def _quality_table(run: Run) -> str:
    metrics, columns = run.record.metrics, task_named(run.settings.task).shown
    rows = []
    for name in run.systems:
        values = [metrics.get(f"{name}_{column.metric}", math.nan) for column in columns]
        if any(map(math.isnan, values)):
            raise FileError(f"{run.path}: run.json does not hold the {name}'s quality; this record is damaged")
        rows.append((name, *(column.text(value) for column, value in zip(columns, values, strict=True))))
    quality = modality(run.settings.modality).quality
    return html.table(("validation images", *(column.heading(" / ", quality) for column in columns)), rows)


def _provenance(run: Run) -> Section:
    record = run.record
    rows = [
        ("created", record.created_utc),
        ("cidesign", record.cidesign_version),
        *record.versions.items(),
        ("profile", run.profile.id),
        ("profile digest", record.profile_digest),
        ("images digest", record.data_digest),
        *([("teacher digest", record.teacher_digest)] if record.teacher_digest else []),
        *([("strategy", f"{record.strategy.strategy}: {record.strategy.reason}")] if record.strategy else []),
        *([("stored teacher", _stored(run))] if record.settings.teacher else []),
        ("design digest", str(record.design_digest)),
    ]
    settings = [(key, _setting(value)) for key, value in record.settings.model_dump().items()]
    return Section(
        "How to repeat it",
        [
            html.paragraph("The same settings, profile, images and versions give the same run on the same machine."),
            html.facts(rows),
            html.table(("setting", "value"), settings),
        ],
    )


def _stored(run: Run) -> str:
    """Where a stored teacher was taken from, and what it had cost."""
    record = read_teacher_record(run)
    return f"{teacher_name(run)} of {record.named}, {record.epochs} epochs, for {record.profile.get('id')}"


def _setting(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)

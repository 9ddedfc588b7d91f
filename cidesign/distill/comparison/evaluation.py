"""What `evaluate` answers: a run beside E2E training, fixed designs and its teacher."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from cidesign.distill.comparison.compare import Comparison, Measured, Row
from cidesign.distill.comparison.evaluation_record import (
    EvaluationRecord,
    HeldEntry,
    RowEntry,
    columns_of,
    keep_evaluation,
    optics_fields,
    optics_table,
    shown_value,
)
from cidesign.distill.comparison.fixed_words import fixed_words
from cidesign.distill.comparison.held_words import network_words
from cidesign.distill.comparison.optics_merit import explanations_of
from cidesign.distill.loop import StepReport
from cidesign.distill.tasks.base import task_named
from cidesign.files import JsonObject
from cidesign.modality import modality
from cidesign.records import now_utc
from cidesign.runs import Run
from cidesign.text import table


class EvaluationListener:
    """What an evaluation tells while it works; override what is to be shown."""

    def measured_on(self, measured: Measured) -> None:
        """The images are ready."""

    def remark(self, text: str) -> None:
        """Something that the user should know and need not act on."""

    def left_out(self, names: list[str]) -> None:
        """These are not trained yet and, as asked for, left out."""

    def training(self, names: list[str], epochs: int) -> None:
        """These are trained now, for so many epochs each."""

    def step(self, name: str, report: StepReport) -> None:
        """A step of the training of one of them is done."""

    def done(self, name: str) -> None:
        """One of E2E and the fixed designs is measured."""


@dataclass(frozen=True)
class Evaluation:
    """Systems on the same images with the same noise: `rows` are student, teacher, E2E and the `fixed` designs."""

    run: Run
    measured: Measured
    epochs: int
    rows: list[Row]
    # How many of the rows, the first ones, are the run's own.
    own: int = 1
    fixed: tuple[str, ...] = ()
    created_utc: str = field(default_factory=now_utc)

    def value(self) -> JsonObject:
        """The evaluation for programs."""
        measured = self.measured
        return {
            "run": str(self.run.known_as),
            "images": measured.where,
            "count": len(measured.images),
            "pictures": measured.pictures,
            "trained_on_and_left_out": measured.left_out,
            "held_out": measured.held_out,
            "skipped": list(measured.skipped),
            "notes": list(measured.notes),
            "epochs": self.epochs,
            "rows": [row.model_dump(mode="json") for row in self._entries],
            "remarks": self.remarks,
            "explanations": explanations_of(modality(self.run.settings.modality)),
        }

    def record(self) -> EvaluationRecord:
        """What is kept of it in the run folder."""
        measured = self.measured
        return EvaluationRecord(
            schema_version=1,
            kind="evaluation",
            created_utc=self.created_utc,
            design_digest=self.run.design.design_digest,
            measured=measured.where,
            count=len(measured.images),
            skipped=len(measured.skipped),
            held_out=measured.held_out,
            rows=self._entries,
            remarks=self.remarks,
        )

    @cached_property
    def _entries(self) -> list[RowEntry]:
        return [
            RowEntry(
                name=row.name,
                images=dict(row.images),
                held_against={name: HeldEntry(**one._asdict()) for name, one in row.held_against.items()},
                **optics_fields(row.optics),
            )
            for row in self.rows
        ]

    def text(self) -> str:
        """The tables of images and of optics, with what was measured above and what they say below."""
        measured = self.measured
        seed = self.run.settings.seed
        head = f"{len(measured.images)} {measured.where}; equal noise for all; one seed ({seed})"
        if measured.skipped:
            head += f"\n{len(measured.skipped)} left out:\n" + "\n".join(f"  {line}" for line in measured.skipped)
        columns = columns_of(self._entries, self.run.settings)
        shown = [(row.name, *(shown_value(row.values[name]) for name in columns)) for row in self._entries]
        optics = optics_table(self._entries, modality(self.run.settings.modality))
        below = [*optics.not_evaluated, *(f"  {line}" for line in optics.explanations)]
        images = [head, table(shown, ("system", *columns.values())), *self.remarks]
        return "\n".join([*images, "", table(optics.rows, optics.header), *below])

    @property
    def remarks(self) -> list[str]:
        """What the table says in words: who wins, and where no network is needed."""
        score = task_named(self.run.settings.task).score
        return [
            *self._best_of_others(),
            *network_words(self.rows, len(self.measured.images), score),
            *fixed_words(self.rows, self.fixed, self.measured.scenes, score, self.run.known_as),
        ]

    def _best_of_others(self) -> list[str]:
        """The student against the best of the others."""
        others = self.rows[self.own :]
        if not others:
            return []
        task = task_named(self.run.settings.task)
        score = task.score
        best = max(others, key=lambda row: row.images[score.metric])
        gain = (
            f"{self.rows[0].images[score.metric] - best.images[score.metric]:+.{score.digits}f} {score.unit}".rstrip()
        )
        return [
            f"{self.rows[0].name} - {best.name} (the best of the others, with the same number of epochs in total, "
            f"{self.epochs}): {gain}; {task.varies}"
        ]


def evaluate_run(run: Run, data: str | None, train: bool, listener: EvaluationListener) -> Evaluation:
    """Measure the systems of a run; those that are not trained yet are trained with `train`, and left out without."""
    comparison = Comparison(run, data)
    listener.measured_on(comparison.measured_on)
    rows = comparison.own()
    own = len(rows)
    names = comparison.others()
    missing = [name for name in names if not comparison.known(name)]
    if missing and not train:
        listener.left_out(missing)
        names = [name for name in names if name not in missing]
    elif missing:
        listener.training(missing, comparison.epochs)
    for name in names:
        rows.append(comparison.other(name, _shown(listener, name)))
        listener.done(name)
    found = Evaluation(run, comparison.measured_on, comparison.epochs, rows, own, tuple(comparison.designs))
    if not keep_evaluation(run, found.record()):
        listener.remark(f"{run.path}: may not be written, so the report will not show this")
    return found


def _shown(listener: EvaluationListener, name: str) -> Callable[[StepReport], None]:
    return lambda report: listener.step(name, report)

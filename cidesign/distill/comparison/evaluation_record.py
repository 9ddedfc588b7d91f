"""What `evaluate` found last, kept in the run folder for the report."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError

from cidesign.distill.comparison.evaluate import Winner
from cidesign.distill.comparison.optics_merit import explanations_of, headings_of
from cidesign.distill.tasks.base import task_named
from cidesign.errors import FileError
from cidesign.files import read_json, write_json
from cidesign.modality import Modality, modality
from cidesign.physics.merit import Estimate, Merit, NotEvaluated
from cidesign.records import Finite, NotNegative, Strict, first_problem
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

FILE = "evaluation.json"
Count = Annotated[int, Field(ge=0, le=2**53)]
Line = Annotated[str, Field(max_length=4096)]


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


# None where there is no number: the PSNR of an image that is met exactly is infinite.
Value = Annotated[Finite | None, BeforeValidator(_finite)]


class HeldEntry(Strict):
    """A reconstruction without training; see `cidesign.distill.comparison.evaluate.Held`."""

    title: Line
    score: Value
    images: Count
    difference: Value
    standard_error: Annotated[NotNegative | None, BeforeValidator(_finite)]
    wins: Winner


class RowEntry(Strict):
    """One system: metrics of its images and of its optics, and what is held against its network.

    `not_evaluated` says why a metric of the optics has no number, `standard_errors` of which it is an estimate; records
    of earlier versions have neither.
    """

    name: Line
    images: dict[str, Value]
    held_against: dict[str, HeldEntry]
    optics: dict[str, Value | list[Value]]
    not_evaluated: dict[str, Line] = Field(default_factory=dict)
    standard_errors: dict[str, Value] = Field(default_factory=dict)

    @property
    def values(self) -> dict[str, float | None]:
        """What is measured on images, by the names of the columns."""
        return {**self.images, **{name: one.score for name, one in self.held_against.items()}}

    def optics_text(self, name: str) -> str:
        """A metric of the optics for a table."""
        if name in self.not_evaluated:
            return "not evaluated"
        value = self.optics.get(name)
        if isinstance(value, list):
            return " ".join("-" if one is None else f"{one:.2f}" for one in value)
        error = self.standard_errors.get(name)
        return shown_value(value) if error is None else f"{shown_value(value)} ± {shown_value(error)} (estimate)"


class EvaluationRecord(Strict):
    """The content of `evaluation.json`: systems on the same images; `measured` says which, `remarks` what it means."""

    schema_version: Literal[1]
    kind: Literal["evaluation"]
    created_utc: Line
    design_digest: Line
    measured: Line
    count: Count
    skipped: Count
    held_out: bool
    rows: list[RowEntry]
    remarks: list[Line]


def optics_fields(merits: Mapping[str, Merit]) -> dict[str, Any]:
    """The fields of a `RowEntry` that hold figures of merit."""
    values: dict[str, object] = {}
    for name, merit in merits.items():
        if isinstance(merit, Estimate):
            values[name] = merit.value
        elif isinstance(merit, NotEvaluated):
            values[name] = None
        else:
            values[name] = list(merit) if isinstance(merit, tuple) else merit
    return {
        "optics": values,
        "not_evaluated": {name: one.why for name, one in merits.items() if isinstance(one, NotEvaluated)},
        "standard_errors": {name: one.standard_error for name, one in merits.items() if isinstance(one, Estimate)},
    }


def keep_evaluation(run: Run, record: EvaluationRecord) -> bool:
    """Write the record into the run folder; False where nobody may write there."""
    if not os.access(run.path, os.W_OK):
        return False
    write_json(run.path / FILE, record.model_dump(mode="json"))
    return True


def kept_evaluation(run: Run) -> EvaluationRecord | None:
    """What was found last, None where the run was not evaluated; raises `FileError` for a damaged record."""
    path = run.path / FILE
    if not path.exists():
        return None
    try:
        return EvaluationRecord.model_validate(read_json(path, "evaluation record"))
    except ValidationError as error:
        raise FileError(f"{path}: this evaluation record is damaged: {first_problem(error)}") from error


def shown_value(value: float | None) -> str:
    """A value for a table."""
    if value is None:
        return "-"
    return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"


def columns_of(rows: list[RowEntry], settings: TrainingSettings) -> dict[str, str]:
    """The columns of a table of what is measured on images: their names, and what stands above them."""
    task = task_named(settings.task)
    headings = {**task.headings, **modality(settings.modality).headings}
    held = {name: f"{one.title} {task.score.unit}".rstrip() for name, one in rows[0].held_against.items()}
    return {name: held.get(name, headings.get(name, name)) for name in rows[0].values}


class OpticsTable(NamedTuple):
    """Figures of merit of the optics: a header, a row for each system, and lines that say what they mean, and why some
    are not evaluated."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    explanations: list[str]
    not_evaluated: list[str]


def optics_table(rows: Sequence[RowEntry], kind: Modality) -> OpticsTable:
    """What stands of the optics of systems, in words and numbers for people."""
    headings, meanings = headings_of(kind), explanations_of(kind)
    names = list(dict.fromkeys(name for row in rows for name in row.optics))
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, why in row.not_evaluated.items():
            reasons.setdefault((name, why), []).append(row.name)
    return OpticsTable(
        ("optics", *(headings.get(name, name) for name in names)),
        [(row.name, *(row.optics_text(name) for name in names)) for row in rows],
        [f"{headings.get(name, name)}: {meanings[name]}" for name in names if name in meanings],
        [
            f"{headings.get(name, name)} not evaluated ({', '.join(systems)}): {why}"
            for (name, why), systems in reasons.items()
        ],
    )

"""What `evaluate` found last, kept in the run folder for the report."""

import math
import os
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError

from cidesign.distill.evaluate import Winner
from cidesign.distill.tasks import task_named
from cidesign.errors import FileError
from cidesign.files import read_json, write_json
from cidesign.modality import modality
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
    """A reconstruction without training; see `cidesign.distill.evaluate.Held`."""

    title: Line
    score: Value
    images: Count
    difference: Value
    standard_error: Annotated[NotNegative | None, BeforeValidator(_finite)]
    wins: Winner


class RowEntry(Strict):
    """One system: metrics of its images and of its optics, and what is held against its network."""

    name: Line
    images: dict[str, Value]
    held_against: dict[str, HeldEntry]
    optics: dict[str, Value]

    @property
    def values(self) -> dict[str, float | None]:
        """What stands in its row, by the names of the columns."""
        return {**self.images, **{name: one.score for name, one in self.held_against.items()}, **self.optics}


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
    """The columns of a table of rows: their names, and what stands above them."""
    task = task_named(settings.task)
    headings = {**task.headings, **modality(settings.modality).headings}
    held = {name: f"{one.title} {task.score.unit}".rstrip() for name, one in rows[0].held_against.items()}
    return {name: held.get(name, headings.get(name, name)) for name in rows[0].values}

"""What a report shows of `reconstruction.json`, with typed fields.

A record of version 2 is checked as that of its modality first.  Records of version 1 had no schema: what of them has
the form that is shown is taken, and the rest left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from cidesign.calibration.verify import BenchCheck, NotLookedAt, Verdict
from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import read_json
from cidesign.reconstruct.record import RECORD_FILE, SCHEMA_VERSION, ClassesEntry
from cidesign.reconstruct.stored import record_of
from cidesign.records import first_problem

Plain = bool | str | int | float
Row = dict[str, Plain | None]
# Shown in other words, or of no use to readers.
SAID_ELSEWHERE = {"schema_version", "kind", "verdict"}


def _is_plain(value: object) -> bool:
    return isinstance(value, Plain)


def _row(value: object) -> Row:
    """The plain values of an entry; what is nested stays in the file."""
    return {str(k): v for k, v in value.items() if v is None or _is_plain(v)} if isinstance(value, dict) else {}


def _rows(value: object) -> list[Row]:
    """Entries in a list, or by the names of images."""
    if isinstance(value, dict):
        return [{"image": str(name), **_row(one)} for name, one in value.items() if isinstance(one, dict)]
    return [_row(one) for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(value: object) -> dict[str, str]:
    return {str(k): v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def _notes(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _plain_or_none(value: object) -> Plain | None:
    return value if isinstance(value, Plain) else None


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _object_or_none(value: object) -> object:
    return value if isinstance(value, dict) else None


Rows = Annotated[list[Row], BeforeValidator(_rows)]
Texts = Annotated[dict[str, str], BeforeValidator(_texts)]
Text = Annotated[str | None, BeforeValidator(_text_or_none)]
Fact = Annotated[Plain | None, BeforeValidator(_plain_or_none)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ShownHeldOut(_Lenient):
    """Held-out readings, or lines."""

    images: Rows = Field(default_factory=list)
    meaning: Text = None
    error_over_wrong_order: Fact = None
    relative_residual: Annotated[Fact, Field(validation_alias=AliasChoices("relative_residual", "unexplained"))] = None


class _Checks(_Lenient):
    checks: list[BenchCheck] = Field(default_factory=list)


class _Verification(_Lenient):
    capture: _Checks | None = None


class ShownRecord(_Lenient):
    """What is shown: `plain` are the facts of the record itself, `trust` what is said of errors, by kind and name."""

    design_digest: Fact = None
    calibration: Fact = None
    images: Rows = Field(default_factory=list)
    table: Rows = Field(default_factory=list)
    maps: Texts = Field(default_factory=dict)
    pictures: Texts = Field(default_factory=dict)
    notes: Annotated[list[str], BeforeValidator(_notes)] = Field(default_factory=list)
    verdict: Verdict | None = None
    not_looked_at: list[NotLookedAt] = Field(default_factory=list)
    checks: list[BenchCheck] = Field(default_factory=list)
    verification: _Verification = _Verification()
    classes: ClassesEntry | None = None
    held_out: Annotated[ShownHeldOut | None, BeforeValidator(_object_or_none)] = None
    plain: dict[str, Plain] = Field(default_factory=dict)
    trust: dict[str, dict[str, Plain]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _sorted(cls, raw: Mapping[str, object]) -> dict[str, object]:
        trust = {name: _row(raw.get(name)) for name in ("disagreement", "uncertainty", "error_over_uncertainty")}
        return {
            **raw,
            "plain": {name: one for name, one in raw.items() if _is_plain(one) and name not in SAID_ELSEWHERE},
            "trust": {name: {k: v for k, v in row.items() if v is not None} for name, row in trust.items()},
            # Held-out lines of a scan had a name of their own once.
            "held_out": raw.get("held_out", raw.get("held_back")),
        }

    @property
    def of_capture(self) -> list[Check]:
        """The checks of the capture; in early records of scans they stand within the verification."""
        within = self.verification.capture
        return self.checks or ([] if within is None else within.checks)


def shown_record(folder: Path) -> ShownRecord:
    """The record of a reconstruction folder; raises `FileError` for one that is missing, damaged or newer."""
    raw = read_json(folder / RECORD_FILE, "reconstruction record")
    version = raw.get("schema_version", 1)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise FileError(
            f"{folder}: {RECORD_FILE} has schema version {version}, this program reads {SCHEMA_VERSION}; "
            "update cidesign"
        )
    try:
        if version == SCHEMA_VERSION:
            record_of(raw)
        return ShownRecord.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{folder / RECORD_FILE}: {first_problem(error)}; reconstruct again") from error

"""The manifest of an MRI export: what every file is, its hash, what was asked for, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, JsonValue, model_serializer, model_validator

from cidesign.checks import Check
from cidesign.errors import InputError
from cidesign.export.manifest import ExportManifest, FileEntry, profile_in, read_as
from cidesign.export.mri.blocks import NS_PER_MS, Acquisition, MriPlan
from cidesign.export.mri.protocol import GreProtocol, ScanProtocol, TseProtocol
from cidesign.export.mri.results import STATUSES, entry, words
from cidesign.export.options import fitting
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.records import Strict

Role = Literal[
    "pulseq-1.5.0",
    "pulseq-1.4.1",
    "ismrmrd",
    "bart-mask",
    "bart-trajectory",
    "npy-trajectory",
    "lines-csv",
    "points-csv",
    "record-json",
    "lines-mat",
    "design",
]
_P = TypeVar("_P", bound=ScanProtocol)
Count = Annotated[int, Field(ge=0, le=10_000_000)]
TimeMs = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class MriFile(FileEntry):
    """One file of the folder."""

    role: Role


class FileCheck(Check):
    """One check of one file, as it stood when the export was written; in the record under the names of `entry`."""

    file: str
    value: str
    limit: str
    source: str

    @model_validator(mode="before")
    @classmethod
    def _from_entry(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "check" not in given:
            return given
        values = dict(given)
        values["name"] = values.pop("check")
        values["status"] = STATUSES.get(str(values.get("status")), values.get("status"))
        values["text"] = words(str(values.get("value")), str(values.get("limit")))
        return values

    @model_serializer
    def _entry(self) -> dict[str, object]:
        return {"file": self.file, **entry(self)}


class ScanTimes(Strict):
    """What is played: times in ms, counts, and how the number of dummies came about."""

    te_ms: TimeMs
    tr_ms: TimeMs
    echo_spacing_ms: TimeMs | None
    total_ms: TimeMs
    dwell_us: TimeMs
    samples: Count
    dummies: Count
    dummies_reason: str
    acceleration: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ScanRecord(ScanTimes):
    """What is played, with shot, echo and line of each readout in order."""

    acquisitions: tuple[tuple[Count, Count, Count], ...]

    @property
    def lines(self) -> list[int]:
        """The lines in the order in which they are measured."""
        return [line for _, _, line in self.acquisitions]


class ScanManifest(ExportManifest):
    """What `manifest.json` holds of a scan of any kind."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$")]
    versions: dict[str, str]
    formats: tuple[str, ...]
    protocol: dict[str, JsonValue]
    scan: ScanTimes
    checks: tuple[FileCheck, ...]
    notes: tuple[str, ...]
    files: dict[str, MriFile]

    def scanner_profile(self, where: Path) -> MriProfile:
        """The manifest's own copy of the profile; its digest is checked."""
        return profile_in(where, self, MriProfile)

    def files_of(self, *roles: Role) -> list[str]:
        """The names of the files with one of these roles."""
        return [name for name, record in self.files.items() if record.role in roles]


class MriManifest(ScanManifest):
    """The content of `manifest.json` of an export of lines."""

    kind: Literal["mri-export"]
    scan: ScanRecord


def scan_times(plan: MriPlan, acceleration: float) -> dict[str, Any]:
    """What a plan plays, as fields of `ScanTimes`."""
    return {
        "te_ms": plan.te_ns / NS_PER_MS,
        "tr_ms": plan.tr_ns / NS_PER_MS,
        "echo_spacing_ms": None if plan.echo_spacing_ns is None else plan.echo_spacing_ns / NS_PER_MS,
        "total_ms": plan.total_ns / NS_PER_MS,
        "dwell_us": plan.dwell_ns / 1000,
        "samples": plan.samples,
        "dummies": plan.dummies,
        "dummies_reason": plan.dummies_reason,
        "acceleration": acceleration,
    }


def scan_record(plan: MriPlan, acceleration: float) -> ScanRecord:
    """What a plan of lines plays."""
    acquisitions = tuple((one.shot, one.echo, one.line) for one in plan.acquisitions)
    return ScanRecord(**scan_times(plan, acceleration), acquisitions=acquisitions)


def acquisitions_of(record: ScanRecord) -> list[Acquisition]:
    """The acquisitions of a record."""
    return [Acquisition(*row) for row in record.acquisitions]


def protocol_record(protocol: ScanProtocol) -> dict[str, JsonValue]:
    """The protocol with its kind, as JSON."""
    return {"kind": protocol.kind, **asdict(protocol)}


def protocol_from(record: Mapping[str, Any]) -> GreProtocol | TseProtocol:
    """The protocol of lines in a record; raises `InputError` for an unknown kind, name or value."""
    types: tuple[type[GreProtocol | TseProtocol], ...] = (GreProtocol, TseProtocol)
    return protocol_of(record, types)


def protocol_of(record: Mapping[str, Any], types: Sequence[type[_P]]) -> _P:
    """The protocol of a record, of one of several types; raises `InputError` for an unknown kind, name or value."""
    values = dict(record)
    kind = values.pop("kind", None)
    kinds: dict[object, type[_P]] = {one.kind: one for one in types}
    if kind not in kinds:
        raise InputError(f"protocol: the sequence {kind!r} is not one of {', '.join(map(str, kinds))}")
    protocol_type = kinds[kind]
    values = fitting(protocol_type, values, f"a {kind} protocol")
    missing = [one.name for one in fields(protocol_type) if one.default is MISSING and one.name not in values]
    if missing:
        raise InputError(f"protocol: {', '.join(missing)} must be given")
    return protocol_type(**values)


def read_mri_manifest(folder: Path) -> MriManifest:
    """Read `manifest.json`; raises `FileError` when it is missing, damaged, of another kind or version."""
    return read_as(folder, MriManifest)

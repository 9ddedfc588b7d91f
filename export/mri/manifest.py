"""The manifest of an MRI export: what every file is, its hash, what was asked for, and what came of it."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from cidesign import __version__
from cidesign.errors import FileError, InputError
from cidesign.export.folder import MANIFEST_NAME
from cidesign.export.mri.blocks import NS_PER_MS, Acquisition, MriPlan
from cidesign.export.mri.check_line import CheckLine, Status
from cidesign.export.mri.protocol import GreProtocol, Protocol, TseProtocol
from cidesign.files import inside, read_json, sha256_file, write_json
from cidesign.hardware_profiles.loader import validate_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.records import Digest, Strict, first_problem

SCHEMA_VERSION = 1
MANIFEST_KIND = "mri-export"
Role = Literal[
    "pulseq-1.5.0",
    "pulseq-1.4.1",
    "ismrmrd",
    "bart-mask",
    "bart-trajectory",
    "lines-csv",
    "record-json",
    "lines-mat",
    "design",
]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
TimeMs = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class MriFile(Strict):
    """One file of the folder."""

    sha256: Digest
    bytes: Annotated[int, Field(ge=0, le=2**40)]
    role: Role


class CheckRecord(Strict):
    """One check of one file, as it stood when the export was written."""

    file: str
    check: str
    status: Status
    value: str
    limit: str
    source: str


# What a failure would be of is not kept: an export with failures is not written.
_RECORDED = ("check", "status", "value", "limit", "source")


class ScanRecord(Strict):
    """What is played: times in ms, counts, and how the number of dummies came about."""

    te_ms: TimeMs
    tr_ms: TimeMs
    echo_spacing_ms: TimeMs | None
    total_ms: TimeMs
    dwell_us: TimeMs
    samples: Count
    dummies: Count
    dummies_reason: str
    acceleration: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    acquisitions: tuple[tuple[Count, Count, Count], ...]

    @property
    def lines(self) -> list[int]:
        """The lines in the order in which they are measured."""
        return [line for _, _, line in self.acquisitions]


class MriManifest(Strict):
    """The content of `manifest.json` of an MRI export."""

    schema_version: Literal[1]
    kind: Literal["mri-export"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$")]
    cidesign_version: str
    versions: dict[str, str]
    created_utc: str
    profile_id: str
    profile_digest: Digest
    profile: dict[str, Any]
    design_digest: Digest
    formats: tuple[str, ...]
    protocol: dict[str, Any]
    scan: ScanRecord
    checks: tuple[CheckRecord, ...]
    notes: tuple[str, ...]
    files: dict[str, MriFile]

    def scanner_profile(self, where: Path) -> MriProfile:
        """The manifest's own copy of the profile; its digest is checked."""
        profile = validate_profile(self.profile, str(where / MANIFEST_NAME))
        if not isinstance(profile, MriProfile):
            raise FileError(f"{where}: {MANIFEST_NAME} holds a profile of kind {profile.kind}, not of a scanner")
        if profile.digest != self.profile_digest or profile.id != self.profile_id:
            raise FileError(f"{where}: the profile inside {MANIFEST_NAME} was changed after the export")
        return profile

    def files_of(self, *roles: Role) -> list[str]:
        """The names of the files with one of these roles."""
        return [name for name, record in self.files.items() if record.role in roles]


def scan_record(plan: MriPlan, acceleration: float) -> ScanRecord:
    """What a plan plays."""
    return ScanRecord(
        te_ms=plan.te_ns / NS_PER_MS,
        tr_ms=plan.tr_ns / NS_PER_MS,
        echo_spacing_ms=None if plan.echo_spacing_ns is None else plan.echo_spacing_ns / NS_PER_MS,
        total_ms=plan.total_ns / NS_PER_MS,
        dwell_us=plan.dwell_ns / 1000,
        samples=plan.samples,
        dummies=plan.dummies,
        dummies_reason=plan.dummies_reason,
        acceleration=acceleration,
        acquisitions=tuple((shot, echo, line) for shot, echo, line in plan.acquisitions),
    )


def acquisitions_of(record: ScanRecord) -> list[Acquisition]:
    """The acquisitions of a record."""
    return [Acquisition(*row) for row in record.acquisitions]


def check_records(file: str, lines: list[CheckLine]) -> list[CheckRecord]:
    """Checks of a file, for the manifest."""
    return [CheckRecord(file=file, **{name: getattr(line, name) for name in _RECORDED}) for line in lines]


def protocol_record(protocol: Protocol) -> dict[str, Any]:
    """The protocol with its kind, as JSON."""
    return {"kind": protocol.kind, **asdict(protocol)}


def protocol_from(record: Mapping[str, Any]) -> GreProtocol | TseProtocol:
    """The protocol of a record; raises `InputError` for an unknown kind, name or value."""
    values = dict(record)
    kind = values.pop("kind", None)
    kinds: dict[object, type[GreProtocol] | type[TseProtocol]] = {"gre": GreProtocol, "tse": TseProtocol}
    if kind not in kinds:
        raise InputError(f"protocol: the sequence {kind!r} is not one of {', '.join(map(str, kinds))}")
    try:
        return kinds[kind](**values)
    except TypeError as error:
        raise InputError(f"protocol: {error}".replace("__init__() ", "")) from error


def record_file(path: Path, role: Role) -> MriFile:
    """Hash a file that something else has written."""
    return MriFile(sha256=sha256_file(path), bytes=path.stat().st_size, role=role)


def write_mri_manifest(folder: Path, manifest: MriManifest) -> None:
    """Write `manifest.json` in one step."""
    write_json(folder / MANIFEST_NAME, manifest.model_dump(mode="json"))


def read_mri_manifest(folder: Path) -> MriManifest:
    """Read `manifest.json`; raises `FileError` when it is missing, damaged, of another kind or version."""
    if not (folder / MANIFEST_NAME).is_file():
        raise FileError(
            f"{folder}: no export is in this folder ({MANIFEST_NAME} is missing); write one with `cidesign export RUN`"
        )
    raw = read_json(folder / MANIFEST_NAME, "export manifest")
    if raw.get("kind") != MANIFEST_KIND:
        raise FileError(f"{folder}: this is an export of kind {raw.get('kind')!r}, not {MANIFEST_KIND}")
    if raw.get("schema_version") != SCHEMA_VERSION:
        raise FileError(
            f"{folder}: {MANIFEST_NAME} has schema version {raw.get('schema_version')!r}, cidesign {__version__} reads "
            f"{SCHEMA_VERSION}; use the version of cidesign that wrote it"
        )
    try:
        return MriManifest.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{folder}: {MANIFEST_NAME} is damaged: {first_problem(error)}") from error


def check_mri_files(folder: Path, manifest: MriManifest) -> None:
    """Raise `FileError` unless the folder holds exactly the files that the manifest names, unchanged."""
    for name, record in manifest.files.items():
        path = inside(folder, name, "export manifest")
        if not path.is_file():
            raise FileError(f"{folder}: {name} is missing; export again")
        found_bytes = path.stat().st_size
        if found_bytes != record.bytes:
            raise FileError(f"{path}: has {found_bytes} bytes, the manifest says {record.bytes}; export again")
        if sha256_file(path) != record.sha256:
            raise FileError(f"{path}: file edited after export (its SHA-256 does not fit); export again")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    extra = sorted(found - set(manifest.files) - {MANIFEST_NAME})
    if extra:
        raise FileError(f"{folder}: {extra[0]} is not in {MANIFEST_NAME}; remove it, or export again")

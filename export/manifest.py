"""The record of every export folder: what each file is, its hash, and the device and design that it is for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import Field, JsonValue, ValidationError

from cidesign import __version__
from cidesign.errors import FileError, LimitError
from cidesign.export.folder import DESIGN_NAME, MANIFEST_NAME
from cidesign.files import inside, read_json, require_folder, sha256_file, write_json
from cidesign.hardware_profiles.loader import validate_profile
from cidesign.hardware_profiles.sourced import HardwareProfile
from cidesign.pattern import Design
from cidesign.records import Digest, Strict, first_problem, now_utc

SCHEMA_VERSION = 1
Size = Annotated[int, Field(ge=0, le=2**40)]


class FileEntry(Strict):
    """One file of the folder: its hash, its length in bytes, and what it is."""

    sha256: Digest
    bytes: Size
    role: str


class ExportManifest(Strict):
    """What every `manifest.json` holds; a device family adds what its files need."""

    # What such a folder is called, for people.
    called: ClassVar[str] = "export"

    schema_version: Literal[1]
    kind: str
    cidesign_version: str
    created_utc: str
    profile_id: str
    profile_digest: Digest
    profile: dict[str, JsonValue]
    design_digest: Digest
    files: Mapping[str, FileEntry]

    @property
    def run_digest(self) -> str:
        """The digest of the design of the run that was exported."""
        return self.design_digest

    def unsaid(self) -> set[str]:
        """The fields that are left out of the file because they have nothing to say."""
        return set()


_M = TypeVar("_M", bound=ExportManifest)
_D = TypeVar("_D", bound=Design)
_P = TypeVar("_P", bound=HardwareProfile)


def common_fields(design: Design, profile: HardwareProfile) -> dict[str, Any]:
    """What every manifest says of its design and profile, beside `kind` and `files`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "cidesign_version": __version__,
        "created_utc": now_utc(),
        "profile_id": profile.id,
        "profile_digest": profile.digest,
        "profile": profile.model_dump(mode="json", exclude_none=True),
        "design_digest": design.design_digest,
    }


def write_manifest(folder: Path, manifest: ExportManifest) -> None:
    """Write `manifest.json` in one step."""
    write_json(folder / MANIFEST_NAME, manifest.model_dump(mode="json", exclude=manifest.unsaid()))


def kind_in(folder: Path) -> str | None:
    """The kind that the manifest of a folder names, whatever else it holds; None where it names none."""
    kind = read_json(folder / MANIFEST_NAME, "export manifest").get("kind")
    return kind if isinstance(kind, str) else None


def read_as(folder: Path, manifest_type: type[_M]) -> _M:
    """Read `manifest.json` as one of a type.

    Raises `FileError` when it is missing, damaged, or of another kind or version.
    """
    called = manifest_type.called
    require_folder(folder, f"{called} folder", f"make one with `cidesign export RUN --out {folder}`")
    if not (folder / MANIFEST_NAME).is_file():
        raise FileError(
            f"{folder}: no {called} is in this folder ({MANIFEST_NAME} is missing); write one with "
            "`cidesign export RUN`"
        )
    raw = read_json(folder / MANIFEST_NAME, "export manifest")
    kinds = get_args(manifest_type.model_fields["kind"].annotation)
    if raw.get("kind") not in kinds:
        raise FileError(f"{folder}: this is an export of kind {str(raw.get('kind'))[:60]!r}, not {' or '.join(kinds)}")
    if raw.get("schema_version") != SCHEMA_VERSION:
        raise FileError(
            f"{folder}: {MANIFEST_NAME} has schema version {raw.get('schema_version')!r}, cidesign {__version__} reads "
            f"{SCHEMA_VERSION}; use the version of cidesign that wrote it"
        )
    try:
        return manifest_type.model_validate(raw)
    except (ValidationError, RecursionError) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else "nested too deeply"
        raise FileError(f"{folder}: {MANIFEST_NAME} is damaged: {problem}") from error


def profile_in(folder: Path, manifest: ExportManifest, profile_type: type[_P]) -> _P:
    """The manifest's own copy of the profile; raises `FileError` unless its digest fits and it is one of a type."""
    profile: Any = validate_profile(manifest.profile, str(folder / MANIFEST_NAME))
    if not isinstance(profile, profile_type):
        raise FileError(
            f"{folder}: {MANIFEST_NAME} holds a profile of kind {profile.kind}, which its files are not for"
        )
    if profile.digest != manifest.profile_digest or profile.id != manifest.profile_id:
        raise FileError(f"{folder}: the profile inside {MANIFEST_NAME} was changed after the export")
    return profile


def profile_to_check(own: _P, asked: _P | None, where: object, otherwise: str) -> _P:
    """The profile to check against, `asked` or else `own`; raises `LimitError` when `asked` is another device."""
    if asked is None:
        return own
    if asked.id != own.id:
        raise LimitError(f"{where}: designed for {own.id}, not for {asked.id}; leave out --profile, or {otherwise}")
    return asked


def design_in(folder: Path, manifest: ExportManifest, design_type: type[_D]) -> _D:
    """The design in an export folder; raises `FileError` unless it is the one that the manifest names."""
    design = design_type.load(inside(folder, DESIGN_NAME, "export manifest"))
    if design.design_digest != manifest.design_digest or design.profile_digest != manifest.profile_digest:
        raise FileError(f"{folder}: {DESIGN_NAME} is not the design that the manifest names (their digests differ)")
    return design


def check_files(folder: Path, manifest: ExportManifest) -> None:
    """Raise `FileError` unless the folder holds exactly the files that the manifest names, unchanged."""
    for name, record in manifest.files.items():
        path = inside(folder, name, "export manifest")
        if not path.is_file():
            raise FileError(f"{folder}: {name} is missing; export again")
        found_bytes = path.stat().st_size
        if found_bytes != record.bytes:
            raise FileError(
                f"{path}: was changed after it was exported (its SHA-256 does not fit: it has {found_bytes} bytes, the "
                f"manifest says {record.bytes}); export again"
            )
        if sha256_file(path) != record.sha256:
            raise FileError(f"{path}: was changed after it was exported (its SHA-256 does not fit); export again")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    extra = sorted(found - set(manifest.files) - {MANIFEST_NAME})
    if extra:
        raise FileError(f"{folder}: {extra[0]} is not in {MANIFEST_NAME}; remove it, or export again")

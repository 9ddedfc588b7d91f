"""The manifest of an export folder: what every file is, its hash, and when each frame is shown."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from cidesign import __version__
from cidesign.errors import FileError
from cidesign.export.folder import MANIFEST_NAME
from cidesign.files import inside, read_json, require_folder, sha256_file, write_json
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import validate_profile
from cidesign.pattern import Encoding, FrameRole
from cidesign.records import Digest, Strict, first_problem

SCHEMA_VERSION = 1

Index = Annotated[int, Field(ge=0, le=100_000)]
TimeUs = Annotated[int, Field(ge=0, le=1_000_000_000)]
Half = Literal[0, 1]
Compression = Literal["none", "rle", "erle"]
Role = Literal[
    "image",
    "hdmi-frame",
    "planes",
    "sequence-table",
    "image-table",
    "gui-settings",
    "batch",
    "sidecar",
    "preview",
    "design",
]


class FileRecord(Strict):
    """One file of the folder: its hash, its length and what it is.

    `image` numbers the device images; `half` is 0 for the primary controller and 1 for the secondary, None where
    there is one; `compression` is how a DLPC900 image is coded.
    """

    sha256: Digest
    bytes: Annotated[int, Field(ge=0, le=2**40)]
    role: Role
    image: Index | None = None
    half: Half | None = None
    compression: Compression | None = None


class EntryRecord(Strict):
    """One displayed frame: frame `frame` shows pattern `pattern` (`+`), its complement (`-`), all `on` or `off` (-1).

    It lies in planes `planes` of image `image`, least significant level bit first.
    """

    frame: Index
    pattern: Annotated[int, Field(ge=-1, le=100_000)]
    role: FrameRole
    image: Index
    slot: Annotated[int, Field(ge=0, le=23)]
    planes: tuple[Annotated[int, Field(ge=0, le=23)], ...]
    loads_image: bool
    exposure_us: TimeUs
    period_us: TimeUs


class TimingRecord(Strict):
    """What was asked for beside what is done; None where the shortest legal value was left to the plan."""

    mode: Literal["fixed_exposure", "variable_exposure"] | None
    requested_exposure_us: float | None
    requested_period_us: float | None
    exposure_us: TimeUs
    total_us: Annotated[int, Field(ge=0, le=10**15)]
    notes: tuple[str, ...]


class GridRecord(Strict):
    """The super-pixels on the mirrors: `side` x `side` squares of `side_columns` column pitches each."""

    side: Index
    side_columns: Index
    side_um: float | None
    columns: Index
    rows: Index
    lattice: str


class FlipRecord(Strict):
    """The device's own flips and inversion that the files are written for; all off."""

    long_axis: Literal[False] = False
    short_axis: Literal[False] = False
    inverted: Literal[False] = False


class Manifest(Strict):
    """The content of `manifest.json`; `polarity` 1: a level of 1 is an on mirror.

    `sync_every` and `patterns_digest` are there only where the design carries sync frames: how many patterns lie
    between them, and the digest of the design without them, which is the run's.
    """

    schema_version: Literal[1]
    kind: Literal["export"]
    format: str
    cidesign_version: str
    created_utc: str
    profile_id: str
    profile_digest: Digest
    profile: dict[str, Any]
    design_digest: Digest
    patterns_digest: Digest | None = None
    sync_every: Annotated[int, Field(ge=1, le=100_000)] | None = None
    bit_depth: Annotated[int, Field(ge=1, le=8)]
    encoding: Encoding
    polarity: Literal[1]
    plane_order: str
    grid: GridRecord
    flips: FlipRecord
    timing: TimingRecord
    images: Index
    entries: tuple[EntryRecord, ...]
    notes: tuple[str, ...]
    files: dict[str, FileRecord]

    @property
    def run_digest(self) -> str:
        """The digest of the design of the run that was exported: without sync frames."""
        return self.patterns_digest or self.design_digest

    def device_profile(self, where: Path) -> DmdProfile:
        """The manifest's own copy of the profile; its digest is checked."""
        profile = validate_profile(self.profile, str(where / MANIFEST_NAME))
        if not isinstance(profile, DmdProfile):
            raise FileError(f"{where}: {MANIFEST_NAME} holds a profile of kind {profile.kind}, not of a DMD")
        if profile.digest != self.profile_digest or profile.id != self.profile_id:
            raise FileError(f"{where}: the profile inside {MANIFEST_NAME} was changed after the export")
        return profile

    def image_files(self) -> list[str]:
        """The names of the device images in the order of their numbers and halves."""
        images = [
            (record.image, record.half or 0, name)
            for name, record in self.files.items()
            if record.role == "image" and record.image is not None
        ]
        return [name for _, _, name in sorted(images)]


def record_file(path: Path, role: Role) -> FileRecord:
    """Hash a file that something else has written."""
    return FileRecord(sha256=sha256_file(path), bytes=path.stat().st_size, role=role)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` in one step."""
    absent = {"patterns_digest", "sync_every"} if manifest.sync_every is None else set()
    write_json(folder / MANIFEST_NAME, manifest.model_dump(mode="json", exclude=absent))


def read_manifest(folder: Path) -> Manifest:
    """Read `manifest.json`; raises `FileError` when it is missing, damaged or of another version."""
    require_folder(folder, "export folder", f"make one with `cidesign export RUN --out {folder}`")
    if not (folder / MANIFEST_NAME).exists():
        raise FileError(
            f"{folder}: no export is in this folder ({MANIFEST_NAME} is missing); write one with `cidesign export RUN`"
        )
    raw = read_json(folder / MANIFEST_NAME, "export manifest")
    version = raw.get("schema_version")
    if version != SCHEMA_VERSION:
        raise FileError(
            f"{folder}: {MANIFEST_NAME} has schema version {version!r}, cidesign {__version__} reads "
            f"{SCHEMA_VERSION}; use the version of cidesign that wrote it"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{folder}: {MANIFEST_NAME} is damaged: {first_problem(error)}") from error


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raise `FileError` unless the folder holds exactly the files that the manifest names, unchanged."""
    for name, record in manifest.files.items():
        path = inside(folder, name, "export manifest")
        if not path.is_file():
            raise FileError(f"{folder}: {name} is missing; export again")
        if path.stat().st_size != record.bytes:
            raise FileError(f"{path}: has {path.stat().st_size} bytes, the manifest says {record.bytes}; export again")
        if sha256_file(path) != record.sha256:
            raise FileError(f"{path}: was changed after it was exported (its SHA-256 does not fit); export again")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    extra = sorted(found - set(manifest.files) - {MANIFEST_NAME})
    if extra:
        raise FileError(f"{folder}: {extra[0]} is not in {MANIFEST_NAME}; remove it, or export again")

"""The folder of a design that was not learnt: read from somebody's files, or fixed.  It is checked and exported like a
run's.

DESIGN/design.json   what it is: profile, files it came from, how they were understood, options
DESIGN/design.npz    the design
DESIGN/preview.png   what was understood of files, as a picture
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue, ValidationError

from cidesign import __version__
from cidesign.errors import FileError, InputError
from cidesign.export.family import family_for
from cidesign.export.own_design import OwnDesign
from cidesign.files import read_json, refuse_existing, replacing_folder, require_folder, write_bytes, write_json
from cidesign.hardware_profiles.loader import validate_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality_for
from cidesign.pattern import Design
from cidesign.records import Digest, Strict, first_problem, now_utc

SCHEMA_VERSION = 1
RECORD_FILE, DESIGN_FILE, PREVIEW_FILE = "design.json", "design.npz", "preview.png"


class Source(Strict):
    """A file that a design was read from."""

    name: str
    sha256: Digest


class DesignRecord(Strict):
    """The content of `design.json`."""

    schema_version: Literal[1]
    kind: Literal["design"]
    created_utc: str
    cidesign_version: str
    profile: dict[str, JsonValue]
    profile_digest: Digest
    design_digest: Digest
    sources: tuple[Source, ...]
    options: dict[str, JsonValue]
    said: tuple[str, ...]


class DesignFolder:
    """An opened design folder; raises `FileError` when something in it is missing, damaged or of another version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        require_folder(path, "design folder", f"make one with `cidesign design FILE --profile NAME --out {path}`")
        raw = read_json(path / RECORD_FILE, "design record")
        version = raw.get("schema_version")
        if version != SCHEMA_VERSION:
            raise FileError(
                f"{path}: {RECORD_FILE} has schema version {version!r}, cidesign {__version__} reads {SCHEMA_VERSION}; "
                "use the version of cidesign that wrote it"
            )
        try:
            self.record = DesignRecord.model_validate(raw)
        except ValidationError as error:
            raise FileError(f"{path}: {RECORD_FILE} is damaged: {first_problem(error)}") from error

    @cached_property
    def profile(self) -> HardwareProfile:
        """The folder's own copy of the profile; its digest is checked."""
        profile = validate_profile(self.record.profile, str(self.path / RECORD_FILE))
        if profile.digest != self.record.profile_digest:
            raise FileError(f"{self.path}: the profile inside {RECORD_FILE} was changed (its digest does not fit)")
        return profile

    @cached_property
    def design(self) -> Design:
        """The design; its digest is checked against the record."""
        found: Design = family_for(self.profile).load_design(self.path / DESIGN_FILE)
        if found.design_digest != self.record.design_digest:
            raise FileError(
                f"{self.path}: {DESIGN_FILE} is not the design that {RECORD_FILE} names (their digests differ)"
            )
        return found


def is_design_folder(path: Path) -> bool:
    """Whether a folder holds a design of somebody's files, rather than a run."""
    return (path / RECORD_FILE).is_file()


def read_files(files: Sequence[Path], profile: HardwareProfile, options: Mapping[str, Any] = {}) -> OwnDesign:
    """The design in files of a device's patterns, mask or lines, or the one that a scan was made with.

    Raises as `write_design` does.
    """
    # It chooses who reads, and is no option of theirs.
    sampling, own = options.get("sampling"), {name: value for name, value in options.items() if name != "sampling"}
    found = modality_for(profile, sampling).scanned_design(files, profile, own)
    return family_for(profile, sampling).read_own(files, profile, own) if found is None else found


def write_design(
    files: Sequence[Path],
    profile: HardwareProfile,
    out: Path,
    options: Mapping[str, Any] = {},
    force: bool = False,
) -> DesignFolder:
    """Read somebody's files, or a scan's own sampling, as a design for a device, and write it as a design folder.

    Nothing is left of a failure.

    `options` say what the files leave open.  Raises `InputError` where they can be read in several ways, naming them
    and the option that decides, `LimitError` for what the device cannot do, and `FileError` for damage.
    """
    if not files:
        raise InputError("no file of a design is named")
    refuse_existing(out, force)
    return write_folder(read_files(files, profile, options), profile, out, options, force)


def write_folder(
    found: OwnDesign, profile: HardwareProfile, out: Path, options: Mapping[str, Any], force: bool
) -> DesignFolder:
    """Write a design for a device as a design folder, without a picture where it has none; nothing of a failure."""
    record = DesignRecord(
        schema_version=1,
        kind="design",
        created_utc=now_utc(),
        cidesign_version=__version__,
        profile=profile.model_dump(mode="json"),
        profile_digest=profile.digest,
        design_digest=found.design.design_digest,
        sources=tuple(Source(name=name, sha256=digest) for name, digest in found.sources),
        options=dict(options),
        said=found.said,
    )
    with replacing_folder(out, force) as temporary:
        found.design.save(temporary / DESIGN_FILE)
        if found.preview_png:
            write_bytes(temporary / PREVIEW_FILE, found.preview_png)
        write_json(temporary / RECORD_FILE, record.model_dump(mode="json"))
        # Read again, as everybody else will.
        _ = DesignFolder(temporary).design
    return DesignFolder(out)

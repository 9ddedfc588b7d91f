"""How every export folder comes to be: filled, read back and compared, and only then given its name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from cidesign.errors import InputError
from cidesign.export.manifest import ExportManifest, FileEntry, write_manifest
from cidesign.files import replacing_folder, sha256_file
from cidesign.hardware_profiles.sourced import HardwareProfile
from cidesign.pattern import Design

_F = TypeVar("_F", bound=FileEntry)
_M = TypeVar("_M", bound=ExportManifest)


@dataclass(frozen=True)
class Output(Generic[_F]):
    """A folder that is being filled, and what each file in it is."""

    folder: Path
    entry_type: type[_F]
    files: dict[str, _F] = field(default_factory=dict)

    def record(self, name: str, role: str, **said: Any) -> None:
        """Take a file that was written into the folder into the record, with its hash."""
        path = self.folder / name
        self.files[name] = self.entry_type(sha256=sha256_file(path), bytes=path.stat().st_size, role=role, **said)


def require_own_profile(design: Design, profile: HardwareProfile, what: str) -> None:
    """Raise `InputError` unless a design is for this very profile; `what` begins the line (`mask: it was`)."""
    if design.profile_digest != profile.digest:
        raise InputError(
            f"{what} designed for {design.profile_id} (profile digest {design.profile_digest[:12]}), not for "
            f"{profile.id} ({profile.digest[:12]}); use the profile of the run"
        )


def write_export_folder(
    folder: Path, force: bool, fill: Callable[[Path], _M], verify: Callable[[Path], Iterable[object]]
) -> _M:
    """Have `fill` write the files into a hidden folder, add its manifest, `verify` all, and give it its name.

    Nothing is left, and what was there stays, when anything fails.  Raises `FileError` when `folder` exists (without
    `force`) or cannot be written, and what `fill` and `verify` raise.
    """
    with replacing_folder(folder, force) as temporary:
        manifest = fill(temporary)
        write_manifest(temporary, manifest)
        for _ in verify(temporary):
            pass
    return manifest

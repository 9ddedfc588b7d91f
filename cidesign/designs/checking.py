"""A run, an export or a single file against the limits of its device, whichever family that is of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cidesign.checks import Check, printed, remarked
from cidesign.constraints.rules import require
from cidesign.designs.exporting import open_exportable
from cidesign.designs.folder import DesignFolder, is_design_folder
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.export.family import AnyFamily, families, family_of, family_of_file, family_of_folder
from cidesign.export.folder import MANIFEST_NAME
from cidesign.files import JsonObject
from cidesign.hardware_profiles.loader import as_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.runs import Run
from cidesign.text import totals


class FoundAt(NamedTuple):
    """A check and the run, folder or file that it is of."""

    path: Path
    check: Check


@dataclass(frozen=True)
class CheckReport:
    """What a check found; `failure` is what is wrong with a single file, of which everything is reported."""

    path: Path
    found: tuple[FoundAt, ...]
    # The values for --json, and a text for people.
    value: JsonObject
    text: str
    failure: CidesignError | None = None
    # The run, and the export folders that were looked at.
    run: Path | None = None
    exports: tuple[Path, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; what was not evaluated is among the checks."""
        return self.failure is None

    def require_ok(self) -> None:
        """Raise what is wrong, where something is."""
        if self.failure is not None:
            raise self.failure


class Listener:
    """Hears of checks as they are made; this one does nothing with them."""

    def folder(self, path: Path) -> None:
        """An export folder is about to be checked."""

    def found(self, path: Path, check: Check) -> None:
        """Something was found."""


def check_path(
    path: Path,
    profile: str | HardwareProfile | None = None,
    settings: Mapping[str, Any] = {},
    listener: Listener | None = None,
) -> CheckReport:
    """Check a run folder (its design, and its exports where there are some), an export folder, or a single file.

    `profile` is checked against instead of the design's own, by its name or as it is; `settings` are those of the
    check of a single file.  A folder raises `LimitError` or `FileError` at the first thing that is wrong, a single
    sequence is reported on in full.  Raises `InputError` for a setting that is not known.
    """
    hears = listener or Listener()
    if path.is_file() or _of_frames(path):
        return _check_file(path, profile, hears, settings)
    if settings:
        name = next(iter(settings))
        raise InputError(f"--set {name}: is for a single file; a run or an export says all of it itself")
    if not path.exists():
        raise FileError(f"{path}: no such file or folder; name a run, a design, an export, or a file of one's own")
    is_run = (path / "run.json").is_file() or is_design_folder(path)
    exports = tuple(_export_folders(path / "export" if is_run else path))
    if not is_run and not exports:
        raise FileError(
            f"{path}: neither a run (run.json), a design (design.json) nor an export ({MANIFEST_NAME}); "
            f"export a run first with `cidesign export RUN --out {path}`"
        )
    found = []
    for one in _checked(path, is_run, exports, profile, hears):
        found.append(one)
        hears.found(*one)
    checks = [{"path": str(where), **printed(check)} for where, check in found]
    text = f"{path}: {totals([check.status for _, check in found])}"
    beside = path.parent if (path.parent / "run.json").is_file() else None
    value: JsonObject = {"path": str(path), "ok": True, "checks": checks}
    return CheckReport(path, tuple(found), value, text, None, path if is_run else beside, exports)


def _checked(
    path: Path, is_run: bool, exports: tuple[Path, ...], profile: str | HardwareProfile | None, hears: Listener
) -> Iterator[FoundAt]:
    if is_run:
        for check in _check_own(open_exportable(path), profile, exports):
            yield FoundAt(path, check)
    for folder in exports:
        hears.folder(folder)
        family = family_of_folder(folder)
        for check in family.verify_export(folder, _asked(profile, family)):
            yield FoundAt(folder, check)


def _of_frames(path: Path) -> bool:
    """Whether a folder is no run, design or export, but one of files that are checked as a whole."""
    if not path.is_dir() or (path / "run.json").is_file() or is_design_folder(path) or _export_folders(path):
        return False
    return any(one.holds_files(path) for one in families())


def _check_own(
    run: Run | DesignFolder, profile: str | HardwareProfile | None, exports: tuple[Path, ...]
) -> list[Check]:
    """Check a design against the rules of its device, and that its exports are of this design."""
    design = run.design
    settings: Mapping[str, Any] = {}
    said: tuple[str, ...] = ()
    if isinstance(run, Run):
        settings = modality(run.settings.modality).export_settings(run)
    else:
        said = run.record.said
    family = family_of(design)
    device = family.profile_for(run.profile, _asked(profile, family), str(run.path))
    checks = family.check_design(design, device, family.options((), settings), run.path)
    if isinstance(run, Run):
        require(modality(run.settings.modality).broken_requests(run))
    checks += [remarked("understood", text) for text in said]
    for folder in exports:
        if family_of_folder(folder).manifest(folder).run_digest != design.design_digest:
            raise FileError(
                f"{folder}: holds another design than {run.path}; repeat `cidesign export {run.path} --force`"
            )
    return checks


def _check_file(
    path: Path, profile: str | HardwareProfile | None, hears: Listener, settings: Mapping[str, Any]
) -> CheckReport:
    family = family_of_file(path)
    options = family.file_options(settings)
    done = family.check_file(path, _asked(profile, family), options, lambda check: hears.found(path, check))
    found = tuple(FoundAt(path, check) for check in done.checks)
    return CheckReport(path, found, done.value, done.text, done.failure)


def _asked(profile: str | HardwareProfile | None, family: AnyFamily) -> Any:
    """The profile that was asked for as one of the family; raises `InputError` for one of another."""
    return None if profile is None else as_profile(profile, family.profile_type, family.described)


def _export_folders(path: Path) -> list[Path]:
    if (path / MANIFEST_NAME).is_file():
        return [path]
    return sorted(manifest.parent for manifest in path.glob(f"*/{MANIFEST_NAME}"))

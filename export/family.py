"""What a device family says of itself.  General code asks it, and knows none by name.

A family is what is built, a modality what is measured: files belong to the family of the design.  A family is one
folder below `export/` and one line in `FAMILIES`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, get_args

from cidesign.checks import Check, Report
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.export.folder import MANIFEST_NAME
from cidesign.export.manifest import ExportManifest, design_in, kind_in, profile_in, read_as
from cidesign.export.options import fitting, names_of
from cidesign.export.own_design import OwnDesign
from cidesign.files import JsonObject
from cidesign.hardware_profiles.sourced import HardwareProfile
from cidesign.pattern import Design
from cidesign.plugins import known_names, load

GROUP = "cidesign.device_families"
# name -> module and object; imported when it is asked for.
FAMILIES = {
    "dmd": "cidesign.export.dmd.family:FAMILY",
    "aperture": "cidesign.export.aperture.family:FAMILY",
    "mri": "cidesign.export.mri.family:FAMILY",
    "mri-points": "cidesign.export.mri.points.family:FAMILY",
    "mri-shots": "cidesign.export.mri.shots.family:FAMILY",
}


@dataclass(frozen=True)
class Exported:
    """HardwareProfile files that were written and read back: where, their values for --json, and a text for people."""

    folder: Path
    # The folders with a manifest: `folder` itself, or one below it for each format.
    folders: tuple[Path, ...]
    value: JsonObject
    text: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileReport:
    """What was found in a single file of anyone's; `failure` is what is wrong with it, where something is."""

    checks: tuple[Check, ...]
    value: JsonObject
    text: str
    failure: CidesignError | None = None


D = TypeVar("D", bound=Design)
P = TypeVar("P", bound=HardwareProfile)
# What can be said of an export, and of the check of a single file: frozen dataclasses.
E = TypeVar("E")
F = TypeVar("F")


@dataclass(frozen=True)
class NoOptions:
    """Nothing can be said beside the file and the profile."""


class DeviceFamily(ABC, Generic[D, P, E, F]):
    """One kind of device: its designs and profiles, its files, and how they are checked."""

    name: ClassVar[str]
    design_type: type[D]
    profile_type: type[P]
    # Words of the option `sampling` that choose this family among those of a profile; none where it is the only one.
    samplings: ClassVar[tuple[str, ...]] = ()
    # Its `kind` names the kinds of export folders that are this family's.
    manifest_type: ClassVar[type[ExportManifest]]
    file_options_type: type[F]
    # Endings of single files that can be checked, in lower case; none where there are none.
    suffixes: ClassVar[tuple[str, ...]] = ()
    # Options of the command line that are this family's alone -> names of its export options.
    flags: ClassVar[tuple[str, ...]] = ()
    # In words: `a micromirror device`, `micromirror devices`, and what a design holds, `patterns`.
    described: ClassVar[str]
    plural: ClassVar[str]
    contents: ClassVar[str]
    # What only the device files show, and the checks of a design do not reach; empty where there is nothing.
    left_to_files: ClassVar[str] = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of manifests that are this family's."""
        return get_args(self.manifest_type.model_fields["kind"].annotation)

    @abstractmethod
    def options(self, formats: Sequence[str] = (), settings: Mapping[str, Any] = {}) -> E:
        """The options of an export by their names; no formats are the usual ones.

        Raises `InputError` for an unknown name, with those that are known, and for a value of another type.
        """

    def remarks(self, options: E) -> tuple[str, ...]:
        """What should be known of options before anything is made of them, such as values that were not set."""
        return ()

    @abstractmethod
    def export(self, design: D, profile: P, folder: Path, options: E, force: bool = False) -> Exported:
        """Write the device files of a design into `folder`, read back and compared; nothing is left of a failure.

        Raises `InputError` for a design of another profile, `LimitError` for what the device cannot do, and
        `FileError` when `folder` exists (without `force`) or cannot be written.
        """

    @abstractmethod
    def verify_export(self, folder: Path, profile: P | None = None) -> Iterator[Check]:
        """Check an export with everything re-read from disk, and yield each finding.

        The limits are those of the manifest's own copy of the profile, or of `profile`.  Raises `FileError` for files
        that are damaged, edited or not the design, and `LimitError` for a limit of the device.
        """

    @abstractmethod
    def profile_for(self, own: P, asked: P | None, where: str) -> P:
        """The profile to check against; raises `LimitError` when `asked` is another device than `own`."""

    @abstractmethod
    def check_design(self, design: D, profile: P, options: E, where: Path) -> list[Check]:
        """Check a design against the limits of its device; pictures of violations go beside `where`.

        Raises `LimitError` for the first limit that it exceeds.
        """

    @abstractmethod
    def read_own(self, files: Sequence[Path], profile: P, settings: Mapping[str, Any] = {}) -> OwnDesign:
        """Read somebody's files as a design; `settings` say by name what the files leave open.

        Raises `InputError` where they can be read in several ways, naming the option that decides, `LimitError` for
        what the device cannot do, and `FileError` for damage.
        """

    def load_design(self, path: Path) -> Design:
        """The design in a file, of this family or another one for the same profiles; raises `FileError`."""
        return self.design_type.load(path)

    def holds_files(self, folder: Path) -> bool:
        """Whether a folder is one of single files that `check_file` looks at as a whole."""
        return False

    def check_file(self, path: Path, profile: P | None, options: F, report: Report | None = None) -> FileReport:
        """Check a single file, whoever wrote it; `report` is called with each finding.

        Raises `InputError` where a profile is needed and none is given.
        """
        raise FileError(f"{path}: a single file of {self.plural} cannot be checked")

    def file_options(self, settings: Mapping[str, Any]) -> F:
        """The options of the check of a single file by their names; raises `InputError`."""
        known = names_of(self.file_options_type)
        for name in settings:
            if name in known:
                continue
            owners = [
                suffix for one in families() if name in names_of(one.file_options_type) for suffix in one.suffixes
            ]
            if owners:
                raise InputError(f"--set {name}: no such setting for this kind of file; it is for {', '.join(owners)}")
            raise InputError(f"--set {name}: no such setting here; known are {', '.join(known) or 'none'}")
        return self.file_options_type(**fitting(self.file_options_type, settings, "such a file"))

    def manifest(self, folder: Path) -> ExportManifest:
        """The manifest of an export folder; raises `FileError`."""
        return read_as(folder, self.manifest_type)

    def opened(self, folder: Path) -> tuple[D, P]:
        """Design and profile of an export folder, their digests checked; raises `FileError`."""
        manifest = self.manifest(folder)
        return design_in(folder, manifest, self.design_type), profile_in(folder, manifest, self.profile_type)


AnyFamily = DeviceFamily[Any, Any, Any, Any]


@cache
def family(name: str) -> AnyFamily:
    """The family of a name; raises `InputError` for one that nobody, or more than one package, offers."""
    found: AnyFamily = load(name, FAMILIES, GROUP, DeviceFamily)
    return found


def _names() -> str:
    return ", ".join(known_names(FAMILIES, GROUP))


def families() -> Iterator[AnyFamily]:
    """All families, in the order of the table, then those of other packages; each is imported when it is reached."""
    return (family(name) for name in known_names(FAMILIES, GROUP))


def family_of(design: object) -> AnyFamily:
    """The family whose device files a design is written as; raises `InputError` where there is none."""
    for one in families():
        if isinstance(design, one.design_type):
            return one
    raise InputError(f"{type(design).__name__}: not a design of one of the device families {_names()}")


def family_for(profile: object, sampling: object = None) -> AnyFamily:
    """The family of a device's profile, the first of several or that of a sampling.

    Raises `InputError` where there is none.
    """
    fitting = [one for one in families() if isinstance(profile, one.profile_type)]
    known = [word for one in fitting for word in one.samplings]
    if fitting and (sampling is None or not known):
        return fitting[0]
    for one in fitting:
        if sampling in one.samplings:
            return one
    if known:
        raise InputError(f"sampling {sampling}: not known for this device; use {', '.join(known)}")
    raise InputError(f"{type(profile).__name__}: not a profile of one of the device families {_names()}")


def family_of_folder(folder: Path) -> AnyFamily:
    """The family that the manifest of an export folder names; raises `FileError` for a kind that is not known."""
    kind = kind_in(folder)
    for one in families():
        if kind in one.kinds:
            return one
    known = ", ".join(kind for one in families() for kind in one.kinds)
    shown = "no kind" if kind is None else f"the kind {kind[:60]!r}"
    raise FileError(f"{folder}: {MANIFEST_NAME} names {shown}; this version of cidesign knows exports of kind {known}")


def family_of_file(path: Path) -> AnyFamily:
    """The family that checks single files like this one, or a folder of them; raises `FileError` where none does."""
    suffix = path.suffix.lower()
    for one in families():
        if suffix in one.suffixes or (path.is_dir() and one.holds_files(path)):
            return one
    known = ", ".join(suffix for one in families() for suffix in one.suffixes)
    raise FileError(f"{path}: a single file of this kind cannot be checked; known are {known}")

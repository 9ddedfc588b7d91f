"""A design that exists, wherever it lies: a design folder, a run, or somebody's own files."""

from pathlib import Path
from typing import NamedTuple

from cidesign.designs.folder import DesignFolder, is_design_folder, read_files
from cidesign.distill.given import GivenDesign
from cidesign.errors import FileError, InputError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.runs import Run


class Given(NamedTuple):
    """A design with the profile it is for; `said`: how files were understood, nothing for a folder of a design."""

    given: GivenDesign
    profile: HardwareProfile
    said: tuple[str, ...] = ()


def read_given(path: Path, profile: HardwareProfile | None = None, sampling: object = None) -> Given:
    """The design of a design folder or of a run, or of a file that leaves nothing open.

    A folder knows its profile; `profile` must then be the same.  A file needs it, and where a profile is for several
    kinds of `sampling` the word of one, if it is not the first.  Raises `InputError` where it is missing or another
    one, and as `cidesign design` does.
    """
    if not path.exists():
        raise FileError(f"{path}: no such design; name a design folder, a run, or a file of patterns, a mask or lines")
    if is_design_folder(path) or (path / "run.json").is_file():
        folder = DesignFolder(path) if is_design_folder(path) else Run(path)
        if profile is not None and profile.digest != folder.profile.digest:
            raise InputError(
                f"{path}: a design for the profile {folder.profile.id} ({folder.profile.digest[:12]}), and "
                f"{profile.id} ({profile.digest[:12]}) is asked for; leave --profile out, or make the design again"
            )
        return Given(GivenDesign(str(path), folder.design), folder.profile)
    if profile is None:
        raise InputError(
            f"{path}: a file does not say what device it is for; make a design of it, `cidesign design {path} "
            "--profile NAME --out DESIGN`, and name that (`cidesign distill` takes the file, with --profile NAME)"
        )
    found = read_files([path], profile, {} if sampling is None else {"sampling": sampling})
    return Given(GivenDesign(str(path), found.design), profile, found.said)

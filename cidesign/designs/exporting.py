"""Device files from the design of a run; the family of the design writes them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cidesign.designs.folder import DesignFolder, is_design_folder
from cidesign.export.family import Exported, family_of
from cidesign.modality import modality
from cidesign.runs import Run


def open_exportable(path: Path) -> Run | DesignFolder:
    """A run folder, or the folder of a design that was read from files."""
    return DesignFolder(path) if is_design_folder(path) else Run(path)


def export_run(
    run: Run | DesignFolder,
    out: Path | None = None,
    formats: tuple[str, ...] = (),
    force: bool = False,
    settings: Mapping[str, Any] = {},
    tell: Callable[[str], None] | None = None,
) -> Exported:
    """Write the device files of a run or of a design folder, read back and compared with the design.

    They go into `out`, or into `export` of the folder where it is None.

    `settings` are options of the device family by their names; `tell` is called with each thing that should be known,
    as it arises.  Raises `InputError` for a name that the family does not have, `LimitError` for what the device
    cannot do, and `FileError` when the folder exists (without `force`) or cannot be written.
    """
    design, profile = run.design, run.profile
    family = family_of(design)
    own = modality(run.settings.modality).export_settings(run) if isinstance(run, Run) else {}
    options = family.options(formats, {**own, **settings})
    _tell(tell, family.remarks(options))
    done = family.export(design, profile, run.path / "export" if out is None else out, options, force)
    _tell(tell, done.notes)
    return done


def _tell(tell: Callable[[str], None] | None, texts: tuple[str, ...]) -> None:
    if tell:
        for text in texts:
            tell(text)

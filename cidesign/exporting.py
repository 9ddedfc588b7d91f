"""Device files from the design of a run; the family of the design writes them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cidesign.export.family import Exported, family_of
from cidesign.modality import modality
from cidesign.runs import Run


def export_run(
    run: Run,
    out: Path | None = None,
    formats: tuple[str, ...] = (),
    force: bool = False,
    settings: Mapping[str, Any] = {},
    tell: Callable[[str], None] | None = None,
) -> Exported:
    """Write the device files of a run into `out` (`RUN/export` where None), read back and compared with the design.

    `settings` are options of the device family by their names; `tell` is called with each thing that should be known,
    as it arises.  Raises `InputError` for a name that the family does not have, `LimitError` for what the device
    cannot do, and `FileError` when the folder exists (without `force`) or cannot be written.
    """
    design, profile = run.design, run.profile
    family = family_of(design)
    options = family.options(formats, {**modality(run.settings.modality).export_settings(run), **settings})
    _tell(tell, family.remarks(options))
    done = family.export(design, profile, run.path / "export" if out is None else out, options, force)
    _tell(tell, done.notes)
    return done


def _tell(tell: Callable[[str], None] | None, texts: tuple[str, ...]) -> None:
    if tell:
        for text in texts:
            tell(text)

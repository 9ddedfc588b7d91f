"""A fixed design by its name, as a design folder: what `evaluate` measures beside a student, to be taken instead."""

import difflib
from os import PathLike
from pathlib import Path
from typing import Any

from cidesign.designs.folder import DesignFolder, write_folder
from cidesign.errors import FileError, InputError
from cidesign.export.own_design import OwnDesign
from cidesign.files import refuse_existing
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.pattern import Design
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run, open_run


def fixed_design(
    name: str,
    out: str | PathLike[str],
    /,
    *,
    run: Run | str | PathLike[str] | None = None,
    profile: HardwareProfile | str | PathLike[str] | None = None,
    force: bool = False,
    **settings: Any,
) -> DesignFolder:
    """A design that nothing is learnt for ("low-pass cosines", "centre block"), by the name that `evaluate` gives it.

    Of a `run`: the very design that stands beside its student.  Of a `profile`: with settings of a run by their names
    (`patterns=102, side=32`), those of the preset `quick` where they are not given.  Raises `InputError` for a name
    that there is not, with those that there are, and unless one of run and profile is given.
    """
    refuse_existing(Path(out), force)
    if (run is None) == (profile is None):
        raise InputError(f"fixed design {name}: give a profile, or a run whose profile and settings it takes")
    if run is not None:
        if settings:
            raise InputError(f"{next(iter(settings))}: all settings are those of the run; leave it out, or the run")
        opened = run if isinstance(run, Run) else open_run(Path(run), Run)
        designs, chosen, device = _of_run(opened), opened.settings, opened.profile
    else:
        device = profile if isinstance(profile, HardwareProfile) else load_profile(str(profile))
        designs, chosen = _of_profile(device, settings)
    if name not in designs:
        near = difflib.get_close_matches(name, list(designs), 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise InputError(
            f"fixed design {name}: there is none of that name here; {meant}Known are "
            f"{'; '.join(designs) or 'none of this size'}"
        )
    said = f"the fixed design {name}: {modality(chosen.modality).described(chosen, device)}"
    return write_folder(OwnDesign(designs[name], (said,), (), b""), device, Path(out), {"fixed": name}, force)


def _of_run(run: Run) -> dict[str, Design]:
    from cidesign.data.source import load_images
    from cidesign.distill.job import other_images

    found = load_images(run.settings, run.profile)
    if found.digest != run.record.data_digest:
        raise FileError(f"{run.path}: {other_images(run.settings.data)}, so its fixed designs may be others")
    return _designs(run.settings, run.profile, found.train)


def _of_profile(profile: HardwareProfile, settings: dict[str, Any]) -> tuple[dict[str, Design], TrainingSettings]:
    from cidesign.data.source import load_images
    from cidesign.distill.presets import settings_for

    chosen = settings_for(profile, "quick", None, **settings)
    return _designs(chosen, profile, load_images(chosen, profile).train), chosen


def _designs(settings: TrainingSettings, profile: HardwareProfile, train: Any) -> dict[str, Design]:
    import torch

    from cidesign.distill.job import SystemMaker

    maker = SystemMaker(settings, profile, torch.from_numpy(train))
    return modality(settings.modality).fixed_designs(maker, profile)

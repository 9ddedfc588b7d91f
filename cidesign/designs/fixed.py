"""A fixed design by its name, as a design folder: what `evaluate` measures beside a student, to be taken instead."""

import difflib
from os import PathLike
from pathlib import Path
from typing import Any

from cidesign.designs.folder import DesignFolder, write_folder
from cidesign.errors import InputError
from cidesign.export.own_design import OwnDesign
from cidesign.files import refuse_existing
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.pattern import Design
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run, open_run

FEW_IMAGES = 2


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
        chosen, device = opened.settings, opened.profile
    else:
        from cidesign.distill.presets import settings_for

        device = profile if isinstance(profile, HardwareProfile) else load_profile(str(profile))
        chosen = settings_for(device, "quick", None, **settings)
    kind, designs = modality(chosen.modality), fixed_designs(chosen, device)
    if name not in designs:
        near = difflib.get_close_matches(name, list(designs), 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise InputError(
            f"fixed design {name}: there is none of that name here; {meant}Known are "
            f"{'; '.join(designs) or 'none of this size'}"
        )
    said = f"the fixed design {name}: {kind.described(chosen, device)}"
    return write_folder(OwnDesign(designs[name], (said,), (), b""), device, Path(out), {"fixed": name}, force)


def fixed_designs(settings: TrainingSettings, profile: HardwareProfile) -> dict[str, Design]:
    """The designs that nothing is learnt for, by name; none depends on the images, of which a few do."""
    import torch

    from cidesign.distill.systems import SystemMaker

    kind, here = modality(settings.modality), settings.changed(device="cpu")
    few = torch.from_numpy(kind.procedural_images(here, profile, FEW_IMAGES, here.seed))
    return kind.fixed_designs(SystemMaker(here, profile, few), profile)

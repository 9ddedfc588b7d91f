"""A run without training: a design as its optics, and the best linear estimate as its decoder."""

import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from cidesign.data.source import load_images
from cidesign.designs.given import Given, read_given
from cidesign.distill.job import new_record
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.files import canonical_json, sha256_bytes
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.run_settings import TrainingSettings
from cidesign.runs import DESIGN_FILE, GIVEN_FILE, Run, write_record

# The prior of the linear estimate is a mean spectrum: some hundred images tell it to a few percent.
MOST_IMAGES, FEWEST_IMAGES = 1000, 8
MOST_VALUES = 2**23
VALIDATION_SHARE = 8

# The folders of this process: each design is prepared once, and all are removed at the end.
_MADE: dict[str, tempfile.TemporaryDirectory[str]] = {}


def untrained_run(path: Path, profile: HardwareProfile | None = None, **settings: Any) -> Run:
    """A design folder (or a run's design, or a file with its `profile`) as a run that was never trained.

    Its decoder is `linear`, with the prior of procedural images; any setting of a run can be given by name.  It lies in
    a temporary folder until the process ends, and is known by the name of the design.  Raises what `read_given` and
    `settings_for` raise.
    """
    found = read_given(path, profile)
    chosen = _settings(found, settings)
    key = sha256_bytes(
        canonical_json(chosen.model_dump(mode="json")),
        found.profile.digest.encode(),
        found.given.design.design_digest.encode(),
        os.getcwd().encode(),
    )
    if key not in _MADE:
        made = tempfile.TemporaryDirectory(prefix="cidesign-untrained-", ignore_cleanup_errors=True)
        _write(Path(made.name), chosen, found)
        _MADE[key] = made
    return Run(Path(_MADE[key].name))


def _settings(found: Given, named: dict[str, Any]) -> TrainingSettings:
    own = {"decoder": "linear", "device": "cpu", **named}
    chosen = settings_for(found.profile, "quick", found.given, **own)
    if "images" in named or chosen.data != "procedural":
        return chosen
    optics = modality(chosen.modality).optics(chosen, found.profile)
    size = optics.bands * optics.size[0] * optics.size[1]
    images = min(MOST_IMAGES, max(FEWEST_IMAGES, MOST_VALUES // size))
    return chosen.changed(
        images=images, validation_images=max(images // VALIDATION_SHARE, 1), batch=min(chosen.batch, images)
    )


def _write(folder: Path, settings: TrainingSettings, found: Given) -> None:
    """The files of a run, the record last."""
    design = found.given.design
    images = load_images(settings, found.profile)
    maker = SystemMaker(settings, found.profile, torch.from_numpy(images.train), design)
    maker.system("student").save(folder / "student.safetensors")
    for name in (GIVEN_FILE, DESIGN_FILE):
        design.save(folder / name)
    record = new_record(settings, found.profile, images, design)
    write_record(folder, record.model_copy(update={"status": "untrained"}))

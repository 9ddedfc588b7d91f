"""Small systems of each modality, trained in seconds on one processor: what several studies share."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cidesign.data.source import load_images
from cidesign.distill.checkpoint import Progress
from cidesign.distill.loop import make_optimiser, train_phase
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.run_settings import TrainingSettings

PROFILES = {"single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}
SIDES = {"single-pixel": 16, "cassi": 16, "mri": 32}
IMAGES, VALIDATION_IMAGES, BATCH, CHANNELS = 480, 200, 16, 8
# Crops of one canvas are alike: so few are taken of each that images of all kinds are among them.
TOGETHER = 8
TRAIN_SEED, HELD_OUT_SEED = 2**35, 2**36


@dataclass(frozen=True)
class Small:
    """One modality with one seed: its settings, images, and what makes its systems."""

    settings: TrainingSettings
    profile: HardwareProfile
    train: torch.Tensor
    validation: torch.Tensor

    @classmethod
    def of(cls, name: str, seed: int, epochs: int, data: str = "procedural") -> "Small":
        """Teacher and student take `epochs` each; `data` is where the images are, as for a run."""
        profile = load_profile(PROFILES[name])
        settings = settings_for(
            profile,
            seed=seed,
            side=SIDES[name],
            images=IMAGES,
            validation_images=VALIDATION_IMAGES,
            batch=BATCH,
            channels=CHANNELS,
            teacher_epochs=epochs,
            student_epochs=epochs,
            threads=1,
            device="cpu",
            data=data,
            optics_start="designed",
        )
        if data != "procedural":
            found = load_images(settings, profile)
            return cls(settings, profile, torch.from_numpy(found.train), torch.from_numpy(found.validation))
        train, validation = (
            np.concatenate(
                [
                    modality(name).procedural_images(settings, profile, TOGETHER, first + number)
                    for number in range(count // TOGETHER)
                ]
            )
            for count, first in ((IMAGES, TRAIN_SEED + 1000 * seed), (VALIDATION_IMAGES, HELD_OUT_SEED + 1000 * seed))
        )
        return cls(settings, profile, torch.from_numpy(train), torch.from_numpy(validation))

    def maker(self, **changes: Any) -> SystemMaker:
        """What makes systems of the settings with some changes."""
        return SystemMaker(self.settings.changed(**changes), self.profile, self.train[: changes.get("images", IMAGES)])

    def trained(self, maker: SystemMaker, phase: str, origin: ImagingSystem | None) -> ImagingSystem:
        """A teacher, or a student that starts from `origin`."""
        system = maker.system(phase)
        if origin is not None:
            maker.warm_start(system, origin)
        optimiser, progress = make_optimiser(system, maker.settings), Progress(phase)
        train = self.train[: maker.settings.images]
        for _ in train_phase(system, None, optimiser, train, maker.settings, progress, lambda report: None):
            pass
        system.encoder.explore(1.0, None)
        return system.eval().requires_grad_(False)

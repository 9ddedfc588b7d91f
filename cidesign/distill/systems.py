"""New systems of a run: its optics for any relaxation, its decoder, and what a student takes over from a teacher."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from cidesign.distill.loop import StoredImages, phases_of
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.models.optics import Optics, optics_for
from cidesign.models.system import ImagingSystem, build_decoder
from cidesign.pattern import Design
from cidesign.run_settings import TrainingSettings

PRIOR_IMAGES = 10_000


class SystemMaker:
    """New systems of a run, from its seed and its training images alone.

    With a `design` the optics of every student are that design, and training does not move them.
    """

    def __init__(
        self, settings: TrainingSettings, profile: HardwareProfile, train: Tensor, design: Design | None = None
    ) -> None:
        self.settings, self.given = settings, design
        self.optics: Optics = optics_for(settings, profile)
        self.sample = StoredImages(train[:PRIOR_IMAGES])
        self.prior = self.optics.prior(self.sample)

    def relaxation(self, phase: str) -> str | None:
        """The word of the ladder that a phase trains with; None for the student."""
        return None if phase == "student" else self.settings.ladder[phases_of(self.settings).index(phase)]

    def system(self, phase: str) -> ImagingSystem:
        """A system before training; every phase has its own draws, whether or not the others were made."""
        settings, relaxation = self.settings, self.relaxation(phase)
        torch.manual_seed(settings.seed)
        decoder = build_decoder(settings, self.optics.bands, self.optics.size)
        system = ImagingSystem(self.optics.encoder(relaxation), decoder).to(settings.device)
        if relaxation is None and self.given is not None:
            self.place(system, self.given)
        else:
            with torch.no_grad():
                system.encoder.weight.copy_(self.optics.start(relaxation, self.sample))
        system.decoder.set_prior(self.prior)
        return self.prepared(system)

    def prepared(self, system: ImagingSystem) -> ImagingSystem:
        """A system where and as this run computes."""
        system.to(self.settings.device)
        system.decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.settings.precision == "bfloat16":
            system.decoder.training_dtype = torch.bfloat16
        return system

    def place(self, system: ImagingSystem, design: Design) -> None:
        """Make a design the optics of a student, and hold it."""
        self.optics.place(system.encoder, design)
        system.encoder.weight.requires_grad_(False)

    def warm_start(self, system: ImagingSystem, teacher: ImagingSystem) -> None:
        """Start from a teacher's optics, where they are not given, and from its decoder.

        The statistics of images stay the run's own: a stored teacher has seen others, or ones of another size.
        """
        if system.encoder.weight.requires_grad:
            self.optics.inherit(system.encoder, teacher.encoder)
        system.decoder.take_over(teacher.decoder)


def settled_start(
    settings: TrainingSettings, profile: HardwareProfile, train: NDArray[Any]
) -> tuple[TrainingSettings, str | None]:
    """The settings with the start that the optics take on these training images, and a line where it is unusual.

    Nothing is said where optics are given, or come from a stored teacher.
    """
    sample = StoredImages(torch.from_numpy(train[:PRIOR_IMAGES]))
    settings, said = optics_for(settings, profile).settled(settings, sample)
    stored = settings.teacher is not None and settings.start == "teacher"
    return settings, None if stored or settings.design is not None else said

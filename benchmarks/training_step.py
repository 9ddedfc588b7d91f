"""Images per second of a training step: the shipped settings against a plain float32 eager loop, in one run.

The plain loop is what a first version usually is: one image at a time from a Dataset through a DataLoader, default
memory format, float32, the default Adam.  Model, optics, noise and batch size are the same.  The two take turns, so
that a busy machine slows both; the table shows the median of the rounds.
"""

import statistics
import time

import torch
from torch.utils.data import DataLoader, Dataset

from cidesign.data.procedural import dead_leaves
from cidesign.distill.checkpoint import Progress
from cidesign.distill.loop import make_optimiser, train_phase
from cidesign.distill.presets import Request, settings_for
from cidesign.hardware_profiles.loader import load_profile
from cidesign.models.system import ImagingSystem, build_system
from cidesign.physics.designs import low_frequency_cosines
from cidesign.physics.linear_inverse import fit_prior
from cidesign.runs import RunSettings

STEPS = 20
ROUNDS = 5


class PlainImages(Dataset[torch.Tensor]):
    """One image at a time, flipped and turned in Python."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        """One image (1, n, n) in [0, 1]."""
        image = self.images[index].float()[None] / 255
        for turn in (lambda x: x.flip(1), lambda x: x.flip(2), lambda x: x.mT):
            if torch.rand(()) < 0.5:
                image = turn(image)
        return image


def _system(settings: RunSettings, images: torch.Tensor) -> ImagingSystem:
    design = 0.5 * torch.from_numpy(low_frequency_cosines(settings.side, settings.patterns))
    system = build_system(settings, load_profile("dlp4500"), design, constrained=True)
    system.decoder.set_prior(fit_prior(images.float()[:, None] / 255))
    return system


def plain_round(system: ImagingSystem, optimiser: torch.optim.Optimizer, images: torch.Tensor, batch: int) -> float:
    """Images per second of the plain loop."""
    started = time.perf_counter()
    for x in DataLoader(PlainImages(images), batch_size=batch, shuffle=True, drop_last=True):
        y = system.encoder(x)
        x_0 = system.decoder.linear_estimate(y, system.encoder)
        loss = torch.nn.functional.mse_loss(x_0 + system.decoder.unet(x_0)[0], x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return STEPS * batch / (time.perf_counter() - started)


def shipped_round(
    system: ImagingSystem, optimiser: torch.optim.Adam, images: torch.Tensor, settings: RunSettings
) -> float:
    """Images per second of one epoch of the shipped loop."""
    started = time.perf_counter()
    for _ in train_phase(system, None, optimiser, images, settings, Progress("teacher"), lambda report: None):
        pass
    return STEPS * settings.batch / (time.perf_counter() - started)


def main() -> None:
    """Measure and print the table."""
    request = Request("quick", 1, None, None, None, 1, "complementary", 1e7, 100.0, None, "cpu")
    settings = settings_for(request)
    settings = settings.model_copy(update={"teacher_epochs": 1, "images": STEPS * settings.batch})
    images = torch.from_numpy(dead_leaves(settings.images, settings.side, 1))
    plain = _system(settings, images)
    plain_optimiser = torch.optim.Adam(plain.parameters(), settings.learning_rate)
    shipped = _system(settings, images).to(memory_format=torch.channels_last)
    shipped.decoder.unet.training_dtype = torch.bfloat16 if settings.precision == "bfloat16" else None
    shipped_optimiser = make_optimiser(shipped, settings)
    rates: dict[str, list[float]] = {"plain": [], "shipped": []}
    for round_ in range(ROUNDS + 1):
        measured = (
            plain_round(plain, plain_optimiser, images, settings.batch),
            shipped_round(shipped, shipped_optimiser, images, settings),
        )
        if round_:
            rates["plain"].append(measured[0])
            rates["shipped"].append(measured[1])
    ratios = [ours / theirs for ours, theirs in zip(rates["shipped"], rates["plain"], strict=True)]
    print(
        f"quick preset, batch {settings.batch}, {torch.get_num_threads()} threads, {STEPS} steps a round, "
        f"median of {ROUNDS} rounds (target ratio >= 1.4)"
    )
    print(f"plain float32 eager loop          {statistics.median(rates['plain']):8.0f} images/s")
    print(f"shipped ({settings.precision}, channels last) {statistics.median(rates['shipped']):8.0f} images/s")
    print(
        f"ratio                             {statistics.median(ratios):8.2f}   "
        f"({min(ratios):.2f} to {max(ratios):.2f} over the rounds)"
    )


if __name__ == "__main__":
    main()

"""Images per second of a training step: the shipped settings against a plain float32 eager loop, for each modality.

The plain loop is what a first version usually is: one image at a time from a Dataset through a DataLoader, default
memory format, float32, the default Adam.  Model, optics, noise and batch size are the same.  The two take turns, so
that a busy machine slows both; the table shows the median of the rounds.
"""

import statistics
import time

import torch
from torch.utils.data import DataLoader, Dataset

from cidesign.data.source import load_images
from cidesign.distill.checkpoint import Progress
from cidesign.distill.job import SystemMaker
from cidesign.distill.loop import as_floats, make_optimiser, train_phase
from cidesign.distill.presets import settings_for
from cidesign.hardware_profiles.loader import load_profile
from cidesign.models.system import ImagingSystem
from cidesign.run_settings import TrainingSettings

PROFILES = ("dlp4500", "chrome-laser-10um", "mri-generic-3t")
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
        """One image (C, n, n) as floats."""
        image = as_floats(self.images[index])
        for turn in (lambda x: x.flip(1), lambda x: x.flip(2), lambda x: x.mT):
            if torch.rand(()) < 0.5:
                image = turn(image)
        return image


def plain_round(system: ImagingSystem, optimiser: torch.optim.Optimizer, images: torch.Tensor, batch: int) -> float:
    """Images per second of the plain loop."""
    started = time.perf_counter()
    for x in DataLoader(PlainImages(images), batch_size=batch, shuffle=True, drop_last=True):
        loss = torch.nn.functional.mse_loss(system(x).prediction, x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return STEPS * batch / (time.perf_counter() - started)


def shipped_round(
    system: ImagingSystem, optimiser: torch.optim.Adam, images: torch.Tensor, settings: TrainingSettings
) -> float:
    """Images per second of one epoch of the shipped loop."""
    started = time.perf_counter()
    for _ in train_phase(system, None, optimiser, images, settings, Progress("teacher"), lambda report: None):
        pass
    return STEPS * settings.batch / (time.perf_counter() - started)


def measure(profile_name: str) -> None:
    """Print the row of one modality."""
    profile = load_profile(profile_name)
    settings = settings_for(profile, device="cpu")
    changes = {"teacher_epochs": 1, "images": STEPS * settings.batch, "validation_images": 1}
    settings = settings.changed(**changes)
    images = torch.from_numpy(load_images(settings, profile).train)
    maker = SystemMaker(settings, profile, images)
    plain, shipped = maker.system("student"), maker.system("student")
    plain.decoder.to(memory_format=torch.contiguous_format)
    plain.decoder.training_dtype = None
    plain_optimiser = torch.optim.Adam(plain.parameters(), settings.learning_rate)
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
        f"{settings.modality:14s} {settings.side:4d} {settings.batch:6d} {settings.precision:10s} "
        f"{statistics.median(rates['plain']):9.0f} {statistics.median(rates['shipped']):9.0f} "
        f"{statistics.median(ratios):6.2f}   ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def main() -> None:
    """Measure and print the table."""
    print(
        f"images per second, quick presets, {torch.get_num_threads()} threads, {STEPS} steps a round, median of "
        f"{ROUNDS} rounds (target ratio >= 1.4)"
    )
    print(f"{'modality':14s} {'side':>4s} {'batch':>6s} {'shipped as':10s} {'plain':>9s} {'shipped':>9s} {'ratio':>6s}")
    for name in PROFILES:
        measure(name)


if __name__ == "__main__":
    main()

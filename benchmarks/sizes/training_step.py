"""Training steps: images per second of the shipped loop against a plain float32 one, for each modality.

The plain loop is what a first version usually is (see `plain.py`): one image at a time from a Dataset through a
DataLoader, default memory format, float32, the default Adam, and autograd through the formulas of the linear estimate.
Optics, noise, network and batch are the same.  The two take turns; times are those of the processor with one thread,
and the table shows the median of the rounds.

    python benchmarks/sizes/training_step.py [--only cassi] [--side 64] [--steps 10] [--rounds 3]
"""

import argparse
import statistics
import time

import torch
from plain import make_plain
from torch.utils.data import DataLoader, Dataset

from cidesign.cli.memory import keep_freed_memory
from cidesign.data.source import load_images
from cidesign.distill.checkpoint import Progress
from cidesign.distill.loop import as_floats, make_optimiser, train_phase
from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.hardware_profiles.loader import load_profile
from cidesign.models.system import ImagingSystem
from cidesign.run_settings import TrainingSettings

PROFILES = {"single-pixel": "dlp4500", "cassi": "chrome-laser-10um", "mri": "mri-generic-3t"}


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
    started = time.process_time()
    for x in DataLoader(PlainImages(images), batch_size=batch, shuffle=True, drop_last=True):
        loss = torch.nn.functional.mse_loss(system(x).prediction, x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return len(images) / (time.process_time() - started)


def shipped_round(
    system: ImagingSystem, optimiser: torch.optim.Adam, images: torch.Tensor, settings: TrainingSettings
) -> float:
    """Images per second of one epoch of the shipped loop."""
    started = time.process_time()
    for _ in train_phase(system, None, optimiser, images, settings, Progress("teacher"), lambda report: None):
        pass
    return len(images) / (time.process_time() - started)


def measure(name: str, side: int | None, steps: int, rounds: int) -> None:
    """Print the row of one modality."""
    profile = load_profile(PROFILES[name])
    changes = {"encoding": "offset"} if name == "single-pixel" and (side or 0) > 64 else {}
    settings = settings_for(profile, device="cpu", side=side, **changes)
    settings = settings.changed(teacher_epochs=1, images=steps * settings.batch, validation_images=1)
    images = torch.from_numpy(load_images(settings, profile).train)
    maker = SystemMaker(settings, profile, images)
    plain, shipped = make_plain(maker.system("student")), maker.system("student")
    plain_optimiser = torch.optim.Adam(plain.parameters(), settings.learning_rate)
    shipped_optimiser = make_optimiser(shipped, settings)
    rates: dict[str, list[float]] = {"plain": [], "shipped": []}
    for round_ in range(rounds + 1):
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
        f"{statistics.median(rates['plain']):9.1f} {statistics.median(rates['shipped']):9.1f} "
        f"{statistics.median(ratios):6.2f}   ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PROFILES, help="one modality")
    parser.add_argument("--side", type=int, help="pixels along a side; the quick preset's without")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()  # as the command line does; the plain loop has it too
    torch.set_num_threads(1)
    print(
        f"images per second of processor time, quick presets, one thread, {options.steps} steps a round, median of "
        f"{options.rounds} rounds (target ratio >= 2)"
    )
    print(f"{'modality':14s} {'side':>4s} {'batch':>6s} {'shipped as':10s} {'plain':>9s} {'shipped':>9s} {'ratio':>6s}")
    for name in PROFILES:
        if options.only in (None, name):
            measure(name, options.side, options.steps, options.rounds)


if __name__ == "__main__":
    main()

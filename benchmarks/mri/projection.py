"""What the projection of free shots costs in a training step, against the U-Net: the target is below 0.3.

    python benchmarks/mri/projection.py [--side 64] [--shots 16]

One processor, the settings of preset quick.  Columns: milliseconds of a step (median) for the projections with their
derivative, for the linear estimate with its derivative, and for the U-Net forward and backward; and the projection over
the U-Net.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from cidesign.distill.presets import settings_for
from cidesign.distill.systems import SystemMaker
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.mri.shots.encoder import FreeShots
from cidesign.modality import modality
from cidesign.models.unet import UNetDecoder

REPETITIONS, TARGET = 9, 0.3
# A training step moves a control point by about this much of 1/FOV.
MOVED = 1e-2


def median_ms(work: Callable[[], object]) -> float:
    """The median time of a call."""
    times = []
    work()
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--shots", type=int, default=16)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    profile = load_profile("mri-siemens-prisma")
    settings = settings_for(profile, sampling="free", side=asked.side, shots=asked.shots, images=32, device="cpu")
    images = torch.from_numpy(modality(settings.modality).procedural_images(settings, profile, 32, 1)).float()
    maker = SystemMaker(settings, profile, images)
    system = maker.system("student")
    encoder, decoder = cast(FreeShots, system.encoder), cast(UNetDecoder, system.decoder)
    draws = torch.Generator().manual_seed(1)
    begin = encoder.weight.detach().clone()

    def project() -> None:
        with torch.no_grad():
            encoder.weight.copy_(begin + MOVED * torch.randn(begin.shape, generator=draws))
        encoder.explore(0.1, draws)
        points = encoder.points()
        points.backward(torch.randn(points.shape, generator=draws, dtype=points.dtype))

    x = images[: settings.batch]
    y = encoder(x, draws).detach()

    def estimate() -> None:
        found: Tensor = encoder.estimator(maker.prior).estimate(y)
        found.square().mean().backward()

    first = encoder.estimator(maker.prior).estimate(y).detach().requires_grad_()

    def network() -> None:
        decoder._refined(first)[0].square().mean().backward()

    spent = [median_ms(work) for work in (project, estimate, network)]
    share = spent[0] / spent[2]
    print("| side | shots | projection ms | estimate ms | U-Net ms | projection / U-Net |")
    print("|---|---|---|---|---|---|")
    cells = " | ".join(f"{value:.1f}" for value in spent)
    print(f"| {asked.side} | {asked.shots} | {cells} | {share:.2f} |")
    print(f"\ntarget below {TARGET:g}: {'reached' if share < TARGET else 'missed'}")


if __name__ == "__main__":
    main()

"""What an image loses when samples lie elsewhere than the design says: how far a trajectory may be off.

    python benchmarks/mri/trajectory_error.py [--side 64] [--slices 4]

Slices of the procedural anatomy, four coils whose maps are known, the noise of a run.  Samples are taken where the
gradients went, the image is reconstructed by CG-SENSE where the design says: nothing is corrected.  The largest
distance of a sample, in 1/FOV, is that of the first column, for four ways to be off:

    delay      each sample along its shot's path: gradients that come late
    rotation   all of k-space turned
    scale      all of k-space larger
    spread     every shot displaced, each in a direction of its own

Cells: PSNR in dB inside the object (mean over slices), and in brackets what is lost against no error.
"""

import argparse
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from cidesign.calibration.mri.shots.nufft import ShotSums
from cidesign.distill.presets import settings_for
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.bench import coils_of, scene_of
from cidesign.modalities.mri.score import object_mask, score_mri
from cidesign.modalities.mri.shots.fixed_designs import fixed_designs
from cidesign.modalities.mri.shots.optics import ShotsOptics
from cidesign.modalities.mri.shots.settings import ShotSettings
from cidesign.modalities.mri.shots.solve import PlacedShots
from cidesign.modalities.mri.solve import cg_sense, to_numpy
from cidesign.pattern import NonCartesian

ERRORS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
COILS = 4
Points = NDArray[np.float64]


def late(points: Points, error: float) -> Points:
    """Every sample moved along its path by as long as the fastest moves by `error`."""
    speed = np.gradient(points, axis=1)
    return points - speed * (error / np.linalg.norm(speed, axis=2).max())


def turned(points: Points, error: float) -> Points:
    """The outermost sample moves by `error`."""
    angle = 2 * np.arcsin(error / 2 / np.linalg.norm(points, axis=2).max())
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def larger(points: Points, error: float) -> Points:
    """The outermost sample moves by `error`."""
    return points * (1 + error / np.linalg.norm(points, axis=2).max())


def spread(points: Points, error: float) -> Points:
    """Each shot moves by `error`."""
    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, len(points))
    return points + error * np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None]


WAYS: dict[str, Callable[[Points, float], Points]] = {
    "delay": late, "rotation": turned, "scale": larger, "spread": spread,
}  # fmt: skip


def psnr_db(design: NonCartesian, points: Points, noise: float, seed: int) -> float:
    """Of one slice whose samples lie at `points` and are taken to lie where the design says."""
    image, _ = scene_of(None, design.size, seed, "gradient")
    maps = coils_of(COILS, design.size, seed)
    rng = np.random.default_rng(seed)
    y = ShotSums(points, design.size).forward(maps * image)
    y = y + noise * (rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape))
    encoder = PlacedShots(design.samples, maps, noise)
    readings = torch.from_numpy(y.astype(np.complex64))[None]
    found = to_numpy(cg_sense(readings, encoder, 2 * noise**2 / float(np.mean(np.abs(image) ** 2))))
    reference = np.abs(image).astype(np.float32)
    return float(score_mri(np.abs(found).astype(np.float32), reference, object_mask(reference)).psnr_db or np.inf)


def main() -> None:
    """Print one table for each design."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--slices", type=int, default=4)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    profile = cast(MriProfile, load_profile("mri-siemens-prisma"))
    for shots in (asked.side // 4, 2 * asked.side):
        given: dict[str, Any] = {"sampling": "radial", "side": asked.side, "shots": shots, "device": "cpu"}
        settings = cast(ShotSettings, settings_for(profile, **given))
        for name, found in fixed_designs(ShotsOptics(settings, profile).scan).items():
            if name != "centre block":
                table(name, cast(NonCartesian, found), settings.noise, asked.slices)


def table(name: str, design: NonCartesian, noise: float, slices: int) -> None:
    """The rows of one design."""
    side, shots = design.size[0], design.shots
    print(f"\n{name}, {shots} shots of {design.samples_per_shot} samples, {side} x {side} pixels, {slices} slices\n")
    print(f"| off by, 1/FOV | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}")
    first: float | None = None
    for error in ERRORS:
        means = [
            float(np.mean([psnr_db(design, way(design.samples, error), noise, seed) for seed in range(slices)]))
            for way in (WAYS.values() if error else [late])
        ]
        first = means[0] if first is None else first
        cells = [f"{mean:.2f} ({first - mean:.2f})" for mean in means] if error else [f"{first:.2f}"] * len(WAYS)
        print(f"| {error:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

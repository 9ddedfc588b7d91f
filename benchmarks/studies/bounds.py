"""The linear bound of designs beside what their linear estimate and their network reach, and how it ranks them.

For at least eight designs of each modality (fixed, random and learned ones; small images, a decoder trained for each)
one row: the bound (expected mean squared error of the best linear estimate, for the prior and the noise of the run),
the mean squared error of the linear estimate and of the network on the same validation images, all three in dB.  Below
the table Spearman's rank correlation of the bound with both.

Run: python benchmarks/studies/bounds.py [--modality NAME] [--seed 1] [--epochs 4]
"""

import argparse
import os
import platform
import time
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import torch
from scipy.stats import spearmanr
from small import PROFILES, Small

from cidesign.constraints.kspace import LineBudget
from cidesign.distill.alone import train_alone
from cidesign.distill.comparison.evaluate import LINEAR, NETWORK, measure
from cidesign.modalities.cassi.fixed_designs import random_mask
from cidesign.modalities.mri.fixed_designs import random_lines, variable_density_lines
from cidesign.modalities.mri.settings import MriSettings
from cidesign.modalities.single_pixel.fixed_designs import random_patterns
from cidesign.modalities.single_pixel.settings import SinglePixelSettings
from cidesign.modality import modality
from cidesign.pattern import ApertureMask, CartesianLines, Design, PatternStack
from cidesign.physics.linear_bound import Bound, mean_square_db
from cidesign.text import table


def patterns(small: Small) -> dict[str, Design]:
    """More single-pixel patterns: random ones with other shares of light, which waste readings on the mean."""
    settings = cast(SinglePixelSettings, small.settings)
    count = settings.patterns
    found: dict[str, Design] = {}
    for share in (0.25, 0.75, 0.95):
        draws = np.random.default_rng([small.settings.seed, int(100 * share)])
        levels = (draws.random((count, settings.side, settings.side)) < share).astype(np.uint8)
        found[f"random, {share:.0%} on"] = _stack(levels, small)
    coarse = random_patterns(settings.side // 2, count, settings.seed).repeat(2, 1).repeat(2, 2)
    found["random blocks of 2 x 2"] = _stack((coarse > 0).astype(np.uint8), small)
    return found


def _stack(levels: Any, small: Small) -> PatternStack:
    return PatternStack(levels, 1, "complementary", small.profile.id, small.profile.digest)


def masks(small: Small) -> dict[str, Design]:
    """More masks: other open shares, and one that codes nothing."""
    side = small.settings.side
    pitch_um = 10.0
    found = {
        f"random {share:.0%}": random_mask(side, side, small.settings.seed, share) for share in (0.1, 0.3, 0.7, 0.9)
    }
    found["open"] = np.ones((side, side), dtype=np.uint8)
    found["columns"] = np.tile(np.array([1, 0], dtype=np.uint8), (side, side // 2))
    return {name: ApertureMask(mask, pitch_um, small.profile.id, small.profile.digest) for name, mask in found.items()}


def lines(small: Small) -> dict[str, Design]:
    """More line sets: other densities."""
    settings = cast(MriSettings, small.settings)
    budget = LineBudget(settings.side, settings.acquired, settings.acs_lines)
    found = {f"density, power {power:g}": variable_density_lines(budget, 2, power) for power in (1.0, 2.0, 8.0)}
    found["random"] = random_lines(budget, 2)
    return {
        name: CartesianLines(
            budget.lines, settings.matrix[1], chosen, budget.calibration, small.profile.id, small.profile.digest
        )
        for name, chosen in found.items()
    }


MORE = {"single-pixel": patterns, "cassi": masks, "mri": lines}


def study(name: str, seed: int, epochs: int) -> tuple[list[tuple[str, float, float, float]], float]:
    """Rows of (design, bound, linear estimate, network) in dB, and the seconds that they took."""
    started = time.monotonic()
    small, kind = Small.of(name, seed, epochs), modality(name)
    maker = small.maker()
    designs: dict[str, Design | None] = {**kind.fixed_designs(maker, small.profile), **MORE[name](small)}
    rows = []
    for label, design in {**designs, "learned (E2E)": None}.items():
        system = train_alone(maker, small.train, epochs, design)
        rows.append(_row(label, system, small))
    teacher = small.trained(maker, "teacher", None)
    rows.append(_row("learned (distilled)", small.trained(maker, "student", teacher), small))
    return rows, time.monotonic() - started


def _row(label: str, system: Any, small: Small) -> tuple[str, float, float, float]:
    kind = modality(small.settings.modality)
    bound = kind.linear_bound(system.encoder, system.decoder.prior)
    if not isinstance(bound, Bound):
        raise SystemExit(f"{label}: {bound.why}")
    reached = measure(system, small.validation, small.settings, len(small.validation), ()).mean_square
    return label, bound.db, mean_square_db(reached[LINEAR]), mean_square_db(reached[NETWORK])


def main() -> None:
    """Print a table and two rank correlations for each modality."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modality", choices=PROFILES, action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.processor() or platform.machine()}, 1 of {os.cpu_count()} cores")
    for name in options.modality or PROFILES:
        rows, seconds = study(name, options.seed, options.epochs)
        rows.sort(key=lambda row: -row[1])
        print(f"\n{name}: {len(rows)} designs, seed {options.seed}, {options.epochs} epochs each, {seconds:.0f} s")
        cells = [(label, *(f"{value:.2f}" for value in values)) for label, *values in rows]
        print(table(cells, ("design", "linear bound dB", "linear estimate dB", "network dB")))
        bounds, linear, network = zip(*(values for _, *values in rows), strict=True)
        for title, reached in (("linear estimate", linear), ("network", network)):
            rho = spearmanr(bounds, reached).statistic
            print(f"Spearman's rank correlation of the bound with the {title}: {rho:+.2f}")


if __name__ == "__main__":
    main()

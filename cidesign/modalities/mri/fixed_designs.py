"""Fixed Cartesian line sets of an exact budget: the baselines that a learned one has to beat."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.kspace import Budget, LineBudget
from cidesign.errors import InputError
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.modalities.mri.settings import MriSettings
from cidesign.pattern import CartesianLines, Design, centre_block

Lines = NDArray[np.int64]

# Of the powers 2, 4 and 8 tried on phantoms, the one whose reconstructions came nearest.
DENSITY_POWER = 4.0


def centre_lines(rule: LineBudget) -> Lines:
    """The budget's lines all in one block around the centre of k-space, (L,) rising: a plain low-pass."""
    return np.array(centre_block(rule.lines, rule.acquired), dtype=np.int64)


def variable_density_lines(rule: LineBudget, seed: int, power: float) -> Lines:
    """The calibration lines, and a random draw without replacement of the rest, denser near the centre; (L,) rising.

    Line k is drawn with weight (1 - |k - c| / (d + 1))**power, c = lines // 2 and d the largest distance from it: the
    polynomial density of Lustig et al. 2007 (power 0 is uniform, larger is more central).  Raises `InputError` when
    `power` is negative or not finite.
    """
    if not 0 <= power < math.inf:
        raise InputError(f"variable density: a power of {power} is no density; use a number from 0 on")
    rng = np.random.default_rng([seed, rule.lines, rule.acquired, rule.calibration])
    distance = np.abs(np.arange(rule.lines) - rule.lines // 2)
    return np.flatnonzero(weighted_draw(rule, power * np.log1p(-distance / (distance.max() + 1)), rng)).astype(np.int64)


def weighted_draw(rule: Budget, log_weight: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """What a budget always measures, and a draw without replacement of the rest by weights, in the budget's shape."""
    # The largest of log weight + Gumbel noise are such a draw, also where weights underflow.
    keys = log_weight + rng.gumbel(size=log_weight.shape)
    keys[rule.always], keys[rule.never] = np.inf, -np.inf
    return lowest(rule, -keys)


def lowest(rule: Budget, keys: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The choice of a budget with the lowest keys, in its shape; equal ones go to the lower index."""
    chosen = np.zeros(keys.size, dtype=bool)
    chosen[np.argsort(keys, axis=None, kind="stable")[: rule.acquired]] = True
    return chosen.reshape(keys.shape)


def random_lines(rule: LineBudget, seed: int) -> Lines:
    """The calibration lines, and a uniform random draw of the rest, (L,) rising; the same for the same seed."""
    return variable_density_lines(rule, seed, power=0.0)


def equispaced_lines(rule: LineBudget, offset: float) -> Lines:
    """The calibration lines, and every s-th of the M others with s = M / (L - calibration), (L,) rising.

    Of the lines outside the calibration block, in order, number floor((j + offset) s) for j = 0, 1, ... is taken: where
    s is not whole, steps of both its neighbours alternate, so that the budget is exact.  `offset` in [0, 1) moves
    the comb by that share of a step; raises `InputError` for any other.
    """
    if not 0 <= offset < 1:
        raise InputError(f"equispaced lines: an offset of {offset} is not a share of a step; use 0 or more, below 1")
    calibration = np.array(centre_block(rule.lines, rule.calibration), dtype=np.int64)
    others = np.setdiff1d(np.arange(rule.lines), calibration)
    wanted = rule.acquired - rule.calibration
    if wanted == 0:
        return calibration
    # Exact fractions: rounding must neither repeat a line nor step past the last one.
    shift = Fraction(offset)
    number = [math.floor((j + shift) * len(others) / wanted) for j in range(wanted)]
    return np.sort(np.concatenate([calibration, others[number]]))


def partial_fourier_lines(rule: LineBudget) -> Lines:
    """One block with a quarter of the budget below the centre of k-space and the rest above, (L,) rising.

    What lies beyond on the lower side follows from the upper one where the phase of the image is smooth (Margosian
    1985, Noll et al. 1991).  The calibration lines are in it, and it ends with the matrix where that is too small.
    """
    below = max(rule.calibration // 2, rule.acquired // 4)
    first = max(min(rule.lines // 2 - below, rule.lines - rule.acquired), 0)
    return np.arange(first, first + rule.acquired, dtype=np.int64)


def fixed_designs(settings: MriSettings, profile: MriProfile) -> dict[str, Design]:
    """Lines as scanners choose them."""
    budget = settings.budget
    lines = {
        "centre block": centre_lines(budget),
        "variable density": variable_density_lines(budget, settings.seed, DENSITY_POWER),
        "equispaced + centre": equispaced_lines(budget, 0.0),
        "partial Fourier": partial_fourier_lines(budget),
    }
    return {
        name: CartesianLines(budget.lines, settings.samples, chosen, budget.calibration, profile.id, profile.digest)
        for name, chosen in lines.items()
    }

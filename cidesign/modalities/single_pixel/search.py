"""Patterns chosen one after the other by what each of them still tells, under a prior and a noise."""

import torch
from torch import Tensor

from cidesign.modalities.single_pixel.fixed_designs import low_frequency_cosines
from cidesign.physics.cosine_filter import dct_matrix

# The patterns that are chosen from: so many times those that are wanted, and at the least so many.
CHOICES, FEWEST_CHOICES = 4, 256


@torch.no_grad()
def searched_patterns(side: int, count: int, variance: Tensor, noise_variance: float) -> Tensor:
    """The signs of `count` low 2-D cosines (count, side, side), -1 or +1, each chosen greedily, some repeatedly.

    With C the covariance of images whose DCT coefficients have `variance` (side, side), given the readings so far, the
    next pattern a is the one that lowers the expected squared error of the best linear estimate, tr C, most:

        a = argmax |C a|^2 / (a^T C a + s^2),      C <- C - C a a^T C / (a^T C a + s^2)

    s^2 is `noise_variance`, of a reading.  In bright light these are the
    lowest cosines in another order; in little light the lowest ones are repeated, as each is told better by that than
    finer ones are told at all.  (Greedy D-optimal and A-optimal designs: Pukelsheim, Optimal Design of Experiments.)
    """
    patterns = torch.from_numpy(low_frequency_cosines(side, choices_of(side, count)))
    dct, first = dct_matrix(side).double(), variance.double().flatten()
    spectra = (dct @ (patterns.double() / side) @ dct.T).flatten(1)
    # C = diag(first) - steps^T steps is never formed: of every choice a^T C a and |C a|^2 are kept up to date.
    weighted = spectra * first
    told, lowered = (weighted * spectra).sum(dim=1), weighted.square().sum(dim=1)
    del weighted
    steps, taken = torch.zeros(count, side**2, dtype=torch.float64), []
    for number in range(count):
        best, before = int((lowered / (told + noise_variance)).argmax()), steps[:number]

        def covered(vector: Tensor, before: Tensor = before) -> Tensor:
            return first * vector - before.T @ (before @ vector)

        seen = covered(spectra[best])
        step = seen / (seen @ spectra[best] + noise_variance).sqrt()
        along, across = (spectra @ torch.stack([step, covered(step)], dim=1)).unbind(dim=1)
        told -= along.square()
        lowered += along * (along * step.square().sum() - 2 * across)
        steps[number] = step
        taken.append(best)
    return patterns[taken]


def choices_of(side: int, count: int) -> int:
    """How many patterns `count` are chosen from."""
    return min(side**2, max(CHOICES * count, FEWEST_CHOICES))

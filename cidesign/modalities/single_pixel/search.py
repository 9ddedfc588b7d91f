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
    patterns = torch.from_numpy(low_frequency_cosines(side, min(side**2, max(CHOICES * count, FEWEST_CHOICES))))
    dct = dct_matrix(side).double()
    spectra = (dct @ (patterns.double() / side) @ dct.T).flatten(1)
    # C a of every choice; C itself is never formed.
    seen, taken = spectra * variance.double().flatten(), []
    for _ in range(count):
        known = (seen * spectra).sum(dim=1) + noise_variance
        best = int((seen.square().sum(dim=1) / known).argmax())
        seen -= torch.outer(seen @ spectra[best] / known[best], seen[best].clone())
        taken.append(best)
    return patterns[taken]

"""Lines and points as published methods learn them: the highest scores, with a straight-through gradient."""

import torch
from torch import Tensor

from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.mri.relax import hard_choice


class StraightThroughEncoder(CartesianEncoder):
    """An `CartesianEncoder` without exploration: dm/dscore = 1 for every line (Bengio et al. 2013), measured or not.

    The derivative along one line of the loss is not what the line is worth (`relax.select_lines` says why), so lines
    that are worth much can leave.
    """

    def explore(self, progress: float, generator: torch.Generator | None) -> None:
        """Nothing to explore: the lines of a step are those that would be built."""

    def choice(self) -> Tensor:
        """0/1 with exactly the budget; its gradient is that of the scores."""
        # Adding the difference changes no bit of 0 and 1.
        return hard_choice(self.rule, self.weight) + (self.weight - self.weight.detach())

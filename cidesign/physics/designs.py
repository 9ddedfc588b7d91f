"""Fixed pattern designs: starting points for training, and the strong baselines that stand beside it."""

import numpy as np
from numpy.typing import NDArray


def low_frequency_cosines(side: int, count: int) -> NDArray[np.float32]:
    """The signs of the `count` lowest 2-D cosines, (count, side, side), each value -1 or +1.

    phi_uv,ij = sign(cos(pi u (i + 1/2) / n) cos(pi v (j + 1/2) / n)), in order of u + v, then of u; for every side,
    where Hadamard patterns need a power of two.  Low-pass designs like this one are hard to beat on photographs,
    whose power falls as 1/f^2, so training starts here and not from noise.
    """
    order = sorted(((u, v) for u in range(side) for v in range(side)), key=lambda uv: (uv[0] + uv[1], uv[0]))
    u, v = np.array(order[:count]).T
    # cos(pi u (2 i + 1) / (2 n)) > 0 from integers: exact, where cosines near zero would be signed by rounding.
    position = 2 * np.arange(side) + 1

    def sign(frequency: NDArray[np.int64]) -> NDArray[np.float32]:
        phase = frequency[:, None] * position % (4 * side)
        return np.where((phase <= side) | (phase > 3 * side), 1.0, -1.0).astype(np.float32)

    return sign(u)[:, :, None] * sign(v)[:, None, :]

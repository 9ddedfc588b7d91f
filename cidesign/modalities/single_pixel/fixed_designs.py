"""Fixed single-pixel patterns: starting points for training, and the strong baselines that stand beside it."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modalities.single_pixel.settings import SinglePixelSettings
from cidesign.pattern import Design, PatternStack
from cidesign.pattern.hadamard import cake_cutting_order, hadamard_rows, require_power_of_two, sequency_order

HadamardOrder = Literal["natural", "sequency", "cake-cutting"]
HADAMARD_ORDERS: tuple[HadamardOrder, ...] = ("natural", "sequency", "cake-cutting")


def random_patterns(side: int, count: int, seed: int) -> NDArray[np.float32]:
    """`count` random patterns (count, side, side) of +1 and -1 with equal probability; the same for the same seed.

    Raises `InputError` when `count` is not in 1..side**2.
    """
    _check_count(side, count)
    rng = np.random.default_rng([seed, side, count])
    return (2 * rng.integers(0, 2, (count, side, side)) - 1).astype(np.float32)


def hadamard_patterns(side: int, count: int, order: HadamardOrder) -> NDArray[np.float32]:
    """The first `count` Hadamard patterns in an order, (count, side, side) of +1 and -1, all-on first.

    `natural`: the rows of the Sylvester matrix as they are; `sequency`: fewest sign changes along both axes together
    first; `cake-cutting`: fewest connected pieces first (Yu, Sensors 19, 4122, 2019).  Raises `InputError` when `side`
    is not a power of two, `count` is not in 1..side**2, or the order is unknown.
    """
    require_power_of_two(side)
    _check_count(side, count)
    if order == "natural":
        rows = np.arange(count)
    elif order == "sequency":
        rows = sequency_order(side)[:count]
    elif order == "cake-cutting":
        rows = cake_cutting_order(side)[:count]
    else:
        raise InputError(f"Hadamard order {order!r} is unknown; choose one of {', '.join(get_args(HadamardOrder))}")
    return hadamard_rows(side, rows).astype(np.float32)


def low_frequency_cosines(side: int, count: int) -> NDArray[np.float32]:
    """The signs of the `count` lowest 2-D cosines, (count, side, side), each value -1 or +1.

    phi_uv,ij = sign(cos(pi u (i + 1/2) / n) cos(pi v (j + 1/2) / n)), in order of u + v, then of u; for every side,
    where Hadamard patterns need a power of two.  Low-pass designs like this one are hard to beat on photographs,
    whose power falls as 1/f^2, so training starts here and not from noise.  Raises `InputError` when `count` is not
    in 1..side**2.
    """
    _check_count(side, count)
    order = sorted(((u, v) for u in range(side) for v in range(side)), key=lambda uv: (uv[0] + uv[1], uv[0]))
    u, v = np.array(order[:count]).T
    # cos(pi u (2 i + 1) / (2 n)) > 0 from integers: exact, where cosines near zero would be signed by rounding.
    position = 2 * np.arange(side) + 1

    def sign(frequency: NDArray[np.int64]) -> NDArray[np.float32]:
        phase = frequency[:, None] * position % (4 * side)
        return np.where((phase <= side) | (phase > 3 * side), 1.0, -1.0).astype(np.float32)

    return sign(u)[:, :, None] * sign(v)[:, None, :]


def _check_count(side: int, count: int) -> None:
    if not 1 <= count <= side * side:
        raise InputError(
            f"{count} patterns: an image of {side} x {side} has {side * side} unknowns; use 1 to that many"
        )


def fixed_designs(settings: SinglePixelSettings, profile: HardwareProfile) -> dict[str, Design]:
    """The pattern sets that stand beside a learned one, at its bit depth and encoding.

    There are none beside a design of more patterns than pixels.
    """
    side, count = settings.side, settings.patterns
    if count > side**2:
        return {}
    signed = {
        "random": random_patterns(side, count, settings.seed),
        "low-pass cosines": low_frequency_cosines(side, count),
    }
    for order in HADAMARD_ORDERS:
        try:
            signed[f"Hadamard, {order}"] = hadamard_patterns(side, count, order)
        except InputError:  # Hadamard patterns need a power of two
            continue
    top = 2**settings.bit_depth - 1
    return {
        name: PatternStack(
            np.where(patterns > 0, top, 0).astype(np.uint8),
            settings.bit_depth,
            settings.encoding,
            profile.id,
            profile.digest,
        )
        for name, patterns in signed.items()
    }

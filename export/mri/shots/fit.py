"""From samples of k-space to gradients that pass them: corners on the raster, straight between, 0 at both ends."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import LimitError
from cidesign.pattern.shots import GAMMA_HZ_PER_T, NS_PER_S

# Of a step of 1/FOV: how far the gradients may pass a sample by.
FIT_TOLERANCE = 1e-3
# Of corners that the samples leave open the smoothest are taken; far below what moves a sample.
SMOOTHNESS = 1e-3
# The equations of a shot are solved at once.
MAX_CORNERS = 3_000


class Fitted(NamedTuple):
    """Gradients (shots, corners, 2) in mT/m with their ramps, starts (shots, 2) in 1/FOV, and when sampling starts.

    `ramps_ns` are the lengths of those before and behind the sampling; `apart` the largest distance of a sample.
    """

    gradients_mt_per_m: NDArray[np.float64]
    starts: NDArray[np.float64]
    ramps_ns: tuple[int, int]
    apart: float


def fit_gradients(
    samples: NDArray[np.float64], dwell_ns: int, raster_ns: int, fov_mm: float, max_slew_t_per_m_per_s: float
) -> Fitted:
    """The gradients that pass samples (shots, samples, 2) in 1/FOV, one in the middle of each dwell time.

    k(t) = k_0 + gamma FOV integral of g; least squares over the corners g.  The ramps from and to 0 are as short as the
    slew allows.  Raises `LimitError` where no corners on this raster pass the samples, with shot, time and distance.
    """
    count = samples.shape[1]
    pieces = math.ceil(count * dwell_ns / raster_ns)
    if pieces > MAX_CORNERS:
        raise LimitError(
            f"trajectory: shots of {count * dwell_ns / 1e6:g} ms have {pieces} corners on a raster of "
            f"{raster_ns / 1e3:g} us; at most {MAX_CORNERS} are fitted: use shorter shots"
        )
    per_raster = 1e-3 * GAMMA_HZ_PER_T * raster_ns / NS_PER_S * fov_mm * 1e-3
    equations = _integrals((np.arange(count) + 0.5) * dwell_ns / raster_ns, pieces) * per_raster
    known = samples.transpose(1, 0, 2).reshape(count, -1)
    found = _least_squares(equations, known, per_raster)
    apart = np.abs(found[0] + equations @ found[1:] - known).reshape(count, len(samples), 2).max(axis=2)
    sample, shot = np.unravel_index(int(np.argmax(apart)), apart.shape)
    if not apart[sample, shot] <= FIT_TOLERANCE:
        raise LimitError(
            f"trajectory: shot {shot}, {(sample + 0.5) * dwell_ns / 1e6:.4g} ms after its first sample: gradients with "
            f"corners every {raster_ns / 1e3:g} us pass it {apart[sample, shot]:.2g} of 1/FOV by, the limit is "
            f"{FIT_TOLERANCE:g}; design it on that raster, or say its real dwell time"
        )
    starts, g = found[0].reshape(-1, 2), found[1:].reshape(pieces + 1, -1, 2).transpose(1, 0, 2)
    before, after = (_ramp(g[:, end], raster_ns, max_slew_t_per_m_per_s) for end in (0, -1))
    up, down = np.arange(before) / before, np.arange(after)[::-1] / after
    whole = np.concatenate([g[:, :1] * up[:, None], g, g[:, -1:] * down[:, None]], axis=1)
    starts = starts - g[:, 0] * (before / 2 * per_raster)
    ramps_ns = (before * raster_ns, after * raster_ns)
    return Fitted(whole, starts, ramps_ns, float(apart[sample, shot]))


def _integrals(times: NDArray[np.float64], pieces: int) -> NDArray[np.float64]:
    """(times, pieces + 1): the integral up to each time, in rasters, of the hat of each corner."""
    since = times[:, None] - np.arange(pieces + 1)
    # Of a hat of width 2: 0 before it, 1 behind it; the first corner has only its falling half.
    rising = np.clip(since + 1, 0, 1) ** 2 / 2
    fallen = 1 - np.clip(since, 0, 1)
    falling = (1 - fallen**2) / 2
    rising[:, 0] = 0
    found: NDArray[np.float64] = rising + falling
    return found


def _least_squares(equations: NDArray[np.float64], known: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """k_0 and the corners (1 + corners, columns)."""
    from scipy.linalg import lstsq

    corners = equations.shape[1]
    bend = np.zeros((max(corners - 2, 0), corners + 1))
    rows = np.arange(len(bend))
    for offset, weight in ((1, 1.0), (2, -2.0), (3, 1.0)):
        bend[rows, rows + offset] = weight * scale * SMOOTHNESS
    whole = np.concatenate([np.concatenate([np.ones((len(equations), 1)), equations], axis=1), bend])
    wanted = np.concatenate([known, np.zeros((len(bend), known.shape[1]))])
    found: NDArray[np.float64] = lstsq(whole, wanted, lapack_driver="gelsy", cond=1e-12)[0]
    return found


def _ramp(heights: NDArray[np.float64], raster_ns: int, max_slew_t_per_m_per_s: float) -> int:
    """Rasters from 0 to the largest of the gradients (shots, 2) in mT/m."""
    step_mt_per_m = max_slew_t_per_m_per_s * raster_ns / NS_PER_S * 1e3
    return max(math.ceil(float(np.linalg.norm(heights, axis=1).max()) / step_mt_per_m - 1e-9), 1)

"""Where the centre of k-space lies along the lines, and lines that are counted from another one.

A header or a table of lines that is off by a few moves all of k-space; so does a prephaser of the wrong size.  In the
image it is a linear phase, which an object can have as well.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import RawKspace, Samples

# Lines on either side of the strongest one that weigh in: further out the energy is that of detail.
NEAR = 3


def centre_offset(k: Samples, lines: NDArray[np.int64], count: int) -> float:
    """How many lines the energy of k (coils, L, n) on `lines` of `count` is centred above line count // 2.

    The centroid about the strongest line, of pairs of lines that were both measured.
    """
    energy = (np.abs(k.astype(np.complex128)) ** 2).sum(axis=(0, 2))
    places = {int(line): float(value) for line, value in zip(lines, energy, strict=True)}
    peak = max(places, key=lambda line: places[line])
    total, moment = places[peak], 0.0
    for step in range(1, NEAR + 1):
        above, below = places.get(peak + step), places.get(peak - step)
        if above is not None and below is not None:
            total += above + below
            moment += step * (above - below)
    return peak - count // 2 + moment / max(total, 1e-300)


def recounted(raw: RawKspace, above: int) -> RawKspace:
    """A full scan, and its phantom, with the centre of k-space moved down by `above` lines; other scans as they are.

    Of a scan of all lines those that leave the matrix come in again at its other end, which is a linear phase of the
    image and nothing else; of a padded one they are left out.  Lines of a design cannot be moved: others were measured.
    """
    if not above or raw.padding is None:
        return raw
    lines = raw.lines - above
    if raw.complete:
        lines %= raw.matrix_lines
    rising = np.argsort(lines)
    rising = rising[(lines[rising] >= 0) & (lines[rising] < raw.matrix_lines)]
    phantom = raw.phantom
    if phantom is not None:
        phantom = replace(phantom, order=(phantom.order - above) % len(phantom.order))
    return replace(
        raw,
        k=np.ascontiguousarray(raw.k[:, rising]),
        lines=lines[rising],
        edges=None if raw.edges is None else np.ascontiguousarray(raw.edges[:, rising]),
        order=None if raw.order is None else raw.order[rising],
        phantom=phantom,
    )

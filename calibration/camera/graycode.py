"""Gray code on a micromirror device: the frames to show, and which mirror each camera pixel sees.

Every frame is followed by its inverse, so that a bit is the sign of a difference: neither the brightness of the scene
nor the camera's offset matters.  Columns come first, most significant bit first, then rows, then all on and all off.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, LimitError

MAX_FRAMES_BYTES = 2_000_000_000
# A pixel is lit when its contrast is that part of the best lit pixels' (the 99th percentile).
LIT_FRACTION = 0.15
# A bit counts when its difference is as many deviations of the noise, and that part of the pixel's contrast.
BIT_DEVIATIONS, BIT_FRACTION = 3.0, 0.1
# A bit is finer than the camera resolves when its difference is on average a smaller part of the contrast, or when
# neighbouring pixels are more of its indices apart.
RESOLVED_FRACTION, MOST_INDICES_PER_PIXEL = 0.35, 1.5
# Contrast over noise below which no bit can be told; and, of means over blocks, below which nothing moved at all.
LEAST_CONTRAST, LEAST_MOVEMENT, BLOCK_PX = 14.0, 3.5, 4
MAX_SATURATED_FRACTION = 0.1
# A pair is sound when fewer of the lit pixels miss the sum of white and black by half of their contrast.
MAX_UNPAIRED_FRACTION = 0.1
# Overexposed: sums of pairs are too large and next to never too small, and that part of the lit pixels is as bright as
# the brightest, hot pixels aside.
MAX_TOO_SMALL, AS_BRIGHT, HOT_FRACTION = 0.05, 0.9, 0.001
# The share of the lit pixels that must decode to a mirror, and of those that do, how many may lie off the device.
LEAST_VALID, MOST_OUTSIDE = 0.35, 0.05
FULL_SCALES = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
_SAMPLE_PX = 4000


@dataclass(frozen=True)
class GrayCode:
    """What a camera saw of a Gray code.

    `column`, `row` (H, W), int32: the mirror each pixel sees, meaningful where `valid`.  `column_step`, `row_step`:
    bits that the camera does not resolve are left out, and an index stands for the middle of as many mirrors; 1 where
    all bits count.  `valid`: lit, not saturated, all bits that count above the noise, and on the device.  `lit`: pixels
    that the device lights.  `white_counts`, `black_counts` (H, W): the last two frames.
    `column_edges` (N, 3), `row_edges` (M, 3): where the border between column (row) k and k + 1 crosses the line
    between two neighbouring pixels, as camera x, camera y and k; pixel centres are whole numbers.
    `row_stripe_contrast`: what is left of the finest stripes of rows, 1 with ideal optics.
    """

    columns: int
    rows: int
    column: NDArray[np.int32]
    row: NDArray[np.int32]
    valid: NDArray[np.bool_]
    lit: NDArray[np.bool_]
    white_counts: NDArray[np.float32]
    black_counts: NDArray[np.float32]
    column_edges: NDArray[np.float64]
    row_edges: NDArray[np.float64]
    column_step: int
    row_step: int
    row_stripe_contrast: float
    noise_counts: float
    contrast_counts: float
    saturated_fraction: float

    @property
    def valid_fraction(self) -> float:
        """The share of the lit pixels whose mirror is known."""
        return float(self.valid.sum() / max(int(self.lit.sum()), 1))


def bits_of(count: int) -> int:
    """How many bits tell `count` columns apart, at least one."""
    return max(count - 1, 1).bit_length()


def frame_count(columns: int, rows: int) -> int:
    """The number of frames: a pair for each bit of a column and of a row, white and black."""
    return 2 * (bits_of(columns) + bits_of(rows) + 1)


def graycode_patterns(columns: int, rows: int) -> NDArray[np.uint8]:
    """The frames to show, (F, rows, columns), 1 where a mirror is on.

    Bit b of a column c, most significant first, is bit b of c xor (c >> 1); the same order as OpenCV's GrayCodePattern.
    """
    frames = np.zeros((frame_count(columns, rows), rows, columns), dtype=np.uint8)
    horizontal, vertical = _code(columns), _code(rows)
    for number, bits in enumerate((*(line[None, :] for line in horizontal), *(line[:, None] for line in vertical))):
        frames[2 * number] = bits
        frames[2 * number + 1] = 1 - bits
    frames[-2] = 1
    return frames


def _code(count: int) -> NDArray[np.uint8]:
    index = np.arange(count)
    shifts = np.arange(bits_of(count))[::-1, None]
    return (((index ^ (index >> 1)) >> shifts) & 1).astype(np.uint8)


def decode_graycode(frames: NDArray[Any], columns: int, rows: int) -> GrayCode:
    """Which mirror each camera pixel sees, from frames (F, H, W) in the order of `graycode_patterns`.

    Raises `FileError` for a wrong number of frames, frames that are all alike, white and black exchanged, a frame that
    was lost or doubled (with its place), images that are too dark, and indices that are not on the device; and
    `LimitError` for saturated images.
    """
    _require_frames(frames, columns, rows)
    stack = frames.astype(np.float32)
    lowest, contrast = stack.min(axis=0), np.ptp(stack, axis=0)
    best = float(np.percentile(contrast, 99))
    spread = _spread(stack, lowest, contrast, best)
    _require_light(stack, spread, best)
    lit = contrast > max(LIT_FRACTION * best, 8 * spread)
    level = _full_scale(stack, lit)
    saturated = lit & (stack.max(axis=0) >= level)
    saturated_fraction = float(saturated.sum() / lit.sum())
    if saturated_fraction > MAX_SATURATED_FRACTION:
        raise LimitError(
            f"Gray code: overexposed: {saturated_fraction:.0%} of the lit pixels are at the camera's full scale "
            f"({level:g} counts), at most {MAX_SATURATED_FRACTION:.0%} may be; shorten the exposure",
            fault="saturation",
        )
    _require_pairs(stack, 2 * lowest + contrast, contrast, lit)
    noise = _noise(stack[:-2], lit)
    split = 2 * bits_of(columns)
    noise_of_difference = BIT_DEVIATIONS * 2**0.5 * noise
    across = _decode(stack[:split], lit, contrast, noise_of_difference)
    down = _decode(stack[split:-2], lit, contrast, noise_of_difference)
    if not across.step * down.step:
        raise LimitError(
            "Gray code: the camera resolves no stripe but the widest; move it closer, or focus it on the device"
        )
    column, row = across.index, down.index
    inside = (column < columns) & (row < rows)
    strong = (across.weak == 0) & (down.weak == 0)
    valid = lit & inside & ~saturated & strong
    _require_mirrors(valid, inside, lit & strong, lit, column, row, (columns, rows))
    return GrayCode(
        columns, rows, column, row,
        valid=valid,
        lit=lit, white_counts=stack[-2], black_counts=stack[-1], column_edges=across.edges, row_edges=down.edges,
        column_step=across.step, row_step=down.step, row_stripe_contrast=down.finest,
        noise_counts=noise, contrast_counts=float(np.median(contrast[lit])), saturated_fraction=saturated_fraction,
    )  # fmt: skip


def _require_frames(frames: NDArray[Any], columns: int, rows: int) -> None:
    if frames.ndim != 3 or 0 in frames.shape or frames.dtype.kind not in "iuf":
        raise FileError(f"Gray code: frames of shape {frames.shape}, {frames.dtype}; numbers (F, H, W) are needed")
    wanted = frame_count(columns, rows)
    if len(frames) != wanted:
        raise FileError(
            f"Gray code: {len(frames)} frames; {columns} x {rows} mirrors need {wanted}: "
            f"{bits_of(columns)} pairs for columns, {bits_of(rows)} for rows, white and black"
        )
    if min(frames.shape[1:]) < 2 * BLOCK_PX:
        raise FileError(f"Gray code: images of {frames.shape[2]} x {frames.shape[1]} pixels are too small")
    if frames.size * 4 > MAX_FRAMES_BYTES:
        raise LimitError(
            f"Gray code: {frames.size * 4 / 1e9:.1f} GB of images are more than {MAX_FRAMES_BYTES / 1e9:g} GB; "
            "cut the images to the device, or bin the camera"
        )
    if frames.dtype.kind == "f" and not np.isfinite(frames).all():
        raise FileError("Gray code: the images hold values that are not finite; record them again")


def _noise(pairs: NDArray[np.float32], lit: NDArray[np.bool_]) -> float:
    """The deviation of one reading, in counts: what is left of a pair's sum, which is the same for all pairs.

    At least the converter's rounding.
    """
    places = _sample(lit)
    sums = (pairs[0::2] + pairs[1::2]).reshape(len(pairs) // 2, -1)[:, places]
    steps = np.diff(sums, axis=0)
    steps -= np.median(steps, axis=1, keepdims=True)  # the lamp
    return max(1.4826 * float(np.median(np.abs(steps))) / 2, 12**-0.5)


def _sample(chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Some thousand of the chosen pixels, as flat indices."""
    places = np.flatnonzero(chosen)
    return places[:: max(len(places) // _SAMPLE_PX, 1)]


def _spread(
    stack: NDArray[np.float32], lowest: NDArray[np.float32], contrast: NDArray[np.float32], best: float
) -> float:
    """About the deviation of one reading, in counts, whatever the order of the frames: how dark and bright ones vary.

    Medians, because at the edge of a stripe a reading is neither; at least the converter's rounding.
    """
    places = _sample(contrast > LIT_FRACTION * best)
    readings = stack.reshape(len(stack), -1)[:, places]
    bright = readings > (lowest + 0.5 * contrast).ravel()[places]
    squares = []
    for part in (bright, ~bright):
        chosen = np.where(part, readings, np.nan)[:, part.any(axis=0)]
        if chosen.size:
            spread = np.abs(chosen - np.nanmedian(chosen, axis=0))
            squares.append((1.4826 * float(np.nanmedian(spread))) ** 2)
    return float(max(np.mean(squares, dtype=np.float64) if squares else 0.0, 1 / 12) ** 0.5)


def _require_light(stack: NDArray[np.float32], noise: float, best: float) -> None:
    height, width = (BLOCK_PX * (size // BLOCK_PX) for size in stack.shape[1:])
    blocks = stack[:, :height, :width].reshape(len(stack), height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX)
    movement = float(np.percentile(np.ptp(blocks.mean(axis=(2, 4)), axis=0), 99))
    if movement < LEAST_MOVEMENT * noise:
        raise FileError(
            f"Gray code: all {len(stack)} frames are alike (they differ by {movement:.2g} counts, the noise is "
            f"{noise:.2g}); the device did not switch, or its light does not reach the camera"
        )
    if best < LEAST_CONTRAST * noise:
        raise FileError(
            f"Gray code: too dark: the device changes the images by {best:.3g} counts, {best / noise:.1f} deviations "
            f"of their noise; {LEAST_CONTRAST:g} are needed. Lengthen the exposure or open the aperture"
        )


def _require_mirrors(
    valid: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    strong: NDArray[np.bool_],
    lit: NDArray[np.bool_],
    column: NDArray[np.int32],
    row: NDArray[np.int32],
    device: tuple[int, int],
) -> None:
    """Raise `FileError` when too few of the lit pixels decode to a mirror, or too many to places off the device."""
    asked = (
        "do rows come before columns, the least significant bit or the inverse first, is the first mirror shown "
        "elsewhere, or is this another device than the one named? Columns come first, the most significant bit first, "
        "each frame followed by its inverse, then white and black"
    )
    outside = float(1 - inside[strong].mean()) if strong.any() else 0.0
    if outside > MOST_OUTSIDE:
        raise FileError(
            f"Gray code: {outside:.0%} of the lit pixels decode to columns and rows outside {device[0]} x {device[1]} "
            f"(up to {column[strong].max()} and {row[strong].max()}): {asked}"
        )
    share = float(valid.sum() / max(int(lit.sum()), 1))
    if share < LEAST_VALID:
        raise FileError(
            f"Gray code: only {share:.0%} of the lit pixels decode to a mirror, {LEAST_VALID:.0%} must: {asked}"
        )


def _require_pairs(
    stack: NDArray[np.float32], total: NDArray[np.float32], contrast: NDArray[np.float32], lit: NDArray[np.bool_]
) -> None:
    """Each frame and its inverse add up to white and black; from a lost frame on they do not."""
    pairs = len(stack) // 2
    misses = [((stack[2 * k] + stack[2 * k + 1] - total)[lit] / np.maximum(contrast[lit], 1e-6)) for k in range(pairs)]
    missed = [float((np.abs(miss) > 0.5).mean()) for miss in misses]
    bad = [k for k in range(pairs) if missed[k] > MAX_UNPAIRED_FRACTION]
    if bad:
        _require_exposure(stack, misses, lit)
        first = bad[0]
        raise FileError(
            f"Gray code: frames {2 * first} and {2 * first + 1} are not each other's inverse in {missed[first]:.0%} of "
            f"the lit pixels, nor are {len(bad) - 1} of the {pairs - first - 1} pairs behind them; a frame was lost or "
            f"doubled at or before frame {2 * first}. Record again, with a trigger for each frame",
            fault="lost-trigger",
        )
    balance = float(np.median((stack[-2] - stack[-1])[lit] / contrast[lit]))
    if balance < 0:
        raise FileError(
            f"Gray code: white and black are exchanged: frame {len(stack) - 2} is darker than frame {len(stack) - 1}; "
            "is the device's image inverted, or is the order of the frames another?"
        )


def _require_exposure(stack: NDArray[np.float32], misses: list[NDArray[np.float32]], lit: NDArray[np.bool_]) -> None:
    """Raise `LimitError` where clipping, at whatever level and however soft, explains the sums of pairs.

    Of stripes that are blurred into one another both frames are grey; clipped, both are white, and their sum is too
    large.  Lost and doubled frames make sums that are too small as often.
    """
    large = sum(int((miss > 0.5).sum()) for miss in misses)
    small = sum(int((miss < -0.5).sum()) for miss in misses)
    peaks = stack.max(axis=0)[lit]
    level = float(np.quantile(peaks, 1 - HOT_FRACTION))
    bright = float((peaks >= AS_BRIGHT * level).mean())
    if small <= MAX_TOO_SMALL * large and bright > MAX_SATURATED_FRACTION:
        raise LimitError(
            f"Gray code: overexposed: {bright:.0%} of the lit pixels reach about the same counts ({level:g}), and both "
            "frames of a pair are bright at once where the stripes are fine, as of a camera that clips; shorten the "
            "exposure",
            fault="saturation",
        )


def _full_scale(stack: NDArray[np.float32], lit: NDArray[np.bool_]) -> float:
    """The converter's full scale where lit pixels reach one of the usual ones, hot pixels aside; else infinity."""
    peaks = stack.max(axis=0)[lit]
    # 12 bits are often stored in the upper part of 16.
    for scale in sorted({scale * step for scale in FULL_SCALES for step in (1, 16, 64)}, reverse=True):
        if (peaks == scale).any() and (peaks > scale).mean() <= HOT_FRACTION:
            return float(scale)
    return float("inf")


@dataclass(frozen=True)
class _Decoded:
    """Index of each pixel, how many of its bits are weak, the edges between neighbouring indices, mirrors per index (0:
    fewer than two bits count), and the mean difference of the finest bit as a part of the contrast."""

    index: NDArray[np.int32]
    weak: NDArray[np.uint8]
    edges: NDArray[np.float64]
    step: int
    finest: float


def _decode(
    frames: NDArray[np.float32], lit: NDArray[np.bool_], contrast: NDArray[np.float32], least_counts: float
) -> _Decoded:
    whole = np.maximum(contrast, 1e-6)
    difference = ((frames[0::2] - frames[1::2]) / whole).astype(np.float32, copy=False)
    least = np.maximum(least_counts / whole, BIT_FRACTION).astype(np.float32)
    strength = [float(np.mean(np.abs(values[lit]))) for values in difference]
    bits = len(difference)
    while bits and strength[bits - 1] < RESOLVED_FRACTION:
        bits -= 1
    index, _ = _indices(difference[:bits], least)
    while bits and _indices_per_pixel(index, lit) > MOST_INDICES_PER_PIXEL:
        bits, index = bits - 1, index // 2
    step = 2 ** (len(difference) - bits) if bits > 1 or bits == len(difference) else 0
    difference = difference[:bits]
    index, weak = _indices(difference, least)
    edges = np.concatenate([_edges(difference, index, weak, lit, least, axis) for axis in (0, 1)])
    edges[:, 2] = (edges[:, 2] + 1) * step - 1
    return _Decoded(index * np.int32(step) + np.int32(step // 2), weak, edges, step, strength[-1])


def _indices(
    difference: NDArray[np.float32], least: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Gray to binary by running exclusive or: the index of each pixel, and how many of its bits are weak."""
    index = np.zeros(least.shape, dtype=np.int32)
    weak = np.zeros(least.shape, dtype=np.uint8)
    bit = np.zeros(least.shape, dtype=np.bool_)
    for values in difference:
        bit ^= values > 0
        index = 2 * index + bit
        weak += np.abs(values) < least
    return index, weak


def _indices_per_pixel(index: NDArray[np.int32], lit: NDArray[np.bool_]) -> float:
    """By how much the index changes from pixel to pixel, along the axis where it changes more."""
    far = BLOCK_PX
    changes = [
        np.abs(index[far:] - index[:-far])[lit[far:] & lit[:-far]],
        np.abs(index[:, far:] - index[:, :-far])[lit[:, far:] & lit[:, :-far]],
    ]
    return max(float(np.median(change)) / far if change.size else 0.0 for change in changes)


def _edges(
    difference: NDArray[np.float32],
    index: NDArray[np.int32],
    weak: NDArray[np.uint8],
    lit: NDArray[np.bool_],
    least: NDArray[np.float32],
    axis: int,
) -> NDArray[np.float64]:
    """Where one index becomes the next between neighbours along `axis`: camera x, camera y, smaller index; (N, 3).

    One bit alone differs between neighbouring indices, and its difference is 0 at the border whatever the blur is.
    """
    index_here, lit_here = (np.moveaxis(array, axis, 0)[:-1] for array in (index, lit))
    index_there, lit_there = (np.moveaxis(array, axis, 0)[1:] for array in (index, lit))
    step = index_there - index_here
    places = np.nonzero((np.abs(step) == 1) & lit_here & lit_there)
    if not len(places[0]):
        return np.zeros((0, 3))
    lower = np.minimum(index_here, index_there)[places]
    # The lowest 0 bit of k is the one that changes from k to k + 1 in the Gray code of k.
    changing = np.rint(np.log2((lower ^ (lower + 1)) + 1)).astype(np.intp) - 1
    values = np.moveaxis(difference, axis + 1, 1)[::-1]
    first = values[changing, places[0], places[1]]
    second = values[changing, places[0] + 1, places[1]]
    limit, weak = np.moveaxis(least, axis, 0), np.moveaxis(weak, axis, 0)
    # At both pixels no other bit may be weak, and together the changing one must be clear.
    others_first = weak[places] - (np.abs(first) < limit[places])
    others_second = weak[places[0] + 1, places[1]] - (np.abs(second) < limit[places[0] + 1, places[1]])
    good = (others_first == 0) & (others_second == 0) & (np.abs(first - second) > 2 * limit[places])
    fraction = (first / np.where(first == second, 1, first - second)).astype(np.float64)
    moving, still = places[0] + fraction, places[1].astype(np.float64)
    x, y = (still, moving) if axis == 0 else (moving, still)
    edges: NDArray[np.float64] = np.stack([x, y, lower.astype(np.float64)], axis=1)[good]
    return edges

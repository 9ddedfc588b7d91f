"""Readouts as rows of one length with the echo in the middle: turned, cut, and put right as their headers say."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import Samples
from cidesign.calibration.mri.raw.echo_planar import put_right, reversed_phase
from cidesign.calibration.mri.raw.ramps import ReadoutGradient, regridding
from cidesign.calibration.mri.raw.readouts import Matrix, Readouts
from cidesign.errors import FileError

# The echo may lie this many samples off the middle: what is left is calibrated as an echo shift.
MOST_OFF_CENTRE = 1
# Part of a readout, at either end, that may be missing: further in, what is left is a partial echo.
MOST_MISSING = 1 / 8
# Phase-correction readouts are those of the image that these counters name.
SAME_IMAGE = ("slice", "contrast", "repetition", "encoding")


class _Ends(NamedTuple):
    """By readout (R,), once it is turned: samples to discard at either end, and the one of the echo."""

    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    centre: NDArray[np.int64]


def image_rows(readouts: Readouts, chosen: NDArray[np.bool_], matrix: Matrix, notes: list[str]) -> Samples:
    """(coils, rows, samples) of the chosen readouts, those that were sampled backwards turned round.

    Samples that the header says to discard are left out where a readout without them has the length of the matrix, and
    are 0 where it has it with them.  A readout that is too short because its echo comes early, or late, is placed by
    it, and what is missing is 0.  Raises `FileError` for other lengths, and for echoes that miss too much.
    """
    rows, backwards = readouts.samples(chosen), readouts.kinds.reverse[chosen]
    count = rows[0].shape[1]
    ends = _ends(readouts, chosen, backwards, count)
    length = matrix.recorded or _recorded(ends, count, matrix.samples)
    starts = _starts(readouts.path, ends, count, length, matrix)
    if ends.pre.any() or ends.post.any():
        notes.append(
            f"{ends.pre.max()} samples before and {ends.post.max()} after the signal of a readout "
            f"{'left out' if count != length else 'set to 0'}, as its header says ({matrix.fields['discard']})"
        )
    elif count != length:
        early, late = int(max(starts.max(), 0)), int(max((length - count - starts).max(), 0))
        notes.append(
            f"partial echoes: readouts of {count} samples, placed by their echo ({matrix.fields['centre_sample']}); "
            f"{early} samples before and {late} after them, of {length}, are 0"
        )
    k = np.zeros((len(rows[0]), len(rows), length), dtype=np.complex64)
    for number, row in enumerate(rows):
        turned = row[:, ::-1] if backwards[number] else row
        first, last = int(ends.pre[number]), count - int(ends.post[number])
        k[:, number, starts[number] + first : starts[number] + last] = turned[:, first:last]
    return k if matrix.gradient is None else _even(readouts.path, k, backwards, count, matrix.gradient)


def _even(path: Path, k: Samples, backwards: NDArray[np.bool_], count: int, gradient: ReadoutGradient) -> Samples:
    """Rows (coils, R, m) of samples that lie evenly, of those taken on the ramps of a gradient."""
    if k.shape[2] != count:
        raise FileError(
            f"{path}: readouts of {count} samples, {k.shape[2]} in the matrix, which were taken on the ramps of a "
            "gradient too; not both are put right"
        )
    positions = gradient.positions(count)
    even = k.copy()
    for which, places in ((~backwards, positions), (backwards, -positions[::-1])):
        even[:, which] = k[:, which] @ regridding(path, places).matrix.T
    return even


def _ends(readouts: Readouts, chosen: NDArray[np.bool_], backwards: NDArray[np.bool_], count: int) -> _Ends:
    pre, post, centre = (readouts.column(name)[chosen] for name in ("discard_pre", "discard_post", "centre_sample"))
    return _Ends(
        np.where(backwards, post, pre), np.where(backwards, pre, post), np.where(backwards, count - 1 - centre, centre)
    )


def _recorded(ends: _Ends, count: int, samples: int) -> int:
    """Samples of a whole readout where only the readouts say it: a multiple of the matrix's `samples`."""
    if count % samples == 0:
        return count
    kept = int(count - ends.pre[0] - ends.post[0])
    return samples * -(-count // samples) if kept == count and _off_middle(ends, count) else kept


def _off_middle(ends: _Ends, count: int) -> bool:
    return bool((np.abs(ends.centre - count // 2) > MOST_OFF_CENTRE).all())


def _starts(path: Path, ends: _Ends, count: int, length: int, matrix: Matrix) -> NDArray[np.int64]:
    """At which sample of `length` each readout (R,) begins; negative where its first samples are left out."""
    fields, (pre, post, centre) = matrix.fields, ends
    if (pre + post >= count).any():
        worst = int((pre + post).argmax())
        raise FileError(
            f"{path}: {pre[worst]} and {post[worst]} of {count} samples are to be discarded "
            f"({fields['discard']}), which leaves none"
        )
    whole = count == length
    starts = np.zeros_like(pre) if whole else -pre
    if not whole and ((count - pre - post) != length).any():
        if pre.any() or post.any() or count > length or not _off_middle(ends, count):
            rest = (
                f", {int(count - pre[0] - post[0])} without those of {fields['discard']}" if (pre + post).any() else ""
            )
            raise FileError(
                f"{path}: readouts of {count} samples ({fields['number_of_samples']}){rest}, the header says "
                f"{length} ({fields['recorded']})"
            )
        starts = length // 2 - centre
        _require_whole(path, max(int(starts.max()), int((length - count - starts).max())), length, "are missing", "")
    _check_echo(path, centre + starts, length)
    if whole:
        worst = int(max(pre.max(), post.max()))
        _require_whole(path, worst, length, "are to be discarded", f" ({fields['discard']})")
    if (starts + pre < 0).any() or (starts + count - post > length).any():
        raise FileError(
            f"{path}: readouts of {count} samples whose echo is on sample {int(centre[0])} "
            f"({fields['centre_sample']}) do not fit the {length} of the matrix"
        )
    return starts


def _require_whole(path: Path, missing: int, length: int, what: str, field_name: str) -> None:
    if missing > MOST_MISSING * length:
        raise FileError(
            f"{path}: {missing} of {length} samples at one end of a readout {what}{field_name}; at most "
            f"{int(MOST_MISSING * length)} are set to 0, partial echoes are not read"
        )


def _check_echo(path: Path, centre: NDArray[np.int64], samples: int) -> None:
    off = centre - samples // 2
    worst = int(off[np.abs(off).argmax()])
    if abs(worst) > MOST_OFF_CENTRE:
        raise FileError(
            f"{path}: the echo lies on sample {samples // 2 + worst} of {samples} by the header of the "
            f"readout, {samples // 2} is expected; partial echoes are not read"
        )


def alike_in_direction(
    readouts: Readouts, imaging: NDArray[np.bool_], matrix: Matrix, k: Samples, notes: list[str]
) -> Samples:
    """Rows (coils, R, samples) of `image_rows` whose reversed ones are put right by the phase-correction readouts.

    Raises `FileError` where there are readouts of both directions, and none that say how they differ.
    """
    backwards = readouts.kinds.reverse[imaging]
    if not backwards.any():
        return k
    turned = f"{int(backwards.sum())} of {len(backwards)} readouts were sampled backwards, and are turned"
    if backwards.all():
        notes.append(turned)
        return k
    navigators = readouts.kinds.phase_correction.copy()
    for name in SAME_IMAGE:
        navigators &= np.isin(readouts.column(name), readouts.column(name)[imaging])
    if not navigators.any():
        raise FileError(
            f"{readouts.path}: holds reversed readouts (EPI or bipolar echoes), and no phase-correction readouts of "
            f"the same image ({readouts.kinds_of.field}), which would say how to put them right; not read"
        )
    both = imaging | navigators
    time = readouts.time(both)[navigators[both]]
    order = np.argsort(time)
    rows = image_rows(readouts, navigators, matrix, [])[:, order]
    found = reversed_phase(readouts.path, rows, readouts.kinds.reverse[navigators][order], np.diff(time[order]) == 1)
    field = "" if found.drift_known else ", with what the field's phase grows from echo to echo"
    notes.append(
        f"{turned}; {found.delay_samples:+.3f} samples and {np.rad2deg(found.phase_rad):+.2f} degrees against the "
        f"others were taken away{field}, by {found.pairs} pairs of opposed phase-correction readouts (they leave "
        f"{np.rad2deg(found.left_rad):.1f} degrees)"
    )
    return put_right(k, backwards, found)

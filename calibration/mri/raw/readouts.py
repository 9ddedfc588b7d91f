"""From labelled readouts, as scanners store them, to the k-space of one slice."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import RawKspace, Samples, at_limit, listed, refuse_duplicates, remove_oversampling
from cidesign.calibration.mri.raw.child import FIELDS
from cidesign.calibration.mri.raw.flags import FlagTable, Kinds
from cidesign.errors import FileError, InputError
from cidesign.files import sha256_file

# A file with several of these holds several images; only slices are chosen from.
SINGLE = ("partition", "contrast", "phase", "repetition", "set")
# These describe how samples were taken: within one image they are the same.
ALIKE = ("measurement", "dwell_ps", "channel_mask")
# How far the places of readouts of one image may be apart, in the unit of the file (mm), and directions.
MOST_APART, MOST_TURNED = 0.5, 0.01
# The echo may lie this many samples off the middle: what is left is calibrated as an echo shift.
MOST_OFF_CENTRE = 1
# Part of a readout, at either end, that may be discarded: further in, what is left is a partial echo.
MOST_DISCARDED = 1 / 8


@dataclass(frozen=True)
class Matrix:
    """What a header says of the matrix, each with the header's own name of the field.

    `recorded`: samples of a readout with oversampling, None where only the readouts say it.
    """

    lines: int
    centre_line: int
    samples: int
    fields: Mapping[str, str]
    recorded: int | None = None


@dataclass(frozen=True)
class Readouts:
    """Readouts in the order they are stored.

    `table` (R, columns of `FIELDS`) int64, `flags` (R,) as `kinds_of` knows them, `data` flat, coil after coil per
    readout, `places` (R, n) positions and directions by the header's name.
    """

    path: Path
    source: str
    table: NDArray[np.int64]
    flags: NDArray[np.uint64]
    data: Samples
    kinds_of: FlagTable
    places: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def kinds(self) -> Kinds:
        """Noise, no image, sampled backwards."""
        return self.kinds_of.kinds(self.flags)

    @property
    def imaging(self) -> NDArray[np.bool_]:
        """The readouts (R,) of images."""
        kinds = self.kinds
        return ~kinds.noise & ~kinds.skip

    @property
    def slices(self) -> int:
        """How many slices have an image."""
        return len(set(self.column("slice")[self.imaging].tolist()))

    def column(self, name: str) -> NDArray[np.int64]:
        """One column of the table."""
        column: NDArray[np.int64] = self.table[:, FIELDS.index(name)]
        return column

    def only(self, kept: NDArray[np.bool_]) -> "Readouts":
        """Some of the readouts."""
        sizes = self.column("samples") * self.column("channels")
        return replace(
            self,
            table=self.table[kept],
            flags=self.flags[kept],
            data=self.data[np.repeat(kept, sizes)],
            places={name: values[kept] for name, values in self.places.items()},
        )

    def samples(self, chosen: NDArray[np.bool_]) -> list[Samples]:
        """(coils, samples) of each chosen readout as it was recorded; all with as many coils."""
        sizes = self.column("samples") * self.column("channels")
        starts = np.concatenate([[0], np.cumsum(sizes)])
        indices = np.flatnonzero(chosen)
        kinds = {(int(self.column("channels")[i]), int(self.column("samples")[i])) for i in indices}
        if len(kinds) != 1:
            raise FileError(
                f"{self.path}: readouts of different coils x samples "
                f"({', '.join(f'{c} x {s}' for c, s in sorted(kinds))}) cannot be one image"
            )
        ((channels, count),) = kinds
        return [self.data[starts[i] : starts[i + 1]].reshape(channels, count) for i in indices]


def assemble(readouts: Readouts, matrix: Matrix, slice_index: int | None) -> RawKspace:
    """Place the imaging readouts of one slice by their line counters.

    Averages of a line are averaged; any other duplicate is refused, and so are several contrasts, repetitions, sets or
    partitions, reversed readouts, partial echoes, and readouts that were not taken alike (see `_require_alike`).
    Samples that the header discards are left out, or 0.  Raises `FileError`; `InputError` for a slice to choose.
    """
    path, kinds, imaging = readouts.path, readouts.kinds, readouts.imaging
    if not imaging.any():
        raise FileError(f"{path}: holds no imaging readouts among {len(imaging)}")
    imaging &= _slice_chosen(readouts, imaging, slice_index)
    notes = _require_alike(readouts, imaging, matrix.fields)
    if kinds.skip.any():
        notes.append(f"{int(kinds.skip.sum())} readouts that are no image (navigators ...) left out")
    k = _image_rows(readouts, imaging, matrix, notes)
    shared = at_limit(k)
    lines = _placed_lines(readouts, imaging, matrix)
    time = _time(readouts, imaging)
    order = time[np.argsort(lines)]
    k, lines, averages = _averaged(path, k, lines, readouts.column("average")[imaging])
    if averages > 1:
        notes.append(f"{averages} averages of every line were averaged")
    cut, edges = remove_oversampling(path, k, matrix.samples)
    if edges is not None:
        notes.append(f"readout oversampling of {k.shape[2] / matrix.samples:g} removed")
    noise, factor = _noise(readouts, imaging, matrix.fields, notes)
    if noise is not None:
        noise = (noise / np.sqrt(averages)).astype(np.complex64)
        if len(noise) != len(k):
            raise FileError(f"{path}: the noise scan has {len(noise)} coils, the image {len(k)}")
    return RawKspace(
        path=path,
        source=readouts.source,
        k=cut,
        lines=lines,
        matrix_lines=matrix.lines,
        digest=sha256_file(path),
        noise=noise,
        edges=edges,
        oversampling=k.shape[2] / matrix.samples,
        fields=matrix.fields,
        notes=tuple(notes),
        order=order if averages == 1 else None,
        at_limit=shared,
        noise_factor=factor / float(np.sqrt(averages)),
    )


def _require_alike(readouts: Readouts, imaging: NDArray[np.bool_], fields: Mapping[str, str]) -> list[str]:
    """Refuse, by the name of the field, readouts that are not of one image; returns what is ignored."""
    path = readouts.path
    for name in SINGLE:
        values = sorted(set(readouts.column(name)[imaging].tolist()))
        if len(values) > 1:
            raise FileError(f"{path}: holds {len(values)} images by its {name} counter ({listed(values)}); store one")
    if readouts.kinds.reverse[imaging].any():
        raise FileError(f"{path}: holds reversed readouts (EPI or bipolar echoes), which are not read")
    refused = readouts.kinds_of.refusal(readouts.flags[imaging])
    if refused is not None:
        raise FileError(f"{path}: readouts are flagged {refused} ({readouts.kinds_of.field}), which is not read")
    if readouts.column("trajectory_dimensions")[imaging].any():
        raise FileError(
            f"{path}: readouts have a trajectory of their own (AcquisitionHeader.trajectory_dimensions); only "
            "Cartesian lines that the counters place are read"
        )
    for name in ALIKE:
        values = sorted(set(readouts.column(name)[imaging].tolist()))
        if len(values) > 1:
            shown = "" if name == "channel_mask" else f" ({listed(values)})"
            raise FileError(
                f"{path}: {fields[name]} has {len(values)} values{shown} within one image; readouts of one image are "
                "taken alike. Store one measurement"
            )
    for name, values_there in readouts.places.items():
        _require_one_place(path, name, values_there[imaging])
    remark = readouts.kinds_of.remark(readouts.flags[imaging])
    return [] if remark is None else [remark]


def _require_one_place(path: Path, name: str, values: NDArray[np.float64]) -> None:
    """Refuse readouts of one image (R, n) at several places, or in several directions."""
    known = values[np.isfinite(values).all(axis=1)]
    apart = float(np.ptp(known, axis=0).max()) if len(known) else 0.0
    turned = name.endswith("_dir") or name == "Quaternion"
    if apart > (MOST_TURNED if turned else MOST_APART):
        raise FileError(
            f"{path}: {name} differs by {apart:.3g} between the readouts of one image: it moved or was turned during "
            "the scan, which is not undone"
        )


def _image_rows(readouts: Readouts, imaging: NDArray[np.bool_], matrix: Matrix, notes: list[str]) -> Samples:
    """(coils, rows, samples) of the imaging readouts, without the samples that the header says to discard.

    Where a readout without them has the length of the matrix they are left out; where it has it with them they are 0.
    """
    rows = readouts.samples(imaging)
    count = rows[0].shape[1]
    pre, post, centre = (readouts.column(name)[imaging] for name in ("discard_pre", "discard_post", "centre_sample"))
    fields = matrix.fields
    if (pre + post >= count).any():
        worst = int((pre + post).argmax())
        raise FileError(
            f"{readouts.path}: {pre[worst]} and {post[worst]} of {count} samples are to be discarded "
            f"({fields['discard']}), which leaves none"
        )
    length = matrix.recorded or (count if count % matrix.samples == 0 else int(count - pre[0] - post[0]))
    cut = count != length
    if cut and ((count - pre - post) != length).any():
        rest = f", {int(count - pre[0] - post[0])} without those of {fields['discard']}" if (pre + post).any() else ""
        raise FileError(
            f"{readouts.path}: readouts of {count} samples ({fields['number_of_samples']}){rest}, the header says "
            f"{length} ({fields['recorded']})"
        )
    first = pre if cut else np.zeros_like(pre)
    _check_echo(readouts, centre - first, length)
    if not cut:
        _refuse_partial_echo(readouts, pre, post, length, fields["discard"])
    if pre.any() or post.any():
        notes.append(
            f"{pre.max()} samples before and {post.max()} after the signal of a readout "
            f"{'left out' if cut else 'set to 0'}, as its header says ({fields['discard']})"
        )
    k = np.zeros((len(rows[0]), len(rows), length), dtype=np.complex64)
    for number, row in enumerate(rows):
        start, stop = int(pre[number]), count - int(post[number])
        k[:, number, start - first[number] : stop - first[number]] = row[:, start:stop]
    return k


def _refuse_partial_echo(
    readouts: Readouts, pre: NDArray[np.int64], post: NDArray[np.int64], length: int, field_name: str
) -> None:
    worst = int(max(pre.max(), post.max()))
    if worst > MOST_DISCARDED * length:
        raise FileError(
            f"{readouts.path}: {worst} of {length} samples at one end of a readout are to be discarded ({field_name}); "
            f"at most {int(MOST_DISCARDED * length)} are set to 0, partial echoes are not read"
        )


def _placed_lines(readouts: Readouts, imaging: NDArray[np.bool_], matrix: Matrix) -> NDArray[np.int64]:
    lines = readouts.column("line")[imaging] - matrix.centre_line + matrix.lines // 2
    outside = [int(line) for line in lines if not 0 <= line < matrix.lines]
    if outside:
        raise FileError(
            f"{readouts.path}: unexpected lines {listed(outside)} outside 0 .. {matrix.lines - 1} "
            f"({matrix.fields['lines']}, centre {matrix.centre_line} of {matrix.fields['centre']})"
        )
    return np.asarray(lines, dtype=np.int64)


def _time(readouts: Readouts, imaging: NDArray[np.bool_]) -> NDArray[np.int64]:
    """When each readout was taken among the imaging ones: by its scan counter, or, without one, as stored."""
    counter = readouts.column("counter")[imaging]
    if len(np.unique(counter)) < len(counter):
        return np.arange(len(counter))
    return np.argsort(np.argsort(counter))


def _slice_chosen(readouts: Readouts, imaging: NDArray[np.bool_], slice_index: int | None) -> NDArray[np.bool_]:
    found = sorted(set(readouts.column("slice")[imaging].tolist()))
    if slice_index is None:
        if len(found) > 1:
            raise InputError(f"{readouts.path}: holds slices {listed(found)}; choose one with --set slice_index=N")
        slice_index = found[0]
    if slice_index not in found:
        raise InputError(f"{readouts.path}: holds no slice {slice_index}; there are slices {listed(found)}")
    chosen: NDArray[np.bool_] = readouts.column("slice") == slice_index
    return chosen


def _check_echo(readouts: Readouts, centre: NDArray[np.int64], samples: int) -> None:
    off = centre - samples // 2
    worst = int(off[np.abs(off).argmax()])
    if abs(worst) > MOST_OFF_CENTRE:
        raise FileError(
            f"{readouts.path}: the echo lies on sample {samples // 2 + worst} of {samples} by the header of the "
            f"readout, {samples // 2} is expected; partial echoes are not read"
        )


def _averaged(
    path: Path, k: Samples, lines: NDArray[np.int64], average: NDArray[np.int64]
) -> tuple[Samples, NDArray[np.int64], int]:
    """(coils, L, samples), the lines rising, and how many averages of each there were."""
    for one in sorted(set(average.tolist())):
        refuse_duplicates(path, lines[average == one], "each line is measured once unless the average counter differs")
    places, counts = np.unique(lines, return_counts=True)
    if len(set(counts.tolist())) > 1:
        fewer = [int(line) for line in places[counts < counts.max()]]
        raise FileError(f"{path}: of {int(counts.max())} averages, some are missing at lines {listed(fewer)}")
    total = np.zeros((len(k), len(places), k.shape[2]), dtype=np.complex128)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused once it is a capture
        for row, place in enumerate(np.searchsorted(places, lines)):
            total[:, place] += k[:, row]
        return (total / int(counts[0])).astype(np.complex64), places, int(counts[0])


def _noise(
    readouts: Readouts, imaging: NDArray[np.bool_], fields: Mapping[str, str], notes: list[str]
) -> tuple[Samples | None, float]:
    """Noise samples (coils, M) at the bandwidth of the image, and what they were multiplied by for it.

    The variance of white noise goes as 1 / dwell.
    """
    chosen = readouts.kinds.noise
    if not chosen.any():
        return None, 1.0
    masks, own = (set(readouts.column("channel_mask")[one].tolist()) - {0} for one in (chosen, imaging))
    if masks and own and masks != own:
        raise FileError(f"{readouts.path}: the noise scan is of other coils than the image ({fields['channel_mask']})")
    dwells = sorted(set(readouts.column("dwell_ps")[chosen].tolist()))
    if len(dwells) > 1:
        raise FileError(f"{readouts.path}: noise scans of {len(dwells)} bandwidths ({fields['dwell_ps']}); store one")
    pre, post = (readouts.column(name)[chosen] for name in ("discard_pre", "discard_post"))
    rows = readouts.samples(chosen)
    kept = [row[:, pre[n] : max(row.shape[1] - int(post[n]), 0)] for n, row in enumerate(rows)]
    noise = np.concatenate(kept, axis=1)
    dwell_noise, dwell = float(dwells[0]), float(readouts.column("dwell_ps")[imaging][0])
    if dwell_noise <= 0 or dwell <= 0:
        notes.append("the dwell time of the noise scan or of the image is not stored; they are taken to be the same")
        factor = 1.0
    else:
        factor = (dwell_noise / dwell) ** 0.5
    return (noise * factor).astype(np.complex64), factor

"""From labelled readouts, as scanners store them, to the k-space of one slice."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.kspace import RawKspace, Samples, at_limit, listed, refuse_duplicates, remove_oversampling
from cidesign.errors import FileError, InputError
from cidesign.files import sha256_file

# Columns of the table of counters.
COLUMNS = (
    "noise", "skip", "reverse", "line", "partition", "average", "slice", "contrast", "phase", "repetition", "set",
    "samples", "channels", "centre_sample", "dwell_ps",
)  # fmt: skip
# A file with several of these holds several images; only slices are chosen from.
SINGLE = ("partition", "contrast", "phase", "repetition", "set")
# The echo may lie this many samples off the middle: what is left is calibrated as an echo shift.
MOST_OFF_CENTRE = 1


@dataclass(frozen=True)
class Matrix:
    """What a header says of the matrix, each with the header's own name of the field."""

    lines: int
    centre_line: int
    samples: int
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Readouts:
    """Readouts in the order they were taken: `table` (R, columns) int64, `data` flat, coil after coil per readout."""

    path: Path
    source: str
    table: NDArray[np.int64]
    data: Samples

    def column(self, name: str) -> NDArray[np.int64]:
        """One column of the table."""
        column: NDArray[np.int64] = self.table[:, COLUMNS.index(name)]
        return column

    def rows(self, chosen: NDArray[np.bool_]) -> Samples:
        """(coils, rows, samples) of the chosen readouts, which must be alike."""
        sizes = self.column("samples") * self.column("channels")
        starts = np.concatenate([[0], np.cumsum(sizes)])
        indices = np.flatnonzero(chosen)
        kinds = {(int(self.column("channels")[i]), int(self.column("samples")[i])) for i in indices}
        if len(kinds) != 1:
            raise FileError(
                f"{self.path}: readouts of different coils x samples "
                f"({', '.join(f'{c} x {s}' for c, s in sorted(kinds))}) cannot be one image"
            )
        ((channels, samples),) = kinds
        rows = [self.data[starts[i] : starts[i + 1]].reshape(channels, samples) for i in indices]
        return np.stack(rows, axis=1)


def assemble(readouts: Readouts, matrix: Matrix, slice_index: int | None) -> RawKspace:
    """Place the imaging readouts of one slice by their line counters.

    Averages of a line are averaged; any other duplicate is refused, and so are several contrasts, repetitions, sets or
    partitions, reversed readouts and partial echoes.  Raises `FileError`; `InputError` for a slice to choose.
    """
    path = readouts.path
    imaging = (readouts.column("noise") == 0) & (readouts.column("skip") == 0)
    if not imaging.any():
        raise FileError(f"{path}: holds no imaging readouts among {len(imaging)}")
    imaging &= _slice_chosen(readouts, imaging, slice_index)
    for name in SINGLE:
        values = sorted(set(readouts.column(name)[imaging].tolist()))
        if len(values) > 1:
            raise FileError(f"{path}: holds {len(values)} images by its {name} counter ({listed(values)}); store one")
    if readouts.column("reverse")[imaging].any():
        raise FileError(f"{path}: holds reversed readouts (EPI or bipolar echoes), which are not read")
    notes = []
    if (readouts.column("skip") != 0).any():
        notes.append(
            f"{int((readouts.column('skip') != 0).sum())} readouts that are no image (navigators ...) left out"
        )
    k = readouts.rows(imaging)
    shared = at_limit(k)
    _check_echo(readouts, imaging, k.shape[2])
    lines = readouts.column("line")[imaging] - matrix.centre_line + matrix.lines // 2
    outside = [int(line) for line in lines if not 0 <= line < matrix.lines]
    if outside:
        raise FileError(
            f"{path}: unexpected lines {listed(outside)} outside 0 .. {matrix.lines - 1} ({matrix.fields['lines']}, "
            f"centre {matrix.centre_line} of {matrix.fields['centre']})"
        )
    order = np.argsort(lines)
    k, lines, averages = _averaged(path, k, lines, readouts.column("average")[imaging])
    if averages > 1:
        notes.append(f"{averages} averages of every line were averaged")
    cut, edges = remove_oversampling(path, k, matrix.samples)
    if edges is not None:
        notes.append(f"readout oversampling of {k.shape[2] / matrix.samples:g} removed")
    noise, factor = _noise(readouts, imaging, notes)
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


def _check_echo(readouts: Readouts, imaging: NDArray[np.bool_], samples: int) -> None:
    off = readouts.column("centre_sample")[imaging] - samples // 2
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
    for row, place in enumerate(np.searchsorted(places, lines)):
        total[:, place] += k[:, row]
    return (total / int(counts[0])).astype(np.complex64), places, int(counts[0])


def _noise(readouts: Readouts, imaging: NDArray[np.bool_], notes: list[str]) -> tuple[Samples | None, float]:
    """Noise samples (coils, M) at the bandwidth of the image, and what they were multiplied by for it.

    The variance of white noise goes as 1 / dwell.
    """
    chosen = readouts.column("noise") != 0
    if not chosen.any():
        return None, 1.0
    noise = readouts.rows(chosen)
    dwell_noise, dwell = (float(readouts.column("dwell_ps")[one][0]) for one in (chosen, imaging))
    if dwell_noise <= 0 or dwell <= 0:
        notes.append("the dwell time of the noise scan or of the image is not stored; they are taken to be the same")
        factor = 1.0
    else:
        factor = (dwell_noise / dwell) ** 0.5
    return (noise.reshape(len(noise), -1) * factor).astype(np.complex64), factor

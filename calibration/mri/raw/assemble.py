"""From labelled readouts, as scanners store them, to the k-space of one slice."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import RawKspace, Samples, at_limit, listed, refuse_duplicates, remove_oversampling
from cidesign.calibration.mri.place import ImagePlace, Vector, place_of
from cidesign.calibration.mri.raw.ramps import regridding
from cidesign.calibration.mri.raw.readouts import Matrix, Readouts
from cidesign.calibration.mri.raw.rows import alike_in_direction, image_rows
from cidesign.calibration.mri.slices import by_place
from cidesign.errors import FileError, InputError

# A file with several of these holds several images; only slices are chosen from.
SINGLE = ("partition", "contrast", "phase", "repetition", "set")
# These describe how samples were taken: within one image they are the same.
ALIKE = ("measurement", "dwell_ps", "channel_mask")
# How far the places of readouts of one image may be apart, in the unit of the file (mm), and directions.
MOST_APART, MOST_TURNED = 0.5, 0.01
# Where an image lies, by the names of ISMRMRD.
DIRECTIONS = ("position", "read_dir", "phase_dir", "slice_dir")
# The middle of a slice, by the names of ISMRMRD and of Siemens.
MIDDLES = ("position", "SlicePos")


def slice_numbers(readouts: Readouts) -> tuple[int, ...]:
    """The slices with an image, as they lie in the stack; raises `FileError` where there is none."""
    imaging = readouts.imaging
    if not imaging.any():
        raise FileError(f"{readouts.path}: holds no imaging readouts among {len(imaging)}")
    of_slice = readouts.column("slice")
    where = next((readouts.places[name] for name in MIDDLES if name in readouts.places), None)
    centres: dict[int, Vector | None] = {
        number: None if where is None else where[imaging & (of_slice == number)].mean(axis=0)
        for number in set(of_slice[imaging].tolist())
    }
    return by_place(centres)


def chosen_slice(readouts: Readouts, wanted: int | None) -> int:
    """The slice that was asked for, or the only one; raises `InputError` where that leaves none."""
    numbers = slice_numbers(readouts)
    if wanted is None and len(numbers) > 1:
        raise InputError(f"{readouts.path}: holds slices {listed([*numbers])}; choose one with --set slice_index=N")
    if wanted is not None and wanted not in numbers:
        raise InputError(f"--set slice_index={wanted}: {readouts.path} holds slices {listed([*numbers])}")
    return numbers[0] if wanted is None else wanted


def assemble(readouts: Readouts, matrix: Matrix, slice_number: int, digest: str) -> RawKspace:
    """Place the imaging readouts of one slice by their line counters.

    Averages of a line are averaged; any other duplicate is refused, and so are several contrasts, repetitions, sets or
    partitions, partial echoes, and readouts that were not taken alike (see `require_alike`).  Reversed readouts are
    put right by phase-correction readouts, and refused without.  `digest`: that of the file.  Raises `FileError`.
    """
    path, kinds = readouts.path, readouts.kinds
    imaging = readouts.imaging & (readouts.column("slice") == slice_number)
    if readouts.column("trajectory_dimensions")[imaging].any():
        raise FileError(
            f"{path}: readouts have a trajectory of their own (AcquisitionHeader.trajectory_dimensions); only "
            "Cartesian lines that the counters place are read"
        )
    notes = require_alike(readouts, imaging, matrix.fields)
    left_out = kinds.skip & ~kinds.phase_correction if kinds.reverse[imaging].any() else kinds.skip
    if left_out.any():
        own = int((left_out & readouts.kinds_of.calibration_only(readouts.flags)).sum())
        apart = f"; {own} are calibration lines, which the header does not call lines of the image" if own else ""
        notes.append(f"{int(left_out.sum())} readouts that are no image (navigators ...) left out{apart}")
    k = image_rows(readouts, imaging, matrix, notes)
    shared = at_limit(k)
    k = alike_in_direction(readouts, imaging, matrix, k, notes)
    lines = _placed_lines(readouts, imaging, matrix)
    time = readouts.time(imaging)
    order = time[np.argsort(lines)]
    k, lines, averages = _averaged(path, k, lines, readouts.column("average")[imaging])
    if averages > 1:
        notes.append(f"{averages} averages of every line were averaged")
    cut, edges = remove_oversampling(path, k, matrix.samples)
    if edges is not None:
        notes.append(f"readout oversampling of {k.shape[2] / matrix.samples:g} removed")
    noise, factor = noise_samples(readouts, imaging, matrix.fields, notes)
    changed = 1.0
    if matrix.gradient is not None:
        # Even samples are made for the object alone: beside the field of view there is nothing.
        edges = None
        changed = regridding(path, matrix.gradient.positions(k.shape[2])).noise
        notes.append("samples were taken while the gradient ramps, and were brought to even places by its shape")
    share = changed / float(np.sqrt(averages))
    if noise is not None and len(noise) != len(k):
        raise FileError(f"{path}: the noise scan has {len(noise)} coils, the image {len(k)}")
    return RawKspace(
        path=path,
        source=readouts.source,
        k=cut,
        lines=lines,
        matrix_lines=matrix.lines,
        digest=digest,
        noise=None if noise is None else (noise * share).astype(np.complex64),
        edges=edges,
        oversampling=k.shape[2] / matrix.samples,
        fields=matrix.fields,
        notes=tuple(notes),
        order=order if averages == 1 else None,
        at_limit=shared,
        noise_factor=factor * share,
        place=_place(readouts, imaging, matrix),
        slice_number=slice_number,
    )


def _place(readouts: Readouts, imaging: NDArray[np.bool_], matrix: Matrix) -> ImagePlace | None:
    """Where the image lies in the scanner, where the headers say it."""
    if not set(DIRECTIONS) <= set(readouts.places):
        return None
    return place_of([readouts.places[name][imaging].mean(axis=0) for name in DIRECTIONS], matrix.fov_mm)


def require_alike(
    readouts: Readouts, imaging: NDArray[np.bool_], fields: Mapping[str, str], single: tuple[str, ...] = SINGLE
) -> list[str]:
    """Refuse, by the name of the field, readouts that are not of one image; returns what is ignored.

    `single`: the counters that have one value within an image.
    """
    path = readouts.path
    for name in single:
        values = sorted(set(readouts.column(name)[imaging].tolist()))
        if len(values) > 1:
            raise FileError(f"{path}: holds {len(values)} images by its {name} counter ({listed(values)}); store one")
    refused = readouts.kinds_of.refusal(readouts.flags[imaging])
    if refused is not None:
        raise FileError(f"{path}: readouts are flagged {refused} ({readouts.kinds_of.field}), which is not read")
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


def _placed_lines(readouts: Readouts, imaging: NDArray[np.bool_], matrix: Matrix) -> NDArray[np.int64]:
    lines = readouts.column("line")[imaging] - matrix.centre_line + matrix.lines // 2
    outside = [int(line) for line in lines if not 0 <= line < matrix.lines]
    if outside:
        raise FileError(
            f"{readouts.path}: unexpected lines {listed(outside)} outside 0 .. {matrix.lines - 1} "
            f"({matrix.fields['lines']}, centre {matrix.centre_line} of {matrix.fields['centre']})"
        )
    return np.asarray(lines, dtype=np.int64)


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


def noise_samples(
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

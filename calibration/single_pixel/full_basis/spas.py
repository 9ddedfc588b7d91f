"""SPAS captures: one spectrum per pattern (`NAME_spectraldata.npz`), and what was shown (`NAME_metadata.json`).

SPAS shows the rows of the two-dimensional Walsh matrix kron(W, W) as n x n patterns, row by row from the top, each as a
pair: 2 r where the row is +1, 2 r + 1 where it is -1.  Row k of W has k sign changes and starts with +1, so W is the
Sylvester matrix with its rows sorted.  The image is in the frame of the patterns; the optics may turn or mirror it.
Sources: openspyrit/spas, generate.py and reconstruction_SPC2D.py; openspyrit/spyrit, misc/walsh_hadamard.py.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.full_basis.hadamard import HadamardCapture
from cidesign.calibration.single_pixel.full_basis.measured_rows import MeasuredRows
from cidesign.calibration.single_pixel.full_basis.rows import HadamardRows
from cidesign.calibration.single_pixel.full_basis.spas_metadata import INSERTED, SpasMetadata, read_spas_metadata
from cidesign.errors import FileError, InputError
from cidesign.files import load_npz
from cidesign.io.arrays import as_numbers
from cidesign.pattern.hadamard import sylvester_matrix
from cidesign.records import shown

DATA_ENDING, METADATA_ENDING = "_spectraldata.npz", "_metadata.json"
MAX_CAPTURE_BYTES = 1_000_000_000
LOST_AFTER_PERIODS = 1.5
UNSTEADY_PAIR_SUMS = 0.01
MIN_PAIRS = 4


@dataclass(frozen=True)
class WalshReadings:
    """Signed readings (K,) of K different rows of the Sylvester matrix of order side**2, in display order.

    A reading is that of the pattern where the row is +1 less that of where it is -1, in counts.  `noise_counts` is
    the standard deviation of one, from the sums of the pairs, which show the same light each time.
    """

    path: Path
    side: int
    rows: NDArray[np.intp]
    readings: NDArray[np.float64]
    noise_counts: float
    label: str
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every row was measured."""
        return self.rows.size == self.side**2

    def natural(self) -> NDArray[np.float64]:
        """The readings (side**2,) in natural (Sylvester) order, 0 for rows that were not measured."""
        readings = np.zeros(self.side**2)
        readings[self.rows] = self.readings
        return readings

    def measured(self) -> MeasuredRows:
        """The rows and their readings, as of any capture."""
        return MeasuredRows(
            path=self.path,
            rows=HadamardRows((self.side, self.side), (self.side, self.side), self.rows),
            readings=self.readings,
            noise=self.noise_counts,
            noise_is_bound=False,
            label=self.label,
            notes=self.notes,
        )

    def full_basis(self) -> HadamardCapture:
        """The full-basis capture; raises `FileError` when rows are missing."""
        if not self.complete:
            raise FileError(f"{self.path}: {self.rows.size} of {self.side**2} Hadamard rows were measured")
        readings, size = self.natural()[None], (self.side, self.side)
        return HadamardCapture(self.path, readings, (self.label,), size, (self.noise_counts,))


@dataclass(frozen=True)
class SpasCapture:
    """Spectra (F, W) in counts of F frames in display order, dark level included.

    `pattern_numbers` (F,) are SPAS's, -1 for an inserted frame; several repeats of the sequence follow each other.
    `failed` (F,) marks frames without a reading.
    """

    path: Path
    metadata: SpasMetadata
    pattern_numbers: NDArray[np.int64]
    readings: NDArray[np.float64]
    failed: NDArray[np.bool_]
    notes: tuple[str, ...]

    @property
    def wavelengths_nm(self) -> NDArray[np.float64] | None:
        """The wavelengths (W,), where they were written."""
        return self.metadata.wavelengths_nm

    def band(self, band_nm: tuple[float, float] | None) -> NDArray[np.float64]:
        """The counts (F,) summed over the wavelengths from `band_nm[0]` to `band_nm[1]`, or over all.

        Raises `InputError` when there is no wavelength in the band, `FileError` when readings in it are saturated.
        """
        inside = self._inside(band_nm)
        chosen = self.readings[:, inside]
        full_scale = self.metadata.full_scale_counts
        frames, columns = np.nonzero(chosen >= full_scale)
        if frames.size:
            worst = int(np.flatnonzero(inside)[np.bincount(columns).argmax()])
            place = f"column {worst}" if self.wavelengths_nm is None else f"{self.wavelengths_nm[worst]:g} nm"
            raise FileError(
                f"{self.path}: {frames.size} of {chosen.size} readings are at the full scale of {full_scale:g} counts, "
                f"most of them at {place}, the first in frame {int(frames[0])}; choose a band without them, or record "
                "with less light or a shorter integration time"
            )
        summed: NDArray[np.float64] = chosen.sum(axis=1)
        return summed

    def walsh_readings(self, band_nm: tuple[float, float] | None = None) -> WalshReadings:
        """The signed readings of all pairs of patterns in a band, averaged over the repeats.

        Raises `FileError` when a pattern was shown without its partner, or fewer than 4 pairs were read.
        """
        counts, side = self.band(band_nm), self.metadata.side
        sequence = self.metadata.patterns[self.metadata.patterns != INSERTED]
        alone = np.setdiff1d(sequence, sequence ^ 1)
        if alone.size:
            raise FileError(
                f"{self.path}: pattern {alone[0]} was shown without its partner {alone[0] ^ 1} ({alone.size} such); "
                "captures of pairs are read"
            )
        used = ~self.failed & (self.pattern_numbers != INSERTED)
        shown_times = np.bincount(self.pattern_numbers[used], minlength=2 * side * side)
        totals = np.bincount(self.pattern_numbers[used], weights=counts[used], minlength=2 * side * side)
        means = (totals / np.maximum(shown_times, 1)).reshape(-1, 2)
        read = shown_times.reshape(-1, 2).min(axis=1) > 0
        walsh = sequence[sequence % 2 == 0] // 2
        missed, walsh = walsh[~read[walsh]], walsh[read[walsh]]
        if walsh.size < MIN_PAIRS:
            raise FileError(f"{self.path}: {walsh.size} pairs of patterns were read; at least {MIN_PAIRS} are needed")
        positive, negative = means[walsh].T
        sums = positive + negative
        return WalshReadings(
            path=self.path,
            side=side,
            rows=walsh_to_sylvester(side)[walsh],
            readings=positive - negative,
            # Differences of neighbours: slow drift is no noise of a reading.
            noise_counts=float(np.sqrt(np.mean(np.diff(sums) ** 2) / 2)),
            label=self._band_text(band_nm),
            notes=(*self.notes, *_pair_notes(missed, sums)),
        )

    def _inside(self, band_nm: tuple[float, float] | None) -> NDArray[np.bool_]:
        if band_nm is None:
            return np.ones(self.readings.shape[1], dtype=np.bool_)
        wavelengths = self.wavelengths_nm
        if wavelengths is None:
            raise InputError(f"wavelengths_nm: {self.path} does not say its wavelengths; leave the band out")
        low, high = band_nm
        inside: NDArray[np.bool_] = (wavelengths >= low) & (wavelengths <= high)
        if not inside.any():
            raise InputError(
                f"wavelengths_nm: no wavelength of {self.path} is from {low:g} to {high:g} nm; it has "
                f"{wavelengths.size} from {wavelengths[0]:g} to {wavelengths[-1]:g} nm"
            )
        return inside

    def _band_text(self, band_nm: tuple[float, float] | None) -> str:
        count = int(self._inside(band_nm).sum())
        if band_nm is None:
            return f"sum of all {count} wavelengths"
        return f"sum of {count} wavelengths from {band_nm[0]:g} to {band_nm[1]:g} nm"


def read_spas(path: Path) -> SpasCapture:
    """Read a SPAS capture, named by either of its two files or by what their names share.

    Lost triggers are found by intervals above 1.5 picture times; the frames after them are moved back into place
    where as many empty frames at the end agree.  Raises `FileError` where they do not, and for damage.
    """
    data_path, metadata_path = spas_files(path)
    metadata = read_spas_metadata(metadata_path)
    arrays = load_npz(data_path, "SPAS capture", MAX_CAPTURE_BYTES)
    if "spectral_data" not in arrays:
        raise FileError(f"{data_path}: this SPAS capture holds no array `spectral_data`, only {shown(sorted(arrays))}")
    readings = as_numbers(arrays["spectral_data"], data_path, "spectral_data")
    count = metadata.patterns.size
    if readings.ndim != 2 or readings.size == 0 or len(readings) % count:
        raise FileError(
            f"{data_path}: spectral_data has shape {readings.shape}; {count} rows (patterns of {metadata_path.name}) "
            "for each repeat, and a column for each wavelength are needed"
        )
    wavelengths = metadata.wavelengths_nm
    if wavelengths is not None and wavelengths.size != readings.shape[1]:
        raise FileError(
            f"{data_path}: {readings.shape[1]} columns of spectral_data, but {metadata_path.name} names "
            f"{wavelengths.size} wavelengths"
        )
    repeats = len(readings) // count
    failed = (readings == 0).all(axis=1)
    if failed.all():
        raise FileError(f"{data_path}: all {len(readings)} readings failed (every row is zero); record again")
    realigned, notes = _realigned(data_path, metadata, readings, failed, repeats)
    still_failed = (realigned == 0).all(axis=1)
    return SpasCapture(
        path=data_path,
        metadata=metadata,
        pattern_numbers=np.tile(metadata.patterns, repeats),
        readings=realigned,
        failed=still_failed,
        notes=(*notes, *_capture_notes(metadata, readings, repeats)),
    )


def spas_files(path: Path) -> tuple[Path, Path]:
    """The data and metadata files of a capture that is named by one of them, or by the start of their names."""
    endings = (DATA_ENDING, METADATA_ENDING)
    ending = next((ending for ending in endings if path.name.endswith(ending)), "")
    stem = path.name.removesuffix(ending)
    files = tuple(path.parent / f"{stem}{ending}" for ending in endings)
    for file in files:
        if not file.is_file():
            raise FileError(f"{file}: no such file; a SPAS capture is NAME{DATA_ENDING} with NAME{METADATA_ENDING}")
    return files[0], files[1]


def walsh_to_sylvester(side: int) -> NDArray[np.intp]:
    """The Sylvester row (of order side**2) of each row of the two-dimensional Walsh matrix kron(W, W).

    Walsh row side * i + j has i sign changes from top to bottom and j from left to right.
    """
    changes = np.count_nonzero(np.diff(sylvester_matrix(side), axis=1), axis=1)
    line = np.argsort(changes)
    return (side * line[:, None] + line[None, :]).reshape(-1)


def _realigned(
    path: Path, metadata: SpasMetadata, readings: NDArray[np.float64], failed: NDArray[np.bool_], repeats: int
) -> tuple[NDArray[np.float64], list[str]]:
    """The readings with those after a lost trigger moved back into place, and what was done."""
    count = metadata.patterns.size
    empty_ends = [
        count - (int(np.flatnonzero(~part)[-1]) + 1 if not part.all() else 0) for part in failed.reshape(repeats, -1)
    ]
    period_ms = metadata.picture_time_us and metadata.picture_time_us / 1000
    intervals = metadata.intervals_ms
    if period_ms is None or intervals is None or not intervals.size:
        if any(empty_ends):
            raise FileError(
                f"{path}: the last {max(empty_ends)} readings are empty, and no timestamps say where triggers were "
                "lost; record again"
            )
        return readings, ["lost triggers are not looked for: timestamps or picture_time_us are not in the metadata"]
    if intervals.size != repeats * (count - 1):
        raise FileError(f"{path}: {intervals.size} timestamps for {repeats} x {count} readings; one less is needed")
    notes, parts = [], []
    for repeat, empty_end in enumerate(empty_ends):
        rows = slice(repeat * count, (repeat + 1) * count)
        own, missing = readings[rows], failed[rows]
        periods = intervals[repeat * (count - 1) : (repeat + 1) * (count - 1)] / period_ms
        # The time of a failed reading is not known.
        known = ~(missing[:-1] | missing[1:])
        late = np.flatnonzero(known & (periods > LOST_AFTER_PERIODS))
        lost = np.rint(periods[late]).astype(np.int64) - 1
        lost = np.maximum(lost, 1)
        if late.size and lost.sum() != empty_end:
            raise FileError(
                f"{path}: the interval after reading {int(late[0])} is {periods[late[0]]:.2f} picture times, so "
                f"{int(lost.sum())} trigger(s) were lost ({late.size} such intervals) and later readings belong to "
                f"other patterns; {empty_end} empty readings at the end do not tell which, so record again"
            )
        if late.size:
            shifts = np.zeros(count - empty_end, dtype=np.int64)
            np.add.at(shifts, late + 1, lost)
            moved = np.zeros_like(own)
            moved[np.arange(count - empty_end) + np.cumsum(shifts)] = own[: count - empty_end]
            own = moved
            notes.append(
                f"{int(lost.sum())} trigger(s) were lost after reading {', '.join(str(i) for i in late[:8])}: what "
                "follows was moved back into place, by its timestamps and the empty readings at the end"
            )
        elif empty_end:
            notes.append(f"the last {empty_end} readings are empty: the acquisition stopped before its end")
        parts.append(own)
    return np.concatenate(parts) if notes else readings, notes


def _capture_notes(metadata: SpasMetadata, readings: NDArray[np.float64], repeats: int) -> list[str]:
    notes = []
    inserted = int(np.count_nonzero(metadata.patterns == INSERTED))
    if inserted:
        notes.append(f"{inserted} inserted frames (-1) of each sequence are not used for the image")
    if repeats > 1:
        notes.append(f"{repeats} repeats of the sequence are averaged")
    if metadata.saturation_detected and not (readings >= metadata.full_scale_counts).any():
        notes.append(
            f"SPAS detected saturation in this run, but no reading is at {metadata.full_scale_counts:g} counts; look "
            "at the spectra"
        )
    if metadata.dark_corrected:
        notes.append("the spectrometer took its dark level off each spectrum (dynamic dark correction)")
    if metadata.zoom is not None and metadata.zoom != 1:
        notes.append(f"the patterns were shown with zoom {metadata.zoom:g}: the image is of that part of the mirrors")
    return notes


def _pair_notes(missed: NDArray[np.int64], sums: NDArray[np.float64]) -> list[str]:
    notes = []
    if missed.size:
        listed = ", ".join(str(row) for row in missed[:8]) + (", ..." if missed.size > 8 else "")
        notes.append(f"{missed.size} pairs with a failed reading are left out (Walsh rows {listed})")
    spread = float(sums.std() / sums.mean()) if sums.mean() > 0 else 0.0
    if spread > UNSTEADY_PAIR_SUMS:
        notes.append(
            f"the sums of the pairs, which show the same light, vary by {spread:.1%}: noise of a dark band, light that "
            "drifted or flickered, or readings out of step"
        )
    return notes

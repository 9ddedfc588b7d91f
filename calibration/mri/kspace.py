"""Raw k-space of one slice: which lines were measured, and how they are placed on the matrix of a design."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.circumstances import BenchState
from cidesign.calibration.mri.place import ImagePlace
from cidesign.errors import FileError
from cidesign.pattern import CartesianLines

if TYPE_CHECKING:
    from cidesign.calibration.mri.capture import SimulatedScanner
    from cidesign.calibration.mri.phantom import PhantomScan

Samples = NDArray[np.complex64]
Use = Literal["prospective", "retrospective"]
NO_REFERENCE = "no fully sampled reference: metrics unavailable"
# Squares of sums over a slice still fit single precision.
LARGEST_SAMPLE = 1e12
MOST_LISTED = 12
# Outermost lines, as a part of the matrix, that a full scan may leave out: raw data are padded to the matrix.
MOST_PADDING = 0.3
# Samples are as good as equal within this part of the largest one.
EQUAL_PART = 1e-6


@dataclass(frozen=True)
class RawKspace:
    """The k-space of one slice without readout oversampling; its centre is line N // 2, sample n // 2.

    `k` (coils, L, n) holds the measured lines `lines` (L,), rising, of a matrix of `matrix_lines`.  `noise` (coils, M):
    samples without signal, of the same bandwidth.  `edges` (coils, L, m): the parts of the readout's field of view
    that the removal of oversampling cut off.  `oversampling` was removed; `fields` says where numbers came from.
    `truth` (N, n), `gain` and `scanner` are known of a simulation: k is gain times that of the truth.  `order` (L,):
    when each of `lines` was measured (0: first), None where the file does not say.  `at_limit`: how many samples share
    the largest real or imaginary part, as a converter leaves them that is driven too far.  `noise` was multiplied by
    `noise_factor` to have the image's bandwidth.  `place`: in the patient, None where the file does not say it.
    `slice_number`: that of the file, None where it has but this one.
    """

    path: Path
    source: str
    k: Samples
    lines: NDArray[np.int64]
    matrix_lines: int
    digest: str
    noise: Samples | None = None
    edges: Samples | None = None
    oversampling: float = 1.0
    fields: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    design_digest: str | None = None
    profile_digest: str | None = None
    truth: Samples | None = None
    gain: float | None = None
    order: NDArray[np.int64] | None = None
    at_limit: int = 1
    noise_factor: float = 1.0
    phantom: "PhantomScan | None" = None
    scanner: "SimulatedScanner | None" = None
    created_utc: str = ""
    bench: BenchState = field(default_factory=BenchState)
    place: ImagePlace | None = None
    slice_number: int | None = None

    def __post_init__(self) -> None:
        if self.k.ndim != 3 or not self.k.size or self.k.shape[1] != len(self.lines):
            raise FileError(f"{self.path}: k-space of shape {self.k.shape} for {len(self.lines)} lines is no slice")
        bad = self.k.size - int(np.count_nonzero(np.isfinite(self.k)))
        if bad:
            raise FileError(f"{self.path}: {bad} of {self.k.size} samples are not finite numbers")
        largest = float(np.abs(self.k).max())
        if largest > LARGEST_SAMPLE:
            raise FileError(f"{self.path}: samples up to {largest:g} cannot be those of a scan; scale them down")
        if largest == 0:
            raise FileError(f"{self.path}: holds nothing but zeros; is it a template that was never measured?")
        if np.any(np.diff(self.lines) <= 0) or self.lines[0] < 0 or self.lines[-1] >= self.matrix_lines:
            raise FileError(f"{self.path}: its lines do not rise within 0 .. {self.matrix_lines - 1}")

    @property
    def coils(self) -> int:
        """Receive channels."""
        return len(self.k)

    @property
    def complete(self) -> bool:
        """Whether every line of the matrix was measured."""
        return len(self.lines) == self.matrix_lines

    @property
    def padding(self) -> tuple[int, int] | None:
        """Lines below and above a block without gaps, which were not measured; None where this is no full scan."""
        below, above = int(self.lines[0]), self.matrix_lines - 1 - int(self.lines[-1])
        gaps = self.matrix_lines - below - above - len(self.lines)
        return None if gaps or below + above > MOST_PADDING * self.matrix_lines else (below, above)

    def padding_note(self) -> str | None:
        """What a padded scan can be compared with, for people; None for a scan of all lines, or of a few."""
        if self.padding is None or self.complete:
            return None
        below, above = self.padding
        return (
            f"the outermost lines ({below} below, {above} above) hold nothing: a full scan of {len(self.lines)} of "
            f"{self.matrix_lines} lines, padded with zeros"
        )

    def placed(self) -> Samples:
        """(coils, N, n) with zeros where nothing was measured."""
        whole = np.zeros((self.coils, self.matrix_lines, self.k.shape[2]), dtype=np.complex64)
        whole[:, self.lines] = self.k
        return whole

    def central_lines(self) -> range:
        """The contiguous measured lines around the centre of k-space; empty where the centre was not measured."""
        centre = self.matrix_lines // 2
        measured = set(self.lines.tolist())
        if centre not in measured:
            return range(centre, centre)
        first = last = centre
        while first - 1 in measured:
            first -= 1
        while last + 1 in measured:
            last += 1
        return range(first, last + 1)


def require_design(raw: RawKspace, design: CartesianLines) -> Use:
    """What a capture can be used for with a design: its own scan, or a full one to sample retrospectively.

    Raises `FileError` for another design, another matrix, and lines that are missing or unexpected.
    """
    if raw.design_digest is not None and raw.design_digest != design.design_digest:
        raise FileError(
            f"{raw.path}: was recorded with design {raw.design_digest[:12]}, not with this run's "
            f"{design.design_digest[:12]}; name the run whose lines were measured"
        )
    for what, found, expected in (
        ("lines", raw.matrix_lines, design.lines),
        ("samples", raw.k.shape[2], design.readout),
    ):
        if found != expected:
            raise FileError(
                f"{raw.path}: a matrix of {found} {what} ({raw.fields.get(what, 'shape of the array')}), the design "
                f"has {expected}; use a run with --side {found}, or the capture of this design"
            )
    if np.array_equal(raw.lines, design.acquired):
        return "prospective"
    measured, wanted = set(raw.lines.tolist()), set(design.acquired.tolist())
    if raw.padding is not None and wanted <= measured:
        return "retrospective"
    if raw.padding is not None:
        raise FileError(
            f"{raw.path}: {raw.padding_note()}; the design has lines {listed(wanted - measured)} among them, which "
            "were never measured. Give a scan of all lines, or design for these"
        )
    raise FileError(
        f"{raw.path}: {len(measured)} of {raw.matrix_lines} lines were measured, the design has {len(wanted)}: missing "
        f"{listed(wanted - measured)}; unexpected {listed(measured - wanted)}; {NO_REFERENCE}. Measure the lines "
        "of the design, or all lines"
    )


def require_coils(raw: RawKspace, coils: int) -> None:
    """Raise `FileError` for another number of coils than were calibrated."""
    if raw.coils != coils:
        raise FileError(
            f"{raw.path}: {raw.coils} coils ({raw.fields.get('coils', 'shape of the array')}), {coils} were "
            "calibrated; calibrate with a capture of the same coils"
        )


def refuse_duplicates(path: Path, lines: NDArray[np.int64], what: str) -> None:
    """Raise `FileError` naming the lines that occur more than once."""
    twice = [line for line, count in Counter(lines.tolist()).items() if count > 1]
    if twice:
        raise FileError(f"{path}: duplicated lines {listed(twice)}; {what}")


def listed(numbers: "set[int] | list[int]") -> str:
    """Line numbers for one line of an error: `none`, `3, 7, 9`, or the first of many."""
    rising = sorted(numbers)
    text = ", ".join(map(str, rising[:MOST_LISTED]))
    return f"{text} and {len(rising) - MOST_LISTED} more" if len(rising) > MOST_LISTED else text or "none"


def at_limit(k: Samples) -> int:
    """How many real and imaginary parts of recorded samples equal the largest one, but for the sign."""
    parts = np.abs(np.ascontiguousarray(k).view(np.float32))
    largest = float(parts.max()) if parts.size else 0.0
    return int(np.count_nonzero(parts >= (1 - EQUAL_PART) * largest)) if largest > 0 else 0


def centred_fft(x: NDArray[np.complexfloating], axes: tuple[int, ...]) -> Samples:
    """Centred orthonormal FFT along `axes`."""
    shifted = np.fft.ifftshift(x, axes=axes)
    return np.fft.fftshift(np.fft.fftn(shifted, axes=axes, norm="ortho"), axes=axes).astype(np.complex64)


def centred_ifft(k: NDArray[np.complexfloating], axes: tuple[int, ...]) -> Samples:
    """The inverse of `centred_fft`."""
    shifted = np.fft.ifftshift(k, axes=axes)
    return np.fft.fftshift(np.fft.ifftn(shifted, axes=axes, norm="ortho"), axes=axes).astype(np.complex64)


def remove_oversampling(path: Path, k: Samples, samples: int) -> tuple[Samples, Samples | None]:
    """Cut the readout's field of view to its middle: (..., m) -> (..., samples), and the parts that were cut off.

    Orthonormal transforms keep the variance of white noise, so noise readouts stay comparable without this.
    The parts cut off come back as k-space of their own length, None where nothing was cut.
    """
    measured = k.shape[-1]
    if measured == samples:
        return k, None
    if measured < samples:
        raise FileError(f"{path}: {measured} samples of a readout are fewer than the matrix's {samples}")
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused once it is a capture
        image = centred_ifft(k, (-1,))
        first = measured // 2 - samples // 2
        outside = np.concatenate([image[..., :first], image[..., first + samples :]], axis=-1)
        return centred_fft(image[..., first : first + samples], (-1,)), centred_fft(outside, (-1,))

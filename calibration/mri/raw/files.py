"""Raw data files of scanners: ISMRMRD, fastMRI's HDF5 layout, and Siemens twix."""

import hashlib
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import RawKspace, listed, remove_oversampling
from cidesign.calibration.mri.raw.assemble import assemble, slice_numbers
from cidesign.calibration.mri.raw.child import PLACE, RawHead, TwixProtocol
from cidesign.calibration.mri.raw.flags import ISMRMRD_FLAGS, SIEMENS_FLAGS, FlagTable
from cidesign.calibration.mri.raw.header import MAX_LINES, EncodedMatrix, MrdHeader, parse_header
from cidesign.calibration.mri.raw.matrices import from_full_array
from cidesign.calibration.mri.raw.ramps import ReadoutGradient
from cidesign.calibration.mri.raw.readouts import Matrix, Readouts
from cidesign.calibration.mri.slices import KspaceSlices
from cidesign.errors import FileError, InputError
from cidesign.files import MAX_ARRAY_BYTES, sha256_file
from cidesign.io.child import SPARE_BYTES, Arrays, ask, typed_head

READER = "cidesign.calibration.mri.raw.child"
# A slow network drive delivers the largest file in this time; a loop in a damaged file does not end.
LONGEST_READ_S = 600
# Number of scans and 64 entries of 152 bytes, padded (VD and later).
_TWIX_DIRECTORY_BYTES = 10_240
MRD_FIELDS = {
    "line": "AcquisitionHeader.idx.kspace_encode_step_1",
    "average": "AcquisitionHeader.idx.average",
    "lines": "encoding.encodedSpace.matrixSize.y",
    "samples": "encoding.reconSpace.matrixSize.x",
    "recorded": "encoding.encodedSpace.matrixSize.x",
    "centre": "encoding.encodingLimits.kspace_encoding_step_1.center",
    "coils": "AcquisitionHeader.active_channels",
    "number_of_samples": "AcquisitionHeader.number_of_samples",
    "centre_sample": "AcquisitionHeader.center_sample",
    "discard": "AcquisitionHeader.discard_pre, discard_post",
    "dwell_ps": "AcquisitionHeader.sample_time_us",
    "measurement": "AcquisitionHeader.measurement_uid",
    "channel_mask": "AcquisitionHeader.channel_mask",
}
TWIX_FIELDS = {
    "line": "mdh.Counter.Lin",
    "average": "mdh.Counter.Ave",
    "lines": "MeasYaps.sKSpace.lPhaseEncodingLines",
    "samples": "MeasYaps.sKSpace.lBaseResolution",
    "recorded": "MeasYaps.sKSpace.lBaseResolution",
    "centre": "mdh.CenterLin",
    "coils": "mdh.UsedChannels",
    "number_of_samples": "mdh.SamplesInScan",
    "centre_sample": "mdh.CenterCol",
    "discard": "mdh.CutOff.Pre, Post",
    "dwell_ps": "MeasYaps.sRXSPEC.alDwellTime",
    "measurement": "mdh.MeasUID",
    "channel_mask": "ChannelHeader.ChannelId",
    "centre_line": "mdh.CenterLin",
}
# MeasYaps.sPat.ucRefScanMode of calibration lines within the scan.
TWIX_EMBEDDED = 2
# Meas.alRegridMode -> whether the ramps are rounded.
REGRID_MODES = {2: False, 4: True}
# Versions of the acquisition header whose fields are known.
MRD_VERSIONS = (0, 1)


def read_hdf5_kspace(path: Path, measurement: str | None = None, encoding: int | None = None) -> KspaceSlices:
    """Read ISMRMRD acquisitions, or `kspace` (slices, coils, readout, lines) of fastMRI's layout.

    `measurement` names one of several groups of acquisitions, `encoding` one of several encodings.
    """
    head, arrays = _ask(path, "hdf5", None, measurement)
    if head.layout == "fastmri":
        if encoding is not None:
            raise InputError(f"--set encoding: `kspace` of {path} has one; leave it out")
        return _of_fastmri(path, head, arrays)
    readouts, header, number, notes = _acquisitions(path, head, arrays, measurement, encoding)
    more = header.require_cartesian(number)
    if header.embeds_calibration(number):
        readouts, told = with_embedded(
            readouts, readouts.column("encoding") == number, "parallelImaging.calibrationMode"
        )
        more += told
    found = header.matrix(number)
    matrix = Matrix(
        found.lines,
        found.centre,
        found.recon_x,
        MRD_FIELDS,
        found.encoded_x,
        found.fov_mm,
        header.gradient(number, found.encoded_x),
    )
    return _assembled(readouts, matrix, head, [*notes, *more], number)


def read_acquisitions(
    path: Path, measurement: str | None, encoding: int | None
) -> tuple[Readouts, MrdHeader, int, str, list[str]]:
    """ISMRMRD acquisitions of one encoding as they are stored, the header, the encoding, a digest, and remarks."""
    head, arrays = _ask(path, "hdf5", None, measurement)
    if head.layout == "fastmri":
        raise FileError(f"{path}: `kspace` of fastMRI's layout is Cartesian lines; a scan of shots is ISMRMRD")
    readouts, header, number, notes = _acquisitions(path, head, arrays, measurement, encoding)
    return readouts, header, number, _digest(sha256_file(path), head, None, number), notes


def _acquisitions(
    path: Path, head: RawHead, arrays: Arrays, measurement: str | None, encoding: int | None
) -> tuple[Readouts, MrdHeader, int, list[str]]:
    notes = _chosen(path, head, measurement)
    header = parse_header(path, head.xml)
    readouts = _readouts(path, "ISMRMRD", arrays, ISMRMRD_FLAGS)
    versions = set(readouts.column("version").tolist()) - set(MRD_VERSIONS)
    if versions:
        raise FileError(f"{path}: acquisition headers of version {listed(versions)} (AcquisitionHeader.version)")
    readouts, number, more = _one_encoding(readouts, header, encoding)
    return readouts, header, number, [*notes, *more]


def _chosen(path: Path, head: RawHead, measurement: str | None) -> list[str]:
    """Remarks on the measurements that were not read; raises `InputError` where one has to be chosen."""
    found = head.measurements
    listing = "; ".join(f"{one.name} ({one.text})" for one in found)
    if head.chosen is None:
        asked = "choose one" if measurement is None else f"{measurement} is none of them with an image; choose another"
        raise InputError(f"{path}: holds {len(found)} measurements: {listing}; {asked} with --set measurement=NAME")
    others = [one for one in found if one.name != head.chosen]
    if not others:
        return []
    left = "; ".join(f"{one.name} ({one.text})" for one in others)
    (own,) = [one for one in found if one.name == head.chosen]
    return [f"measurement {own.name} ({own.text}) is read, of {len(found)} in the file; left out: {left}"]


def _assembled(readouts: Readouts, matrix: Matrix, head: RawHead, notes: list[str], encoding: int = 0) -> KspaceSlices:
    """The slices of labelled readouts, each put together when it is read."""
    numbers, digest = slice_numbers(readouts), sha256_file(readouts.path)

    def read(number: int) -> RawKspace:
        own = _digest(digest, head, number if len(numbers) > 1 else None, encoding)
        raw = assemble(readouts, matrix, number, own)
        return replace(raw, notes=(*notes, *raw.notes))

    return KspaceSlices(readouts.path, numbers, read)


def _digest(digest: str, head: RawHead, number: int | None, encoding: int = 0) -> str:
    """That of the file; of one of several images in it, one of its own."""
    parts = [number, encoding or None, head.chosen if len(head.measurements) > 1 else None]
    if parts == [None, None, None]:
        return digest
    return hashlib.sha256(f"{digest} {parts}".encode()).hexdigest()


def _one_encoding(readouts: Readouts, header: MrdHeader, encoding: int | None) -> tuple[Readouts, int, list[str]]:
    """The readouts with all imaging ones of other encodings left out, and the number of the encoding that is read.

    The image is the encoding with more lines than any other, and no fewer samples.  Raises `InputError` where that
    tells nothing, `FileError` for an encoding that the header does not describe.
    """
    used = sorted(set(readouts.column("encoding")[readouts.imaging].tolist()))
    if [number for number in used if number >= header.encodings]:
        raise FileError(
            f"{readouts.path}: acquisitions of encoding {listed(used)} (AcquisitionHeader.encoding_space_ref), the "
            f"header describes {header.encodings}, counted from 0"
        )
    if not used:
        return readouts, 0, []
    if encoding is not None and encoding not in used:
        raise InputError(f"--set encoding={encoding}: {readouts.path} holds acquisitions of encodings {listed(used)}")
    if len(used) == 1:
        return readouts, used[0], []
    matrices = {number: header.matrix(number) for number in used}
    chosen = _largest(matrices) if encoding is None else encoding
    counts = {number: int((readouts.imaging & (readouts.column("encoding") == number)).sum()) for number in used}
    listing = ", ".join(
        f"{number} ({matrices[number].lines} x {matrices[number].recon_x}, {counts[number]} readouts)"
        for number in used
    )
    what = f"acquisitions of {len(used)} encodings (encoding_space_ref): {listing}"
    if chosen is None:
        raise InputError(f"{readouts.path}: holds {what}; choose one with --set encoding=N")
    how = "the largest matrix" if encoding is None else "as chosen"
    kept = ~readouts.imaging | (readouts.column("encoding") == chosen)
    return readouts.only(kept), chosen, [f"{what}; {chosen} is read ({how}), another with --set encoding=N"]


def _largest(matrices: dict[int, EncodedMatrix]) -> int | None:
    best = max(matrices, key=lambda number: matrices[number].lines)
    others = [matrix for number, matrix in matrices.items() if number != best]
    own = matrices[best]
    return best if all(own.lines > one.lines and own.recon_x >= one.recon_x for one in others) else None


def read_twix(path: Path, matrix_lines: int | None, measurement: str | None = None) -> KspaceSlices:
    """Read a Siemens .dat file (VB, VD, VE, XA); `matrix_lines` overrules the protocol, as for Pulseq sequences.

    Of several scans the last is read, or the one that `measurement` (1, 2 ...) names.  Raises `InputError` when
    twixtools is not installed.
    """
    readouts, protocol, head, notes = _twix(path, measurement)
    _require_protocol(path, protocol, ("ucTrajectory", protocol.trajectory, 1, "no Cartesian trajectory"))
    if protocol.reference_scan_mode == TWIX_EMBEDDED:
        every = np.ones(len(readouts.flags), dtype=np.bool_)
        readouts, told = with_embedded(readouts, every, "MeasYaps.sPat.ucRefScanMode")
        notes += told
    lines, fields = protocol.phase_encoding_lines, TWIX_FIELDS
    centres = sorted(set(readouts.column("centre_line")[readouts.imaging].tolist()))
    if len(centres) > 1:
        raise FileError(f"{path}: the centre of k-space is on lines {listed(centres)} (mdh.CenterLin); one is needed")
    centre = centres[0] if centres else 0
    if matrix_lines is not None:
        lines, centre = matrix_lines, matrix_lines // 2
        fields = {**fields, "lines": "--set matrix_lines", "centre": "--set matrix_lines"}
    if not (1 <= lines <= MAX_LINES and 1 <= protocol.base_resolution <= MAX_LINES):
        raise FileError(f"{path}: a matrix of {lines} x {protocol.base_resolution} (MeasYaps.sKSpace) cannot be")
    gradient = _twix_gradient(path, protocol, readouts)
    matrix = Matrix(lines, centre, protocol.base_resolution, fields, gradient=gradient)
    return _assembled(readouts, matrix, head, notes)


def read_twix_readouts(path: Path, measurement: str | None) -> tuple[Readouts, str, list[str]]:
    """The readouts of a scan of a Siemens file as they are stored, a digest, and remarks; see `read_twix`."""
    readouts, protocol, head, notes = _twix(path, measurement)
    ramps = ("alRegridMode", protocol.regrid_mode, 1, "Cartesian readouts on the ramps of a gradient")
    _require_protocol(path, protocol, ramps)
    return readouts, _digest(sha256_file(path), head, None), notes


def _twix(path: Path, measurement: str | None) -> tuple[Readouts, TwixProtocol, RawHead, list[str]]:
    """The readouts of one scan, its protocol, what is in the file, and remarks."""
    if importlib.util.find_spec("twixtools") is None:
        raise InputError("Siemens raw data need the package twixtools; install it with `pip install 'cidesign[mri]'`")
    _check_twix_size(path)
    head, arrays = _ask(path, "twix", None, measurement)
    if not head.ended:
        raise FileError(f"{path}: the file ends before its ACQEND mark; it is cut short, copy it again")
    notes = _chosen(path, head, measurement)
    if head.protocol is None:
        raise FileError(f"{path}: its protocol was not read; copy it again")
    return _readouts(path, "Siemens twix", arrays, SIEMENS_FLAGS), head.protocol, head, notes


def with_embedded(readouts: Readouts, chosen: NDArray[np.bool_], field: str) -> tuple[Readouts, list[str]]:
    """The readouts with their calibration lines as lines of the image, as `field` says they are."""
    found, count = readouts.with_embedded(chosen)
    return found, [f"{count} calibration lines are lines of the image as well ({field})"] if count else []


def _require_protocol(path: Path, protocol: TwixProtocol, own: tuple[str, int, int, str]) -> None:
    """Refuse what the protocol says is no 2-D scan of single slices; a field that is absent is 0.

    `own`: another field that is looked at, its value, the largest that is read, and what more of it means.
    """
    for name, value, most, what in (
        ("ucDimension", protocol.dimension, 2, "a 3-D scan"),
        ("lMultiBandFactor", protocol.multi_band_factor, 1, "slices that were excited at once"),
        own,
    ):
        if value > most:
            raise FileError(f"{path}: {what} (protocol: {name} = {value}), which is not read")


def _twix_gradient(path: Path, protocol: TwixProtocol, readouts: Readouts) -> ReadoutGradient | None:
    """The readout gradient of the protocol where samples are taken on its ramps; `FileError` for other shapes."""
    mode = protocol.regrid_mode
    if mode <= 1:
        return None
    if mode not in REGRID_MODES or protocol.gradient_us is None:
        raise FileError(
            f"{path}: samples taken while the gradient ramps (protocol: alRegridMode = {mode}), by a shape that is not "
            "known; not read"
        )
    up_us, flat_us, down_us, delay_us, window_us = protocol.gradient_us
    found = ReadoutGradient(up_us, flat_us, down_us, delay_us, window_us, REGRID_MODES[mode])
    found.require_sound(path, "Meas.alRegrid...Time")
    samples = readouts.column("samples")[readouts.imaging]
    return found if samples.size and found.on_ramps(int(samples[0])) else None


def _readouts(path: Path, source: str, arrays: Arrays, table: FlagTable) -> Readouts:
    places = {name[len(PLACE) :]: values for name, values in arrays.items() if name.startswith(PLACE)}
    found = Readouts(path, source, arrays["table"], arrays["flags"], arrays["data"], table, places)
    return replace(found, trajectory=arrays["trajectory"]) if "trajectory" in arrays else found


def _check_twix_size(path: Path) -> None:
    """Compare what the file's own directory says (VD and later) with its size."""
    try:
        found_bytes = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(_TWIX_DIRECTORY_BYTES)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(head) < 8:
        raise FileError(f"{path}: {found_bytes} bytes are no Siemens raw data file")
    start = np.frombuffer(head[: len(head) // 4 * 4], dtype="<u4")
    if start[0] >= 10_000 or not 1 <= start[1] <= 64 or len(head) < _TWIX_DIRECTORY_BYTES:
        return  # VB: the first number is the length of the header, and nothing tells the file's
    for number in range(int(start[1])):
        entry = start[2 + 38 * number : 2 + 38 * (number + 1)].tobytes()
        offset, length = np.frombuffer(entry[8:24], dtype="<u8").tolist()
        if offset + length > found_bytes:
            raise FileError(
                f"{path}: its directory says {offset + length} bytes, {found_bytes} are there; the file is cut short, "
                "copy it again"
            )


def _of_fastmri(path: Path, head: RawHead, first: Arrays) -> KspaceSlices:
    """The slices of `kspace`, each read from the file when it is asked for; `first` holds the only one."""
    digest = sha256_file(path)

    def read(number: int) -> RawKspace:
        found, arrays = (head, first) if head.slices == 1 else _ask(path, "hdf5", number, head.chosen)
        own = _digest(digest, found, number if head.slices > 1 else None)
        return replace(_from_fastmri(path, found, arrays), digest=own, slice_number=number)

    return KspaceSlices(path, tuple(range(head.slices)), read)


def _from_fastmri(path: Path, head: RawHead, arrays: Arrays) -> RawKspace:
    # Lines are the last axis there, and the readout is oversampled by two as it comes from the scanner.
    k = np.ascontiguousarray(arrays["kspace"].transpose(0, 2, 1))
    samples, edges, recorded = k.shape[2], None, k
    notes: tuple[str, ...] = ()
    whole = k.shape[2]
    if head.xml:
        matrix = parse_header(path, head.xml).matrix(0)
        if matrix.encoded_x == whole:
            samples = matrix.recon_x
            k, edges = remove_oversampling(path, k, samples)
            notes = (
                (f"readout oversampling of {whole / samples:g} removed (ismrmrd_header)",) if edges is not None else ()
            )
    return from_full_array(path, "fastMRI HDF5", k, "", edges, whole / samples, notes, recorded)


def _ask(path: Path, layout: str, slice_index: int | None, measurement: str | None) -> tuple[RawHead, Arrays]:
    request = {
        "layout": layout, "max_bytes": MAX_ARRAY_BYTES, "slice_index": slice_index, "measurement": measurement,
    }  # fmt: skip
    # The rest goes with the file, which may be compressed.
    size_bytes = path.stat().st_size if path.is_file() else 0
    memory_bytes = min(4 * MAX_ARRAY_BYTES, 8 * size_bytes) + SPARE_BYTES
    head, arrays = ask(path, READER, request, "raw data file", LONGEST_READ_S, memory_bytes)
    return typed_head(RawHead, head), arrays

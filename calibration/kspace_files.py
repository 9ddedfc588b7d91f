"""Raw data files of scanners: ISMRMRD, fastMRI's HDF5 layout, and Siemens twix."""

import importlib.util
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.kspace import RawKspace, remove_oversampling
from cidesign.calibration.kspace_arrays import from_full_array
from cidesign.calibration.kspace_readouts import Matrix, Readouts, assemble
from cidesign.errors import FileError, InputError
from cidesign.files import MAX_ARRAY_BYTES
from cidesign.io.child import SPARE_BYTES, ask

READER = "cidesign.calibration.kspace_child"
# A slow network drive delivers the largest file in this time; a loop in a damaged file does not end.
LONGEST_READ_S = 600
MAX_XML_BYTES = 4_000_000
MAX_LINES = 100_000
# Fields of view that differ by less than this part belong to one resolution.
FOV_TOLERANCE = 0.01


def read_hdf5_kspace(path: Path, slice_index: int | None) -> RawKspace:
    """Read ISMRMRD acquisitions, or `kspace` (slices, coils, readout, lines) of fastMRI's layout."""
    head, arrays = _ask(path, "hdf5", slice_index)
    if head["layout"] == "fastmri":
        return _from_fastmri(path, head, arrays, slice_index)
    encoded_x, recon_x, lines, centre = _matrix_of(path, head["xml"])
    matrix = Matrix(
        lines,
        centre,
        recon_x,
        {
            "lines": "encoding.encodedSpace.matrixSize.y",
            "samples": "encoding.reconSpace.matrixSize.x",
            "centre": "encoding.encodingLimits.kspace_encoding_step_1.center",
            "coils": "AcquisitionHeader.active_channels",
        },
    )
    readouts = Readouts(path, "ISMRMRD", arrays["table"], arrays["data"])
    imaging = (readouts.column("noise") == 0) & (readouts.column("skip") == 0)
    found = sorted(set(readouts.column("samples")[imaging].tolist()))
    if imaging.any() and found != [encoded_x]:
        raise FileError(
            f"{path}: readouts of {', '.join(map(str, found))} samples (AcquisitionHeader.number_of_samples), the "
            f"header says {encoded_x} (encoding.encodedSpace.matrixSize.x)"
        )
    return assemble(readouts, matrix, slice_index)


def read_twix(path: Path, slice_index: int | None, matrix_lines: int | None) -> RawKspace:
    """Read a Siemens .dat file (VB, VD, VE, XA); `matrix_lines` overrules the protocol, as for Pulseq sequences.

    Raises `InputError` when twixtools is not installed.
    """
    if importlib.util.find_spec("twixtools") is None:
        raise InputError("Siemens raw data need the package twixtools; install it with `pip install 'cidesign[mri]'`")
    _check_twix_size(path)
    head, arrays = _ask(path, "twix")
    if not head["ended"]:
        raise FileError(f"{path}: the file ends before its ACQEND mark; it is cut short, copy it again")
    readouts = Readouts(path, "Siemens twix", arrays["table"], arrays["data"])
    lines, centre = head["lPhaseEncodingLines"], head["centre_line"]
    fields = {
        "lines": "MeasYaps.sKSpace.lPhaseEncodingLines",
        "samples": "MeasYaps.sKSpace.lBaseResolution",
        "centre": "mdh.CenterLin",
        "coils": "mdh.UsedChannels",
    }
    if matrix_lines is not None:
        lines, centre = matrix_lines, matrix_lines // 2
        fields |= {"lines": "--set matrix_lines", "centre": "--set matrix_lines"}
    if not (1 <= lines <= MAX_LINES and 1 <= head["lBaseResolution"] <= MAX_LINES):
        raise FileError(f"{path}: a matrix of {lines} x {head['lBaseResolution']} (MeasYaps.sKSpace) cannot be")
    return assemble(readouts, Matrix(lines, centre, head["lBaseResolution"], fields), slice_index)


def _check_twix_size(path: Path) -> None:
    """Compare what the file's own directory says (VD and later) with its size."""
    try:
        found_bytes = path.stat().st_size
        with path.open("rb") as stream:
            start = np.frombuffer(stream.read(10240), dtype="<u4")
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(start) < 2:
        raise FileError(f"{path}: {found_bytes} bytes are no Siemens raw data file")
    if start[0] >= 10_000 or not 1 <= start[1] <= 64 or len(start) < 2560:
        return  # VB: the first number is the length of the header, and nothing tells the file's
    for number in range(int(start[1])):
        entry = start[2 + 38 * number : 2 + 38 * (number + 1)].tobytes()
        offset, length = np.frombuffer(entry[8:24], dtype="<u8").tolist()
        if offset + length > found_bytes:
            raise FileError(
                f"{path}: its directory says {offset + length} bytes, {found_bytes} are there; the file is cut short, "
                "copy it again"
            )


def _from_fastmri(
    path: Path, head: dict[str, Any], arrays: dict[str, NDArray[Any]], slice_index: int | None
) -> RawKspace:
    if "kspace" not in arrays:
        asked = "choose one with --set slice_index=N" if slice_index is None else f"there is no slice {slice_index}"
        raise InputError(f"{path}: holds slices 0 to {head['slices'] - 1}; {asked}")
    # Lines are the last axis there, and the readout is oversampled by two as it comes from the scanner.
    k = np.ascontiguousarray(arrays["kspace"].transpose(0, 2, 1))
    samples, edges, recorded = k.shape[2], None, k
    notes: tuple[str, ...] = ()
    whole = k.shape[2]
    if head["xml"]:
        encoded_x, recon_x, _, _ = _matrix_of(path, head["xml"])
        if encoded_x == whole:
            samples = recon_x
            k, edges = remove_oversampling(path, k, samples)
            notes = (
                (f"readout oversampling of {whole / samples:g} removed (ismrmrd_header)",) if edges is not None else ()
            )
    return from_full_array(path, "fastMRI HDF5", k, edges, whole / samples, notes, recorded)


def _matrix_of(path: Path, text: str) -> tuple[int, int, int, int]:
    """(encoded samples, samples, lines, centre line) of an ISMRMRD header."""
    if len(text) > MAX_XML_BYTES or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FileError(f"{path}: its ISMRMRD header is not one (too long, or with XML entities)")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (without entities, and of bounded size)
    except (ElementTree.ParseError, ValueError) as error:
        raise FileError(f"{path}: its ISMRMRD header is not sound XML ({error})") from error

    def number(where: str) -> float:
        found = root.find("./{*}encoding/" + "/".join("{*}" + part for part in where.split("/")))
        try:
            value = float(found.text or "") if found is not None else math.nan
        except ValueError:
            value = math.nan
        if not 0 <= value <= MAX_LINES:
            raise FileError(f"{path}: its header has no usable encoding.{where.replace('/', '.')}")
        return value

    encoded, recon = "encodedSpace/", "reconSpace/"
    encoded_x, recon_x = number(encoded + "matrixSize/x"), number(recon + "matrixSize/x")
    lines, centre = number(encoded + "matrixSize/y"), number("encodingLimits/kspace_encoding_step_1/center")
    if min(encoded_x, recon_x, lines) < 1:
        raise FileError(f"{path}: a matrix of {lines:g} x {encoded_x:g} (encoding.encodedSpace.matrixSize) cannot be")
    wider = number(encoded + "fieldOfView_mm/x") / max(number(recon + "fieldOfView_mm/x"), 1e-9)
    if abs(wider / (encoded_x / recon_x) - 1) > FOV_TOLERANCE:
        raise FileError(
            f"{path}: {encoded_x:g} samples for {recon_x:g} pixels (encodedSpace, reconSpace), but its fields of view "
            f"are {wider:g} to 1; only readout oversampling is removed, other resolutions are not read"
        )
    return int(encoded_x), int(recon_x), int(lines), int(centre)


def _ask(path: Path, layout: str, slice_index: int | None = None) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    request = {"layout": layout, "max_bytes": MAX_ARRAY_BYTES, "slice_index": slice_index}
    # The rest goes with the file, which may be compressed.
    size_bytes = path.stat().st_size if path.is_file() else 0
    memory_bytes = min(4 * MAX_ARRAY_BYTES, 8 * size_bytes) + SPARE_BYTES
    return ask(path, READER, request, "raw data file", LONGEST_READ_S, memory_bytes)

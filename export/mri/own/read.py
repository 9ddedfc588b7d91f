"""One file of lines becomes a design: what is in it, what it leaves open, and a picture of what was understood."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cidesign.errors import FileError, InputError
from cidesign.export.mri.own.arrays import ARRAYS, BART, TABLES, one_file, read_array, sources
from cidesign.export.mri.own.lines import Lines, calibration_lines, lines_of
from cidesign.export.mri.own.options import LineOptions
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines, centre_block

SUFFIXES = (*TABLES, *ARRAYS, *BART)
_LONGEST_PX = 1024


def read_own(files: Sequence[Path], profile: MriProfile, options: LineOptions) -> OwnDesign:
    """Read the lines of one file as a design for the scanner of `profile`.

    .txt, .csv, .npy, .npz, .mat: a list of line numbers, a mask of lines (N,) or of points (H, W); .cfl: a pattern of
    BART.  Raises `FileError` for damage and for what is no lines of a 2-D scan, `InputError` where the file can be read
    in several ways, naming them and the option that decides.
    """
    path = one_file(files, SUFFIXES, "lines")
    for name in ("slice_index", "measurement", "encoding", "matrix_lines"):
        if getattr(options, name) is not None:
            raise InputError(f"--set {name}: is for the raw data of a scan, not for {path}; leave it out")
    values, name = _values(path, options.array)
    where = f"{path}: {name}" if name else str(path)
    found = lines_of(values, where, options, bart=path.suffix.lower() in BART)
    return own_design(found, where, sources(path), profile, options)


def own_design(
    found: Lines, where: str, files: Sequence[tuple[str, str]], profile: MriProfile, options: LineOptions
) -> OwnDesign:
    """Lines as a design, with the fully sampled centre that is in them."""
    readout = found.readout if found.readout is not None else options.readout
    if readout is None:
        raise InputError(
            f"{where}: does not say how many samples a line has; say it with --set readout=N (without oversampling, "
            f"{found.lines} for a square matrix)"
        )
    calibration = calibration_lines(found.acquired, found.lines)
    said = list(found.said)
    if found.readout is None:
        said.append(f"a line has {readout} samples, as asked for")
    design = CartesianLines(found.lines, readout, found.acquired, calibration, profile.id, profile.digest)
    if calibration:
        block = centre_block(found.lines, calibration)
        said.append(f"fully sampled around the centre: {calibration} lines, {block[0]} to {block[-1]} counted from 0")
    else:
        said.append(f"line {found.lines // 2}, the centre of k-space, is not measured: no calibration lines")
    said.append(f"{len(found.acquired)} of {found.lines} lines, R = {design.acceleration:.3f}")
    return OwnDesign(design, tuple(said), tuple(files), _picture(design))


def _values(path: Path, wanted: str) -> tuple[NDArray[np.generic], str]:
    """The array that is meant and its name in a file of several; of BART what does not repeat itself."""
    array, name = read_array(path, wanted, "lines", 2)
    if path.suffix.lower() not in BART:
        return array, name
    planes = array.reshape(*array.shape[:2], -1)
    if (planes != planes[..., :1]).any():
        raise FileError(f"{path}: BART dimensions {array.shape}, patterns that differ beyond the first two; save one")
    # A pattern without its readout holds one sample of each line.
    return (planes[0, :, 0] if planes.shape[0] == 1 else planes[..., 0]), ""


def _picture(design: CartesianLines) -> bytes:
    """k-space: white where it is measured, lines across, line 0 on top; the fully sampled centre is green."""
    rows = np.full((design.lines, 3), 30, dtype=np.uint8)
    rows[design.acquired] = 235
    rows[list(centre_block(design.lines, design.calibration_lines))] = (120, 200, 120)
    scale = max(1, _LONGEST_PX // max(design.lines, design.readout))
    step = -(-max(design.lines, design.readout) // (4 * _LONGEST_PX))
    columns = max(design.readout * scale // step, 1)
    picture = np.repeat(np.repeat(rows[::step], scale, axis=0)[:, None], columns, axis=1)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, format="PNG")
    return stream.getvalue()

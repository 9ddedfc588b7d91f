"""One file of lines becomes a design: what is in it, what it leaves open, and a picture of what was understood."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cidesign.errors import FileError, InputError
from cidesign.export.mri.own.lines import Lines, calibration_lines, lines_of
from cidesign.export.mri.own.options import LineOptions
from cidesign.export.own_design import OwnDesign
from cidesign.files import load_npz, sha256_file
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import read_cfl
from cidesign.io.csv_readings import read_csv
from cidesign.io.mat import read_every_matrix
from cidesign.io.npy import read_npy
from cidesign.pattern import CartesianLines, centre_block
from cidesign.records import shown

TABLES = (".csv", ".tsv", ".txt")
ARRAYS = (".npy", ".npz", ".mat")
BART = (".cfl", ".hdr")
SUFFIXES = (*TABLES, *ARRAYS, *BART)
MAX_TABLE_BYTES = 20_000_000
_LONGEST_PX = 1024


def read_own(files: Sequence[Path], profile: MriProfile, options: LineOptions) -> OwnDesign:
    """Read the lines of one file as a design for the scanner of `profile`.

    .txt, .csv, .npy, .npz, .mat: a list of line numbers, a mask of lines (N,) or of points (H, W); .cfl: a pattern of
    BART.  Raises `FileError` for damage and for what is no lines of a 2-D scan, `InputError` where the file can be read
    in several ways, naming them and the option that decides.
    """
    if len(files) != 1:
        raise InputError(f"lines are one file, {len(files)} are named: {shown(path.name for path in files)}")
    path = files[0].with_suffix(".cfl") if files[0].suffix.lower() == ".hdr" else files[0]
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FileError(f"{path}: no such file of lines")
    if suffix not in SUFFIXES:
        raise FileError(f"{path}: lines in a {suffix or 'nameless'} file are not read; use {', '.join(SUFFIXES)}")
    for name in ("slice_index", "measurement", "encoding", "matrix_lines"):
        if getattr(options, name) is not None:
            raise InputError(f"--set {name}: is for the raw data of a scan, not for {path}; leave it out")
    sources = [(one.name, sha256_file(one)) for one in _parts(path)]
    values, name = _values(path, suffix, options.array)
    where = f"{path}: {name}" if name else str(path)
    return own_design(lines_of(values, where, options, bart=suffix in BART), where, sources, profile, options)


def own_design(
    found: Lines, where: str, sources: Sequence[tuple[str, str]], profile: MriProfile, options: LineOptions
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
    return OwnDesign(design, tuple(said), tuple(sources), _picture(design))


def _parts(path: Path) -> list[Path]:
    return [path, path.with_suffix(".hdr")] if path.suffix.lower() in BART else [path]


def _values(path: Path, suffix: str, wanted: str) -> tuple[NDArray[np.generic], str]:
    """The array that is meant and its name in a file of several; "" where the file has no names."""
    if suffix == ".npy":
        return read_npy(path, "lines"), ""
    if suffix in TABLES:
        return read_csv(path, "lines", MAX_TABLE_BYTES), ""
    if suffix in BART:
        array = read_cfl(path, 2)
        planes = array.reshape(*array.shape[:2], -1)
        if (planes != planes[..., :1]).any():
            raise FileError(
                f"{path}: BART dimensions {array.shape}, patterns that differ beyond the first two; save one"
            )
        # A pattern without its readout holds one sample of each line.
        return (planes[0, :, 0] if planes.shape[0] == 1 else planes[..., 0]), ""
    arrays = load_npz(path, "lines") if suffix == ".npz" else read_every_matrix(path)[0]
    names = [wanted] if wanted in arrays else list(arrays)
    if len(names) != 1:
        listing = ", ".join(f"{shown([name])} {array.shape}" for name, array in arrays.items()) or "none"
        raise InputError(f"{path}: holds arrays {listing}; say which are the lines with --set array=NAME")
    return arrays[names[0]], names[0]


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

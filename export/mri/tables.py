"""The lines as tables: CSV for people and for sites with a loader of their own, and `.mat` for their scripts."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import loadmat, savemat

from cidesign import __version__
from cidesign.errors import FileError
from cidesign.export.mri.blocks import Acquisition
from cidesign.export.mri.protocol import Protocol
from cidesign.files import disk_errors, read_limited, sha256_bytes, write_bytes
from cidesign.pattern import CartesianLines, centre_block

CSV_COLUMNS = ("shot", "echo", "line_index", "ky_index_centered", "is_acs")


def write_csv(path: Path, trajectory: CartesianLines, acquisitions: Sequence[Acquisition]) -> None:
    """One row for each line in the order of acquisition; counts and line indices from 0, ky 0 at the centre."""
    calibration = set(centre_block(trajectory.lines, trajectory.calibration_lines))
    stream = io.StringIO()
    stream.write(f"# cidesign {__version__}: phase-encode lines in order of acquisition\n")
    stream.write(f"# lines {trajectory.lines}, centre line {trajectory.lines // 2}, readout {trajectory.readout}\n")
    stream.write(f"# sha256 of the mask (uint8, {trajectory.lines} bytes) {sha256_bytes(trajectory.mask.tobytes())}\n")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    for shot, echo, line in acquisitions:
        table.writerow((shot, echo, line, line - trajectory.lines // 2, int(line in calibration)))
    write_bytes(path, stream.getvalue().encode())


def read_csv_lines(path: Path) -> list[Acquisition]:
    """The rows of a table of lines; raises `FileError` for one that is damaged."""
    try:
        text = read_limited(path, "table of lines", 64_000_000).decode()
        rows = list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))
        if tuple(rows[0]) != CSV_COLUMNS:
            raise ValueError(f"columns {', '.join(rows[0])[:80]}")
        return [Acquisition(int(row[0]), int(row[1]), int(row[2])) for row in rows[1:]]
    except (ValueError, IndexError, csv.Error) as error:
        raise FileError(f"{path}: this table of lines is damaged ({error})") from error


def write_mat(path: Path, trajectory: CartesianLines, lines: list[int], protocol: Protocol) -> None:
    """MATLAB 5 variables; the order is given from 0 and from 1, under names that say so."""
    with disk_errors(path):
        savemat(
            path,
            {
                "mask": trajectory.mask,
                "lines_from_zero": np.asarray(lines, dtype=np.int32),
                "lines_from_one": np.asarray(lines, dtype=np.int32) + 1,
                "centre_line_from_zero": trajectory.lines // 2,
                "matrix": np.array([trajectory.readout, trajectory.lines], dtype=np.int32),
                "fov_mm": np.array([protocol.fov_mm, protocol.phase_fov]),
                "calibration_lines": trajectory.calibration_lines,
            },
        )


def read_mat_lines(path: Path) -> list[int]:
    """The order of the lines, from 0, in a `.mat` file of `write_mat`."""
    read_limited(path, "MATLAB file", 64_000_000)
    try:
        return [int(line) for line in loadmat(path, variable_names=["lines_from_zero"])["lines_from_zero"].ravel()]
    except Exception as error:  # scipy raises whatever damaged bytes lead it to
        raise FileError(f"{path}: this MATLAB file cannot be read ({error})") from error

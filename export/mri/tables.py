"""Lines and points as tables: CSV for people and for sites with a loader of their own, `.mat` for their scripts."""

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
from cidesign.pattern import CartesianLines, CartesianPoints, as_points

LINE_COLUMNS = ("shot", "echo", "line_index", "ky_index_centered", "is_acs")
POINT_COLUMNS = (
    "segment",
    "line_index",
    "partition_index",
    "ky_index_centered",
    "kz_index_centered",
    "is_acs",
)


def write_csv(path: Path, trajectory: CartesianLines | CartesianPoints, acquisitions: Sequence[Acquisition]) -> None:
    """One row for each line or point in the order of acquisition; all count from 0, ky and kz are 0 at the centre."""
    points = as_points(trajectory)
    is_3d = isinstance(trajectory, CartesianPoints)
    y, z = points.lines // 2, points.partitions // 2
    whole = f", partitions {points.partitions}, centre partition {z}" if is_3d else ""
    what = "points (ky, kz)" if is_3d else "phase-encode lines"
    stream = io.StringIO()
    stream.write(f"# cidesign {__version__}: {what} in order of acquisition\n")
    stream.write(f"# lines {points.lines}, centre line {y}{whole}, readout {points.readout}\n")
    stream.write(f"# sha256 of the mask (uint8, {points.mask.size} bytes) {sha256_bytes(trajectory.mask.tobytes())}\n")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(POINT_COLUMNS if is_3d else LINE_COLUMNS)
    for shot, echo, line, partition in acquisitions:
        calibration = int(points.calibration_mask[line, partition])
        if is_3d:
            table.writerow((shot, line, partition, line - y, partition - z, calibration))
        else:
            table.writerow((shot, echo, line, line - y, calibration))
    write_bytes(path, stream.getvalue().encode())


def read_csv_lines(path: Path) -> list[Acquisition]:
    """The rows of a table of lines; raises `FileError` for one that is damaged."""
    return [Acquisition(*row[:3]) for row in _rows(path, LINE_COLUMNS, "lines")]


def read_csv_points(path: Path) -> list[Acquisition]:
    """The rows of a table of points, `shot` their segment; raises `FileError` for one that is damaged."""
    return [Acquisition(row[0], 0, row[1], row[2]) for row in _rows(path, POINT_COLUMNS, "points")]


def _rows(path: Path, columns: tuple[str, ...], what: str) -> list[list[int]]:
    try:
        text = read_limited(path, f"table of {what}", 64_000_000).decode()
        rows = list(csv.reader(line for line in text.splitlines() if not line.startswith("#")))
        if tuple(rows[0]) != columns:
            raise ValueError(f"columns {', '.join(rows[0])[:80]}")
        numbers = [[int(word) for word in row] for row in rows[1:]]
        if any(len(row) != len(columns) for row in numbers):
            raise ValueError(f"a row that has not {len(columns)} columns")
        return numbers
    except (ValueError, IndexError, csv.Error) as error:
        raise FileError(f"{path}: this table of {what} is damaged ({error})") from error


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

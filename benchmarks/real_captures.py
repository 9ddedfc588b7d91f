"""The student's patterns against others on real single-pixel captures, all regions of each.

The captures hold a reading for every Hadamard row of 32 x 32 pixels, so what any patterns would have read follows from
them (see `cidesign reconstruct --reader hadamard`).  The truth is the capture's own full-basis image, noise included;
a file's regions show one object through apertures of different size, so they are no independent scenes, and the
standard errors say how much a mean depends on the aperture.  `difference` is paired: the student's patterns with its
decoder minus that row, in the same capture; random patterns are the mean of their draws.

Run: python benchmarks/real_captures.py RUN [CAPTURE.npz]...
     without captures: Car_half.npz and Car_boat.npz of shared/data/spi/denbo313_hologram, beside the repository
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.full_basis.hadamard import read_hadamard_capture
from cidesign.modalities.single_pixel.full_basis.compare import TITLES, compare_patterns, scale_to_unit
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modalities.single_pixel.score import score
from cidesign.models.system import ImagingSystem, load_student

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "spi" / "denbo313_hologram"
DEFAULT = ("Car_half.npz", "Car_boat.npz")
# The rows of a table: patterns and reconstruction.
ROWS = [(name, kind) for name in ("student", "hadamard", "random") for kind in ("decoder", "linear")]
Scores = dict[tuple[str, str], NDArray[np.float64]]


def scores(system: ImagingSystem, run: SinglePixelRun, path: Path) -> Scores:
    """PSNR in dB and SSIM (R, 2) of every row, for each of the R regions."""
    capture = read_hadamard_capture(path)
    if capture.size != (run.design.side, run.design.side):
        height, width = capture.size
        sys.exit(f"{path}: {height} x {width}, the run's patterns are {run.design.side} x {run.design.side}")
    found: dict[tuple[str, str], list[list[float]]] = {row: [] for row in ROWS}
    for region in range(len(capture.labels)):
        scaled = scale_to_unit(capture, region)
        images = compare_patterns(system, run.design.signed(), scaled)
        for name, kind in ROWS:
            each = [score(draw[kind], scaled.image) for draw in images[name]]
            found[name, kind].append(
                [float(np.mean([getattr(one, field) for one in each])) for field in ("psnr_db", "ssim")]
            )
    return {row: np.array(values) for row, values in found.items()}


def mean_and_error(values: NDArray[np.float64], form: str) -> str:
    """The mean and its standard error over the captures."""
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{values.mean():{form}} ± {error:{form}}"


def show(title: str, found: Scores) -> None:
    """Print one table."""
    best = found["student", "decoder"]
    print(f"\n{title}")
    print(f"{'patterns':20}{'reconstruction':18}{'PSNR dB':>15}{'SSIM':>17}{'difference dB':>17}{'better in':>12}")
    for name, kind in ROWS:
        values = found[name, kind]
        text = f"{TITLES[name]:20}{TITLES[kind]:18}{mean_and_error(values[:, 0], '.2f'):>15}"
        text += f"{mean_and_error(values[:, 1], '.3f'):>17}"
        if (name, kind) != ("student", "decoder"):
            difference = best[:, 0] - values[:, 0]
            text += f"{mean_and_error(difference, '+.2f').replace('± +', '± '):>17}"
            text += f"{np.count_nonzero(difference > 0):>5} of {len(difference)}"
        print(text)


def main(arguments: list[str]) -> None:
    """Print a table for each file, and one for all captures."""
    if not arguments:
        sys.exit(f"{__doc__}")
    paths = [Path(text) for text in arguments[1:]] or [FOLDER / name for name in DEFAULT]
    absent = [str(path) for path in paths if not path.is_file()]
    if absent:
        print(f"skipped: no such captures: {', '.join(absent)}")
        return
    run = SinglePixelRun(Path(arguments[0]))
    system = load_student(run)
    print(f"{run.path}: {run.design.count} patterns of {run.design.side} x {run.design.side}")
    found = {path: scores(system, run, path) for path in paths}
    for path, part in found.items():
        show(f"{path.name}: {len(part['student', 'decoder'])} regions", part)
    if len(found) > 1:
        together = {row: np.concatenate([part[row] for part in found.values()]) for row in ROWS}
        show(f"all {len(together['student', 'decoder'])} captures", together)


if __name__ == "__main__":
    main(sys.argv[1:])

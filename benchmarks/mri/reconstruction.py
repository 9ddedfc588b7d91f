"""Time per slice of every MRI reconstruction, and their quality on captures.

The decoder is that of a finished run; two line sets of as many lines, a centre block and a variable density, are beside
the student's.  Captures: a simulated scanner (one coil and eight, a slice that was never trained on), and any
fully sampled raw data that are named, of the run's matrix.  Scores are those of `cidesign reconstruct`: magnitude,
inside the object, against the truth or the capture's own full reconstruction.

Run: python benchmarks/mri/reconstruction.py RUN [CAPTURE]...
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cidesign.benchwork import calibrate, reconstruct, simulate
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.calibration.mri.record import read_kspace_calibration
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.mri.solve import (
    TV_WEIGHT_NOISES,
    batch,
    calibrated_encoder,
    cg_sense,
    decode,
    prior_power,
    total_variation,
    zero_filled,
)
from cidesign.models.system import load_student

REPEATS = 5
COILS = (1, 8)


def shortest_ms(work: Callable[[], object]) -> float:
    """The shortest of several runs, in ms; the first one warms up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return min(times[1:])


def times(run: MriRun, capture: Path, calibration: Path) -> dict[str, float]:
    """Milliseconds of each reconstruction of the student's lines."""
    system, found = load_student(run), read_kspace_calibration(calibration).calibration
    raw = read_kspace(capture)
    encoder = calibrated_encoder(run.design, found.operator()[0], found.noise_deviation)
    y = batch(found.measurements(raw), run.design)
    noise = found.noise_deviation
    return {
        "zero_filled": shortest_ms(lambda: zero_filled(y, encoder)),
        "cg_sense": shortest_ms(lambda: cg_sense(y, encoder, 2 * noise**2 / prior_power(system))),
        "total_variation": shortest_ms(lambda: total_variation(y, encoder, TV_WEIGHT_NOISES * noise)),
        "student": shortest_ms(lambda: decode(system, y, encoder)),
    }


def compare(run: MriRun, capture: Path, folder: Path) -> None:
    """Print the table of one capture."""
    start = time.perf_counter()
    calibrate(run, capture, folder / "calibration")
    calibrated_s = time.perf_counter() - start
    done = reconstruct(run, capture, folder / "calibration", folder / "images")
    value, _ = done.printed
    took = times(run, capture, folder / "calibration")
    print(
        f"\n{capture.name}: {value['coils']} coil(s), {value['acquired_lines']} lines, "
        f"R = {value['acceleration']:.3g}, against {value['reference']}; read and calibrated in {calibrated_s:.2f} s"
    )
    print(f"{'lines':18}{'reconstruction':18}{'PSNR dB':>9}{'SSIM':>8}{'HFEN dB':>9}{'chi2':>7}{'ms':>8}")
    for entry in value["images"]:
        print(_line(entry, took))


def _line(entry: dict[str, Any], took: dict[str, float]) -> str:
    name = entry["reconstruction"]
    text = f"{entry['lines']:18}{name.replace('_', ' '):18}{entry['psnr_db']:9.2f}{entry['ssim']:8.3f}"
    text += f"{entry['hfen_db']:9.2f}{entry['chi_square_reduced']:7.2f}"
    return text + (f"{took[name]:8.1f}" if entry["lines"] == "student" else "")


def main(arguments: list[str]) -> None:
    """Print one table for each capture."""
    if not arguments:
        sys.exit(f"{__doc__}")
    run = MriRun(Path(arguments[0]))
    print(f"{run.path}: {run.settings.side} x {run.settings.side}; {torch.get_num_threads()} thread(s)")
    with tempfile.TemporaryDirectory() as name:
        for coils in COILS:
            capture = Path(name) / f"simulated, {coils} coil(s)"
            simulate(run, capture, coils=coils, all_lines=True)
            compare(run, capture, Path(name) / f"simulated-{coils}")
        for number, text in enumerate(arguments[1:]):
            compare(run, Path(text), Path(name) / f"real-{number}")


if __name__ == "__main__":
    main(sys.argv[1:])

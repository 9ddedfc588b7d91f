"""Registration of a camera to a micromirror device: real pictures first, then simulated ones against their truth.

Real: Gray code of a projector (a square lattice, part of its 1024 x 768 pixels) and pictures of a checkerboard, from a
folder with `graycode/capture_0` and `checkerboard`; left out where there is none.  Simulated: whole devices with few
mirrors of both lattices, errors in column pitches against the true map at every lit pixel; "indices" is what a
homography through whole decoded indices would give, which is how it is usually done, where the camera sees all of them.

Run: python benchmarks/registration.py [FOLDER]
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.camera.checkerboard import calibrate_lens, radial_lens, read_pictures
from cidesign.calibration.camera.checks import registration_checks
from cidesign.calibration.camera.fit import MirrorLattice, Points, project, start_homography
from cidesign.calibration.camera.graycode import GrayCode, decode_graycode
from cidesign.calibration.camera.registration import Registration, register
from cidesign.calibration.camera.twin import CameraTwin, camera_view, simulate_graycode
from cidesign.io.pictures import read_image_stack

SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "camera"
PROJECTOR = MirrorLattice(1024, 768, 1.0, 0.0)
LATTICES = {"square": MirrorLattice(256, 192, 1.0, 0.0), "diamond": MirrorLattice(180, 240, 0.5, 0.5)}
SHAPE = (120, 160)
SEEDS, ALARM_SEEDS = 3, 200
REPEATS = 3


def shortest_ms(work: Callable[[], object]) -> float:
    """The shortest of some runs, in ms."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


def errors(truth: Points, found: Points, code: GrayCode) -> NDArray[np.float64]:
    """Distances of two homographies at all lit pixels, in column pitches."""
    y, x = np.nonzero(code.lit)
    pixels = np.stack([x, y], axis=1).astype(float)
    apart: NDArray[np.float64] = np.hypot(*(project(found, pixels) - project(truth, pixels)).T)
    return apart


def through_indices(code: GrayCode, lattice: MirrorLattice) -> Points:
    """The homography through whole indices."""
    y, x = np.nonzero(code.valid)
    pixels = np.stack([x, y], axis=1).astype(float)
    found = start_homography(pixels, lattice.positions(code.column[y, x], code.row[y, x]), 3.0)
    assert found is not None
    return found


def real_graycode(folder: Path) -> None:
    """Correlations, residuals and times on the real pictures."""
    frames = read_image_stack(folder, "Gray code")
    code = decode_graycode(frames, PROJECTOR.columns, PROJECTOR.rows)
    y, x = np.nonzero(code.valid)
    found = register(code, PROJECTOR)
    print(f"real Gray code: {len(frames)} frames of {frames.shape[2]} x {frames.shape[1]}")
    print(f"  correlation of column with camera x  {np.corrcoef(x, code.column[y, x])[0, 1]:.6f}")
    print(f"  correlation of row with camera y     {np.corrcoef(y, code.row[y, x])[0, 1]:.6f}")
    print(f"  lit pixels {code.lit.mean():.1%}, of them with a known mirror {code.valid_fraction:.1%}")
    print(f"  edges between columns {len(code.column_edges)}, between rows {len(code.row_edges)}")
    print(f"  residual of held-out edges, median   {found.held_out_columns:.4f} projector px")
    print(
        f"  residual of all edges, median, max   {found.median_columns:.4f}, {found.largest_columns:.3f} projector px"
    )
    print(f"  bend left over the picture, rms      {found.bend_columns:.4f} projector px (lens: {found.lens_source})")
    print(f"  pixels that agree                    {found.agreeing_fraction:.2%}")
    whole = project(through_indices(code, PROJECTOR), np.stack([x, y], axis=1).astype(float))
    apart = np.hypot(*(whole - np.stack([code.column[y, x], code.row[y, x]], axis=1)).T)
    print(f"  whole indices from their homography  {np.median(apart):.4f} projector px, median")
    seen = found.camera.view.orientation.text
    print(f"  lattice: {found.lattice_found} (zigzag {found.fit.column_zigzag:+.4f}), {seen}")
    reading = shortest_ms(lambda: read_image_stack(folder, "Gray code"))
    decoding = shortest_ms(lambda: decode_graycode(frames, PROJECTOR.columns, PROJECTOR.rows))
    fitting = shortest_ms(lambda: register(code, PROJECTOR))
    print(f"  reading {reading:.0f} ms; decoding {decoding / reading:.2f} of it, fitting {fitting / reading:.2f} of it")


def real_checkerboard(folder: Path) -> None:
    """Pictures in which the board is found, and how well the lens follows its corners."""
    pictures = read_pictures(folder)
    found = calibrate_lens(pictures)
    print(f"\nreal checkerboard: found in {len(found.used)} of {len(pictures)} pictures, RMS {found.rms_px:.3f} px")
    print(f"  worst picture {max(found.rms_by_image_px):.3f} px; not found: {', '.join(found.not_found) or 'none'}")
    focal, centre = np.diag(found.lens.matrix_px)[:2], found.lens.matrix_px[:2, 2]
    print(f"  focal length {focal[0]:.1f}, {focal[1]:.1f} px; centre {centre[0]:.1f}, {centre[1]:.1f} px")


def simulated_errors() -> None:
    """Errors against the truth for distances and light, and what is said of the lattice."""
    print(
        f"\nsimulated, camera {SHAPE[1]} x {SHAPE[0]}, 8 bits: error against the truth in column pitches, {SEEDS} seeds"
    )
    heads = ("lattice", "columns/px", "electrons", "median", "max", "indices: median", "max", "residual")
    print("".join(f"{head:>{max(len(head) + 2, 9)}}" for head in heads) + "  lattice found")
    for name, lattice in LATTICES.items():
        for per_pixel in (0.3, 0.6, 1.0, None):
            for electrons in (30_000.0, 3_000.0, 300.0):
                print(_line(name, lattice, per_pixel, electrons, heads))


def _line(name: str, lattice: MirrorLattice, per_pixel: float | None, electrons: float, heads: tuple[str, ...]) -> str:
    fitted, indices, residual, said = [], [], [], Counter[str]()
    for seed in range(SEEDS):
        view = camera_view(lattice, SHAPE, seed, columns_per_pixel=per_pixel)
        twin = CameraTwin(lattice, SHAPE, view, photoelectrons=electrons)
        code = decode_graycode(simulate_graycode(twin, seed), lattice.columns, lattice.rows)
        found = register(code, lattice)
        fitted.append(errors(view, found.camera.homography, code))
        if code.column_step == code.row_step == 1:
            indices.append(errors(view, through_indices(code, lattice), code))
        residual.append(found.held_out_columns)
        said[found.lattice_found] += 1
    values = [name, "whole" if per_pixel is None else f"{per_pixel}", f"{electrons:.0f}"]
    for apart in (fitted, indices):
        joined = np.concatenate(apart) if apart else None
        values += ["-", "-"] if joined is None else [f"{np.median(joined):.4f}", f"{joined.max():.4f}"]
    values.append(f"{np.median(residual):.3f}")
    cells = "".join(f"{value:>{max(len(head) + 2, 9)}}" for value, head in zip(values, heads, strict=True))
    return f"{cells}  {', '.join(f'{count} {words}' for words, count in said.items())}"


def lattice_decisions() -> None:
    """What is said of each true lattice, by distance, turn and seed: right, not resolved, or wrong."""
    print("\nlattice decisions over 5 seeds and turns of 0, 20, 45 and 90 degrees: right / not resolved / wrong")
    diamond = LATTICES["diamond"]
    shown = {
        "square": (LATTICES["square"], LATTICES["square"]),
        "odd rows right": (diamond, diamond),
        "odd rows left": (diamond._replace(shift=-0.5), diamond),
    }
    for words, (lattice, expected) in shown.items():
        for per_pixel in (0.3, 0.5, 0.7, 0.9, 1.2, 1.6):
            said: Counter[str] = Counter()
            for seed in range(5):
                for turn in (0.0, 20.0, 45.0, 90.0):
                    view = camera_view(lattice, (90, 120), seed, columns_per_pixel=per_pixel, rotation_degrees=turn)
                    frames = simulate_graycode(CameraTwin(lattice, (90, 120), view), seed)
                    said[register(decode_graycode(frames, lattice.columns, lattice.rows), expected).lattice_found] += 1
            right, open_ = said[words], said["not resolved"]
            print(f"  {words:16} {per_pixel:4} columns per pixel: {right:3} / {open_:2} / {20 - right - open_:2}")


def false_alarms() -> None:
    """Sound benches: how many raise a check other than passed or not checked."""
    alarms: Counter[str] = Counter()
    for seed in range(ALARM_SEEDS):
        rng = np.random.default_rng(seed)
        lattice = LATTICES["diamond" if seed % 2 else "square"]
        per_pixel = float(rng.uniform(0.35, 1.6)) if seed % 4 else None
        view = camera_view(lattice, (90, 120), seed, columns_per_pixel=per_pixel)
        lens = radial_lens((90, 120), float(rng.uniform(-0.05, 0.05))) if seed % 3 == 0 else None
        electrons = float(np.exp(rng.uniform(np.log(500), np.log(50_000))))
        twin = CameraTwin(lattice, (90, 120), view, lens=lens, photoelectrons=electrons)
        found: Registration = register(decode_graycode(simulate_graycode(twin, seed), *lattice[:2]), lattice)
        alarms.update(c.name for c in registration_checks(found) if c.status not in ("passed", "not checked"))
    print(f"\nfalse alarms on {ALARM_SEEDS} sound benches: {sum(alarms.values())} {dict(alarms) if alarms else ''}")


def main() -> None:
    """Print everything."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    if folder.is_dir():
        real_graycode(folder / "graycode" / "capture_0")
        real_checkerboard(folder / "checkerboard")
    simulated_errors()
    lattice_decisions()
    false_alarms()


if __name__ == "__main__":
    main()

"""Mask files of coded apertures: time, size and memory, each beside the naive way in the same run.

The naive way draws one square for every open pixel (GDSII, OASIS), or fills an array with every pixel of the image
(TIFF, by Pillow).  The rules are timed beside KLayout's width and space checks where it is installed.

Run: python benchmarks/lithography.py
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROFILE = "chrome-laser-10um"
REPEATS = 3


def code(side: int) -> NDArray[np.uint8]:
    """A random code of half-open pixels in which none touch at a corner alone."""
    generator = np.random.default_rng(side)
    levels = generator.integers(0, 2, (side, side), dtype=np.uint8)
    while True:
        a, b, c, d = levels[:-1, :-1], levels[:-1, 1:], levels[1:, :-1], levels[1:, 1:]
        found = np.argwhere((a == d) & (b == c) & (a != b))
        if not len(found):
            return levels
        rows, columns = found.T + generator.integers(0, 2, (2, len(found)))
        levels[rows, columns] ^= 1


def best_s(work: Callable[[], Any]) -> float:
    """The shortest of some runs, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def plan(side: int, levels: NDArray[np.uint8] | None = None) -> Any:
    """The drawing of a code with its frame, without marks, so that both ways draw the same."""
    from cidesign.export.aperture.layout import OrderOptions, plan_plate
    from cidesign.hardware_profiles.loader import load_profile
    from cidesign.pattern import ApertureMask

    profile = load_profile(PROFILE)
    mask = ApertureMask(code(side) if levels is None else levels, 10.0, profile.id, profile.digest)  # type: ignore[union-attr]
    return plan_plate(mask, profile, OrderOptions(fiducials=False))  # type: ignore[arg-type]


def squares(levels: NDArray[np.uint8]) -> Any:
    """The naive drawing: one square for every open pixel."""
    import gdstk

    library = gdstk.Library("NAIVE", unit=1e-6, precision=1e-9)
    rows, columns = np.nonzero(levels)
    library.new_cell("NAIVE").add(
        *(
            gdstk.rectangle((column * 10, -row * 10), (column * 10 + 10, -row * 10 - 10), layer=1)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        )
    )
    return library


def drawings() -> None:
    """GDSII and OASIS at two sizes."""
    from cidesign.export.aperture.gds.read_gds import read_gds
    from cidesign.export.aperture.gds.read_oasis import read_oasis
    from cidesign.export.aperture.gds.write import build_library, write_gds, write_oasis

    print(
        f"{'code':<12} {'geometry':<24} {'polygons':>9} {'build s':>8} {'GDS s':>7} {'GDS MB':>7} {'read s':>7}", end=""
    )
    print(f" {'OASIS s':>8} {'OASIS MB':>8} {'read s':>7}")
    for side in (512, 2048):
        levels = code(side)
        plate = plan(side, levels)
        ways: tuple[tuple[str, Callable[[], Any]], ...] = (
            ("square per pixel (naive)", lambda levels=levels: squares(levels)),
            ("row runs", lambda plate=plate: build_library(plate, "CODE", False)),
            ("runs, equal rows joined", lambda plate=plate: build_library(plate, "CODE", True)),
        )
        for name, build in ways:
            start = time.perf_counter()
            library = build()
            built_s = time.perf_counter() - start
            with tempfile.TemporaryDirectory() as folder:
                gds, oasis = Path(folder) / "a.gds", Path(folder) / "a.oas"
                gds_s = best_s(lambda library=library, gds=gds: write_gds(library, gds))
                oasis_s = best_s(lambda library=library, oasis=oasis: write_oasis(library, oasis))
                read_s = [
                    best_s(lambda gds=gds: read_gds(gds).cells()),
                    best_s(lambda oasis=oasis: read_oasis(oasis).cells()),
                ]
                sizes = gds.stat().st_size / 1e6, oasis.stat().st_size / 1e6
            polygons = len(library.cells[0].polygons)
            print(
                f"{f'{side} x {side}':<12} {name:<24} {polygons:>9} {built_s:>8.2f} {gds_s:>7.2f} {sizes[0]:>7.2f} "
                f"{read_s[0]:>7.2f} {oasis_s:>8.2f} {sizes[1]:>8.2f} {read_s[1]:>7.2f}"
            )


def write_image(way: str, side: int, scale: int, path: Path) -> None:
    """One TIFF in a process of its own; prints the seconds and the peak memory."""
    levels = code(side)
    edges = np.arange(side + 1, dtype=np.int64) * scale
    if way == "naive":
        from PIL import Image

        start = time.perf_counter()
        pixels = np.kron(levels, np.ones((scale, scale), dtype=np.uint8)).astype(bool)
        Image.fromarray(pixels).save(path, format="TIFF", compression="packbits", dpi=(25_400, 25_400))
    else:
        from cidesign.constraints.aperture import Cells
        from cidesign.export.aperture.tiff.read import read_tiff
        from cidesign.export.aperture.tiff.write import write_tiff

        start = time.perf_counter()
        if way == "read":
            read_tiff(path)
        else:
            write_tiff(path, Cells(levels, edges, edges), 1, way, "benchmark", "cidesign")  # type: ignore[arg-type]
    taken_s = time.perf_counter() - start
    peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(taken_s, int(peak) / 1024)


def images() -> None:
    """TIFF at three sizes; each in its own process, so that the peak of memory is its own."""
    print(f"{'pixels':<16} {'way':<26} {'s':>7} {'peak MiB':>9} {'MB':>8}")
    for side, scale in ((512, 10), (512, 40), (500, 100)):
        ways = (
            ("naive", "full array (naive)"),
            ("packbits", "streamed, PackBits"),
            ("read", "  read back, streamed"),
            ("deflate", "streamed, Deflate"),
            ("read", "  read back, streamed"),
        )
        for way, name in ways:
            path = Path(tempfile.gettempdir()) / f"cidesign_benchmark_{side}_{scale}.tif"
            command = [sys.executable, __file__, "--image", way, str(side), str(scale), str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            taken_s, peak_mib = map(float, done.stdout.split())
            size = path.stat().st_size / 1e6
            print(f"{f'{side * scale} x {side * scale}':<16} {name:<26} {taken_s:>7.2f} {peak_mib:>9.0f} {size:>8.2f}")
        path.unlink()


def rules() -> None:
    """The design rules on codes that pass and on random ones; KLayout's slow checks at the smallest size alone."""
    from cidesign.constraints.aperture import feature_rule
    from cidesign.export.aperture.drc import clear_cells, measured_widths
    from cidesign.hardware_profiles.loader import load_profile

    rule = feature_rule(load_profile(PROFILE))  # type: ignore[arg-type]

    def line(side: int, what: str, taken_s: float, places: int | None = None) -> None:
        found = "" if places is None else f"  {places} places"
        print(f"{f'{side} x {side}':<12} {what:<40} {1000 * taken_s:>9.1f}{found}")

    print(f"{'code':<12} {'what':<40} {'ms':>9}")
    for side in (128, 512, 2048):
        generator = np.random.default_rng(0)
        for name, levels in (
            ("passes", code(side)),
            ("random", generator.integers(0, 2, (side, side), dtype=np.uint8)),
        ):
            clear = clear_cells(plan(side, levels).drawn, "clear")
            places = sum(len(found.boxes) for found in rule.check_plate(clear))
            line(side, f"rules, {name}", best_s(partial(rule.check_plate, clear)), places)
        line(side, "smallest feature and gap measured", best_s(partial(measured_widths, clear)))
        if importlib.util.find_spec("klayout") and side == 128:
            line(side, "KLayout merge, width and space (naive)", vector_check_s(code(side)))


def vector_check_s(levels: NDArray[np.uint8]) -> float:
    """KLayout on one square per pixel, merged, checked at 6 um."""
    import klayout.db as db

    region = db.Region()
    for row, column in np.argwhere(levels).tolist():
        region.insert(db.Box(column * 10_000, -row * 10_000 - 10_000, column * 10_000 + 10_000, -row * 10_000))
    start = time.perf_counter()
    region.min_coherence = True
    region.merge()
    found = region.width_check(6000).count() + region.space_check(6000).count()
    assert found == 0
    return time.perf_counter() - start


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", nargs=4)
    way = parser.parse_args().image
    if way:
        write_image(way[0], int(way[1]), int(way[2]), Path(way[3]))
        return
    drawings()
    print()
    images()
    print()
    rules()


if __name__ == "__main__":
    main()

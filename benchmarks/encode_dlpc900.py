"""Encoding 400 one-bit frames of 1920 x 1080 mirrors (17 images) for the DLPC900, beside a copy of the same bytes.

Three sets: super-pixels of 8 x 8 mirrors over the whole array, single random mirrors over the whole array, and a
design of 1080 x 1080 single mirrors as the exporter writes it.  Each image is coded in the shortest of three codings.
Run: python benchmarks/encode_dlpc900.py
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import plan_sequence
from cidesign.export.dmd.bitplanes import pack_images, pack_planes
from cidesign.export.dmd.dlpc900.write import image_block, wire_words
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.loader import load_profile

FRAMES, ROWS, COLUMNS = 400, 1080, 1920
REPEATS = 3

Words = NDArray[np.uint32]


def main() -> None:
    """Make the sets, code them, print one line for each."""
    generator = np.random.default_rng(1)
    structured = generator.integers(0, 2, (FRAMES, ROWS // 8, COLUMNS // 8), dtype=np.uint8)
    mirrors = generator.integers(0, 2, (FRAMES, ROWS, COLUMNS), dtype=np.uint8)
    design = mirrors[:, :, :ROWS].copy()
    profile = load_profile("dlp6500")
    plan, grid = plan_sequence(profile, FRAMES, 1), superpixel_grid(profile, ROWS)

    def of_super_pixels() -> Iterator[Words]:
        for start in range(0, FRAMES, 24):
            words = wire_words(pack_planes(structured[start : start + 24], 1))
            yield np.repeat(np.repeat(words, 8, axis=0), 8, axis=1)

    def of_mirrors() -> Iterator[Words]:
        for start in range(0, FRAMES, 24):
            yield wire_words(pack_planes(mirrors[start : start + 24], 1))

    def of_design() -> Iterator[Words]:
        for groups in pack_images(design, plan):
            yield grid.spread(wire_words(groups))

    print(f"{FRAMES} one-bit frames of {COLUMNS} x {ROWS} in {plan.images} images; best of {REPEATS} runs")
    print(f"{'set':<34} {'s':>6} {'of it coding':>13} {'x copy':>7} {'bytes':>12} {'of raw':>7}  codings")
    for name, images in (
        ("8 x 8 super-pixels", of_super_pixels),
        ("single random mirrors", of_mirrors),
        ("design of 1080 x 1080 mirrors", of_design),
    ):
        report(name, images)


def report(name: str, images: Callable[[], Iterator[Words]]) -> None:
    """Time packing and coding of one set."""
    best_s = coding_s = copy_s = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        packing_s, sizes, codings = 0.0, [], Counter[str]()
        before = start
        for words in images():
            packing_s += time.perf_counter() - before
            coding, content = image_block(words)
            sizes.append(len(content))
            codings[coding] += 1
            before = time.perf_counter()
        total_s = time.perf_counter() - start
        best_s, coding_s = min((best_s, coding_s), (total_s, total_s - packing_s))
    raw = np.zeros((len(sizes), 3 * ROWS * COLUMNS), dtype=np.uint8)
    for _ in range(REPEATS):
        start = time.perf_counter()
        raw.copy()
        copy_s = min(copy_s, time.perf_counter() - start)
    kinds = ", ".join(f"{count} {coding}" for coding, count in codings.items())
    total = sum(sizes)
    print(
        f"{name:<34} {best_s:>6.2f} {coding_s:>13.2f} {best_s / copy_s:>7.1f} {total:>12} "
        f"{total / raw.size:>7.4f}  {kinds}"
    )


if __name__ == "__main__":
    main()

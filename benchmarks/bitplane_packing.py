"""Packing 48 one-bit frames of 912 x 1140 mirrors into two 24-bit BMPs, beside a plain copy of the same bytes.

Run: python benchmarks/bitplane_packing.py
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import SequencePlan, plan_sequence
from cidesign.export.dmd.bitplanes import pack_images, pack_planes
from cidesign.export.dmd.dlpc350.write import bmp_bytes
from cidesign.hardware_profiles.dmd.lattice import SuperpixelGrid, superpixel_grid
from cidesign.hardware_profiles.loader import load_profile

FRAMES = 48
REPEATS = 20


def best_ms(work: Callable[[], object]) -> float:
    """The shortest of several runs, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def pack_files(levels: NDArray[np.uint8], plan: SequencePlan, grid: SuperpixelGrid) -> list[bytes]:
    """The BMP files of all frames, as the writer makes them."""
    images = pack_images(levels, plan)
    return [bmp_bytes(np.stack([grid.spread(group) for group in packed])) for packed in images]


def main() -> None:
    """Print one line for each way in."""
    profile = load_profile("dlp4500")
    generator = np.random.default_rng(1)
    plan = plan_sequence(profile, FRAMES, 1)
    rows = []
    for side in (32, 128, 570):
        levels = generator.integers(0, 2, (FRAMES, side, side), dtype=np.uint8)
        grid = superpixel_grid(profile, side)
        files = pack_files(levels, plan, grid)
        rows.append((f"super-pixels {side} x {side} -> 2 BMP", best_ms(partial(pack_files, levels, plan, grid))))
    mirrors = generator.integers(0, 2, (FRAMES, 1140, 912), dtype=np.uint8)
    rows.append(
        (
            "mirrors 912 x 1140 -> 2 BMP",
            best_ms(lambda: [bmp_bytes(pack_planes(mirrors[i : i + 24], 1)) for i in (0, 24)]),
        )
    )
    planes = np.packbits(mirrors)
    size = sum(map(len, files))
    assert size == 2 * 3_119_094
    output = np.frombuffer(b"".join(files), dtype=np.uint8)
    copy_ms = best_ms(lambda: output.copy())
    frames_ms = best_ms(lambda: mirrors.copy())
    print(f"{FRAMES} one-bit frames of 912 x 1140 ({planes.size / 1e6:.2f} MB of bits) into {size / 1e6:.2f} MB of BMP")
    print(f"{'work':<34} {'ms':>8}  {'x copy of the BMPs':>18}")
    for name, taken_ms in rows:
        print(f"{name:<34} {taken_ms:>8.1f}  {taken_ms / copy_ms:>18.1f}")
    print(f"{'copy of the BMPs':<34} {copy_ms:>8.1f}  {1:>18.1f}")
    print(f"{'copy of the 48 frames as bytes':<34} {frames_ms:>8.1f}  {frames_ms / copy_ms:>18.1f}")


if __name__ == "__main__":
    main()

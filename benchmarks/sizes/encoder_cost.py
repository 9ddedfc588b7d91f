"""Time and peak memory of the encoder losses, beside the N x N Gram where that fits at all.

Single-pixel patterns by the low-rank identity, coded apertures by the tridiagonal one.  Each row runs in its own
process, because peak memory only ever grows; the memory of the imports is taken off.
"""

import resource
import subprocess
import sys
import time

import torch

from cidesign.modalities.cassi.encoders.designed import Dispersion, SdCassiEncoder
from cidesign.modalities.single_pixel.encoder import gram_distance

# Form, side, and the number of patterns or bands.
ROWS = (
    ("patterns", 32, 102),
    ("patterns, full", 32, 102),
    ("patterns", 96, 922),
    ("patterns, full", 96, 922),
    ("patterns", 256, 1024),
    ("patterns, full", 256, 1024),
    ("mask", 16, 8),
    ("mask, full", 16, 8),
    ("mask", 128, 31),
    ("mask, full", 128, 31),
)
MEMORY_LIMIT_BYTES = 12e9


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _patterns(full: bool, side: int, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    student = torch.sign(torch.randn(count, side * side, generator=generator)).div_(side).requires_grad_()
    teacher = torch.randn(count, side * side, generator=generator).div_(side)
    if full:
        return (student.T @ student - teacher.T @ teacher).square().sum()
    return gram_distance(student, teacher)


def _mask(full: bool, side: int, bands: int) -> torch.Tensor:
    """The scale-free distance of two masks, with fractional shifts."""
    optics = Dispersion(tuple(1.3 * band for band in range(bands)), "columns", 1)
    student, teacher = (
        SdCassiEncoder(torch.rand(side, side, generator=torch.Generator().manual_seed(seed)), (side, side), None,
                       optics, None)
        for seed in (1, 2)
    )  # fmt: skip
    if not full:
        return student.encoder_loss(teacher, published=False)
    grams = []
    for encoder in (student, teacher):
        unit = torch.eye(bands * side * side).reshape(-1, bands, side, side)
        matrix = encoder.A(unit).flatten(1)
        gram = matrix @ matrix.T
        grams.append(gram / gram.norm())
    return (grams[0] - grams[1].detach()).square().sum()


def measure(form: str, side: int, count: int) -> None:
    """Print one row: value, forward and backward time, peak memory above the imports."""
    before_mb = _peak_mb()
    started = time.perf_counter()
    full = form.endswith("full")
    distance = _mask(full, side, count) if form.startswith("mask") else _patterns(full, side, count)
    distance.backward()
    seconds = time.perf_counter() - started
    print(
        f"{form:14s} {side:4d} x {side:<4d} {count:5d} {distance.item():14.6g} {seconds:9.3f} "
        f"{_peak_mb() - before_mb:10.0f}"
    )


def _needed_bytes(form: str, side: int, count: int) -> float:
    """Of the full forms: both Grams, their difference and its gradient; for masks one more matrix of each."""
    if not form.endswith("full"):
        return 0
    unknowns = side * side * (count if form.startswith("mask") else 1)
    return 4 * 4 * unknowns**2 * (2 if form.startswith("mask") else 1)


def main() -> None:
    """Print the table, one process a row."""
    print(
        f"{'form':14s} {'image':>11s} {'count':>5s} {'distance':>14s} {'seconds':>9s} {'peak MB':>10s}"
        "   (forward and backward; target: patterns at 256 x 256, K = 1024 below 2000 MB)"
    )
    for form, side, count in ROWS:
        needed_bytes = _needed_bytes(form, side, count)
        if needed_bytes > MEMORY_LIMIT_BYTES:
            print(f"{form:14s} {side:4d} x {side:<4d} {count:5d}   does not fit: {needed_bytes / 1e9:.0f} GB")
            continue
        subprocess.run([sys.executable, __file__, form, str(side), str(count)], check=True)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()

"""Time and peak memory of the encoder loss at N = 256 x 256, beside the N x N Gram where that fits at all.

Each row runs in its own process, because peak memory only ever grows; the memory of the imports is taken off.
"""

import resource
import subprocess
import sys
import time

import torch

from cidesign.distill.losses import gram_distance

ROWS = (
    ("low rank", 32, 102),
    ("full Gram", 32, 102),
    ("low rank", 96, 922),
    ("full Gram", 96, 922),
    ("low rank", 256, 1024),
    ("full Gram", 256, 1024),
)
MEMORY_LIMIT_BYTES = 12e9


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure(form: str, side: int, patterns: int) -> None:
    """Print one row: value, forward and backward time, peak memory above the imports."""
    before_mb = _peak_mb()
    generator = torch.Generator().manual_seed(1)
    student = torch.sign(torch.randn(patterns, side * side, generator=generator)).div_(side).requires_grad_()
    teacher = torch.randn(patterns, side * side, generator=generator).div_(side)
    started = time.perf_counter()
    if form == "low rank":
        distance = gram_distance(student, teacher)
    else:
        distance = (student.T @ student - teacher.T @ teacher).square().sum()
    distance.backward()
    seconds = time.perf_counter() - started
    print(
        f"{form:10s} {side:4d} x {side:<4d} {patterns:5d} {float(distance.detach()):14.6g} {seconds:9.3f} "
        f"{_peak_mb() - before_mb:10.0f}"
    )


def main() -> None:
    """Print the table, one process a row."""
    print(
        f"{'form':10s} {'image':>11s} {'K':>5s} {'|A^T A-B^T B|^2':>14s} {'seconds':>9s} {'peak MB':>10s}"
        "   (forward and backward; target: low rank at 256 x 256, K = 1024 below 2000 MB)"
    )
    for form, side, patterns in ROWS:
        needed_bytes = 4 * 4 * side**4 if form == "full Gram" else 0  # the Grams, their difference, its gradient
        if needed_bytes > MEMORY_LIMIT_BYTES:
            print(f"{form:10s} {side:4d} x {side:<4d} {patterns:5d}   does not fit: {needed_bytes / 1e9:.0f} GB")
            continue
        subprocess.run([sys.executable, __file__, form, str(side), str(patterns)], check=True)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()

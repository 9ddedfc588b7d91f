"""One training by one and by two processes (gloo, one thread each): images a second, and what is learnt.

The same `cidesign distill` is run once by `python` and once by `torchrun --nproc-per-node 2`, for each seed.  Images a
second are those of all steps of training, without start, images and evaluation: the batch over the median time of an
epoch's steps.  Beside the speed stands the student's PSNR on the validation images: with two processes the draws of
noise are others, so that it differs from that of one as two seeds of the noise do.

Run: python benchmarks/ranks.py [--seeds N] [--side N] [--batch N]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

IMAGES, EPOCHS = 640, 3


def trained(folder: Path, processes: int, seed: int, side: int, batch: int) -> tuple[float, float]:
    """Images a second, and the student's PSNR in dB."""
    start = ["-m", "cidesign"]
    if processes > 1:
        start = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), *start]
    words = (
        f"distill --profile dlp4500 --teacher none --out {folder} --side {side} --seed {seed} --threads 1 "
        f"--teacher-epochs {EPOCHS} --student-epochs {EPOCHS} --set images={IMAGES} --set validation_images=100 "
        f"--set batch={batch} --set precision=float32"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, *start, *words.split()], check=True, env=environment, capture_output=True, timeout=3600
    )
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seconds = [later["seconds"] - earlier["seconds"] for earlier, later in pairwise([{"seconds": 0.0}, *lines])]
    record = json.loads((folder / "run.json").read_text())
    return IMAGES // batch * batch / statistics.median(seconds), record["metrics"]["student_psnr_db"]


def main() -> None:
    """Print a line for each seed and number of processes, and their means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    told = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    print(f"single-pixel, {told.side} x {told.side}, batch {told.batch}, {2 * EPOCHS} epochs of {IMAGES} images")
    with tempfile.TemporaryDirectory() as base:
        for seed in range(1, told.seeds + 1):
            for processes, results in found.items():
                results.append(trained(Path(base) / f"{seed}-{processes}", processes, seed, told.side, told.batch))
                speed, psnr = results[-1]
                print(f"seed {seed}, {processes} process(es): {speed:7.1f} images/s, {psnr:.2f} dB", flush=True)
    for processes, results in found.items():
        speeds, values = zip(*results, strict=True)
        speed, psnr = statistics.median(speeds), statistics.mean(values)
        print(f"{processes} process(es): median {speed:.1f} images/s, mean {psnr:.2f} dB")
    apart = [two[1] - one[1] for one, two in zip(found[1], found[2], strict=True)]
    print(f"two less one: {statistics.mean(apart):+.3f} dB, from {min(apart):+.3f} to {max(apart):+.3f}")


if __name__ == "__main__":
    main()

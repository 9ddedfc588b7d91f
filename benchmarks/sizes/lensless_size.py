"""Seconds and memory of a lensless camera's operator against the size of its sensor, to one megapixel.

As many samples as the image has pixels, one channel, a random PSF: A, its adjoint, the best linear estimate of one
noisy image in the light of a full well, Wiener's filter and ADMM-TV.  Each size in a process of its own; seconds are
the least of three of the processor's, and of one of what takes more than ten; memory is the largest that was resident,
less that of the libraries.  A separable PSF of one term is measured beside it by two products of matrices, which is
what a path of its own for separable masks could gain.

Run: python benchmarks/sizes/lensless_size.py [SIDE]...
"""

import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable

import torch

from cidesign.modalities.lensless.classical import admm_tv, wiener
from cidesign.modalities.lensless.encoders.designed import MeasuredEncoder
from cidesign.physics.base import ImagePrior
from cidesign.physics.noise import PixelNoise

SIDES = (64, 128, 256, 512, 1024)
LIGHT, READ_NOISE = 10_700.0, 2.4
LONG_S = 10.0


def seconds_of(work: Callable[[], object]) -> float:
    """The least of three; of one where that is long."""
    found = []
    for _ in range(3):
        before = time.process_time()
        work()
        found.append(time.process_time() - before)
        if found[0] > LONG_S:
            break
    return min(found)


def measure(side: int, answers: "multiprocessing.Queue[str]") -> None:
    """All of one size."""
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    psf = torch.rand(1, 2 * side - 1, 2 * side - 1, generator=draws)
    encoder = MeasuredEncoder(psf, torch.ones(side, side), PixelNoise(LIGHT, READ_NOISE, 1.0)).eval()
    encoder.keep()
    frequency = torch.arange(side)[:, None] + torch.arange(side)
    variance = 0.05 * side**2 / (1.0 + frequency) ** 3
    variance = (0.05 / float(variance.mean())) * variance
    prior = ImagePrior(torch.full((1,), 0.5), torch.eye(1), variance[None])
    x = torch.rand(1, 1, side, side, generator=draws)
    down, across = (torch.rand(side, side, generator=draws) for _ in range(2))
    with torch.no_grad():
        y = encoder(x, draws)
        found = {
            "A": seconds_of(lambda: encoder.A(x)),
            "A_adjoint": seconds_of(lambda: encoder.A_adjoint(y)),
            "separable": seconds_of(lambda: down @ x @ across.T),
            "wiener": seconds_of(lambda: wiener(y, encoder, prior)),
        }
        found["memory_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
        found["estimate"] = seconds_of(lambda: encoder.estimator(prior).estimate(y))
        found["estimate_memory_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
        found["admm_tv"] = seconds_of(lambda: admm_tv(y, encoder, prior))
    answers.put(json.dumps({"side": side, **{name: round(value, 4) for name, value in found.items()}}))


def main() -> None:
    """One process for each size, so that memory is that of the size alone."""
    context = multiprocessing.get_context("spawn")
    for side in [int(text) for text in sys.argv[1:]] or SIDES:
        answers: multiprocessing.Queue[str] = context.Queue()
        process = context.Process(target=measure, args=(side, answers))
        process.start()
        print(answers.get(), flush=True)
        process.join()


if __name__ == "__main__":
    main()

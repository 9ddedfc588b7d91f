"""Which library for non-uniform Fourier transforms: accuracy, gradients, speed, licence and size, on one thread.

    python benchmarks/mri/nufft.py

Each one that is installed is held against the exact sum (double precision) on a spiral-like trajectory; gradients are
those of <y, A x> on image and trajectory, also against the exact sum's.  Times are means over repetitions of one image
in single precision.
"""

import importlib.metadata
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cidesign.modalities.mri.encoders.nufft import exact_samples, samples_of

ACCURACY_SIDE, REPETITIONS = 32, 10
# Side of the image, samples: 16 shots of twice the side, 32 of twice the side.
SIZES = ((64, 16 * 128), (128, 32 * 256))

Forward = Callable[[Tensor, Tensor], Tensor]


class Library(NamedTuple):
    """One library: its name on PyPI, and y (M,) of a complex image (H, W) and k-space (M, 2) in 1/FOV."""

    package: str
    forward: Forward


def trajectory(side: int, samples: int) -> Tensor:
    """k-space (M, 2) in 1/FOV within the circle, denser in its centre."""
    turn = torch.arange(samples, dtype=torch.float32) / samples
    radius, angle = 0.49 * side * turn, 2 * torch.pi * 12.3 * turn
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def libraries() -> Iterator[Library]:
    """Those that are installed."""
    yield Library("finufft", lambda x, k: samples_of(x[None], k)[0])
    try:
        import torchkbnufft

        made: dict[tuple[int, ...], torch.nn.Module] = {}

        def by_table(x: Tensor, k: Tensor) -> Tensor:
            shape = tuple(x.shape)
            if shape not in made:
                made[shape] = torchkbnufft.KbNufft(im_size=shape).to(x.dtype)
            turns = 2 * torch.pi * k.T / torch.tensor(shape)[:, None]
            return made[shape](x[None, None], turns, norm="ortho")[0, 0] * 2.0

        yield Library("torchkbnufft", by_table)
    except ImportError:
        pass
    try:
        import mrinufft

        def by_operator(x: Tensor, k: Tensor) -> Tensor:
            kind = mrinufft.get_operator("finufft", wrt_data=x.requires_grad, wrt_traj=k.requires_grad)
            points = (k.detach() / torch.tensor(x.shape)).numpy()
            operator = kind(points, tuple(x.shape), n_coils=1, squeeze_dims=True, eps=2e-6)
            # Its transforms are divided by twice the root of the pixels.
            found = operator.op(x if x.requires_grad else x.numpy())
            return 2.0 * torch.as_tensor(found).reshape(-1)

        yield Library("mri-nufft", by_operator)
    except ImportError:
        pass


def gradients(forward: Forward, x: Tensor, k: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """y of x, and the gradients of Re <y, A x> on x and k; None where there is none on k."""
    x, k = x.clone().requires_grad_(), k.clone().requires_grad_()
    found = forward(x, k)
    on_x, on_k = torch.autograd.grad((y.conj() * found).real.sum(), (x, k), allow_unused=True)
    return found.detach(), on_x, on_k


def distance(found: Tensor | None, exact: Tensor | None) -> str:
    """|found - exact| / |exact|."""
    return "none" if found is None or exact is None else f"{float((found - exact).norm() / exact.norm()):.1e}"


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(1)
    side = ACCURACY_SIDE
    k = trajectory(side, 1024)
    x = torch.randn(side, side, dtype=torch.complex64, generator=draws)
    y = torch.randn(len(k), dtype=torch.complex64, generator=draws)
    exact = gradients(
        lambda image, at: exact_samples(image[None], at)[0], x.to(torch.complex128), k.double(), y.to(torch.complex128)
    )
    times = " | ".join(f"{n} x {n}, {m} samples: forward / with gradients ms" for n, m in SIZES)
    print(f"| library | version | licence | MB installed | error of A x | of d/dx | of d/dk | {times} |")
    print("|" + "---|" * (7 + len(SIZES)))
    for library in libraries():
        try:
            near = [distance(a, b) for a, b in zip(gradients(library.forward, x, k, y), exact, strict=True)]
        except ImportError as missing:  # what it needs for gradients is a package of its own
            near = [distance(library.forward(x, k), exact[0]), f"none without {missing.name}", "the same"]
        spent = [timed(library.forward, *size) for size in SIZES]
        print(f"| {' | '.join([*described(library.package), *near, *spent])} |")


def timed(forward: Forward, side: int, samples: int) -> str:
    """Milliseconds of A x, and of A x with the gradients on image and trajectory."""
    k, x = trajectory(side, samples), torch.randn(side, side, dtype=torch.complex64)
    y = torch.randn(samples, dtype=torch.complex64)
    spent = []
    for work in (lambda: forward(x, k), lambda: gradients(forward, x, k, y)):
        try:
            work()
        except ImportError:
            return f"{spent[0]} / none"
        start = time.perf_counter()
        for _ in range(REPETITIONS):
            work()
        spent.append(f"{1e3 * (time.perf_counter() - start) / REPETITIONS:.2f}")
    return " / ".join(spent)


def described(package: str) -> list[str]:
    """Name, version, licence and size in MB of a package alone."""
    found = importlib.metadata.distribution(package)
    classified = [one for one in found.metadata.get_all("Classifier") or [] if one.startswith("License")]
    said = classified or found.metadata.get_all("License-Expression") or ["not said"]
    short = said[0].rsplit(" :: ", 1)[-1]
    files = [file.locate() for file in found.files or []]
    size = sum(Path(path).stat().st_size for path in files if Path(path).is_file())
    return [package, found.version, short, f"{size / 1e6:.1f}"]


if __name__ == "__main__":
    main()

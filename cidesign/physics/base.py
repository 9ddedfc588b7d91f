"""What every encoder is: linear optics that can be learnt, followed by noise."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from cidesign.physics.places import Place

# Images (B, C, H, W): all at once, or in batches that can be gone through more than once.
Images = Tensor | Iterable[Tensor]
_Made = TypeVar("_Made")


def mean_over(images: Images, summed: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean over all images, in double precision; `summed` gives the sum over those of one batch.

    Raises `ValueError` where there is no image.
    """
    total, count = torch.zeros((), dtype=torch.float64), 0
    for batch in [images] if isinstance(images, Tensor) else images:
        part = summed(batch)
        part = part.to(torch.complex128 if part.is_complex() else torch.float64)
        total, count = part + total.to(part.device), count + len(batch)
    if not count:
        raise ValueError("the statistics of no images")
    return total / count


class ImagePrior(NamedTuple):
    """Second-order statistics of images (B, C, H, W), fitted to the training images.

    Around `mean` (C,), the channels `basis` (C, C) x are uncorrelated, and so are their transform coefficients,
    with `variance` (C, H, W) > 0: of the 2-D DCT for grey images and spectral cubes; for complex images
    (real and imaginary part as two channels) of centred k-space, the sum of both parts' variances in each channel.
    """

    mean: Tensor
    basis: Tensor
    variance: Tensor


class Estimator(Protocol):
    """The best linear estimate for one operator and one prior: x_0 = m + G (y - A m)."""

    def estimate(self, y: Tensor) -> Tensor:
        """x_0 (B, C, H, W) from measurements."""

    def unseen(self, x: Tensor) -> Tensor:
        """(I - G A) x: the part of images (B, C, H, W) on which the measurements have no say."""


class Tile(NamedTuple):
    """A part of an operator that is decoded by itself: its `encoder`, what it takes of readings (..., *readings), and
    where its image belongs in one of `size`, with a `weight` (H, W) per pixel; the weights of all tiles sum to 1."""

    encoder: "Encoder"
    readings: tuple[slice, slice]
    image: tuple[slice, slice]
    size: tuple[int, int]
    weight: Tensor


class Encoder(nn.Module, ABC):
    """Linear physics with learnable optics: y = noise(A x); `weight` is what training moves."""

    weight: nn.Parameter
    # What was made of the optics while they stay as they are; None when they may change at any time.
    _kept: dict[Hashable, Any] | None = None

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """While the optics stay as they are, what is made of them `once` is made once.

        It is one graph: nothing that needs a gradient is made within if it was asked for without one before.
        """
        if self._kept is not None:
            yield
            return
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def keep(self) -> None:
        """From now on the optics are `unchanged`: frames that come one by one share what is made of them."""
        self._kept = {} if self._kept is None else self._kept

    def once(self, name: Hashable, make: Callable[[], _Made]) -> _Made:
        """What `make` returns, made anew unless the optics are `unchanged` since it was made under this name."""
        if self._kept is None:
            return make()
        if name not in self._kept:
            self._kept[name] = make()
        made: _Made = self._kept[name]
        return made

    @abstractmethod
    def A(self, x: Tensor) -> Tensor:
        """The noise-free measurement of images (B, C, H, W)."""

    @abstractmethod
    def A_adjoint(self, y: Tensor) -> Tensor:
        """The adjoint: <A x, y> = <x, A_adjoint y>."""

    def back_projection(self, y: Tensor) -> Tensor:
        """A_adjoint(y) (B, C, H, W), divided by a number that makes it about as large as the images; here |A|^2.

        The number carries no gradient, the operator does.
        """
        return self.A_adjoint(y) / self.norm_squared()

    @abstractmethod
    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """noise(A(x)), with the generator's draws."""

    @abstractmethod
    def estimator(self, prior: ImagePrior) -> Estimator:
        """The linear estimator for the optics as built and their noise; differentiable in the optics."""

    @abstractmethod
    def norm_squared(self) -> Tensor:
        """An upper bound of the largest eigenvalue of A^T A, without gradient: unrolled steps are scaled by it."""

    @abstractmethod
    def encoder_loss(self, teacher: "Encoder", published: bool) -> Tensor:
        """How far the optics are from a teacher's of the same kind; >= 0, differentiable in this encoder's optics.

        The effective form compares what is built, free of scale; the published form (arXiv 2501.17898) compares the
        latent weights as they are.
        """

    def smooth_phase(self, x: Tensor) -> Tensor | None:
        """(B, H, W), complex of magnitude 1, without gradient: the smooth phase of images; None where they are real."""
        return None

    def explore(self, progress: float, generator: torch.Generator | None) -> None:
        """Set the optics' temperature for a training step at `progress` in [0, 1], and draw its perturbation.

        Without a generator the optics are as built.  Encoders that need no exploration ignore this.
        """

    def places(self, generator: torch.Generator | None) -> Sequence[Place | None]:
        """The places that training looks at one after the other, in the generator's order: together they hold all of
        the optics, and each is as large as a training image.  [None]: all at once."""
        return [None]

    def look_at(self, place: Place | None) -> None:
        """Be the optics of one place, in front of a scene that is dark beside it; None: of all.

        Encoders that have no places ignore this.
        """

    def tiles(self) -> Iterator[Tile]:
        """Overlapping parts of an operator that is too large to be decoded at once; none where it is not."""
        yield from ()


@contextlib.contextmanager
def looking_at(place: Place | None, *encoders: Encoder) -> Iterator[None]:
    """All encoders look at a place, and at the whole of their optics afterwards."""
    for encoder in encoders:
        encoder.look_at(place)
    try:
        yield
    finally:
        for encoder in encoders:
            encoder.look_at(None)

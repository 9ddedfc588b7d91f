"""What a decoder's network takes of memory, found by shapes alone: on torch's `meta` device nothing is computed."""

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cidesign.models.decoder import Decoder
from cidesign.physics.base import Encoder, Estimator, ImagePrior

# Convolutions work on copies in an order of their own; of networks of all three modalities, measured, between 1.0 and
# 1.5 (benchmarks/sizes/memory.py).
NETWORK_SLACK = 1.35


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the arrays that are alive while operations run on them; `peak` is the most that there were together.

    `shorter`: floating-point values count half, as in bfloat16; torch's `meta` device has no such formats.
    """

    def __init__(self, shorter: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shorter = shorter
        self.live: int = 0
        self.peak: int = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation, and look at what it returns."""
        result = func(*args, **(kwargs or {}))
        before = {_identity(tensor) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and _identity(tensor) not in self._known | before:
                self._add(tensor)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        size = storage.nbytes() // (2 if self.shorter and tensor.is_floating_point() else 1)
        identity = _identity(tensor)
        self._known.add(identity)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, identity, size)

    def _drop(self, identity: int, size: int) -> None:
        self._known.discard(identity)
        self.live -= size


def _identity(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Estimator:
    """An estimator of the right shapes."""

    def __init__(self, optics: "Shapes") -> None:
        self.optics = optics

    def estimate(self, y: Tensor) -> Tensor:
        """Images that depend on the readings."""
        return self.optics.A_adjoint(y)

    def unseen(self, x: Tensor) -> Tensor:
        """Images less what is measured of them."""
        return x - self.optics.A_adjoint(self.optics.A(x))


class Shapes(Encoder):
    """Optics of which only the shapes are right: images (B, C, H, W), and as many values of a reading as are told.

    Its measurements are kept for the backward pass, as those of optics that are learnt.
    """

    def __init__(self, shape: tuple[int, int, int], readings: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), device="meta"))
        self.shape, self.readings = shape, readings

    def A(self, x: Tensor) -> Tensor:
        """Readings (B, R)."""
        return self.weight * x.flatten(1).sum(dim=1, keepdim=True).expand(-1, self.readings).contiguous()

    def A_adjoint(self, y: Tensor) -> Tensor:
        """Images."""
        return (self.weight * y).sum(dim=1)[:, None, None, None].expand(-1, *self.shape).contiguous()

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Readings."""
        return self.A(x)

    def estimator(self, prior: ImagePrior) -> Estimator:
        """Images from readings, whatever they are."""
        return _Estimator(self)

    def norm_squared(self) -> Tensor:
        """A number."""
        return torch.ones((), device="meta")

    def encoder_loss(self, teacher: Encoder, published: bool) -> Tensor:
        """None: what it takes is part of what the optics say of themselves."""
        return self.weight.square()


def training_bytes(decoder: Decoder, shape: tuple[int, int, int], readings: int, batch: int) -> int:
    """The most that the network holds at once in a training step of `batch` images (C, H, W), beside its weights.

    `decoder` is on the meta device.  Whatever a network of other people does there that needs numbers raises the
    `RuntimeError` of torch.
    """
    optics = Shapes(shape, readings)
    x = torch.empty(batch, *shape, device="meta")
    decoder.zero_grad()
    with LiveBytes(shorter=decoder.training_dtype is not None) as found:
        prediction = decoder(optics(x), optics).prediction
        (prediction - x if decoder.predicts == "images" else prediction).square().mean().backward()
    decoder.zero_grad()
    return int(NETWORK_SLACK * found.peak)


@torch.no_grad()
def decoding_bytes(decoder: Decoder, shape: tuple[int, int, int], readings: int, batch: int) -> int:
    """The same of images that are only made."""
    optics = Shapes(shape, readings)
    y = torch.empty(batch, readings, device="meta")
    with LiveBytes() as found:
        decoder(y, optics)
    return int(NETWORK_SLACK * found.peak)

"""Several processes that train one run together, as torchrun starts them: each takes its part of every batch.

Whatever they exchange is preceded by a word of each on how it is doing.  So a process that fails says so wherever the
others are, and all end; and what is asked of one (to stop) is known to all after the same step.
"""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from cidesign.errors import CidesignError, InputError, LimitError, first_line
from cidesign.files import sha256_bytes
from cidesign.run_settings import TrainingSettings

if TYPE_CHECKING:  # the command line asks whether it is one of several before torch is needed
    import torch
    from torch import Tensor

# How long a process waits for the others to be there, and then for the slowest of them (the first one measures
# validation images and writes checkpoints while the others wait).
JOIN_S, LONGEST_S = 120.0, 1800.0
_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


class OtherRankFailed(CidesignError):
    """Another process of this training failed, and says itself why."""


class LostRank(CidesignError):
    """Another process of this training ended without a word, or keeps all waiting."""


class Interrupted(Exception):
    """Training was asked to stop; the checkpoint holds the last finished step."""


class Ranks:
    """The processes of a training, and which of them this is: `rank` of `size`, on this machine `local` of
    `local_size`.  Of one alone every sum is its own value, as it is."""

    def __init__(self, rank: int = 0, size: int = 1, local: int = 0, local_size: int = 1) -> None:
        self.rank, self.size, self.local, self.local_size = rank, size, local, local_size

    @property
    def first(self) -> bool:
        """Whether this one writes and speaks for all."""
        return self.rank == 0

    def require(self, settings: TrainingSettings) -> None:
        """Raise `InputError` or `LimitError` for settings that so many processes cannot train with; take the GPU."""
        if self.size == 1:
            return
        import torch

        if settings.batch < self.size:
            raise LimitError(
                f"batch {settings.batch}: {self.size} processes share it, and each needs an image; start "
                f"{settings.batch} at the most, or raise batch"
            )
        if settings.device.startswith("cuda:"):
            raise InputError(
                f"device {settings.device}: {self.size} processes take one GPU each; use cuda, and choose GPUs by "
                "CUDA_VISIBLE_DEVICES"
            )
        if settings.device == "cuda":
            if self.local_size > torch.cuda.device_count():
                raise LimitError(
                    f"{self.local_size} processes on this machine, and it has {torch.cuda.device_count()} GPUs for "
                    "them; start one for each (--nproc-per-node), or train with device cpu"
                )
            torch.cuda.set_device(self.local)

    def part(self, count: int) -> slice:
        """Which of `count` images in a row are this one's: as many as others have, or one more."""
        each, more = divmod(count, self.size)
        begin = self.rank * each + min(self.rank, more)
        return slice(begin, begin + each + (self.rank < more))

    def sum(self, values: "Tensor") -> "Tensor":
        """The sum of a tensor over all, the same bits for each."""
        if self.size == 1:
            return values
        whole = values.detach().clone().contiguous()
        self._meet(whole.numel())
        _exchanged("all_reduce", whole)
        return whole

    def means(self, own: dict[str, float]) -> dict[str, float]:
        """The sums of numbers by name, which are the same names everywhere."""
        if self.size == 1:
            return own
        import torch

        found = self.sum(torch.tensor(list(own.values()), dtype=torch.float64)).tolist()
        return dict(zip(own, found, strict=True))

    def sum_gradients(self, weights: "Iterable[Tensor]") -> None:
        """Add up the gradients of all, in place."""
        if self.size == 1:
            return
        import torch

        gradients = [weight.grad for weight in weights if weight.grad is not None]
        whole = self.sum(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        parts = torch.split(whole, [one.numel() for one in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def take_over(self, module: "torch.nn.Module") -> None:
        """Give all of them the weights that the first one has."""
        if self.size == 1:
            return
        self._meet(0)
        for tensor in module.state_dict().values():
            whole = tensor.contiguous()
            _exchanged("broadcast", whole, 0)
            tensor.copy_(whole)

    def any(self, flag: bool) -> bool:
        """Whether it is so for any of them."""
        return flag if self.size == 1 else self._meet(0, flag)

    def of_first(self, flag: bool) -> bool:
        """What the first one finds."""
        return self.any(flag and self.first)

    def wait(self) -> None:
        """Go on when all are here."""
        self.any(False)

    def require_same(self, what: str, text: str) -> None:
        """Raise `CidesignError` where a text is not the same for all."""
        if self.size == 1:
            return
        import torch

        own = torch.tensor(list(bytes.fromhex(sha256_bytes(text.encode()))))
        if not torch.equal(self.sum(own), self.size * own):
            raise CidesignError(
                f"{what}: the {self.size} processes differ in it; start all with the same command, on the same files "
                "and by the same versions"
            )

    def failed(self) -> bool:
        """Tell the others that this one cannot go on; whether it is the first of those that say so now."""
        with contextlib.suppress(OtherRankFailed, LostRank):
            return self._said(0, failed=True)[0] == self.rank
        return True

    def _meet(self, length: int, flag: bool = False) -> bool:
        """Wait for all, before numbers of a length are exchanged; whether any of them has the flag."""
        failing, flags = self._said(length, flag)
        if failing is not None:
            raise OtherRankFailed(f"process {failing} of {self.size} failed and all have ended; it says itself why")
        return flags > 0

    def _said(self, length: int, flag: bool = False, failed: bool = False) -> tuple[int | None, int]:
        """Who is the first that failed, and how many have the flag."""
        import torch

        words = torch.zeros(self.size + 2, dtype=torch.int64)
        words[self.rank], words[-2], words[-1] = failed, flag, length
        _exchanged("all_reduce", words)
        failing = words[: self.size].nonzero().flatten().tolist()
        if not failing and int(words[-1]) != self.size * length:
            raise CidesignError(f"the {self.size} processes are not at the same place; please report this")
        return (failing[0] if failing else None), int(words[-2])


ALONE = Ranks()


class Part(NamedTuple):
    """What this process has of some images, of which each has some: `of` all of them, a share of 1.

    Numbers of its own images become those of all of them.
    """

    ranks: Ranks
    of: float

    def mean(self, own: "Tensor") -> "Tensor":
        """The mean over all images of what is `own` on average here; without gradient."""
        return own if self.ranks.size == 1 else self.ranks.sum(self.of * own.detach().reshape(1))[0]

    def total(self, own: "Tensor") -> "Tensor":
        """The sum of scalars; without gradient."""
        return own if self.ranks.size == 1 else self.ranks.sum(own.reshape(1))[0]

    def norm(self, gradient: "Tensor", shared: bool) -> "Tensor":
        """The norm of the gradient of a mean: on what all share (weights), or on what belongs to the images."""
        length: Tensor
        if self.ranks.size == 1 or shared:
            length = (gradient if self.ranks.size == 1 else self.ranks.sum(self.of * gradient)).norm()
        else:
            length = self.total((self.of * gradient).square().sum()).sqrt()
        return length


WHOLE = Part(ALONE, 1.0)


def _exchanged(how: Literal["all_reduce", "broadcast"], values: "Tensor", *source: int) -> None:
    from torch import distributed

    try:
        getattr(distributed, how)(values, *source)
    except RuntimeError as error:
        raise LostRank(
            f"another process of this training ended without a word, or did not come within {LONGEST_S / 60:.0f} "
            f"minutes ({first_line(error)}); see what it wrote, and go on with --resume"
        ) from error


def world() -> Ranks:
    """Which process this is, from the environment that torchrun sets; raises `InputError` for half of it."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return ALONE
    found = {}
    for name in _NAMES:
        text = os.environ.get(name, "")
        if not text.isdecimal():
            raise InputError(
                f"WORLD_SIZE {os.environ['WORLD_SIZE']}, {name} {text or 'missing'}: start several processes with "
                "torchrun, which sets these variables; for one process, unset WORLD_SIZE"
            )
        found[name] = int(text)
    return Ranks(*(found[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")))


_joined: Ranks | None = None
_trainings = itertools.count()


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that were started together, connected until the end; inside of another `joined` those of that.

    When one fails, all end: the first that failed with its own error, the others with `OtherRankFailed`.  `Interrupted`
    is raised by all of them, and nothing takes the place of what ends a program.
    """
    global _joined
    ranks = _joined or world()
    if ranks.size == 1 or _joined is not None:
        yield ranks
        return
    _connect(ranks)
    _joined = ranks
    try:
        yield ranks
    except BaseException as error:
        own = ranks.first if isinstance(error, LostRank) else isinstance(error, OtherRankFailed) or ranks.failed()
        if own or isinstance(error, Interrupted) or not isinstance(error, Exception):
            raise
        raise OtherRankFailed(str(error)) from error
    finally:
        _joined = None
        _disconnect()


def _connect(ranks: Ranks) -> None:
    import torch
    from torch import distributed

    if not distributed.is_available():
        raise LimitError(f"WORLD_SIZE {ranks.size}: this torch was built without torch.distributed; start one process")
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if distributed.is_initialized():
        raise InputError("torch.distributed is in use here already; cidesign joins processes by itself, leave that out")
    # What processes say to one another goes by gloo, also where gradients go from GPU to GPU.
    backend = "gloo"
    if torch.cuda.is_available() and distributed.is_nccl_available():
        backend = "cpu:gloo,cuda:nccl"
    try:
        found, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=JOIN_S)))
        # A second training of the same processes finds nothing of the first.
        store = PrefixStore(f"cidesign-{next(_trainings)}", found)
        store.set(str(ranks.rank), "here")
        store.wait([str(rank) for rank in range(ranks.size)], timedelta(seconds=JOIN_S))
        distributed.init_process_group(
            backend, store=store, rank=ranks.rank, world_size=ranks.size, timeout=timedelta(seconds=LONGEST_S)
        )
    except (RuntimeError, ValueError) as error:
        raise LimitError(
            f"WORLD_SIZE {ranks.size}: the processes did not find one another within {JOIN_S:.0f} s "
            f"({first_line(error)}); start all of them with torchrun; for one process, unset WORLD_SIZE"
        ) from error


def _disconnect() -> None:
    from torch import distributed

    with contextlib.suppress(RuntimeError):  # where another one is gone there is nothing to take leave of
        distributed.destroy_process_group()

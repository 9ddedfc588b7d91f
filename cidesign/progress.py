"""How far a long computation is, told to whoever listens; where nobody does, it costs next to nothing."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


class Items(Protocol[_T_co]):
    """What can be counted before it is gone through: a list, a range, an array."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[_T_co]: ...


@dataclass(frozen=True)
class Part:
    """A part of the work: `name` as `what: what of it`, and the `share` of it (0 to 1) that is done."""

    name: str
    share: float


Listener = Callable[[Part], None]


@dataclass(frozen=True)
class _Heard:
    """Who listens, and the names of the parts that are open."""

    listener: Listener
    names: tuple[str, ...] = ()

    def tell(self, share: float) -> None:
        self.listener(Part(": ".join(self.names), share))


_HEARD: ContextVar[_Heard | None] = ContextVar("progress", default=None)


@contextmanager
def _open(heard: _Heard | None) -> Iterator[None]:
    before = _HEARD.get()
    _HEARD.set(heard)
    try:
        yield
    finally:
        _HEARD.set(before)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """While this is open, `listener` is called with the `Part` that computations of this thread are at.

    It is called often, in the midst of the work, and should return at once.
    """
    with _open(_Heard(listener)):
        yield


@contextmanager
def part(name: str) -> Iterator[None]:
    """What is computed in here belongs together; of unknown length where nothing in it tells how far it is."""
    outer = _HEARD.get()
    inner = None if outer is None else replace(outer, names=(*outer.names, name))
    if inner is not None:
        inner.tell(0.0)
    with _open(inner):
        yield


def heard() -> bool:
    """Whether anybody listens: what is told alone need not be computed where nobody does."""
    return _HEARD.get() is not None


def tell(share: float) -> None:
    """So much (0 to 1) of the part that is open is done."""
    heard = _HEARD.get()
    if heard is not None and heard.names:
        heard.tell(share)


def steps(name: str, items: Items[_T]) -> Iterator[_T]:
    """The items one after the other, each an equal step of a part; what a step does is not told by itself.

    A loop over it may end early.
    """
    return counted(name, items, len(items))


def counted(name: str, items: Iterable[_T], count: int) -> Iterator[_T]:
    """The same for items that are made one by one, `count` of them."""
    outer = _HEARD.get()
    if outer is None:
        yield from items
        return
    inner = replace(outer, names=(*outer.names, name))
    inner.tell(0.0)
    with _open(None):
        for number, item in enumerate(items):
            yield item
            inner.tell((number + 1) / count)

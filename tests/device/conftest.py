"""A strict device, a bridge around it, uploads, and the whole conversation, for the tests of the link."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cidesign.device.dmd import DeviceInfo, DeviceStatus, Half, TableEntry
from cidesign.device.link import session
from cidesign.device.link.core import BASE_BAUD, ServerCore
from cidesign.device.link.link import Link, Procedure
from cidesign.device.link.messages import Slot
from cidesign.device.link.store import Spool, Store
from cidesign.device.link.transfer import LinkObject, LinkUpload, TransferReport, transfer
from cidesign.errors import DeviceError


@dataclass
class StrictDmd:
    """A device that refuses every call out of order, and remembers all of them."""

    calls: list[Any] = field(default_factory=list)
    images: dict[tuple[int, Half], bytes] = field(default_factory=dict)
    table: list[TableEntry] = field(default_factory=list)
    prepared: bool = False
    running: bool = False
    error: str = ""
    fail_at_image: int | None = None

    def info(self) -> DeviceInfo:
        return DeviceInfo("dlp6500", "dlpc900", (5, 0, 2), 1920, 1080, True, 400, 18, {1: 105, 8: 4046})

    def prepare(self) -> None:
        self.calls.append("prepare")
        self.prepared, self.running = True, False
        self.images, self.table = {}, []

    def load_sequence(self, entries: list[TableEntry]) -> None:
        if not self.prepared:
            raise DeviceError("table before prepare")
        self.calls.append("table")
        self.table, self.images = list(entries), {}

    def load_image(self, index: int, half: Half, content: bytes) -> None:
        if not self.prepared or not self.table:
            raise DeviceError("image before table")
        if self.images and index > min(number for number, _ in self.images):
            raise DeviceError("images must come from the highest index down")
        if index == self.fail_at_image:
            raise DeviceError("error 9: bad compression")
        self.calls.append(("image", index, half))
        self.images[index, half] = content

    def start(self, repeats: int) -> None:
        if {entry.image for entry in self.table} != {index for index, _ in self.images}:
            raise DeviceError("start before everything is loaded")
        self.calls.append(("start", repeats))
        self.running = True

    def stop(self) -> None:
        self.calls.append("stop")
        self.running = self.prepared = False
        self.images, self.table = {}, []

    def status(self) -> DeviceStatus:
        images = len({index for index, _ in self.images})
        return DeviceStatus(self.running, not self.running, images, len(self.table), self.error)

    def close(self) -> None:
        self.stop()

    def lose_power(self) -> None:
        self.prepared = self.running = False
        self.images, self.table = {}, []

    def shows(self, upload: LinkUpload) -> bool:
        """Whether the device has exactly this upload."""
        images = {item.slot: item.content for item in upload.objects if item.slot.kind != 3}
        table = next(item.content for item in upload.objects if item.slot.kind == 3)
        mine = {Slot(1 + half, index): content for (index, half), content in self.images.items()}
        return mine == images and b"".join(entry.pack() for entry in self.table) == table


def make_upload(sizes: list[int], seed: int = 1, halves: int = 1) -> LinkUpload:
    """A table and one image of random bytes per size, in loading order."""
    source = random.Random(seed)
    table = b"".join(TableEntry(image, 0, 1, True, 105, 0).pack() for image in range(len(sizes)))
    objects = [LinkObject(Slot(3, 0), table)]
    for index in reversed(range(len(sizes))):
        objects += [LinkObject(Slot(1 + half, index), source.randbytes(sizes[index])) for half in range(halves)]
    return LinkUpload(tuple(objects), bytes(range(32)))


def make_bridge(dmd: StrictDmd, spool: Path | None = None, memory_bytes: int = 10**9, **options: Any) -> ServerCore:
    """A bridge core around a device."""
    return ServerCore(dmd, Store(memory_bytes, Spool(spool) if spool else None), **options)


def conversation(
    link: Link, upload: LinkUpload, job: int = 7, baud: int = BASE_BAUD, run: int | None = None
) -> Procedure[TransferReport]:
    """Connect, change the rate, send, verify, and start where `run` is given."""
    caps = yield from session.connect(link, "virtual", baud if baud != BASE_BAUD else None)
    yield from session.change_baud(link, baud)
    yield from session.ask_status(link)
    report = yield from transfer(link, upload, caps, job)
    if run is not None:
        yield from session.start(link, run, 0, upload.digest)
    yield from session.leave(link, BASE_BAUD)
    return report


@pytest.fixture
def strict_dmd() -> StrictDmd:
    """A device that refuses every call out of order."""
    return StrictDmd()


@pytest.fixture
def new_dmd() -> type[StrictDmd]:
    """Makes strict devices."""
    return StrictDmd


@pytest.fixture
def new_upload() -> Callable[..., LinkUpload]:
    """Makes uploads of random images."""
    return make_upload


@pytest.fixture
def new_bridge() -> Callable[..., ServerCore]:
    """Makes bridge cores."""
    return make_bridge


@pytest.fixture
def talk() -> Callable[..., Procedure[TransferReport]]:
    """The whole conversation of one upload."""
    return conversation

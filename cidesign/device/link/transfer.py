"""Sending objects: announced ahead, streamed through a sliding window, loaded one after the other, verified."""

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cidesign.device.link.frames import MessageType
from cidesign.device.link.link import BITS_PER_BYTE, Link, Pending, Procedure, refused, require_ack
from cidesign.device.link.messages import (
    DATA_HEADER_BYTES,
    GRANULE_BYTES,
    MAX_RANGES,
    Begin,
    Caps,
    Data,
    Held,
    NakReason,
    Named,
    Placed,
    Range,
    Slot,
    tag_of,
)
from cidesign.device.link.session import ask_status
from cidesign.errors import DeviceError

MAX_PASSES = 4
AHEAD = 8
BLOCK_S = 0.1
MAX_BLOCK_BYTES = 4096
WINDOW_S = 0.25
MIN_WINDOW_BLOCKS = 4


@dataclass(frozen=True)
class LinkObject:
    """One object to be sent: where it goes and its bytes."""

    slot: Slot
    content: bytes

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.content).digest()


@dataclass(frozen=True)
class LinkUpload:
    """All objects of one upload in loading order: the table, then images from the highest index down.

    `design`: the digest of the design that the export names.
    """

    objects: tuple[LinkObject, ...]
    design: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 that names this upload: of the design and of every object's place, length and SHA-256."""
        whole = hashlib.sha256(self.design)
        for item in self.objects:
            whole.update(Named(item.slot, item.sha256).pack() + len(item.content).to_bytes(4, "little"))
        return whole.digest()

    @property
    def total_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(len(item.content) for item in self.objects)


@dataclass(frozen=True)
class Progress:
    """How far an upload is; `now_s` is the link's clock."""

    doing: str
    done_bytes: int
    total_bytes: int
    now_s: float


@dataclass
class TransferReport:
    """What an upload did: `held_bytes` were at the bridge already, `sent_bytes` of objects went over the line once
    or more, `resent_blocks` of them again."""

    objects: int
    loaded: int = 0
    held_bytes: int = 0
    sent_bytes: int = 0
    sent_blocks: int = 0
    resent_blocks: int = 0
    passes: int = 0


class _Again(Exception):
    """The bridge lost what it held: announce everything again."""


@dataclass(eq=False)
class _Item:
    """How far one object is."""

    item: LinkObject
    sha256: bytes
    begin: Pending | None = None
    begun: bool = False
    more_ranges: bool = False
    blocks: deque[Range] = field(default_factory=deque)
    in_flight: dict[Pending, Range] = field(default_factory=dict)
    held_bytes: int = 0
    commit: Pending | None = None
    loaded: bool = False
    hash_failures: int = 0

    @property
    def doing(self) -> str:
        return f"{'sending' if self.commit is None else 'loading'} {self.item.slot}"

    @property
    def all_held(self) -> bool:
        return self.begun and not self.blocks and not self.in_flight and not self.more_ranges


def block_bytes(baud: int, caps: Caps) -> int:
    """Bytes per DATA frame: a tenth of a second of line time, 256 to 4096, and what the bridge takes."""
    wished = int(baud / BITS_PER_BYTE * BLOCK_S)
    limit = min(wished, MAX_BLOCK_BYTES, caps.max_payload_bytes - DATA_HEADER_BYTES)
    return max(GRANULE_BYTES, limit // GRANULE_BYTES * GRANULE_BYTES)


def transfer(
    link: Link,
    upload: LinkUpload,
    caps: Caps,
    job: int,
    on_progress: Callable[[Progress], None] | None = None,
) -> Procedure[TransferReport]:
    """Procedure: bring every object of `upload` to the bridge and into the device, and verify what it reports.

    `job` 0 takes over what the bridge holds of these objects; any other number discards what was held under
    another one.  Raises `DeviceError` when the bridge or the device refuses, or keeps losing what it was sent.
    """
    report = TransferReport(len(upload.objects))
    for attempt in range(MAX_PASSES):
        report.passes += 1
        sender = _Pass(link, upload, caps, 0 if attempt else job, report, on_progress)
        try:
            yield from sender.send()
            yield from sender.verify()
        except _Again:
            link.abandon()
            continue
        report.resent_blocks = link.counts.data_frames_sent - report.sent_blocks
        return report
    raise DeviceError(
        f"the bridge lost what it was sent {MAX_PASSES} times; is its power or its memory failing? "
        "Look at its output and repeat with --resume"
    )


class _Pass:
    """One attempt to bring everything over."""

    def __init__(
        self,
        link: Link,
        upload: LinkUpload,
        caps: Caps,
        job: int,
        report: TransferReport,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._link, self._upload, self._digest = link, upload, upload.digest
        self._caps, self._job, self._report, self._on_progress = caps, job, report, on_progress
        self._items = [_Item(item, item.sha256) for item in upload.objects]
        self._block_bytes = block_bytes(link.baud, caps)
        self._full_since: int | None = None

    def send(self) -> Procedure[None]:
        """Procedure: until the device took every object."""
        while True:
            for item in self._items:
                self._take_answers(item)
            waiting = [item for item in self._items if not item.loaded]
            self._tell(waiting[0].doing if waiting else "all loaded")
            if not waiting:
                return
            self._announce(waiting)
            self._stream(waiting)
            self._load(waiting[0])
            yield

    def verify(self) -> Procedure[None]:
        """Procedure: compare the SHA-256 of every object, and ask the device how it is."""
        asked = [
            (item, self._link.submit(MessageType.STAT, Named(item.item.slot, item.sha256).pack()))
            for item in self._items
        ]
        for item, pending in asked:
            while pending.reply is None:
                yield
            if Held.unpack(require_ack(pending)).loaded_sha256 != item.sha256:
                raise _Again
        status = yield from ask_status(self._link)
        if status.error:
            raise DeviceError(f"the device reports after the upload: {status.error}")
        if not status.complete or status.upload != self._digest:
            raise _Again
        self._tell("verified")

    def _announce(self, waiting: list[_Item]) -> None:
        if self._full_since == len(waiting):
            return
        self._full_since = None
        unsent: set[bytes] = set()
        room = self._caps.memory_bytes
        for item in waiting[:AHEAD]:
            room -= len(item.item.content)
            if room < 0 and item is not waiting[0]:
                return
            # The same bytes for two places go over once: the second is announced when the first is held.
            if not item.begun and item.begin is None and item.sha256 not in unsent:
                slot, length = item.item.slot, len(item.item.content)
                begin = Begin(slot, length, item.sha256, self._job, self._upload.design, self._digest)
                item.begin = self._link.submit(MessageType.BEGIN, begin.pack())
            if not item.all_held:
                unsent.add(item.sha256)

    def _stream(self, waiting: list[_Item]) -> None:
        frames = sum(len(item.in_flight) for item in waiting)
        rate = self._link.baud / BITS_PER_BYTE
        on_the_way_s = WINDOW_S + 2 * (self._link.round_trip.smoothed_s or 0.0)
        limit = max(MIN_WINDOW_BLOCKS, int(rate * on_the_way_s / self._block_bytes))
        for item in waiting:
            while item.blocks and frames < min(limit, self._caps.window_frames):
                block = item.blocks.popleft()
                self._report.sent_blocks += 1
                self._report.sent_bytes += block.length
                self._send_block(item, block)
                frames += 1

    def _send_block(self, item: _Item, block: Range) -> None:
        content = item.item.content[block.offset : block.offset + block.length]
        data = Data(tag_of(item.sha256), block.offset, content)
        item.in_flight[self._link.submit(MessageType.DATA, data.pack())] = block

    def _load(self, first: _Item) -> None:
        if first.all_held and first.commit is None:
            first.commit = self._link.submit(MessageType.COMMIT, Named(first.item.slot, first.sha256).pack())

    def _take_answers(self, item: _Item) -> None:
        if item.begin is not None and item.begin.reply is not None:
            begin, item.begin = item.begin, None
            self._take_held(item, begin)
        for pending, block in list(item.in_flight.items()):
            if pending.reply is not None and pending in item.in_flight:
                self._take_placed(item, pending, block)
        if item.commit is not None and item.commit.reply is not None:
            commit, item.commit = item.commit, None
            self._take_loaded(item, commit)
        if item.begun and item.more_ranges and not item.blocks and not item.in_flight:
            item.begun = item.more_ranges = False

    def _take_held(self, item: _Item, begin: Pending) -> None:
        refusal = begin.refusal
        if refusal is not None:
            waiting = [other for other in self._items if not other.loaded]
            if refusal.reason == NakReason.FULL and item is not waiting[0]:
                self._full_since = len(waiting)
                return
            raise DeviceError(f"{item.item.slot}: {refused(refusal)}")
        held = Held.unpack(begin.content)
        item.begun, item.held_bytes = True, held.held_bytes
        item.loaded = held.loaded_sha256 == item.sha256
        if item.loaded:
            item.held_bytes = len(item.item.content)
        else:
            item.more_ranges = len(held.missing) == MAX_RANGES
            item.blocks = deque(self._cut(item, held.missing))
        if self._report.passes == 1 and item.hash_failures == 0:
            self._report.held_bytes += item.held_bytes

    def _cut(self, item: _Item, missing: tuple[Range, ...]) -> list[Range]:
        length = len(item.item.content)
        blocks = []
        for offset, size in missing:
            if offset + size > length:
                raise DeviceError(f"{item.item.slot}: the bridge misses bytes {offset}+{size} of {length}; update it")
            step = self._block_bytes
            blocks += [Range(at, min(step, offset + size - at)) for at in range(offset, offset + size, step)]
        return blocks

    def _take_placed(self, item: _Item, pending: Pending, block: Range) -> None:
        refusal = pending.refusal
        if refusal is not None:
            if refusal.reason == NakReason.ORDER:
                raise _Again
            raise DeviceError(f"{item.item.slot}: {refused(refusal)}")
        del item.in_flight[pending]
        placed = Placed.unpack(pending.content)
        if (placed.tag, placed.offset) != (tag_of(item.sha256), block.offset):
            # The answer of an earlier connection that had the same sequence number.
            self._send_block(item, block)
            return
        item.held_bytes += block.length
        for other, held in list(item.in_flight.items()):
            if held.offset + held.length <= placed.first_missing and other.reply is None:
                self._link.forget(other)
                del item.in_flight[other]
                item.held_bytes += held.length

    def _take_loaded(self, item: _Item, commit: Pending) -> None:
        refusal = commit.refusal
        if refusal is None:
            item.loaded = True
            self._report.loaded += 1
            return
        if refusal.reason == NakReason.ORDER:
            raise _Again
        item.hash_failures += 1
        if refusal.reason != NakReason.HASH or item.hash_failures > 1:
            raise DeviceError(f"{item.item.slot}: {refused(refusal)}")
        item.begun = False

    def _tell(self, doing: str) -> None:
        if self._on_progress is not None:
            done = sum(item.held_bytes for item in self._items)
            self._on_progress(Progress(doing, done, self._upload.total_bytes, self._link.now))

"""The bridge's end of the serial link as a pure state machine: bytes and time in, bytes out (docs/serial-protocol.md).

It does no I/O and reads no clock.  What touches the device is handed out as an `Action`, and its result is given
back, so one core serves a real port, a thread that waits for a slow device, and thousands of uploads in virtual time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from cidesign import __version__
from cidesign.device.dmd import DeviceInfo, DeviceStatus, Dmd, Half, TableEntry
from cidesign.device.link.frames import MAX_PAYLOAD_BYTES, PROTOCOL_VERSION, Frame, FrameReader, MessageType
from cidesign.device.link.holdings import Entry, Holdings
from cidesign.device.link.messages import (
    Begin,
    Caps,
    Data,
    Held,
    LinkStatus,
    MalformedError,
    Nak,
    NakReason,
    Named,
    ObjectKind,
    Placed,
    Run,
    clip_text,
    unpack_u32,
)
from cidesign.device.link.store import RangeError, Store, StoreFullError
from cidesign.errors import CidesignError, FileError

BASE_BAUD = 115_200
MIN_BAUD = 1_200
CONFIRM_S = 1.5
IDLE_S = 8.0
WINDOW_FRAMES = 64
REPLIES_FROM = 0x40


class SetBaud(NamedTuple):
    """Among outgoing bytes: what comes before leaves at the old rate, what follows at this one."""

    baud: int


@dataclass(frozen=True)
class Action:
    """A request that touches the device: `call` may take long and raise; `done` makes the reply of its result."""

    request: Frame
    call: Callable[[], Any]
    done: Callable[[Any], Frame]


class ServerCore:
    """One bridge: what it holds outlives connections; `connected` is called for each new one.

    `refuse` (a fault to be injected) may return a text, with which a request is refused.
    """

    def __init__(
        self,
        dmd: Dmd,
        store: Store,
        base_baud: int = BASE_BAUD,
        max_baud: int = 4_000_000,
        refuse: Callable[[MessageType], str | None] | None = None,
        on_event: Callable[[str], None] | None = None,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
        window_frames: int = WINDOW_FRAMES,
    ) -> None:
        self._limits = max_payload_bytes, window_frames
        self._dmd = dmd
        self._store = store
        self._base_baud = base_baud
        self._max_baud = max_baud
        self._refuse = refuse
        self._on_event = on_event
        self._holdings = Holdings()
        self._out: list[bytes | SetBaud] = []
        self._waiting: Action | None = None
        self._running: Action | None = None
        self._answered: tuple[Frame, Frame] | None = None
        self._last_run: int | None = None
        self._info: DeviceInfo | None = None
        self.connected()

    def connected(self) -> None:
        """A connection begins: at the base rate, with nothing half received."""
        self._reader = FrameReader(self._limits[0])
        self._baud = self._base_baud
        self._previous_baud = self._base_baud
        self._confirm_by: float | None = None
        self._heard_at: float | None = None
        self._out.clear()

    def receive(self, received: bytes, now: float) -> None:
        """Take bytes from the line."""
        for frame in self._reader.feed(received):
            self._heard_at = now
            if frame.type not in (MessageType.PING, MessageType.BAUD):
                self._confirm_by = None
            reply = self._answer(frame, now)
            if reply is not None:
                self._out.append(reply.pack())
        self.tick(now)

    def tick(self, now: float) -> None:
        """Let time pass: an unconfirmed rate is given up, and so is another rate than the base one after silence."""
        if self._confirm_by is not None and now >= self._confirm_by:
            self._confirm_by = None
            self._fall_back(self._previous_baud, "no confirmed exchange at the new rate")
        elif self._baud != self._base_baud and now >= (self._heard_at or 0) + IDLE_S and self._running is None:
            self._fall_back(self._base_baud, "silence")

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self._confirm_by is not None:
            return self._confirm_by
        if self._baud != self._base_baud and self._heard_at is not None and self._running is None:
            return self._heard_at + IDLE_S
        return None

    def outgoing(self) -> list[bytes | SetBaud]:
        """What is to be sent, in order; each call hands it out once."""
        out, self._out = self._out, []
        return out

    def next_action(self) -> Action | None:
        """The next thing to do with the device, handed out once; its result goes to `finish`."""
        action, self._waiting = self._waiting, None
        if action is not None:
            self._running = action
        return action

    def finish(self, action: Action, result: Any, error: CidesignError | None) -> None:
        """Give back what an action's `call` returned or raised."""
        if error is None:
            reply = action.done(result)
        else:
            self._event(f"{MessageType(action.request.type).name}: {error}")
            if action.request.type in (MessageType.COMMIT, MessageType.RUN, MessageType.STOP):
                self._holdings.uncertain()
            reply = _nak(action.request, NakReason.DEVICE, str(error))
        self._running = None
        self._answered = (action.request, reply)
        self._out.append(reply.pack())

    def _answer(self, frame: Frame, now: float) -> Frame | None:
        """The reply to a request; None when there is none yet, or none at all."""
        if frame.type >= REPLIES_FROM:
            return None
        if frame.version != PROTOCOL_VERSION:
            text = f"this bridge speaks protocol version {PROTOCOL_VERSION}, not {frame.version}"
            return _nak(frame, NakReason.VERSION, text)
        handlers: dict[int, Callable[[Frame], Frame | None]] = {
            MessageType.HELLO: self._hello,
            MessageType.PING: lambda request: _ack(request),
            MessageType.BEGIN: self._begin,
            MessageType.DATA: self._data,
            MessageType.STAT: self._stat,
            MessageType.COMMIT: self._commit,
            MessageType.RUN: self._run,
            MessageType.STOP: self._stop,
            MessageType.QUERY: self._query,
            MessageType.BAUD: lambda request: self._change_baud(request, now),
        }
        handler = handlers.get(frame.type)
        if handler is None:
            return _nak(frame, NakReason.UNKNOWN, f"message type {frame.type:#04x} is not known")
        text_or_none = self._refuse(MessageType(frame.type)) if self._refuse else None
        if text_or_none is not None:
            return _nak(frame, NakReason.REFUSED, text_or_none)
        if self._answered is not None and self._answered[0] == frame:
            return self._answered[1]
        try:
            return handler(frame)
        except MalformedError as error:
            return _nak(frame, NakReason.MALFORMED, str(error))
        except RangeError as error:
            return _nak(frame, NakReason.RANGE, str(error))
        except (StoreFullError, FileError) as error:
            return _nak(frame, NakReason.FULL, str(error))

    def _act(self, request: Frame, call: Callable[[], Any], done: Callable[[Any], Frame]) -> Frame | None:
        busy = self._busy(request)
        if busy is None:
            self._waiting = Action(request, call, done)
        return busy

    def _busy(self, request: Frame) -> Frame | None:
        action = self._waiting or self._running
        if action is None:
            return None
        return _nak(request, NakReason.BUSY, f"at work on {MessageType(action.request.type).name}")

    def _hello(self, request: Frame) -> Frame | None:
        self._answered = None
        self._holdings.announced = {}
        return (
            self._caps(request, self._info) if self._info else self._act(request, self._dmd.info, self._meet(request))
        )

    def _meet(self, request: Frame) -> Callable[[DeviceInfo], Frame]:
        def done(info: DeviceInfo) -> Frame:
            self._info = info
            self._holdings.takes_images = info.image_upload
            return self._caps(request, info)

        return done

    def _caps(self, request: Frame, info: DeviceInfo) -> Frame:
        memory = min(self._store.memory_bytes, 2**32 - 1)
        caps = Caps(*self._limits, memory, self._max_baud, f"cidesign {__version__}", info)
        return Frame(MessageType.CAPS, request.sequence, caps.pack())

    def _begin(self, request: Frame) -> Frame:
        begin = Begin.unpack(request.payload)
        kind, index = begin.slot
        if kind not in tuple(ObjectKind) or (kind == ObjectKind.TABLE and index) or not begin.length:
            raise RangeError(f"object kind {kind}, index {index}, {begin.length} bytes: there is no such object")
        if self._info is not None and kind != ObjectKind.TABLE and index >= self._info.max_images:
            raise RangeError(f"image {index}: {self._info.profile_id} takes images 0 to {self._info.max_images - 1}")
        self._store.enter(begin.upload)
        self._holdings.announce(begin)
        needed = {entry.sha256 for entry in self._holdings.announced.values()}
        loaded = {sha for slot in self._holdings.loaded if (sha := self._holdings.shown(slot)) in needed}
        self._store.begin(begin.sha256, begin.length, begin.job, needed, loaded - {begin.sha256})
        return self._held(request, Named(begin.slot, begin.sha256))

    def _held(self, request: Frame, named: Named) -> Frame:
        assembly = self._store.get(named.sha256)
        shown = self._holdings.shown(named.slot)
        held = Held(shown, assembly.held.total, assembly.missing()) if assembly else Held(shown, 0, ())
        return _ack(request, held.pack())

    def _stat(self, request: Frame) -> Frame:
        return self._held(request, Named.unpack(request.payload))

    def _data(self, request: Frame) -> Frame:
        data = Data.unpack(request.payload)
        assembly = self._store.tagged(data.tag)
        if assembly is None:
            tag = data.tag.to_bytes(4, "little").hex()
            return _nak(request, NakReason.ORDER, f"no object with tag {tag} is open; BEGIN it first")
        self._store.place(assembly, data.offset, data.content)
        return _ack(request, Placed(data.tag, data.offset, assembly.held.first_missing).pack())

    def _commit(self, request: Frame) -> Frame | None:
        named = Named.unpack(request.payload)
        holdings, assembly = self._holdings, self._store.get(named.sha256)
        if holdings.shown(named.slot) == named.sha256 and holdings.expects(*named):
            return _ack(request)
        busy = self._busy(request)
        if busy is not None:
            return busy
        if assembly is None or not holdings.expects(*named):
            return _nak(request, NakReason.ORDER, f"{named.slot} was not announced with this SHA-256; BEGIN it first")
        if not assembly.complete:
            return _nak(
                request, NakReason.ORDER, f"{named.slot}: {assembly.held.total} of {len(assembly.content)} bytes"
            )
        content = assembly.verified()
        if content is None:
            self._store.drop(named.sha256)
            self._event(f"{named.slot}: its bytes do not have the announced SHA-256; thrown away")
            return _nak(request, NakReason.HASH, f"{named.slot}: the bytes do not have the announced SHA-256")
        if not holdings.begin_load(named.slot):
            return _nak(request, NakReason.ORDER, f"{named.slot}: load the sequence table first, then the images")
        return self._load(request, named, content)

    def _load(self, request: Frame, named: Named, content: bytes) -> Frame | None:
        holdings, (kind, index) = self._holdings, named.slot
        entry = Entry(named.sha256, holdings.announced[named.slot].job)
        must_prepare = not holdings.prepared

        def call() -> list[TableEntry]:
            if kind != ObjectKind.TABLE:
                half = Half.PRIMARY if kind == ObjectKind.IMAGE_PRIMARY else Half.SECONDARY
                self._dmd.load_image(index, half, content)
                return []
            table = TableEntry.unpack_all(content)
            if must_prepare:
                self._dmd.prepare()
            self._dmd.load_sequence(table)
            return table

        def done(table: list[TableEntry]) -> Frame:
            holdings.finish_load(named.slot, entry, table)
            self._event(f"{named.slot}: {len(content)} bytes loaded, SHA-256 {named.sha256.hex()[:12]}")
            return _ack(request)

        return self._act(request, call, done)

    def _run(self, request: Frame) -> Frame | None:
        run = Run.unpack(request.payload)
        if run.run == self._last_run:
            return _ack(request)
        if run.upload != self._holdings.shown_upload or not self._holdings.complete:
            return _nak(request, NakReason.NOT_LOADED, "the device does not hold all objects of this upload")

        def done(_: None) -> Frame:
            self._last_run = run.run
            self._holdings.prepared = False
            self._event(f"started, repeats {run.repeats or 'until stopped'}")
            return _ack(request)

        return self._act(request, lambda: self._dmd.start(run.repeats), done)

    def _stop(self, request: Frame) -> Frame | None:
        def done(_: None) -> Frame:
            self._holdings.uncertain()
            self._event("stopped")
            return _ack(request)

        return self._act(request, self._dmd.stop, done)

    def _query(self, request: Frame) -> Frame | None:
        def done(status: DeviceStatus) -> Frame:
            held = self._holdings
            held.believe(status)
            counts = status.images_loaded, status.entries_loaded
            digests = held.shown_design, held.shown_upload
            state = LinkStatus(status.running, status.idle, held.complete, *counts, *digests, status.error)
            return _ack(request, state.pack())

        return self._act(request, self._dmd.status, done)

    def _change_baud(self, request: Frame, now: float) -> Frame | None:
        baud = unpack_u32(request.payload)
        if not MIN_BAUD <= baud <= self._max_baud:
            raise RangeError(f"{baud} baud: this bridge takes {MIN_BAUD} to {self._max_baud}")
        if baud != self._baud:
            self._out += [_ack(request).pack(), SetBaud(baud)]
            # The base rate needs no confirmation: it is where the next uploader looks.
            self._confirm_by = None if baud == self._base_baud else now + CONFIRM_S
            self._previous_baud, self._baud = self._baud, baud
            return None
        return _ack(request)

    def _fall_back(self, baud: int, why: str) -> None:
        text = f"back to {baud} baud: {why}"
        self._baud = baud
        self._out += [SetBaud(baud), Frame(MessageType.LOG, 0, clip_text(text)).pack()]
        self._event(text)

    def _event(self, text: str) -> None:
        if self._on_event is not None:
            self._on_event(text)


def _ack(request: Frame, content: bytes = b"") -> Frame:
    return Frame(MessageType.ACK, request.sequence, bytes([request.type]) + content)


def _nak(request: Frame, reason: NakReason, text: str) -> Frame:
    return Frame(MessageType.NAK, request.sequence, Nak(request.type, reason, text).pack())

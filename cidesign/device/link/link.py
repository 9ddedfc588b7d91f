"""The uploader's end of the serial link: requests, time-outs and retransmission, as a pure state machine.

It does no I/O and reads no clock: `receive` and `tick` are told the time, `outgoing` says what to send.  Procedures
(see `session`) are generators that submit requests and yield until something has happened.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

from cidesign.device.link.core import SetBaud
from cidesign.device.link.frames import OVERHEAD_BYTES, PROTOCOL_VERSION, Frame, FrameReader, MessageType
from cidesign.device.link.messages import MAX_TEXT_BYTES, MalformedError, Nak, NakReason
from cidesign.errors import DeviceError

T = TypeVar("T")
Procedure = Generator[None, None, T]

MAX_TRIES = 9
MAX_TRIES_ALIVE = 25
SILENCE_S = 8.0
MAX_REFUSALS = 10
MAX_BUSY_S = 300.0
PASSED_OVER = 3
BITS_PER_BYTE = 10  # one start bit, eight data bits, one stop bit

_TIMED = frozenset({MessageType.PING, MessageType.BEGIN, MessageType.DATA, MessageType.STAT})


class RoundTrip:
    """The time-out of RFC 6298: RTO = SRTT + max(10 ms, 4 RTTVAR), doubled by each time-out until an answer comes."""

    FIRST_S, SHORTEST_S, LONGEST_S = 1.0, 0.2, 3.0

    def __init__(self) -> None:
        self.smoothed_s: float | None = None
        self._variation_s = 0.0
        self._doublings = 0

    def sample(self, measured_s: float) -> None:
        """Take one measured round trip, of a request that was sent once (Karn)."""
        if self.smoothed_s is None:
            self.smoothed_s, self._variation_s = measured_s, measured_s / 2
        else:
            self._variation_s += (abs(self.smoothed_s - measured_s) - self._variation_s) / 4
            self.smoothed_s += (measured_s - self.smoothed_s) / 8

    def back_off(self) -> None:
        """Double the time-out."""
        self._doublings += 1

    def answered(self) -> None:
        """Something was answered: the doubling ends."""
        self._doublings = 0

    @property
    def timeout_s(self) -> float:
        """How long to wait for an answer after the last bit has left."""
        if self.smoothed_s is None:
            single_s = self.FIRST_S
        else:
            single_s = max(self.SHORTEST_S, self.smoothed_s + max(0.010, 4 * self._variation_s))
        return min(self.LONGEST_S, single_s * 2.0**self._doublings)


@dataclass(eq=False)
class Pending:
    """A request that waits for its answer: an ACK, CAPS, or a NAK that repeating would not change."""

    frame: Frame
    wire: bytes
    reply: Frame | None = None
    sent: int = 0
    tries: int = 0
    refusals: int = 0
    order: int = 0
    passed_over: int = 0
    overdue: bool = False
    paused: bool = False
    line_free_at: float = 0.0
    due: float = 0.0
    busy_since: float | None = None

    @property
    def refusal(self) -> Nak | None:
        """The NAK that is the answer, if it is one."""
        if self.reply is None or self.reply.type != MessageType.NAK:
            return None
        return Nak.unpack(self.reply.payload)

    @property
    def content(self) -> bytes:
        """What follows the request's type in an ACK; all of CAPS."""
        reply = self.reply
        if reply is None:
            raise DeviceError(f"{name_of(self.frame.type)} has no answer yet; this is a defect of the uploader")
        return reply.payload if reply.type == MessageType.CAPS else reply.payload[1:]


@dataclass
class LinkCounts:
    """What went over the line, for reports."""

    frames_sent: int = 0
    frames_resent: int = 0
    bytes_sent: int = 0
    data_frames_sent: int = 0
    logs: list[str] = field(default_factory=list)


class Link:
    """Requests in flight to one bridge.  `first_sequence` should be random: it keeps old answers apart."""

    def __init__(self, baud: int, first_sequence: int = 0, on_log: Callable[[str], None] | None = None) -> None:
        self.baud = baud
        self.now = 0.0
        self.round_trip = RoundTrip()
        self.counts = LinkCounts()
        self.alarm: float | None = None
        self.echoed = False
        self.heard = False
        self._on_log = on_log
        self._sequence = first_sequence & 0xFFFF
        self._order = 0
        self._line_free_at = 0.0
        self._heard_at = 0.0
        self._pending: dict[int, Pending] = {}
        self._out: list[bytes | SetBaud] = []
        self._reader = FrameReader()

    @property
    def sample(self) -> bytes:
        """The first bytes that came, as long as no sound frame has come."""
        return self._reader.sample

    @property
    def damaged(self) -> int:
        """Bodies that came with a wrong CRC, length or escape."""
        return self._reader.damaged

    def submit(self, kind: MessageType, payload: bytes = b"") -> Pending:
        """Send a request; it is repeated until it is answered."""
        frame = Frame(kind, self._sequence, payload)
        self._sequence = (self._sequence + 1) & 0xFFFF
        pending = Pending(frame, frame.pack())
        self._pending[frame.sequence] = pending
        self._send(pending)
        return pending

    def forget(self, pending: Pending) -> None:
        """Wait no longer for an answer."""
        self._pending.pop(pending.frame.sequence, None)

    def abandon(self) -> None:
        """Forget all requests and what is not sent yet."""
        self._pending.clear()
        self._out.clear()
        self.alarm = None

    def set_baud(self, baud: int) -> None:
        """What is sent from now on leaves at another rate."""
        self.baud = baud
        self._out.append(SetBaud(baud))

    def outgoing(self) -> list[bytes | SetBaud]:
        """What is to be sent, in order; each call hands it out once."""
        out, self._out = self._out, []
        return out

    def next_deadline(self) -> float | None:
        """When `tick` or the procedure has something to do."""
        times = [pending.due for pending in self._pending.values()]
        if self.alarm is not None:
            times.append(self.alarm)
        return min(times, default=None)

    def receive(self, received: bytes, now: float) -> None:
        """Take bytes from the line; raises `DeviceError` for a bridge of another version or a refusal without end."""
        self.now = now
        for frame in self._reader.feed(received):
            self._take(frame)
        self.tick(now)

    def tick(self, now: float) -> None:
        """Let time pass: repeat what is overdue; raises `DeviceError` when a request stays unanswered."""
        self.now = now
        late = sorted((item for item in self._pending.values() if item.due <= now), key=lambda item: item.order)
        for paused in [item for item in late if item.paused]:
            self._send(paused)
        unanswered = [item for item in late if not item.paused and item.due <= now]
        if not unanswered:
            return
        first, *others = unanswered
        self.round_trip.back_off()
        self._send(first)
        for item in others:
            # One probe is enough while the line may be dead; its answer sends the rest at once.
            item.overdue, item.due = True, first.due

    def _give_up(self, pending: Pending) -> None:
        """Raise `DeviceError` when a request was repeated often enough."""
        what = name_of(pending.frame.type)
        silent_s = self.now - self._heard_at
        if pending.tries >= MAX_TRIES and silent_s > SILENCE_S:
            raise DeviceError(
                f"no answer to {what} after {pending.tries} tries, and nothing heard for {silent_s:.0f} s; "
                "is the bridge still running, the cable in place, and software flow control (XON/XOFF) off?"
            )
        if pending.tries >= MAX_TRIES_ALIVE:
            raise DeviceError(
                f"{what} was sent {pending.tries} times and never answered, though other frames are; the line is very "
                "noisy, or something takes bytes out of it: is software flow control (XON/XOFF) on?"
            )

    def _take(self, frame: Frame) -> None:
        self.heard, self._heard_at = True, self.now
        if frame.version != PROTOCOL_VERSION:
            raise DeviceError(
                f"the bridge speaks protocol version {frame.version}, this cidesign version {PROTOCOL_VERSION}; "
                "install the same version of cidesign on both computers"
            )
        if frame.type < MessageType.CAPS:
            self.echoed = True
        elif frame.type == MessageType.LOG:
            self._log(frame.payload[:MAX_TEXT_BYTES].decode(errors="replace"))
        else:
            pending = self._pending.get(frame.sequence)
            if pending is not None and _answers(frame, pending.frame):
                self._answered(pending, frame)

    def _answered(self, pending: Pending, frame: Frame) -> None:
        if pending.sent == 1 and not pending.paused and pending.frame.type in _TIMED:
            self.round_trip.sample(max(0.0, self.now - pending.line_free_at))
        self.round_trip.answered()
        in_flight = sum(len(item.wire) for item in self._pending.values())
        self._line_free_at = min(self._line_free_at, self.now + in_flight * BITS_PER_BYTE / self.baud)
        if frame.type == MessageType.NAK and self._pauses(pending, Nak.unpack(frame.payload)):
            return
        pending.reply = frame
        self.forget(pending)
        for other in list(self._pending.values()):
            if other.order < pending.order and not other.paused:
                other.passed_over += 1
                if other.overdue or (other.passed_over >= PASSED_OVER and other.frame.type == MessageType.DATA):
                    self._send(other)

    def _pauses(self, pending: Pending, nak: Nak) -> bool:
        """Whether the request is to be repeated after a pause; raises `DeviceError` when it was often enough."""
        what = name_of(pending.frame.type)
        if nak.reason == NakReason.VERSION:
            raise DeviceError(f"protocol versions differ: {nak.text}; install the same cidesign on both computers")
        if nak.reason == NakReason.BUSY:
            pending.busy_since = self.now if pending.busy_since is None else pending.busy_since
            waited_s = self.now - pending.busy_since
            if waited_s > MAX_BUSY_S:
                raise DeviceError(f"{what}: the bridge is busy since {waited_s:.0f} s ({nak.text}); restart it")
            pause_s = min(2.0, 0.25 + waited_s / 4)
        elif nak.reason == NakReason.REFUSED:
            pending.refusals += 1
            if pending.refusals > MAX_REFUSALS:
                raise DeviceError(
                    f"{what}: the bridge refused it {pending.refusals} times ({nak.text}); see its output"
                )
            pause_s = min(2.0, 0.1 * 2 ** (pending.refusals - 1))
        else:
            return False
        pending.tries, pending.paused, pending.due = 0, True, self.now + pause_s
        return True

    def _send(self, pending: Pending) -> None:
        self._give_up(pending)
        pending.sent += 1
        pending.tries += 1
        pending.order = self._order
        self._order += 1
        pending.passed_over, pending.overdue, pending.paused = 0, False, False
        line_s = (len(pending.wire) + OVERHEAD_BYTES) * BITS_PER_BYTE / self.baud
        self._line_free_at = max(self.now, self._line_free_at) + line_s
        pending.line_free_at = self._line_free_at
        pending.due = self._line_free_at + self.round_trip.timeout_s
        self._out.append(pending.wire)
        self.counts.frames_sent += 1
        self.counts.frames_resent += pending.sent > 1
        self.counts.data_frames_sent += pending.frame.type == MessageType.DATA
        self.counts.bytes_sent += len(pending.wire)

    def _log(self, text: str) -> None:
        self.counts.logs.append(text)
        if self._on_log is not None:
            self._on_log(text)


def name_of(kind: int) -> str:
    """The name of a message type, or its number."""
    return MessageType(kind).name if kind in tuple(MessageType) else f"message {kind:#04x}"


def _answers(frame: Frame, request: Frame) -> bool:
    if frame.type == MessageType.CAPS:
        return request.type == MessageType.HELLO
    if not frame.payload:
        raise MalformedError("the bridge sent an empty ACK or NAK; it does not speak this protocol")
    return frame.payload[0] == request.type


def answer_to(link: Link, kind: MessageType, payload: bytes = b"") -> Procedure[Pending]:
    """Procedure: submit a request and wait for its answer, whatever it is."""
    pending = link.submit(kind, payload)
    while pending.reply is None:
        yield
    return pending


def require_ack(pending: Pending) -> bytes:
    """The content of the answer; raises `DeviceError` with the bridge's words when it is a refusal."""
    refusal = pending.refusal
    if refusal is not None:
        raise DeviceError(refused(refusal))
    return pending.content


def refused(nak: Nak) -> str:
    """A refusal in words."""
    reason = NakReason(nak.reason).name.lower() if nak.reason in tuple(NakReason) else f"reason {nak.reason}"
    return f"the bridge refused {name_of(nak.request)} ({reason.replace('_', ' ')}): {nak.text}"

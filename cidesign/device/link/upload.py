"""One upload over one port: connect, compare, send, verify, start; whatever happens, the device is left stopped."""

import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from cidesign.device.link import session
from cidesign.device.link.client import run
from cidesign.device.link.core import BASE_BAUD
from cidesign.device.link.link import Link, Procedure, T
from cidesign.device.link.messages import Caps, LinkStatus
from cidesign.device.link.plan import UploadPlan, UploadPlans, check_device
from cidesign.device.link.transfer import Progress, TransferReport, transfer
from cidesign.device.link.transport import Transport, TransportClosed, open_transport
from cidesign.errors import CidesignError, DeviceError
from cidesign.files import JsonObject
from cidesign.signals import signals_to
from cidesign.units import US_PER_S

# A sequence that is to be shown once has ended after this part more than its time, and so many seconds.
LATEST, END_S = 1.5, 10.0


@dataclass(frozen=True)
class UploadResult:
    """What an upload did and what the device says at its end."""

    transfer: TransferReport
    status: LinkStatus
    seconds: float
    baud: int
    notes: tuple[str, ...]

    def value(self) -> JsonObject:
        """The result for programs."""
        done = self.transfer
        return {
            "objects": done.objects,
            "loaded": done.loaded,
            "held_bytes": done.held_bytes,
            "sent_bytes": done.sent_bytes,
            "sent_blocks": done.sent_blocks,
            "resent_blocks": done.resent_blocks,
            "seconds": round(self.seconds, 3),
            "baud": self.baud,
            "verified": True,
            "status": status_value(self.status),
            "notes": list(self.notes),
        }


def status_value(status: LinkStatus) -> JsonObject:
    """A device's status for programs."""
    return {
        "running": status.running,
        "idle": status.idle,
        "complete": status.complete,
        "images": status.images_loaded,
        "entries": status.entries_loaded,
        "design_digest": status.design.hex(),
        "upload_digest": status.upload.hex(),
        "error": status.error,
    }


class Uploader:
    """A connection to a bridge; use it as a context.

    `caps` is what the bridge said of itself and its device; `touched` tells whether anything was sent for the device.
    """

    def __init__(
        self, transport: Transport, baud: int = BASE_BAUD, on_note: Callable[[str], None] | None = None
    ) -> None:
        self._transport = transport
        self._baud = baud
        self._on_note = on_note
        self._notes: list[str] = []
        self._link = Link(BASE_BAUD, secrets.randbelow(0x10000), self._note)
        self._found_baud = BASE_BAUD
        self._caps: Caps | None = None
        self.touched = False

    def __enter__(self) -> "Uploader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    @property
    def caps(self) -> Caps:
        """What the bridge said of itself; raises `DeviceError` before `connect`."""
        if self._caps is None:
            raise DeviceError(f"{self._transport.name}: not connected yet")
        return self._caps

    def connect(self) -> Caps:
        """Find the bridge, and go on at the wished rate where both ends can."""
        other = self._baud if self._baud != BASE_BAUD else None
        self._caps = self._run(session.connect(self._link, self._transport.name, other))
        self._found_baud = self._link.baud
        if self._link.baud != self._baud and not self._run(session.change_baud(self._link, self._baud)):
            self._note(f"{self._baud} baud does not work on this line; going on at {self._link.baud}")
        return self._caps

    def upload(
        self, plan: UploadPlan, resume: bool, on_progress: Callable[[Progress], None] | None = None
    ) -> UploadResult:
        """Compare the device with the plan, then send, load and verify; without `resume` everything is sent anew."""
        check_device(plan, self.caps)
        # Asking first lets the bridge notice that its device lost power since the last upload.
        self.status()
        before_s = self._link.now
        job = 0 if resume else 1 + secrets.randbelow(2**32 - 1)
        self.touched = True
        report = self._run(transfer(self._link, plan.upload, self.caps, job, on_progress))
        status = self._run(session.ask_status(self._link))
        return UploadResult(report, status, self._link.now - before_s, self._link.baud, tuple(self._notes))

    def start(self, plan: UploadPlan, repeats: int) -> LinkStatus:
        """Show the sequence `repeats` times; 0 goes on until stopped."""
        self.touched = True
        return self._run(session.start(self._link, secrets.randbelow(2**32), repeats, plan.upload.digest))

    def wait(self, plan: UploadPlan) -> LinkStatus:
        """Until a sequence that was started to be shown once has ended; raises `DeviceError` when it does not."""
        return self._run(session.ended(self._link, END_S + LATEST * plan.sequence_us / US_PER_S))

    def status(self) -> LinkStatus:
        """Ask the device."""
        return self._run(session.ask_status(self._link))

    def stop(self) -> LinkStatus:
        """Stop the device; requests that are still under way are given up."""
        self._link.abandon()
        return self._run(session.stop(self._link))

    def leave(self) -> None:
        """Put the bridge back to the rate it was found at."""
        self._run(session.leave(self._link, self._found_baud))

    def stop_after_failure(self) -> str:
        """Stop the device after an error or an interrupt, and say in words what became of it."""
        if not self.touched:
            return "nothing was sent, and the device was left as it was"
        try:
            status = self.stop()
            self.leave()
        except TransportClosed:
            return "the port is gone, so the device could not be told to stop; nothing was started"
        except CidesignError as error:
            return f"the device could not be stopped: {error}"
        if status.running:
            return "the device took the stop and says that it still runs; switch its light off"
        return "the device is stopped and idle" if status.idle else "the device is stopped"

    def _run(self, procedure: Procedure[T]) -> T:
        return run(procedure, self._link, self._transport)

    def _note(self, text: str) -> None:
        self._notes.append(text)
        if self._on_note is not None:
            self._on_note(text)


@dataclass(frozen=True)
class Uploaded:
    """What an upload left: the plan, what was sent, and the device's status after a start (None: not started)."""

    plan: UploadPlan
    port: str
    baud: int
    result: UploadResult
    started: LinkStatus | None

    def value(self) -> JsonObject:
        """The upload for programs."""
        started = None if self.started is None else status_value(self.started)
        return {
            "plan": self.plan.value(self.baud),
            "port": self.port,
            "result": self.result.value(),
            "started": started,
        }


@contextmanager
def connected(port: str, baud: int, on_note: Callable[[str], None] | None = None) -> Iterator[Uploader]:
    """An uploader on a port (`/dev/ttyUSB0`, `COM3`, `socket://host:port`), closed at the end."""
    with Uploader(open_transport(port, BASE_BAUD), baud, on_note) as uploader:
        yield uploader


def send(
    plan: UploadPlan,
    port: str,
    baud: int,
    *,
    resume: bool = False,
    start: bool = False,
    repeats: int = 0,
    on_note: Callable[[str], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_unfinished: Callable[[bool], None] | None = None,
) -> Uploaded:
    """Send a plan, verify it, and start it if asked for; an error or an interrupt leaves the device stopped.

    `on_unfinished` is then called, and told whether something was sent; the error goes on.
    """
    say = on_note or (lambda _: None)
    with _session(port, baud, say, on_unfinished) as uploader:
        done = uploader.upload(plan, resume, on_progress)
        started = uploader.start(plan, repeats) if start else None
        uploader.leave()
    return Uploaded(plan, port, baud, done, started)


def show_each(
    plans: UploadPlans,
    port: str,
    baud: int,
    *,
    resume: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_unfinished: Callable[[bool], None] | None = None,
) -> list[Uploaded]:
    """Send, verify and show each sequence of an export once, one after the other; the device is left stopped.

    With `resume` nothing is sent that the bridge holds of an earlier showing, so that only loading lies between two
    sequences.  Otherwise as `send`.
    """
    say = on_note or (lambda _: None)
    shown = []
    with _session(port, baud, say, on_unfinished) as uploader:
        for number in range(1, plans.sequences + 1):
            plan = plans.plan(number, baud)
            done = uploader.upload(plan, resume, on_progress)
            started = uploader.start(plan, 1)
            say(f"sequence {number} of {plans.sequences}: {len(plan.entries)} frames are being shown")
            uploader.wait(plan)
            shown.append(Uploaded(plan, port, baud, done, started))
        uploader.stop()
        uploader.leave()
    return shown


@contextmanager
def _session(
    port: str, baud: int, say: Callable[[str], None], on_unfinished: Callable[[bool], None] | None
) -> Iterator[Uploader]:
    """A connected uploader; an error or an interrupt leaves the device stopped, and goes on."""
    with connected(port, baud, lambda text: say(f"note: {text}")) as uploader:
        caps = uploader.connect()
        say(f"device: {caps.info.profile_id}, firmware {'.'.join(map(str, caps.info.firmware))}; {caps.software}")
        try:
            yield uploader
        except (CidesignError, KeyboardInterrupt):
            # A second signal must not leave the device as it is; this takes at most 12 s.
            with signals_to(signal.SIG_IGN):
                say(f"not finished: {uploader.stop_after_failure()}")
            if on_unfinished is not None:
                on_unfinished(uploader.touched)
            raise

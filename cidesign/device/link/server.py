"""The bridge's end of the serial link on a real transport: `core` driven by a clock and a thread for the device."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from cidesign.device.dmd import Dmd
from cidesign.device.link.core import BASE_BAUD, Action, ServerCore, SetBaud
from cidesign.device.link.frames import MessageType
from cidesign.device.link.store import Spool, Store
from cidesign.device.link.transport import Transport, TransportClosed
from cidesign.errors import CidesignError

_POLL_S = 0.2
_POLL_AT_WORK_S = 0.01


class LinkServer:
    """Answers uploaders on a transport and loads the device; what it holds outlives connections.

    Device calls come one at a time from one worker thread, so that the link answers while the device is slow.
    `spool`: a folder in which a killed bridge finds again what it held.  `refuse` (a fault to be injected) may
    return a text with which a request is refused.  `on_event` gets one line per thing worth a log line.
    """

    def __init__(
        self,
        dmd: Dmd,
        *,
        memory_bytes: int = 512_000_000,
        spool: Path | None = None,
        base_baud: int = BASE_BAUD,
        max_baud: int = 4_000_000,
        refuse: Callable[[MessageType], str | None] | None = None,
        on_event: Callable[[str], None] | None = None,
    ) -> None:
        store = Store(memory_bytes, Spool(spool) if spool is not None else None)
        self._core = ServerCore(dmd, store, base_baud, max_baud, refuse, on_event)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="cidesign-device")
        self._at_work: tuple[Action, Future[Any]] | None = None
        self._transport: Transport | None = None

    def serve(self, transport: Transport, stop: threading.Event | None = None) -> None:
        """Answer on `transport` until it closes or `stop` is set."""
        self.connect(transport)
        try:
            while stop is None or not stop.is_set():
                self.step(_POLL_S)
        except TransportClosed:
            return

    def connect(self, transport: Transport) -> None:
        """Begin to answer on `transport`; call `step` again and again."""
        self._transport = transport
        self._core.connected()

    def step(self, timeout_s: float) -> None:
        """Answer what comes within `timeout_s`, and return; raises `TransportClosed` when the peer is gone.

        Raises `CidesignError` before `connect`.
        """
        if self._transport is None:
            raise CidesignError("the link server has no transport yet; connect one first")
        deadline = self._core.next_deadline()
        wait_s = timeout_s if deadline is None else min(timeout_s, max(0.0, deadline - time.monotonic()))
        received = self._transport.read(min(wait_s, _POLL_AT_WORK_S) if self._at_work else wait_s)
        now = time.monotonic()
        if received:
            self._core.receive(received, now)
        else:
            self._core.tick(now)
        self._work()
        for item in self._core.outgoing():
            if isinstance(item, SetBaud):
                self._transport.drain()
                self._transport.set_baud(item.baud)
            else:
                self._transport.write(item)

    def close(self) -> None:
        """Wait for the device to finish what it does, and let the worker thread end."""
        self._worker.shutdown()

    def _work(self) -> None:
        if self._at_work is None:
            action = self._core.next_action()
            if action is not None:
                self._at_work = action, self._worker.submit(action.call)
                # Most calls return at once; waiting for a moment here saves the reply a turn.
                wait([self._at_work[1]], _POLL_AT_WORK_S)
        if self._at_work is not None and self._at_work[1].done():
            action, future = self._at_work
            self._at_work = None
            error = future.exception()
            if error is not None and not isinstance(error, CidesignError):
                raise error
            self._core.finish(action, None if error else future.result(), error)

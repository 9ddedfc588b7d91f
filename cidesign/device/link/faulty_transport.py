"""A transport that loses, changes, repeats and delays bytes, or goes away; wraps any other transport."""

import random
import time
from collections import deque
from collections.abc import Callable

from cidesign.device.link.transport import Transport, TransportClosed
from cidesign.device.link.virtual_line import LineFaults


class FaultyTransport:
    """Faults in both directions, from one seeded source.

    `disconnect_rate` is the chance, per piece of data, that the port goes away.  Delayed bytes keep their order, as
    on a real line: what follows them waits too.
    """

    def __init__(
        self,
        inner: Transport,
        faults: LineFaults,
        disconnect_rate: float,
        source: random.Random,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = inner.name
        self._inner = inner
        self._faults = faults
        self._disconnect_rate = disconnect_rate
        self._source = source
        self._now = now
        self._unplugged = False
        self._inward: deque[tuple[float, bytes]] = deque()
        self._outward: deque[tuple[float, bytes]] = deque()

    def read(self, timeout_s: float) -> bytes:
        """What has come, as the faulty line delivers it; see `Transport`."""
        self._send_due()
        received = self._inner.read(self._wait_s(timeout_s))
        if received:
            self._queue(self._inward, received)
        self._send_due()
        return self._due(self._inward)

    def write(self, content: bytes) -> None:
        """Send `content` as the faulty line takes it; see `Transport`."""
        self._queue(self._outward, content)
        self._send_due()

    def drain(self) -> None:
        """Wait until the last bit has left."""
        self._send_due()
        self._inner.drain()

    def set_baud(self, baud: int) -> None:
        """Change the line rate."""
        self._inner.set_baud(baud)

    def close(self) -> None:
        """Release the port, unless the fault has done so."""
        if not self._unplugged:
            self._inner.close()

    def _queue(self, queue: deque[tuple[float, bytes]], content: bytes) -> None:
        if self._source.random() < self._disconnect_rate:
            self._inner.close()
            self._unplugged = True
            raise TransportClosed(f"{self.name}: unplugged by the fault disconnect")
        queue.extend((self._now() + delay_s, part) for delay_s, part in self._faults.pass_on(content))

    def _wait_s(self, timeout_s: float) -> float:
        dues = [queue[0][0] for queue in (self._inward, self._outward) if queue]
        return min([timeout_s, *(max(0.0, due - self._now()) for due in dues)])

    def _due(self, queue: deque[tuple[float, bytes]]) -> bytes:
        parts = []
        now = self._now()
        while queue and queue[0][0] <= now:
            parts.append(queue.popleft()[1])
        return b"".join(parts)

    def _send_due(self) -> None:
        content = self._due(self._outward)
        if content:
            self._inner.write(content)

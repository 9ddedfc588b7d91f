"""A transport that loses, changes, repeats and delays bytes, or goes away; wraps any other transport."""

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from cidesign.device.link.transport import Transport, TransportClosed


@dataclass
class LineFaults:
    """What goes wrong on the line: probabilities per write, and the longest delay in seconds.

    A delayed write is overtaken by later ones, which a real line cannot do; the protocol bears it all the same.
    """

    random: random.Random
    flip: float = 0.0
    drop_byte: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    garbage: float = 0.0
    delay: float = 0.0
    max_delay_s: float = 0.5

    def pass_on(self, content: bytes) -> list[tuple[float, bytes]]:
        """What arrives of one write, each part with its extra delay in seconds."""
        draw = self.random.random
        if draw() < self.drop:
            return []
        changed = bytearray(content)
        if draw() < self.flip:
            changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
        if draw() < self.drop_byte:
            del changed[self.random.randrange(len(changed))]
        if draw() < self.garbage:
            where = self.random.randrange(len(changed) + 1)
            changed[where:where] = self.random.randbytes(self.random.randrange(1, 40))
        delay_s = self.random.uniform(0, self.max_delay_s) if draw() < self.delay else 0.0
        parts = [(delay_s, bytes(changed))]
        if draw() < self.duplicate:
            parts.append((self.random.uniform(0, self.max_delay_s), bytes(changed)))
        return parts


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

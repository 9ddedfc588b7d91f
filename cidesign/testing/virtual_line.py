"""A serial line in virtual time between the two pure ends of the link: rate, latency and faults, no thread, no sleep.

Tests and benchmarks run thousands of uploads on it in the time that the Python code itself takes.
"""

import heapq
import itertools
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cidesign.device.link.core import Action, ServerCore, SetBaud
from cidesign.device.link.faulty_transport import LineFaults
from cidesign.device.link.link import BITS_PER_BYTE, Link, Procedure, T
from cidesign.device.link.transport import TransportClosed
from cidesign.errors import CidesignError, DeviceError

MAX_EVENTS = 5_000_000


class Way(Enum):
    """The two directions of the line."""

    TO_BRIDGE = 0
    TO_UPLOADER = 1


@dataclass
class _End:
    """One end of the line: its rate, when its transmitter is free, and how much it may still send before the cut."""

    baud: int
    free_at: float = 0.0
    sent_bytes: int = 0
    cut_after: int | None = None
    changes: list[tuple[float, int]] = field(default_factory=list)

    def baud_at(self, moment: float) -> int:
        """The rate that is set at a moment (rate changes take effect when what was sent before has left)."""
        while self.changes and self.changes[0][0] <= moment:
            self.baud = self.changes.pop(0)[1]
        return self.baud


class VirtualLine:
    """Connects a `Link` and a `ServerCore`; `latency_s` is one way, `work_s` how long the device takes per action.

    `cut_after` (bytes sent one way) ends the connection at exactly that byte: `run` raises `TransportClosed`.
    `silent` cuts only stop the bytes, so that the uploader has to find out by time-outs.
    """

    def __init__(
        self,
        link: Link,
        bridge: ServerCore,
        latency_s: float = 0.0,
        faults: LineFaults | None = None,
        work_s: float = 0.0,
        cut_after: tuple[Way, int] | None = None,
        silent: bool = False,
    ) -> None:
        self.link, self.bridge = link, bridge
        self.now = link.now
        self.latency_s, self.faults, self.work_s, self.silent = latency_s, faults, work_s, silent
        self.most_in_flight = 0
        self._ends = {way: _End(link.baud) for way in Way}
        if cut_after is not None:
            self._ends[cut_after[0]].cut_after = cut_after[1]
        self._is_cut = False
        self._events: list[tuple[float, int, Way | None, Any]] = []
        self._number = itertools.count()
        self._in_flight = dict.fromkeys(Way, 0)
        bridge.connected()

    def sent_bytes(self, way: Way) -> int:
        """Bytes that went one way, whether they arrived or not."""
        return self._ends[way].sent_bytes

    def run(self, procedure: Procedure[T], limit_s: float = 100_000.0) -> T:
        """Drive `procedure` to its end; raises what it raises, and `DeviceError` after `limit_s` of virtual time."""
        stop_at = self.now + limit_s
        self.link.now = self.now
        for _ in range(MAX_EVENTS):
            try:
                next(procedure)
            except StopIteration as done:
                self._send_all()
                result: T = done.value
                return result
            self._send_all()
            self._step()
            if self.now > stop_at:
                raise DeviceError(f"the procedure did not end within {limit_s} s of virtual time")
        raise DeviceError(f"the procedure did not end within {MAX_EVENTS} events")

    def _step(self) -> None:
        times = [time for time in (self.link.next_deadline(), self.bridge.next_deadline()) if time is not None]
        if self._events:
            times.append(self._events[0][0])
        if not times:
            raise DeviceError("nothing is under way and nothing is waited for: the procedure would hang")
        self.now = max(self.now, min(times))
        while self._events and self._events[0][0] <= self.now:
            _, _, way, payload = heapq.heappop(self._events)
            if way is None:
                self.bridge.finish(*payload)
            elif way is Way.TO_BRIDGE:
                self._in_flight[way] -= len(payload)
                self.bridge.receive(payload, self.now)
            else:
                self._in_flight[way] -= len(payload)
                self.link.receive(payload, self.now)
        self.bridge.tick(self.now)
        self.link.tick(self.now)

    def _send_all(self) -> None:
        for item in self.link.outgoing():
            self._send(Way.TO_BRIDGE, item)
        action = self.bridge.next_action()
        if action is not None:
            self._work(action)
        for item in self.bridge.outgoing():
            self._send(Way.TO_UPLOADER, item)
        if self._is_cut and not self.silent:
            # The device does not notice the cut: what it was doing, it finishes.
            for _, _, way, payload in self._events:
                if way is None:
                    self.bridge.finish(*payload)
            raise TransportClosed("virtual line: the connection was cut")

    def _work(self, action: Action) -> None:
        result, problem = None, None
        try:
            result = action.call()
        except CidesignError as error:
            problem = error
        self._schedule(self.now + self.work_s, None, (action, result, problem))

    def _send(self, way: Way, item: bytes | SetBaud) -> None:
        end = self._ends[way]
        end.free_at = max(end.free_at, self.now)
        if isinstance(item, SetBaud):
            end.changes.append((end.free_at, item.baud))
            return
        if end.cut_after is not None and end.sent_bytes + len(item) > end.cut_after:
            item = item[: max(0, end.cut_after - end.sent_bytes)]
            self._is_cut = True
        end.sent_bytes += len(item)
        baud = end.baud_at(end.free_at)
        end.free_at += len(item) * BITS_PER_BYTE / baud
        arrives_at = end.free_at + self.latency_s
        other = self._ends[Way.TO_UPLOADER if way is Way.TO_BRIDGE else Way.TO_BRIDGE]
        if other.baud_at(self.now) != baud and not any(rate == baud for _, rate in other.changes):
            item = bytes(byte ^ 0x5A for byte in item[::2])
        for delay_s, part in self.faults.pass_on(item) if self.faults and item else [(0.0, item)]:
            if part and not (self._is_cut and self.silent):
                self._in_flight[way] += len(part)
                self._schedule(arrives_at + delay_s, way, part)
        if way is Way.TO_BRIDGE:
            self.most_in_flight = max(self.most_in_flight, self._in_flight[way])

    def _schedule(self, moment: float, way: Way | None, payload: Any) -> None:
        heapq.heappush(self._events, (moment, next(self._number), way, payload))

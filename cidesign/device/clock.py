"""Time as the drivers see it; tests and virtual devices bring their own, so that nothing has to sleep."""

import time
from typing import Protocol

_NS_PER_US = 1_000


class Clock(Protocol):
    """A clock that can be waited on."""

    def now_us(self) -> int:
        """Microseconds since some fixed moment."""

    def wait_us(self, duration_us: int) -> None:
        """Return `duration_us` microseconds later."""


class SystemClock:
    """The time of this computer."""

    def now_us(self) -> int:
        """Microseconds since some fixed moment."""
        return time.monotonic_ns() // _NS_PER_US

    def wait_us(self, duration_us: int) -> None:
        """Sleep."""
        time.sleep(duration_us / 1e6)


class SkippingClock:
    """The time of this computer, moved on by every wait instead of waiting: a virtual device needs no patience."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._skipped_us = 0

    def now_us(self) -> int:
        """Microseconds since some fixed moment, the skipped waits included."""
        return self._real.now_us() + self._skipped_us

    def wait_us(self, duration_us: int) -> None:
        """Move the time on; takes no time itself."""
        self._skipped_us += duration_us

"""A clock that needs no patience and always shows the same times."""


class VirtualClock:
    """Time that moves only when somebody waits; the same calls always see the same times."""

    def __init__(self) -> None:
        self._now_us = 0

    def now_us(self) -> int:
        """Microseconds waited so far."""
        return self._now_us

    def wait_us(self, duration_us: int) -> None:
        """Move the time on; takes no time itself."""
        self._now_us += duration_us

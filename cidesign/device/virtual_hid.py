"""The USB side of a virtual controller: reports in, commands out."""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

_REPORT_BYTES = 64
_HEADER_BYTES = 4
_MAX_LENGTH = 508
_READ, _REPLY, _ERROR = 0x80, 0x40, 0x20


class VirtualController(Protocol):
    """A controller at the level of its commands; while `silent` it neither executes nor answers anything."""

    silent: bool

    def on_write(self, command: int, data: bytes, replied: bool) -> bool:
        """Execute a write; False when it is refused."""

    def on_read(self, command: int, data: bytes) -> bytes | None:
        """Execute a read; None when it is refused."""


class VirtualHidPort:
    """A `HidPort` with a virtual controller behind it; `trace` keeps every message the host sent."""

    def __init__(self, controller: VirtualController) -> None:
        self._controller = controller
        self._answers: deque[bytes] = deque()
        self._message = bytearray()
        self.closed = False
        self.trace: list[bytes] = []

    def write(self, report: bytes) -> int:
        """Take one report with its id; a message is executed when its last report is in."""
        if len(report) != _REPORT_BYTES + 1 or report[0]:
            return -1
        self._message += report[1:]
        length = int.from_bytes(self._message[2:4], "little")
        if not 2 <= length <= _MAX_LENGTH:
            self._message.clear()  # a device cannot make sense of it either, and stays silent
            return len(report)
        if len(self._message) >= _HEADER_BYTES + length:
            message = bytes(self._message[: _HEADER_BYTES + length])
            self._message.clear()
            self.trace.append(message)
            if not self._controller.silent:
                self._execute(message)
        return len(report)

    def read(self, max_length: int, timeout_ms: int) -> Sequence[int]:
        """The next report of an answer, or nothing; there is nothing to wait for."""
        return list(self._answers.popleft()[:max_length]) if self._answers else []

    def close(self) -> None:
        """Release the device."""
        self.closed = True

    def _execute(self, message: bytes) -> None:
        flags, sequence = message[0], message[1]
        command, data = int.from_bytes(message[4:6], "little"), message[6:]
        if flags & _READ:
            answer = self._controller.on_read(command, data)
        else:
            accepted = self._controller.on_write(command, data, replied=bool(flags & _REPLY))
            answer = b"" if accepted else None
        if self._controller.silent or not flags & _REPLY:
            return
        header = bytes([flags | (_ERROR if answer is None else 0), sequence])
        content = answer or b""
        reply = header + len(content).to_bytes(2, "little") + content
        for start in range(0, len(reply), _REPORT_BYTES):
            self._answers.append(reply[start : start + _REPORT_BYTES].ljust(_REPORT_BYTES, b"\0"))

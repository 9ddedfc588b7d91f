"""The I2C side of a virtual controller: transactions in, commands out."""

from collections.abc import Mapping

from cidesign.device.i2c import DEFAULT_ADDRESS, I2cCode
from cidesign.device.virtual_hid import VirtualController


class VirtualI2cBus:
    """An `I2cBus` with a virtual controller behind it; without bit 7 of the sub-address a write only selects a read."""

    def __init__(self, controller: VirtualController, codes: Mapping[int, I2cCode]) -> None:
        self._controller = controller
        self._commands = {code.code: command for command, code in codes.items()}
        self._selected: bytes | None = None
        self.trace: list[bytes] = []

    def write(self, address: int, content: bytes) -> None:
        """A write transaction."""
        self._acknowledge(address)
        self.trace.append(content)
        if content[0] & 0x80:
            self._controller.on_write(self._commands.get(content[0] & 0x7F, 0), content[1:], replied=False)
        else:
            self._selected = content

    def read(self, address: int, count: int) -> bytes:
        """A read transaction: the answer to the command selected last, once."""
        self._acknowledge(address)
        if self._selected is None:
            raise OSError("no read was selected")
        command = self._commands.get(self._selected[0], 0)
        answer = self._controller.on_read(command, self._selected[1:])
        self._selected = None
        return (answer or b"").ljust(count, b"\0")[:count]

    def close(self) -> None:
        """Nothing to release."""

    def _acknowledge(self, address: int) -> None:
        if self._controller.silent or address != DEFAULT_ADDRESS:
            raise OSError(121, "Remote I/O error")

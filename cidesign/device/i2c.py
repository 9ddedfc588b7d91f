"""I2C framing of the TI controllers (TI DLPU018F section 1.1).

A write is `sub-address | 0x80` and the data in one transaction.  A read is two: the sub-address with bit 7 clear
and its parameters, STOP, then a plain read; in between the device holds the clock low while it is busy.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from cidesign.errors import DeviceError, InputError

DEFAULT_ADDRESS = 0x1A  # 7 bit: 0x34 / 0x35 in TI's documents
_WRITE_BIT = 0x80


class I2cCode(NamedTuple):
    """The sub-address of a command (bit 7 clear) and the length of its answer; 0 bytes: it cannot be read."""

    code: int
    reply_bytes: int = 0


class I2cBus(Protocol):
    """Whole I2C transactions, START to STOP."""

    def write(self, address: int, content: bytes) -> None:
        """One write transaction; raises `OSError` when the device does not acknowledge."""

    def read(self, address: int, count: int) -> bytes:
        """One read transaction; raises `OSError` when the device does not acknowledge."""

    def close(self) -> None:
        """Release the bus."""


class I2cLink:
    """Commands over I2C; the controllers give no acknowledgement of their own, so `reply` changes nothing."""

    def __init__(self, bus: I2cBus, codes: Mapping[int, I2cCode], name: str, address: int = DEFAULT_ADDRESS) -> None:
        self._bus = bus
        self._codes = codes
        self._name = name
        self._address = address

    def write(self, command: int, data: bytes, reply: bool) -> None:
        """Send a command (see `CommandLink`)."""
        self._transfer(bytes([self._code(command).code | _WRITE_BIT]) + data)

    def read(self, command: int, data: bytes) -> bytes:
        """Send a read command and return its answer (see `CommandLink`)."""
        code = self._code(command)
        if not code.reply_bytes:
            raise DeviceError(f"{self._name}: command 0x{command:04X} cannot be read over I2C")
        self._transfer(bytes([code.code]) + data)
        try:
            return self._bus.read(self._address, code.reply_bytes)
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Release the bus."""
        self._bus.close()

    def _code(self, command: int) -> I2cCode:
        if command not in self._codes:
            raise DeviceError(f"{self._name}: command 0x{command:04X} has no I2C code that a source confirms; use USB")
        return self._codes[command]

    def _transfer(self, content: bytes) -> None:
        try:
            self._bus.write(self._address, content)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> DeviceError:
        return DeviceError(
            f"{self._name}: no answer on I2C address 0x{self._address:02X} ({error}); check wiring, pull-ups and "
            "power, and that the bus adapter supports clock stretching"
        )


class _SmBus:
    """An `I2cBus` on a Linux device /dev/i2c-N through smbus2."""

    def __init__(self, number: int) -> None:
        try:
            import smbus2  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            raise InputError("back end i2c: the package smbus2 is missing; pip install 'cidesign[i2c]'") from error
        self._message = smbus2.i2c_msg
        try:
            self._bus = smbus2.SMBus(number)
        except PermissionError as error:
            raise DeviceError(f"/dev/i2c-{number}: no permission; join the group i2c and log in again") from error
        except OSError as error:
            raise DeviceError(
                f"/dev/i2c-{number}: cannot be opened ({error.strerror or error}); on a Raspberry Pi switch I2C on "
                "with raspi-config, and see `ls /dev/i2c-*`"
            ) from error

    def write(self, address: int, content: bytes) -> None:
        self._bus.i2c_rdwr(self._message.write(address, content))

    def read(self, address: int, count: int) -> bytes:
        message = self._message.read(address, count)
        self._bus.i2c_rdwr(message)
        return bytes(message)

    def close(self) -> None:
        self._bus.close()


def open_i2c(bus_number: int, codes: Mapping[int, I2cCode], name: str) -> I2cLink:
    """Open /dev/i2c-`bus_number` (Linux); needs the extra `i2c` (package smbus2)."""
    return I2cLink(_SmBus(bus_number), codes, name)

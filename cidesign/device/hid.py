"""USB-HID framing of the TI controllers DLPC350 and DLPC900 (TI DLPU018F section 1.2; TI DLPU010).

A message is `flags u8 | sequence u8 | length u16 | command u16 | data`, little-endian, where length counts the
command and the data.  It travels in reports of 64 bytes, the last padded with zeros; only the first has a header.
An answer is `flags | sequence | length | data`, without the command.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cidesign.device.commands import CommandRefused
from cidesign.errors import DeviceError, InputError

REPORT_BYTES = 64
MAX_MESSAGE_BYTES = 512
MAX_DATA_BYTES = MAX_MESSAGE_BYTES - 6
FLAG_READ, FLAG_REPLY, FLAG_ERROR = 0x80, 0x40, 0x20

_HEADER = struct.Struct("<BBH")
_REPORT_ID = b"\0"
_REPLY_TIMEOUT_MS = 3_000
# hidapi takes 0 for "as the device was opened", which blocks in some builds.
_NO_WAIT_MS = 1
_MAX_STALE_REPORTS = 256
VENDOR_TI = 0x0451


class HidPort(Protocol):
    """An opened HID device with the calls of hidapi's `device`."""

    def write(self, report: bytes) -> int:
        """Send one report, the report id first; returns the bytes sent, or -1."""

    def read(self, max_length: int, timeout_ms: int) -> Sequence[int]:
        """One report without its id, or nothing after `timeout_ms`."""

    def close(self) -> None:
        """Release the device."""


class Reply(NamedTuple):
    """The header of an answer."""

    flags: int
    sequence: int
    length: int


def pack_message(flags: int, sequence: int, command: int, data: bytes) -> bytes:
    """A message in wire order; raises `DeviceError` for more than 506 bytes of data (512 in all)."""
    if len(data) > MAX_DATA_BYTES:
        raise DeviceError(f"command 0x{command:04X}: {len(data)} bytes of data, a message holds {MAX_DATA_BYTES}")
    return _HEADER.pack(flags, sequence, 2 + len(data)) + command.to_bytes(2, "little") + data


def split_reports(message: bytes) -> list[bytes]:
    """A message as reports of 64 bytes; the last is padded with zeros."""
    return [
        message[start : start + REPORT_BYTES].ljust(REPORT_BYTES, b"\0")
        for start in range(0, len(message), REPORT_BYTES)
    ]


def parse_reply(report: bytes) -> Reply:
    """The header of the first report of an answer; raises `DeviceError` when it cannot be one."""
    if len(report) < _HEADER.size:
        raise DeviceError(f"HID answer of {len(report)} bytes is cut short; unplug the device and plug it in again")
    reply = Reply(*_HEADER.unpack_from(report))
    if reply.length > MAX_MESSAGE_BYTES - _HEADER.size:
        raise DeviceError(f"HID answer claims {reply.length} bytes, at most {MAX_MESSAGE_BYTES - 4} fit a message")
    return reply


class HidLink:
    """Commands over USB-HID.  Answers are matched by their sequence number; stale ones are thrown away."""

    def __init__(self, port: HidPort, name: str) -> None:
        self._port = port
        self._name = name
        self._sequence = 0

    def write(self, command: int, data: bytes, reply: bool) -> None:
        """Send a command; with `reply` wait for the acknowledgement (see `CommandLink`)."""
        if reply:
            self._flush()
        sequence = self._send(FLAG_REPLY if reply else 0, command, data)
        if reply:
            self._receive(sequence, command)

    def read(self, command: int, data: bytes) -> bytes:
        """Send a read command and return the data of its answer (see `CommandLink`)."""
        self._flush()
        return self._receive(self._send(FLAG_READ | FLAG_REPLY, command, data), command)

    def close(self) -> None:
        """Release the device."""
        self._port.close()

    def _send(self, flags: int, command: int, data: bytes) -> int:
        self._sequence = self._sequence % 255 + 1
        for report in split_reports(pack_message(flags, self._sequence, command, data)):
            try:
                sent = self._port.write(_REPORT_ID + report)
            except (OSError, ValueError) as error:
                raise DeviceError(f"{self._name}: the USB device is gone ({error}); plug it in and repeat") from error
            if sent < len(report):
                raise DeviceError(f"{self._name}: the USB device takes no data any more; plug it in again and repeat")
        return self._sequence

    def _flush(self) -> None:
        # Windows keeps unread answers in a ring buffer; the next read would get one of them.
        for _ in range(_MAX_STALE_REPORTS):
            if not self._report(_NO_WAIT_MS):
                return
        raise DeviceError(f"{self._name}: the device talks without being asked; unplug it and plug it in again")

    def _receive(self, sequence: int, command: int) -> bytes:
        for _ in range(_MAX_STALE_REPORTS):
            report = self._report(_REPLY_TIMEOUT_MS)
            if not report:
                raise DeviceError(
                    f"{self._name}: no answer to command 0x{command:04X} within {_REPLY_TIMEOUT_MS / 1000:g} s; "
                    "close TI's GUI if it is open, then switch the device off and on"
                )
            reply = parse_reply(report)
            if reply.sequence == sequence:
                break
        else:
            raise DeviceError(f"{self._name}: only answers to other commands arrive; unplug it and plug it in again")
        data = report[_HEADER.size :]
        while len(data) < reply.length:
            more = self._report(_REPLY_TIMEOUT_MS)
            if not more:
                raise DeviceError(f"{self._name}: the answer to command 0x{command:04X} is cut short; repeat")
            data += more
        if reply.flags & FLAG_ERROR:
            raise CommandRefused(f"{self._name}: command 0x{command:04X} was refused")
        return data[: reply.length]

    def _report(self, timeout_ms: int) -> bytes:
        try:
            return bytes(self._port.read(REPORT_BYTES, timeout_ms))
        except (OSError, ValueError) as error:
            raise DeviceError(f"{self._name}: the USB device is gone ({error}); plug it in and repeat") from error


def permission_hint(product_id: int) -> str:
    """What lets a user of Linux open one of TI's controllers."""
    return (
        f'add the udev rule KERNEL=="hidraw*", ATTRS{{idVendor}}=="{VENDOR_TI:04x}", '
        f'ATTRS{{idProduct}}=="{product_id:04x}", MODE="0660", GROUP="plugdev" and join the group plugdev'
    )


def open_hid(product_id: int, name: str) -> HidLink:
    """Open the one TI controller with this USB product id; needs the extra `hid` (package hidapi).

    The DLP4500 shows two HID interfaces; the commands go to interface 0.  Raises `InputError` when hidapi is not
    installed, `DeviceError` when there is no device, more than one, or no permission.
    """
    try:
        import hid  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise InputError("back end hid: the package hidapi is missing; pip install 'cidesign[hid]'") from error
    if not hasattr(hid, "device"):
        raise InputError("back end hid: another package named hid is installed; pip uninstall hid, then install hidapi")
    found = [entry for entry in hid.enumerate(VENDOR_TI, product_id) if entry["interface_number"] in (0, -1)]
    usb_id = f"{VENDOR_TI:04x}:{product_id:04x}"
    if not found:
        raise DeviceError(f"{name}: no USB device {usb_id}; check cable and power, and that it is no longer starting")
    if len(found) > 1:
        raise DeviceError(f"{name}: {len(found)} USB devices {usb_id}; unplug all but one")
    port = hid.device()
    try:
        port.open_path(found[0]["path"])
    except OSError as error:
        raise DeviceError(
            f"{name}: USB device {usb_id} cannot be opened ({error}); close TI's GUI, or on Linux "
            f"{permission_hint(product_id)}"
        ) from error
    return HidLink(port, name)

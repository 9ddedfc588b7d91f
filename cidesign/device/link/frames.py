"""Frames of the serial link: header, payload and CRC-32 inside SLIP (docs/serial-protocol.md, section 2)."""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from cidesign.device.link import slip

PROTOCOL_VERSION = 1
MAX_PAYLOAD_BYTES = 4104  # a DATA header and 4096 bytes
OVERHEAD_BYTES = 12  # header 6, CRC-32 4, two delimiters
SAMPLE_BYTES = 256

_HEADER = struct.Struct("<BBHH")
_CRC = struct.Struct("<I")


class MessageType(IntEnum):
    """What a frame says; requests go to the bridge, the four last ones come from it."""

    HELLO = 0x01
    BAUD = 0x02
    PING = 0x03
    BEGIN = 0x10
    DATA = 0x11
    STAT = 0x12
    COMMIT = 0x13
    RUN = 0x20
    STOP = 0x21
    QUERY = 0x22
    CAPS = 0x40
    ACK = 0x41
    NAK = 0x42
    LOG = 0x43


@dataclass(frozen=True)
class Frame:
    """One frame; `type` may be a number this version does not know, and `version` another one."""

    type: int
    sequence: int
    payload: bytes = b""
    version: int = PROTOCOL_VERSION

    def pack(self) -> bytes:
        """The bytes on the line: SLIP(version u8, type u8, sequence u16, length u16, payload, crc32 u32)."""
        body = _HEADER.pack(self.version, self.type, self.sequence, len(self.payload)) + self.payload
        return slip.encode(body + _CRC.pack(zlib.crc32(body)))


def unpack(body: bytes) -> Frame | None:
    """The frame in one SLIP body; None when an escape, the length or the CRC-32 is wrong."""
    content = slip.decode(body)
    if content is None or len(content) < _HEADER.size + _CRC.size:
        return None
    checked = content[: -_CRC.size]
    if zlib.crc32(checked) != _CRC.unpack(content[-_CRC.size :])[0]:
        return None
    version, kind, sequence, length = _HEADER.unpack_from(checked)
    payload = checked[_HEADER.size :]
    return Frame(kind, sequence, payload, version) if len(payload) == length else None


class FrameReader:
    """Turns received bytes into frames; what is damaged is dropped and counted in `damaged`.

    `sample` keeps the first bytes that came before any sound frame: it names another protocol on the port.
    """

    def __init__(self, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._slip = slip.SlipDecoder(2 * (max_payload_bytes + OVERHEAD_BYTES))
        self._bodies_damaged = 0
        self._synchronised = False
        self.sample = b""

    @property
    def damaged(self) -> int:
        """How many bodies were dropped."""
        return self._bodies_damaged + self._slip.overruns

    def feed(self, received: bytes) -> list[Frame]:
        """The sound frames that `received` completes."""
        if not self._synchronised:
            self.sample = (self.sample + received[:SAMPLE_BYTES])[:SAMPLE_BYTES]
        frames = []
        for body in self._slip.feed(received):
            frame = unpack(body)
            if frame is None:
                self._bodies_damaged += 1
            else:
                frames.append(frame)
        if frames:
            self._synchronised = True
            self.sample = b""
        return frames

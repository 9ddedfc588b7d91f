"""The payloads of the serial link (docs/serial-protocol.md, section 4); all numbers are little-endian."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from cidesign.device.dmd import DeviceInfo
from cidesign.errors import DeviceError

GRANULE_BYTES = 256
DIGEST_BYTES = 32
MAX_TEXT_BYTES = 200
MAX_RANGES = 64
NO_DIGEST = bytes(DIGEST_BYTES)

_BEGIN = struct.Struct("<BHI32sI32s32s")
_SLOT = struct.Struct("<BH32s")
_DATA = struct.Struct("<II")
_RUN = struct.Struct("<II32s")
_CAPS = struct.Struct("<HHII3HHHBHHB")
_DEPTH = struct.Struct("<BI")
_HELD = struct.Struct("<32sIH")
_RANGE = struct.Struct("<II")
_PLACED = struct.Struct("<III")
_STATUS = struct.Struct("<BHH32s32s")
_U32 = struct.Struct("<I")

DATA_HEADER_BYTES = _DATA.size


class ObjectKind(IntEnum):
    """What an object is."""

    IMAGE_PRIMARY = 1
    IMAGE_SECONDARY = 2
    TABLE = 3


class NakReason(IntEnum):
    """Why a request was not done; `BUSY` and `REFUSED` ask to repeat it later."""

    VERSION = 1
    MALFORMED = 2
    UNKNOWN = 3
    ORDER = 4
    RANGE = 5
    BUSY = 6
    HASH = 7
    FULL = 8
    DEVICE = 9
    NOT_LOADED = 10
    REFUSED = 11


class Slot(NamedTuple):
    """Where an object goes: its kind and the index of the image (0 for the table)."""

    kind: int
    number: int

    def __str__(self) -> str:
        names = {1: "image {}", 2: "image {} (secondary controller)", 3: "sequence table"}
        return names.get(self.kind, "object {}").format(self.number)


class Range(NamedTuple):
    """A run of bytes of an object."""

    offset: int
    length: int


def _text(payload: bytes) -> str:
    return payload.decode(errors="replace")


def clip_text(text: str) -> bytes:
    """UTF-8 of at most 200 bytes, cut at a character; the only thing on the link that is ever shortened."""
    return text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore").encode()


class MalformedError(DeviceError):
    """A payload that does not have the layout of its type."""


def _exactly(payload: bytes, size: int, what: str) -> bytes:
    if len(payload) != size:
        raise MalformedError(f"{what} has {len(payload)} bytes, not {size}")
    return payload


def _at_least(payload: bytes, size: int, what: str) -> bytes:
    if len(payload) < size:
        raise MalformedError(f"{what} has {len(payload)} bytes, at least {size} are needed")
    return payload


@dataclass(frozen=True)
class Begin:
    """Opens an object: what it is, whose upload it belongs to, and under which job its bytes are kept."""

    slot: Slot
    length: int
    sha256: bytes
    job: int
    design: bytes
    upload: bytes

    def pack(self) -> bytes:
        """kind u8, index u16, length u32, sha256 32, job u32, design 32, upload 32."""
        return _BEGIN.pack(*self.slot, self.length, self.sha256, self.job, self.design, self.upload)

    @classmethod
    def unpack(cls, payload: bytes) -> "Begin":
        """Read a BEGIN; raises `MalformedError`."""
        content = _exactly(payload, _BEGIN.size, "BEGIN")
        kind, index, length, sha256, job, design, upload = _BEGIN.unpack(content)
        return cls(Slot(kind, index), length, sha256, job, design, upload)


class Named(NamedTuple):
    """The object that STAT asks about and that COMMIT loads."""

    slot: Slot
    sha256: bytes

    def pack(self) -> bytes:
        """kind u8, index u16, sha256 32."""
        return _SLOT.pack(*self.slot, self.sha256)

    @classmethod
    def unpack(cls, payload: bytes) -> "Named":
        """Read a STAT or COMMIT; raises `MalformedError`."""
        kind, index, sha256 = _SLOT.unpack(_exactly(payload, _SLOT.size, "STAT or COMMIT"))
        return cls(Slot(kind, index), sha256)


class Data(NamedTuple):
    """Bytes of an object; `tag` is the first four bytes of its SHA-256."""

    tag: int
    offset: int
    content: bytes

    def pack(self) -> bytes:
        """tag u32, offset u32, content."""
        return _DATA.pack(self.tag, self.offset) + self.content

    @classmethod
    def unpack(cls, payload: bytes) -> "Data":
        """Read a DATA; raises `MalformedError`."""
        tag, offset = _DATA.unpack_from(_at_least(payload, _DATA.size + 1, "DATA"))
        return cls(tag, offset, payload[_DATA.size :])


def tag_of(sha256: bytes) -> int:
    """The first four bytes of a SHA-256, as DATA carries them."""
    return int.from_bytes(sha256[:4], "little")


class Placed(NamedTuple):
    """The acknowledgement of DATA: everything below `first_missing` is held."""

    tag: int
    offset: int
    first_missing: int

    def pack(self) -> bytes:
        """tag u32, offset u32, first missing offset u32."""
        return _PLACED.pack(*self)

    @classmethod
    def unpack(cls, payload: bytes) -> "Placed":
        """Read the acknowledgement; raises `MalformedError`."""
        return cls(*_PLACED.unpack(_exactly(payload, _PLACED.size, "the acknowledgement of DATA")))


@dataclass(frozen=True)
class Held:
    """The answer to BEGIN and STAT: what the device shows in the slot, and what the bridge holds of the object."""

    loaded_sha256: bytes
    held_bytes: int
    missing: tuple[Range, ...]

    def pack(self) -> bytes:
        """loaded sha256 32 (zeros: nothing), held bytes u32, count u16, count x (offset u32, length u32)."""
        ranges = b"".join(_RANGE.pack(*item) for item in self.missing)
        return _HELD.pack(self.loaded_sha256, self.held_bytes, len(self.missing)) + ranges

    @classmethod
    def unpack(cls, payload: bytes) -> "Held":
        """Read the answer; raises `MalformedError`."""
        sha256, held_bytes, count = _HELD.unpack_from(_at_least(payload, _HELD.size, "the answer to BEGIN or STAT"))
        rest = payload[_HELD.size :]
        if len(rest) != count * _RANGE.size:
            raise MalformedError(f"the answer to BEGIN or STAT announces {count} ranges in {len(rest)} bytes")
        return cls(sha256, held_bytes, tuple(Range(*item) for item in _RANGE.iter_unpack(rest)))


class Run(NamedTuple):
    """Starts the sequence once per `run`; `repeats` 0 goes on until STOP."""

    run: int
    repeats: int
    upload: bytes

    def pack(self) -> bytes:
        """run u32, repeats u32, upload 32."""
        return _RUN.pack(*self)

    @classmethod
    def unpack(cls, payload: bytes) -> "Run":
        """Read a RUN; raises `MalformedError`."""
        return cls(*_RUN.unpack(_exactly(payload, _RUN.size, "RUN")))


def pack_u32(value: int) -> bytes:
    """The payload of BAUD: baud u32."""
    return _U32.pack(value)


def unpack_u32(payload: bytes) -> int:
    """Read the payload of BAUD; raises `MalformedError`."""
    value: int = _U32.unpack(_exactly(payload, _U32.size, "BAUD"))[0]
    return value


@dataclass(frozen=True)
class Nak:
    """A refusal: which request, why, and in words."""

    request: int
    reason: int
    text: str

    def pack(self) -> bytes:
        """request type u8, reason u8, text (UTF-8, at most 200 bytes)."""
        return bytes([self.request, self.reason]) + clip_text(self.text)

    @classmethod
    def unpack(cls, payload: bytes) -> "Nak":
        """Read a NAK; raises `MalformedError`."""
        content = _at_least(payload, 2, "NAK")
        return cls(content[0], content[1], _text(content[2:]))


@dataclass(frozen=True)
class LinkStatus:
    """The answer to QUERY: what the device says of itself and which upload it holds; `error` empty when well."""

    running: bool
    idle: bool
    complete: bool
    images_loaded: int
    entries_loaded: int
    design: bytes
    upload: bytes
    error: str

    def pack(self) -> bytes:
        """flags u8 (running, idle, complete), images u16, entries u16, design 32, upload 32, error text."""
        flags = self.running | self.idle << 1 | self.complete << 2
        head = _STATUS.pack(flags, self.images_loaded, self.entries_loaded, self.design, self.upload)
        return head + clip_text(self.error)

    @classmethod
    def unpack(cls, payload: bytes) -> "LinkStatus":
        """Read the answer; raises `MalformedError`."""
        content = _at_least(payload, _STATUS.size, "the answer to QUERY")
        flags, images, entries, design, upload = _STATUS.unpack_from(content)
        error = _text(payload[_STATUS.size :])
        return cls(bool(flags & 1), bool(flags & 2), bool(flags & 4), images, entries, design, upload, error)


@dataclass(frozen=True)
class Caps:
    """The answer to HELLO: the bridge's limits and the device behind it.

    `window_frames` is how many DATA frames may be unacknowledged; `memory_bytes` what the bridge can hold.
    """

    max_payload_bytes: int
    window_frames: int
    memory_bytes: int
    max_baud: int
    software: str
    info: DeviceInfo

    def pack(self) -> bytes:
        """See docs/serial-protocol.md, CAPS."""
        info = self.info
        head = _CAPS.pack(
            self.max_payload_bytes,
            self.window_frames,
            self.memory_bytes,
            self.max_baud,
            *info.firmware,
            info.columns,
            info.rows,
            int(info.image_upload),
            info.max_entries,
            info.max_images,
            len(info.min_exposure_us),
        )
        depths = b"".join(_DEPTH.pack(*item) for item in sorted(info.min_exposure_us.items()))
        names = (info.profile_id, info.controller, self.software)
        return head + depths + b"".join(bytes([len(text)]) + text for text in map(clip_text, names))

    @classmethod
    def unpack(cls, payload: bytes) -> "Caps":
        """Read the answer; raises `MalformedError`."""
        payload_bytes, window, memory, baud, *rest = _CAPS.unpack_from(_at_least(payload, _CAPS.size, "CAPS"))
        major, minor, patch, columns, rows, flags, entries, images, depths = rest
        position = _CAPS.size + depths * _DEPTH.size
        if len(payload) < position:
            raise MalformedError(f"CAPS announces {depths} bit depths in {len(payload)} bytes")
        table = dict(_DEPTH.iter_unpack(payload[_CAPS.size : position]))
        names = []
        for _ in range(3):
            length = payload[position] if position < len(payload) else MAX_TEXT_BYTES + 1
            if position + 1 + length > len(payload):
                raise MalformedError("CAPS ends inside a name")
            names.append(_text(payload[position + 1 : position + 1 + length]))
            position += 1 + length
        if window == 0 or payload_bytes < DATA_HEADER_BYTES + GRANULE_BYTES:
            raise MalformedError(f"CAPS offers a window of {window} and payloads of {payload_bytes} bytes")
        info = DeviceInfo(
            names[0], names[1], (major, minor, patch), columns, rows, bool(flags & 1), entries, images, table
        )
        return cls(payload_bytes, window, memory, baud, names[2], info)

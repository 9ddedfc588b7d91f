"""What a bridge holds of the objects that are on their way: bytes by SHA-256, across reconnects and restarts."""

import bisect
import hashlib
import struct
import zlib
from pathlib import Path

from cidesign.device.link.messages import GRANULE_BYTES, MAX_RANGES, Range, tag_of
from cidesign.errors import DeviceError
from cidesign.files import disk_errors, write_bytes

_RECORD = struct.Struct("<III")


class RangeError(DeviceError):
    """Bytes outside their object, or not on the 256-byte grid."""


class StoreFullError(DeviceError):
    """The bridge has no memory for an object."""


class HeldRanges:
    """Which bytes of an object are held: sorted, disjoint, non-touching runs."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Mark bytes `start` .. `end - 1` as held."""
        first = bisect.bisect_left(self._ends, start)
        last = bisect.bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def covers(self, start: int, end: int) -> bool:
        """Whether all bytes `start` .. `end - 1` are held."""
        run = bisect.bisect_right(self._starts, start) - 1
        return run >= 0 and end <= self._ends[run]

    @property
    def total(self) -> int:
        """How many bytes are held."""
        return sum(self._ends) - sum(self._starts)

    @property
    def first_missing(self) -> int:
        """Everything below this offset is held."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def missing(self, length: int) -> list[Range]:
        """The runs of an object of `length` bytes that are not held, in order."""
        edges = [0, *(edge for pair in zip(self._starts, self._ends, strict=True) for edge in pair), length]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return [Range(start, end - start) for start, end in pairs if end > start]


class Assembly:
    """One object on its way: its bytes, and which of them have come."""

    def __init__(self, sha256: bytes, length: int, job: int) -> None:
        self.sha256 = sha256
        self.job = job
        self.content = bytearray(length)
        self.held = HeldRanges()

    def place(self, offset: int, content: bytes) -> bool:
        """Put bytes where they belong; False (and nothing is written) when they are held.  Raises `RangeError`."""
        end, length = offset + len(content), len(self.content)
        if end > length or offset % GRANULE_BYTES or (end % GRANULE_BYTES and end != length):
            raise RangeError(
                f"bytes {offset} to {end} of an object of {length}: "
                f"offset and length are multiples of {GRANULE_BYTES}, but for the object's end"
            )
        if self.held.covers(offset, end):
            return False
        self.content[offset:end] = content
        self.held.add(offset, end)
        return True

    @property
    def complete(self) -> bool:
        """Whether every byte has come."""
        return self.held.first_missing == len(self.content)

    def missing(self) -> tuple[Range, ...]:
        """The first runs that have not come, at most 64."""
        return tuple(self.held.missing(len(self.content))[:MAX_RANGES])

    def verified(self) -> bytes | None:
        """The bytes, when they have the SHA-256 that the object was announced with."""
        content = bytes(self.content)
        return content if hashlib.sha256(content).digest() == self.sha256 else None


class Spool:
    """A folder in which a killed bridge finds again what it held: one file per object, appended to.

    A file is a list of records `offset u32, length u32, crc32 u32, bytes`; what a crash cut off is left out when
    it is read back.  A record that lies is caught by the object's SHA-256.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def _path(self, sha256: bytes) -> Path:
        return self._folder / f"{sha256.hex()}.part"

    def append(self, sha256: bytes, offset: int, content: bytes) -> None:
        """Keep bytes that have come."""
        path = self._path(sha256)
        with disk_errors(path), path.open("ab") as stream:
            stream.write(_RECORD.pack(offset, len(content), zlib.crc32(content)) + content)

    def restore(self, assembly: Assembly) -> None:
        """Place what was kept of an object, and forget the rest of the file."""
        path = self._path(assembly.sha256)
        if not path.exists():
            return
        with disk_errors(path):
            kept = path.read_bytes()
        position = 0
        while position + _RECORD.size <= len(kept):
            offset, length, crc = _RECORD.unpack_from(kept, position)
            content = kept[position + _RECORD.size : position + _RECORD.size + length]
            if len(content) != length or zlib.crc32(content) != crc:
                break
            try:
                assembly.place(offset, content)
            except RangeError:
                break
            position += _RECORD.size + length
        with disk_errors(path), path.open("r+b") as stream:
            stream.truncate(position)

    def drop(self, sha256: bytes) -> None:
        """Forget an object."""
        self._path(sha256).unlink(missing_ok=True)

    def enter(self, upload: bytes) -> None:
        """Begin or go on with an upload: what was kept for another one is forgotten."""
        marker = self._folder / "upload"
        with disk_errors(self._folder):
            if marker.exists() and marker.read_bytes() == upload:
                return
            for path in self._folder.glob("*.part"):
                path.unlink()
            write_bytes(marker, upload)


class Store:
    """The objects a bridge holds, at most `memory_bytes` of them."""

    def __init__(self, memory_bytes: int, spool: Spool | None) -> None:
        self.memory_bytes = memory_bytes
        self._spool = spool
        self._assemblies: dict[bytes, Assembly] = {}

    def enter(self, upload: bytes) -> None:
        """Begin or go on with the upload of this digest."""
        if self._spool is not None:
            self._spool.enter(upload)

    def begin(self, sha256: bytes, length: int, job: int, needed: set[bytes], loaded: set[bytes]) -> Assembly:
        """Open an object, with what is held of it when `job` is 0 or the job that sent it.

        `needed` and `loaded` name the objects of this upload, and those of them that the device has: where memory
        is short, other objects go first, then the bytes of loaded ones.  Raises `StoreFullError`.
        """
        known = self._assemblies.get(sha256)
        if known is not None and len(known.content) == length and job in (0, known.job):
            return known
        self.drop(sha256, spool_too=known is not None or job != 0)
        for group in (set(self._assemblies) - needed, loaded):
            for other in list(group & self._assemblies.keys()):
                if self._used() + length > self.memory_bytes:
                    self.drop(other, spool_too=other not in needed)
        if self._used() + length > self.memory_bytes:
            raise StoreFullError(
                f"{length} bytes do not fit: {self._used()} of {self.memory_bytes} bytes of memory are taken"
            )
        assembly = Assembly(sha256, length, job)
        if self._spool is not None:
            self._spool.restore(assembly)
        self._assemblies[sha256] = assembly
        return assembly

    def get(self, sha256: bytes) -> Assembly | None:
        """The object with this SHA-256, if it is held."""
        return self._assemblies.get(sha256)

    def tagged(self, tag: int) -> Assembly | None:
        """The object whose SHA-256 begins with `tag`, if exactly one is held."""
        found = [item for sha256, item in self._assemblies.items() if tag_of(sha256) == tag]
        return found[0] if len(found) == 1 else None

    def place(self, assembly: Assembly, offset: int, content: bytes) -> None:
        """Put bytes where they belong, and keep them where a restart finds them.  Raises `RangeError`."""
        if assembly.place(offset, content) and self._spool is not None:
            self._spool.append(assembly.sha256, offset, content)

    def drop(self, sha256: bytes, spool_too: bool = True) -> None:
        """Forget an object."""
        self._assemblies.pop(sha256, None)
        if self._spool is not None and spool_too:
            self._spool.drop(sha256)

    def _used(self) -> int:
        return sum(len(item.content) for item in self._assemblies.values())

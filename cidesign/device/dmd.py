"""What a micromirror device can be asked to do, whatever carries the request."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from cidesign.errors import DeviceError

# Of an image streamed over HDMI: one frame until the screen has it, one of delay in the controller (TI DLPU011E
# Figure 4-4), one to be sure.
SETTLE_FRAMES = 3


class Half(IntEnum):
    """Which controller an image is for: single-controller devices have only the primary one."""

    PRIMARY = 0
    SECONDARY = 1


@dataclass(frozen=True)
class DeviceInfo:
    """Who answers: controller, firmware and what it reports of its limits.

    `min_exposure_us` maps bit depth to the shortest exposure that the device itself reports (or its table).
    """

    profile_id: str
    controller: str
    firmware: tuple[int, int, int]
    columns: int
    rows: int
    image_upload: bool
    max_entries: int
    max_images: int
    min_exposure_us: dict[int, int]


_ENTRY = struct.Struct("<HBBBBHII")


@dataclass(frozen=True)
class TableEntry:
    """One line of a sequence: `slot` counts frames of `bit_depth` planes inside the 24-plane image.

    The device shows it for `exposure_us`, then dark for `dark_us` (period minus exposure).
    """

    image: int
    slot: int
    bit_depth: int
    loads_image: bool
    exposure_us: int
    dark_us: int

    def pack(self) -> bytes:
        """16 bytes, little-endian: image u16, slot u8, bit depth u8, flags u8 (bit 0 loads_image), 0, 0 u16,
        exposure_us u32, dark_us u32."""
        return _ENTRY.pack(
            self.image, self.slot, self.bit_depth, int(self.loads_image), 0, 0, self.exposure_us, self.dark_us
        )

    @classmethod
    def unpack_all(cls, content: bytes) -> list["TableEntry"]:
        """Read a packed table; raises `DeviceError` when its length or a reserved field is wrong."""
        if len(content) % _ENTRY.size:
            raise DeviceError(f"sequence table: {len(content)} bytes are not a multiple of {_ENTRY.size}")
        entries: list[TableEntry] = []
        for image, slot, bit_depth, flags, zero, zero_too, exposure_us, dark_us in _ENTRY.iter_unpack(content):
            if flags > 1 or zero or zero_too:
                raise DeviceError(f"sequence table: entry {len(entries)} has reserved bits set; is it a newer format?")
            entries.append(cls(image, slot, bit_depth, bool(flags), exposure_us, dark_us))
        return entries


@dataclass(frozen=True)
class DeviceStatus:
    """What the device says of itself: `error` is empty when all is well."""

    running: bool
    idle: bool
    images_loaded: int
    entries_loaded: int
    error: str


class Dmd(Protocol):
    """A micromirror device; every method raises `DeviceError` that names the device's own code and its meaning."""

    def info(self) -> DeviceInfo:
        """Identify the device."""

    def prepare(self) -> None:
        """Stop what runs and enter the mode in which images and sequences are taken."""

    def load_image(self, index: int, half: Half, content: bytes) -> None:
        """Load one image in the device's own file format and check the device's error state afterwards."""

    def load_sequence(self, entries: list[TableEntry]) -> None:
        """Load and validate the sequence table."""

    def start(self, repeats: int) -> None:
        """Show the sequence `repeats` times; 0 repeats until stopped."""

    def stop(self) -> None:
        """Stop showing and leave the mirrors as the profile's `on_exit` says."""

    def status(self) -> DeviceStatus:
        """Ask the device."""

    def close(self) -> None:
        """Release the link; the device is stopped first."""

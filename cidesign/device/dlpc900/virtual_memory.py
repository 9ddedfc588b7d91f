"""The pattern memory of the virtual DLPC900: image transfers, their order, and what they decode to."""

import struct

import numpy as np

from cidesign.device.dlpc900.virtual_image import HEADER_BYTES, BadImage, Words, decode_block
from cidesign.device.virtual_faults import DeviceFaults, Refused

_PACKET_BYTES = 504


class ImageMemory:
    """The 24-plane images of one or two controllers, each `columns` x `rows`; emptied by every change of the table."""

    def __init__(self, columns: int, rows: int, halves: int, max_images: int, faults: DeviceFaults) -> None:
        self._columns, self._rows, self._halves = columns, rows, halves
        self._max_images = max_images
        self._faults = faults
        self.lose()

    def lose(self) -> None:
        """Forget everything."""
        self._images: dict[tuple[int, int], Words] = {}
        self._last_index: list[int | None] = [None, None]
        self._transfer: tuple[int, int, int] | None = None
        self._received = bytearray()

    def words(self, image: int) -> Words:
        """The words of a whole image (rows, all columns); raises `Refused` when a half is missing."""
        parts = [self._images[image, half] for half in range(self._halves) if (image, half) in self._images]
        if len(parts) < self._halves:
            raise Refused(17, f"image {image} is not loaded")
        return np.hstack(parts) if self._halves > 1 else parts[0]

    def begin(self, half: int, data: bytes) -> None:
        """Start the transfer of an image: index u16, size u32."""
        if half >= self._halves:
            raise Refused(7, "no secondary controller")
        if len(data) != 6:
            raise Refused(6, f"image start of {len(data)} bytes")
        index, size = struct.unpack("<HI", data)
        if index >= self._max_images:
            raise Refused(17, f"image index {index}")
        last = self._last_index[half]
        if last is not None and index >= last:
            raise Refused(17, f"image {index} after image {last}: images come from the last to the first")
        row_bytes = (3 * self._columns + 15) // 16 * 16
        if not HEADER_BYTES < size <= HEADER_BYTES + 2 * row_bytes * self._rows:
            raise Refused(6, f"image of {size} bytes")
        if self._faults.full_memory:
            raise Refused(8, "pattern memory is full")
        self._transfer = (half, index, size)
        self._received = bytearray()

    def data(self, half: int, data: bytes) -> bool:
        """Take a packet (its length u16, then the bytes); True when the image is complete and decoded."""
        if self._transfer is None or self._transfer[0] != half:
            raise Refused(5, "image data without a start")
        _, index, size = self._transfer
        count = int.from_bytes(data[:2], "little")
        packet = data[2:]
        if not 0 < count <= _PACKET_BYTES or count != len(packet) or len(self._received) + count > size:
            self._transfer = None
            raise Refused(6, f"image data packet of {len(packet)} bytes that claims {count}")
        if not self._received and count < HEADER_BYTES:
            self._transfer = None
            raise Refused(6, "the first packet must hold the whole header")
        self._received += packet
        if len(self._received) < size:
            return False
        content = bytes(self._received)
        self._transfer, self._received = None, bytearray()
        try:
            words = decode_block(content, self._columns, self._rows)
        except BadImage as error:
            raise Refused(error.code, error.text) from error
        if self._faults.wrong_decoder:
            words = words >> np.uint32(16) | words & np.uint32(0xFF00) | (words & np.uint32(0xFF)) << np.uint32(16)
        self._images[index, half] = words
        self._last_index[half] = index
        return True

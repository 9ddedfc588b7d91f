"""What the mirrors of a virtual device show, and the files that keep it."""

import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import disk_errors, load_npz, replacing_file, save_npz

SHOWN_NAME = "shown.npz"


class ShownFrame(NamedTuple):
    """Mirror levels (rows, columns), uint8: the part of the exposure, in 1/(2**bits - 1), during which each is on."""

    levels: NDArray[np.uint8]
    exposure_us: int
    dark_us: int


class PackedWords:
    """The words of an image, compressed: hundreds of images are shown one after the other over a video input."""

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self.shape = words.shape
        self._content = zlib.compress(np.ascontiguousarray(words, dtype="<u4").tobytes(), 1)

    def unpack(self) -> NDArray[np.uint32]:
        """The words (rows, columns)."""
        return np.frombuffer(zlib.decompress(self._content), dtype="<u4").reshape(self.shape)


@lru_cache(maxsize=2)
def _unpacked(words: PackedWords) -> NDArray[np.uint32]:
    """Neighbouring entries show planes of the same image."""
    return words.unpack()


class ShownEntry(NamedTuple):
    """One line of a running table: planes of a 24-bit image, and what the controller does to them."""

    words: NDArray[np.uint32] | PackedWords
    planes: range
    inverted: bool
    flip_long: bool
    flip_short: bool
    exposure_us: int
    dark_us: int

    def frame(self) -> ShownFrame:
        """What the mirrors show; inversion comes before the flips."""
        words = _unpacked(self.words) if isinstance(self.words, PackedWords) else self.words
        levels = np.zeros(words.shape, dtype=np.uint8)
        for bit, plane in enumerate(self.planes):
            levels |= ((words >> np.uint32(plane)) & np.uint32(1)).astype(np.uint8) << np.uint8(bit)
        if self.inverted:
            levels = np.uint8(2 ** len(self.planes) - 1) - levels
        if self.flip_long:
            levels = levels[:, ::-1]
        if self.flip_short:
            levels = levels[::-1]
        return ShownFrame(levels, self.exposure_us, self.dark_us)


def write_shown(folder: Path, entries: list[ShownEntry]) -> None:
    """Write what was shown as `frame_0000.png`... and `shown.npz`, in place of what an earlier call wrote.

    The npz holds the bit planes packed along the columns: `planes` (F, bits, rows, ceil(columns / 8)), `bit_depth`,
    `exposure_us` and `dark_us` (F,), and `columns`.
    """
    from PIL import Image

    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("frame_*.png"):
            old.unlink()
    depths = [len(entry.planes) for entry in entries]
    rows, columns = entries[0].words.shape
    planes = np.zeros((len(entries), max(depths), rows, (columns + 7) // 8), dtype=np.uint8)
    for number, (entry, depth) in enumerate(zip(entries, depths, strict=True)):
        levels = entry.frame().levels
        for bit in range(depth):
            planes[number, bit] = np.packbits(levels >> np.uint8(bit) & np.uint8(1), axis=1)
        grey = Image.fromarray((levels.astype(np.uint16) * 255 // (2**depth - 1)).astype(np.uint8))
        with replacing_file(folder / f"frame_{number:04d}.png") as temporary:
            grey.convert("1" if depth == 1 else "L").save(temporary, format="PNG")
    save_npz(
        folder / SHOWN_NAME,
        {
            "planes": planes,
            "bit_depth": np.array(depths, dtype=np.int64),
            "exposure_us": np.array([entry.exposure_us for entry in entries], dtype=np.int64),
            "dark_us": np.array([entry.dark_us for entry in entries], dtype=np.int64),
            "columns": np.array([columns], dtype=np.int64),
        },
    )


def read_shown(path: Path) -> list[ShownFrame]:
    """Read a `shown.npz` back; raises `FileError` when it is damaged."""
    arrays = load_npz(path, "record of shown frames")
    try:
        columns = int(arrays["columns"][0])
        rows = []
        for packed, depth, exposure_us, dark_us in zip(
            arrays["planes"], arrays["bit_depth"], arrays["exposure_us"], arrays["dark_us"], strict=True
        ):
            bits = np.unpackbits(packed[: int(depth)], axis=2, count=columns)
            levels = np.zeros(bits.shape[1:], dtype=np.uint8)
            for bit, plane in enumerate(bits):
                levels |= plane << np.uint8(bit)
            rows.append(ShownFrame(levels, int(exposure_us), int(dark_us)))
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise FileError(f"{path}: this record of shown frames is damaged ({error})") from error
    return rows

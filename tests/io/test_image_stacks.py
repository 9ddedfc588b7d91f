"""Stacks of grey pictures: TIFF files, PNGs, and folders of them with numbers in their names."""

import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cidesign.errors import CidesignError, FileError
from cidesign.io.arrays import read_array


def frames(count: int, dtype: str = "u2") -> NDArray[Any]:
    """Ramps that no flip leaves as they are; the first pixel of frame i is i."""
    ramp = 300 * np.arange(7)[:, None] + 11 * np.arange(5)[None, :]
    stack = ramp[None] + np.arange(count)[:, None, None]
    return (stack % 251 if dtype == "u1" else stack).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("how", [{}, {"rowsperstrip": 2}, {"compression": "zlib"}, {"bigtiff": True}])
def test_tiff_files(tmp_path: Path, dtype: str, byteorder: Any, how: dict[str, Any]) -> None:
    stack, path = frames(3, dtype), tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", byteorder=byteorder, **how)
    assert np.array_equal(read_array(path, "scene"), stack)
    tifffile.imwrite(path, stack[1], photometric="minisblack", byteorder=byteorder, **how)
    assert np.array_equal(read_array(path, "scene"), stack[1])


def test_tiff_files_of_other_programs(tmp_path: Path) -> None:
    """OpenCV writes LZW with differences, ImageJ big-endian pages, Pillow one strip."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2**16, (2, 90, 80), dtype=np.uint16)  # more codes than the LZW table holds
    for stack in (noise, rng.poisson(500, (2, 90, 80)).astype(np.uint16), frames(2), np.zeros((2, 90, 80), np.uint16)):
        assert cv2.imwritemulti(str(tmp_path / "a.tif"), list(stack))
        assert np.array_equal(read_array(tmp_path / "a.tif", "scene"), stack)
    tifffile.imwrite(tmp_path / "a.tif", frames(4), imagej=True)
    assert np.array_equal(read_array(tmp_path / "a.tif", "scene"), frames(4))
    tifffile.imwrite(
        tmp_path / "a.tif", frames(1, "u1")[0], photometric="minisblack", compression="zlib", predictor=True
    )
    assert np.array_equal(read_array(tmp_path / "a.tif", "scene"), frames(1, "u1")[0])
    Image.fromarray(frames(1)[0]).save(tmp_path / "a.tiff")
    assert np.array_equal(read_array(tmp_path / "a.tiff", "scene"), frames(1)[0])


@pytest.mark.parametrize(
    ("array", "how", "said"),
    [
        (np.zeros((4, 6, 3), "u1"), {"photometric": "rgb"}, "page 0 of scene is in colour"),
        (frames(1)[0], {"photometric": "miniswhite"}, "0 as white"),
        (frames(1)[0].astype("c8"), {"photometric": "minisblack"}, "use 8 or 16 bits, or float"),
        (np.ones((4, 6), bool), {"photometric": "minisblack"}, "has 1 bits"),
        (np.zeros((32, 32), "u2"), {"photometric": "minisblack", "tile": (16, 16)}, "is in tiles"),
        (frames(5), {"photometric": "minisblack", "truncate": True}, "says it has 5 pictures, but lists 1"),
    ],
)
def test_tiff_files_that_are_refused(tmp_path: Path, array: Any, how: dict[str, Any], said: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", array, **how)
    with pytest.raises(FileError, match=said):
        read_array(tmp_path / "a.tif", "scene")


def test_mixed_pages(tmp_path: Path) -> None:
    for other, said in (
        (frames(1, "u1")[0], "5 x 7 of uint8, page 0 is 5 x 7 of uint16"),
        (frames(1)[0, :5], "5 x 5 of"),
    ):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            writer.write(frames(1)[0], photometric="minisblack")
            writer.write(other, photometric="minisblack")
        with pytest.raises(FileError, match=f"page 1 of scene is {said}"):
            read_array(tmp_path / "a.tif", "scene")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_cut_off_tiff(tmp_path: Path, compression: Any) -> None:
    path = tmp_path / "a.tif"
    rng = np.random.default_rng(0)
    tifffile.imwrite(
        path, rng.integers(0, 2**16, (40, 40), np.uint16), photometric="minisblack", compression=compression
    )
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError, match="cut off"):
        read_array(path, "scene")


def peak_bytes(path: Path, said: str) -> int:
    """The memory that a refusal takes."""
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=said):
            read_array(path, "scene")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_declared_sizes_take_no_memory(tmp_path: Path) -> None:
    read_array(_tiff(tmp_path), "scene")  # imports
    assert peak_bytes(_tiff(tmp_path, {256: 60_000, 257: 60_000}), "not in the file") < 5_000_000
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:  # sound, but 2.1 GB as float64
        for _ in range(26):
            writer.write(np.zeros((1000, 10_000), "u1"), photometric="minisblack", compression="zlib")
    assert peak_bytes(tmp_path / "b.tif", r"26 picture\(s\) of 10000 x 1000 of uint8; at most") < 5_000_000
    png = tmp_path / "a.png"
    png.write_bytes(_png(100_000, 100_000, b""))
    assert peak_bytes(png, "100000 x 100000 pixels .* not in the file") < 5_000_000
    png.write_bytes(_png(10, 10, zlib.compress(bytes(30_000_000))))
    assert peak_bytes(png, "does not hold the 10 x 10 pixels") < 5_000_000


def _tiff(folder: Path, changes: dict[int, int] | None = None) -> Path:
    """A file of one uncompressed 16-bit page of 5 x 7, some of its tags overwritten."""
    path = folder / "a.tif"
    tifffile.imwrite(path, frames(1)[0], photometric="minisblack", metadata=None, byteorder="<")
    content = bytearray(path.read_bytes())
    for tag, value in (changes or {}).items():
        position = content.index(struct.pack("<HH", tag, 4)) if struct.pack("<HH", tag, 4) in content else -1
        if position < 0:
            position = content.index(struct.pack("<HH", tag, 3))
        content[position : position + 12] = struct.pack("<HHII", tag, 4, 1, value)
    path.write_bytes(content)
    return path


def _png(width: int, height: int, data: bytes, colour: int = 0, bits: int = 16, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_numbered_pngs_are_ordered_by_number(tmp_path: Path, dtype: str) -> None:
    """2 comes before 10, with leading zeros or without; other numbers in the names do not matter."""
    stack = frames(12, dtype)
    for index, frame in enumerate(stack):
        assert cv2.imwrite(str(tmp_path / f"lamp2_{index + 1}.png"), frame)
    (tmp_path / "notes.txt").write_text("not a picture")
    assert np.array_equal(read_array(tmp_path, "scene"), stack)
    (tmp_path / "lamp2_3.png").rename(tmp_path / "lamp2_0003.PNG")
    assert np.array_equal(read_array(tmp_path, "scene"), stack)
    assert np.array_equal(read_array(tmp_path / "lamp2_10.png", "scene"), stack[9])


def test_a_folder_of_tiffs_is_a_stack(tmp_path: Path) -> None:
    for index, frame in enumerate(frames(3)):
        tifffile.imwrite(tmp_path / f"frame_{index:03}.tif", frame, photometric="minisblack")
    assert np.array_equal(read_array(tmp_path, "scene"), frames(3))
    for index in (1, 2):
        (tmp_path / f"frame_{index:03}.tif").unlink()
    assert read_array(tmp_path, "scene").shape == (1, 7, 5)
    tifffile.imwrite(tmp_path / "frame_001.tif", frames(2), photometric="minisblack")
    with pytest.raises(FileError, match="holds 2 pictures; a file of a numbered scene holds one"):
        read_array(tmp_path, "scene")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a_1.png", "a_2.png", "a_4.png", "a_7.png"], r"picture 3 of scene is missing, after a_2\.png"),
        (["a_1.png", "a_01.png"], r"a_01\.png, a_1\.png have the same number"),
        (["a_1.png", "b_2.png"], "the names of a stack are equal but for their number"),
        (["a.png", "a_2.png"], "equal but for their number"),
        (["a1_1.png", "a2_2.png"], "the names differ in 2 numbers"),
        (["a_1.png", "a_2.tif"], r"mixes \.png, \.tif"),
        (["a_1.txt"], "holds 0 pictures"),
    ],
)
def test_wrong_folders(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(_png(2, 2, zlib.compress(bytes(10))))
    with pytest.raises(FileError, match=said):
        read_array(tmp_path, "scene")


def test_mixed_pictures(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a_1.png"), frames(1)[0])
    for other, said in (
        (frames(1, "u1")[0], "a_2.png of scene is 5 x 7 of uint8"),
        (frames(1)[0, 1:], "5 x 6 of uint16"),
    ):
        cv2.imwrite(str(tmp_path / "a_2.png"), other)
        with pytest.raises(FileError, match=said):
            read_array(tmp_path, "scene")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_png(2, 2, zlib.compress(bytes(14)), colour=2, bits=8), "is colour; save"),
        (_png(2, 2, zlib.compress(bytes(6)), colour=3, bits=8), "is palette"),
        (_png(2, 2, zlib.compress(bytes(10)), colour=4, bits=8), "with transparency"),
        (_png(2, 2, zlib.compress(bytes(4)), bits=4), "has 4 bits; 8 or 16"),
        (_png(2, 2, zlib.compress(bytes(9))), "does not hold the 2 x 2 pixels"),
        (_png(2, 2, zlib.compress(bytes(11))), "does not hold the 2 x 2 pixels"),
        (_png(2, 2, b"no zlib"), "does not hold the 2 x 2 pixels"),
        (_png(0, 2, zlib.compress(b"")), "declares 1 picture"),
        (_png(2, 2, zlib.compress(bytes(10)))[:-14], "cut off or damaged at byte"),
        (b"GIF89a", "is no PNG"),
    ],
)
def test_wrong_pngs(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FileError, match=said):
        read_array(tmp_path / "a.png", "scene")


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["plain", "zlib", "lzw", "png"]))
def test_mutated_pictures_are_errors_or_numbers(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / ("a.png" if kind == "png" else "a.tif")
    if kind == "png":
        cv2.imwrite(str(path), frames(1)[0])
    elif kind == "lzw":
        cv2.imwritemulti(str(path), list(frames(2)))
    else:
        compression = None if kind == "plain" else kind
        tifffile.imwrite(path, frames(2), photometric="minisblack", compression=compression)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    message = ""
    try:
        assert np.isfinite(read_array(path, "scene")).all()
    except CidesignError as error:
        message = str(error)
    assert "\n" not in message

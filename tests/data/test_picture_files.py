"""Pictures as files hold them: every kind of TIFF, what Pillow reads, and what is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from cidesign.data.picture_files import find_images, read_pictures
from cidesign.errors import FileError

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "14_training_tiff"
GREY = (np.add.outer(np.arange(40) * 3, np.arange(48) * 2)).astype(np.uint8)
RGB = np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)
LUMA = np.round(RGB @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)


def _read(path: Path) -> tuple[list[np.ndarray], list[str]]:
    notes: list[str] = []
    return [picture.values for picture in read_pictures(path, notes)], notes


def _only(path: Path) -> np.ndarray:
    (values,), _ = _read(path)
    return values


@pytest.mark.parametrize(
    ("stored", "options", "wanted"),
    [
        (GREY, {}, GREY),
        (GREY, {"bigtiff": True}, GREY),
        (GREY, {"byteorder": ">"}, GREY),
        (GREY, {"compression": "zlib", "predictor": True}, GREY),
        (np.tile(GREY, (2, 2)), {"tile": (16, 16)}, np.tile(GREY, (2, 2))),
        (GREY, {"photometric": "miniswhite"}, 255 - GREY),
        (GREY.astype(np.uint16) * 257, {"photometric": "miniswhite"}, 65535 - GREY.astype(np.uint16) * 257),
        (GREY.astype(np.uint16) * 257, {"byteorder": ">"}, GREY.astype(np.uint16) * 257),
        (RGB, {"photometric": "rgb"}, LUMA),
        (np.moveaxis(RGB, -1, 0).copy(), {"photometric": "rgb", "planarconfig": "separate"}, LUMA),
        (np.dstack([RGB, GREY]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, LUMA),
        (np.dstack([RGB, GREY, GREY]), {"photometric": "rgb", "planarconfig": "contig"}, LUMA),
        (GREY.astype(np.int16) - 100, {}, GREY.astype(np.int16) - 100),
        ((GREY // 2).astype(np.int8), {}, (GREY // 2).astype(np.int8)),
        (GREY.astype(np.uint32) * 2**20, {}, GREY.astype(np.uint32) * 2**20),
        (GREY / 255, {}, GREY / 255),
        ((GREY / 255).astype(np.float16), {}, (GREY / 255).astype(np.float16)),
    ],
    ids=lambda value: None if isinstance(value, np.ndarray) else " ".join(map(str, value.values())) or "plain",
)
def test_layouts_of_tiff(tmp_path: Path, stored: np.ndarray, options: dict[str, Any], wanted: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    found = _only(tmp_path / "a.tif")
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_deep_colour_in_planes_is_one_picture(tmp_path: Path) -> None:
    deep = np.moveaxis(RGB, -1, 0).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(_only(tmp_path / "a.tif") / 257, RGB @ np.array([0.299, 0.587, 0.114]), atol=0.01)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "jpeg"])
def test_compressions_of_tiff(tmp_path: Path, compression: str) -> None:
    tolerance = 12 if compression == "jpeg" else 1
    for stored, wanted in ((GREY, GREY), (RGB, LUMA)):
        Image.fromarray(stored).save(tmp_path / "a.tif", compression=compression)
        assert abs(_only(tmp_path / "a.tif").astype(int) - wanted).max() <= tolerance


@pytest.mark.parametrize("compression", ["raw", "group3", "group4", "tiff_ccitt", "tiff_lzw"])
def test_black_and_white_tiff_spans_the_scale(tmp_path: Path, compression: str) -> None:
    Image.fromarray(GREY > 100).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(_only(tmp_path / "a.tif"), np.where(GREY > 100, 255, 0))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_palettes_are_looked_up(tmp_path: Path, compression: str) -> None:
    picture = Image.fromarray(RGB).quantize(64)
    picture.save(tmp_path / "a.tif", compression=compression)
    wanted = np.asarray(picture.convert("RGB")) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(_only(tmp_path / "a.tif"), wanted, atol=1)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tags_are_obeyed(tmp_path: Path, compression: str, orientation: int) -> None:
    turned = {
        1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1], 5: GREY.T, 6: np.rot90(GREY, -1),
        7: np.rot90(GREY, 2).T, 8: np.rot90(GREY),
    }[orientation]  # fmt: skip
    Image.fromarray(GREY).save(tmp_path / "a.tif", compression=compression, tiffinfo={274: orientation})
    np.testing.assert_array_equal(_only(tmp_path / "a.tif"), turned)
    if compression == "raw":
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
        np.testing.assert_array_equal(_only(tmp_path / "a.png"), turned)


def test_inks_and_luma(tmp_path: Path) -> None:
    for mode, name in (("CMYK", "inks"), ("YCbCr", "luma")):
        Image.fromarray(RGB).convert(mode).save(tmp_path / f"{name}.tif")
        Image.fromarray(RGB).convert(mode).save(tmp_path / f"{name}-lzw.tif", compression="tiff_lzw")
        for kind in (name, f"{name}-lzw"):
            assert abs(_only(tmp_path / f"{kind}.tif").astype(int) - LUMA).max() <= 3


@pytest.mark.parametrize("kind", ["pages", "imagej", "behind one page"])
def test_all_pages_are_read(tmp_path: Path, kind: str) -> None:
    stack = np.stack([GREY, GREY // 2, GREY // 3, 255 - GREY])
    path = tmp_path / "a.tif"
    if kind == "pages":
        Image.fromarray(stack[0]).save(path, save_all=True, append_images=[Image.fromarray(one) for one in stack[1:]])
    elif kind == "imagej":
        tifffile.imwrite(path, stack, imagej=True)
    else:  # as ImageJ writes what is larger than 4 GB
        tifffile.imwrite(path, stack[0], description="ImageJ=1.53\nimages=4\n", metadata=None)
        with tifffile.TiffFile(path) as file:
            end = file.pages[0].dataoffsets[0] + stack[0].size  # type: ignore[union-attr]
        path.write_bytes(path.read_bytes()[:end] + stack[1:].tobytes())
    found, _ = _read(path)
    np.testing.assert_array_equal(np.stack(found), stack)


def test_previews_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(GREY[::4, ::4], subfiletype=1)
        writer.write(GREY)
    (found,), notes = _read(tmp_path / "a.tif")
    np.testing.assert_array_equal(found, GREY)
    assert notes == ["1 of 2 pages are previews or masks of transparency, and left out"]


def test_what_is_not_read_is_refused_by_name(tmp_path: Path) -> None:
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    converted = ImageCms.applyTransform(Image.fromarray(RGB), lab)
    assert converted is not None
    converted.save(tmp_path / "lab.tif")
    tifffile.imwrite(tmp_path / "seven.tif", np.dstack([GREY] * 7), photometric="minisblack", planarconfig="contig")
    for name, said in (("lab", "CIE L.a.b. is not read"), ("seven", "7 samples per pixel")):
        with pytest.raises(FileError, match=said):
            _read(tmp_path / f"{name}.tif")


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    pages = [Image.fromarray(np.roll(GREY, shift)) for shift in range(4)]
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw")
    with tifffile.TiffFile(path) as file:
        page = file.pages[2]
        start, length = page.dataoffsets[0], page.databytecounts[0]  # type: ignore[union-attr]
    content = bytearray(path.read_bytes())
    content[start : start + length] = b"\xff" * length
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"a\.tif: page 3 of 4: "):
        _read(path)


def test_a_size_that_is_not_in_the_file_takes_no_memory(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = (15_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FileError, match="15000 x 15000 pixels are not in"):
        _read(tmp_path / "a.png")


def test_large_pictures_need_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    for limit in (GREY.size // 3, GREY.size - 1):  # Pillow refuses the first and warns of the second
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        np.testing.assert_array_equal(_only(tmp_path / "a.png"), GREY)
        assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("suffix", ["bmp", "webp", "jp2", "ppm", "tga", "png"])
def test_other_formats(tmp_path: Path, suffix: str) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(RGB).save(tmp_path / f"a.{suffix}", **options)
    assert abs(_only(tmp_path / f"a.{suffix}").astype(int) - LUMA).max() <= 1


def test_deep_colour_png_keeps_its_depth(tmp_path: Path) -> None:
    import cv2

    deep = RGB.astype(np.uint16) * 16  # 12 of 16 bits
    cv2.imwrite(str(tmp_path / "a.png"), deep[..., ::-1])
    assert _only(tmp_path / "a.png").dtype == np.uint16
    np.testing.assert_allclose(_only(tmp_path / "a.png"), 16 * (RGB @ np.array([0.299, 0.587, 0.114])), atol=1)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    (found,), notes = _read(tmp_path / "a.gif")
    assert abs(found.astype(int) - GREY).max() <= 2
    assert notes == ["of animations the first frame is read"]


def test_transparency_is_left_out_and_it_is_said(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RGB, np.full_like(GREY, 128)])).save(tmp_path / "half.png")
    Image.fromarray(np.dstack([RGB, np.full_like(GREY, 255)])).save(tmp_path / "opaque.png")
    for name, notes in (("half", 1), ("opaque", 0)):
        (found,), said = _read(tmp_path / f"{name}.png")
        assert abs(found.astype(int) - LUMA).max() <= 1
        assert len(said) == notes


def test_other_files_are_counted(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    for name in ("b.heic", "c.HEIC", "d.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"")
    found, others = find_images(tmp_path)
    assert [path.name for path in found] == ["a.png"]
    assert others == "2 .heic, 1 .txt"
    assert find_images(tmp_path / "a.png") == ([tmp_path / "a.png"], "")
    with pytest.raises(FileError, match=r"\.heic files are not read as pictures"):
        find_images(tmp_path / "b.heic")


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_cases_are_read() -> None:
    means = [float(_only(path).mean()) for path in sorted((CASES / "palette").glob("*.tif"))]
    assert np.mean(means) == pytest.approx(131.4, abs=0.1)
    assert {_only(path).shape for path in (CASES / "lzw").glob("*.tif")} == {(96, 128)}

"""TIFFs of several pages: the one drawing is looked at, previews are named, and all else is refused."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cidesign.designs.checking import check_path
from cidesign.errors import FileError, InputError, LimitError
from cidesign.export.aperture.tiff.read import read_tiff
from cidesign.export.aperture.verify import check_mask_file

CASES = Path(__file__).parents[4] / "shared" / "cases" / "13_tiff_several_pages"
WHOLE = {"photometric": "minisblack", "resolution": (10_000, 10_000), "resolutionunit": "CENTIMETER", "metadata": None}


def drawing() -> np.ndarray:
    levels = np.zeros((40, 60), dtype=bool)
    levels[10:30, 10:50] = True
    return levels


def pages(path: Path, *written: tuple[np.ndarray, dict]) -> Path:
    with tifffile.TiffWriter(path) as file:
        for levels, changes in written:
            file.write(levels, **{**WHOLE, **changes})
    return path


PREVIEW = (drawing()[::4, ::4], {"subfiletype": 1})
SPOILT = drawing()
SPOILT[15:20, 52:55] = True  # 2 um beside the rest, and 3 um wide


@pytest.mark.parametrize("where", ["before", "after", "both"])
def test_the_drawing_is_checked_and_the_preview_named(tmp_path, chrome, where) -> None:
    before, after = [PREVIEW] * (where != "after"), [PREVIEW] * (where != "before")
    path = pages(tmp_path / "mask.tif", *before, (drawing(), {}), *after)
    found = read_tiff(path)
    assert (found.columns, found.rows, len(found.others)) == (60, 40, len(before) + len(after))
    report = check_path(path, chrome)
    value, text = report.value, report.text
    assert text == f"{path}: 4 passed, {len(found.others)} not evaluated"
    left = [check for check in value["checks"] if check["status"] == "not evaluated"]
    assert [check["check"] for check in left] == ["other pages"] * len(found.others)
    assert "(15 x 10 pixels) says that it is a preview of reduced resolution" in left[0]["result"]
    spoilt = pages(tmp_path / "spoilt.tif", *before, (SPOILT, {}), *after)
    with pytest.raises(LimitError, match="smallest feature is less"):
        list(check_mask_file(spoilt, chrome))


@pytest.mark.parametrize("compression", ["group4", "tiff_lzw"])
def test_the_page_is_found_where_another_library_decodes_it(tmp_path, compression) -> None:
    path = tmp_path / "mask.tif"
    options = {"format": "TIFF", "compression": compression, "resolution_unit": 3, "x_resolution": 1e4}
    preview, whole = (Image.fromarray(levels) for levels in (np.ones((4, 4), dtype=bool), drawing()))
    preview.save(path, save_all=True, append_images=[whole], y_resolution=1e4, **options)
    content = bytearray(path.read_bytes())
    order = "<" if content[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", content, 4)
    # The entry before the sizes: a software tag or the like is not there, so the first entry makes room.
    (count,) = struct.unpack_from(order + "H", content, first)
    entries = bytes(content[first + 2 : first + 2 + 12 * count + 4])
    added = struct.pack(order + "H", count + 1) + struct.pack(order + "HHII", 254, 4, 1, 1) + entries
    struct.pack_into(order + "I", content, 4, len(content) + len(content) % 2)
    path.write_bytes(bytes(content) + b"\0" * (len(content) % 2) + added)
    levels, y, x = read_tiff(path).cells_px
    np.testing.assert_array_equal(np.repeat(np.repeat(levels, np.diff(y), axis=0), np.diff(x), axis=1), drawing())


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            [(drawing(), {}), (drawing(), {})],
            r"holds 2 images \(page 1 \(60 x 40 pixels\), page 2 \(60 x 40 pixels\)\)",
        ),
        ([(drawing(), {}), (~drawing(), {"photometric": "miniswhite"})], "holds 2 images"),
        ([(drawing(), {}), (np.zeros((40, 60, 3), np.uint8), {"photometric": "rgb"})], "holds 2 images"),
        ([(drawing()[:9, :9], {}), (drawing(), {})], "holds 2 images"),
        ([(drawing(), {"subfiletype": 2}), (drawing(), {"subfiletype": 2})], "holds 2 images"),
        ([PREVIEW, PREVIEW], "every page says that it is a preview or a transparency mask"),
        ([(drawing(), {"subfiletype": 1})], "every page says that it is a preview"),
        (
            [(drawing(), {"subfiletype": 1}), (drawing()[:, :-1], {})],
            r"page 1 \(60 x 40 pixels\) says that it is a preview .*, but is not smaller than page 2",
        ),
    ],
)
def test_what_would_have_to_be_chosen_is_refused(tmp_path, chrome, written, message) -> None:
    with pytest.raises(FileError, match=message):
        list(check_mask_file(pages(tmp_path / "mask.tif", *written), chrome))


def test_a_single_page_of_a_series_and_a_transparency_mask(tmp_path) -> None:
    assert read_tiff(pages(tmp_path / "one.tif", (drawing(), {"subfiletype": 2}))).others == ()
    path = pages(tmp_path / "mask.tif", (drawing(), {}), (drawing()[:9, :9], {"subfiletype": 4}))
    assert read_tiff(path).others == ("page 2 (9 x 9 pixels) says that it is a transparency mask",)


def directory(order: str, *entries: tuple[int, int, int, int], following: int) -> bytes:
    packed = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return struct.pack(order + "H", len(entries)) + packed + struct.pack(order + "I", following)


def by_hand(
    order: str, kind: tuple[int, int, int, int] | None, hung: int = 0, following: int = 0, sub: bytes = b""
) -> bytes:
    """A drawing of 16 x 1 pixels at byte 100, its directory at 200, and `sub` at 600."""
    entries = [
        (256, 4, 1, 16), (257, 4, 1, 1), (258, 4, 1, 1), (259, 4, 1, 1), (262, 4, 1, 1), (273, 4, 1, 100),
        (278, 4, 1, 1), (279, 4, 1, 2), (282, 5, 1, 120), (283, 5, 1, 120), (296, 4, 1, 3),
    ]  # fmt: skip
    if kind:
        entries.append(kind)
    if hung:
        entries.append((330, 13, 1, hung))
    content = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 200)
    content = content.ljust(100, b"\0") + b"\x0f\xf0"
    content = content.ljust(120, b"\0") + struct.pack(order + "II", 10_000, 1)
    content = content.ljust(200, b"\0") + directory(order, *sorted(entries), following=following)
    return content.ljust(600, b"\0") + sub


SMALL = ((256, 4, 1, 4), (257, 4, 1, 1))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_thumbnail_in_a_subifd_is_named_and_a_whole_image_there_refused(tmp_path, order) -> None:
    path = tmp_path / "mask.tif"
    path.write_bytes(by_hand(order, None, 600, 0, directory(order, (254, 4, 1, 1), *SMALL, following=0)))
    assert read_tiff(path).others == (
        "a SubIFD of page 1 (4 x 1 pixels) says that it is a preview of reduced resolution",
    )
    # SubfileType of TIFF 5: 2 is reduced, 1 and 3 are not.
    path.write_bytes(
        by_hand(order, None, 600, 0, directory(order, (255, 3, 1, 2 << (16 * (order == ">"))), *SMALL, following=0))
    )
    assert len(read_tiff(path).others) == 1
    path.write_bytes(by_hand(order, None, 600, 0, directory(order, *SMALL, following=0)))
    with pytest.raises(
        FileError, match=r"holds 2 images \(page 1 \(16 x 1 pixels\), a SubIFD of page 1 \(4 x 1 pixels\)"
    ):
        read_tiff(path)
    path.write_bytes(
        by_hand(order, (254, 4, 1, 1), 600, 0, directory(order, (256, 4, 1, 99), (257, 4, 1, 99), following=0))
    )
    with pytest.raises(
        FileError, match=r"the drawing is a SubIFD of page 1 \(99 x 99 pixels\), where few programs look"
    ):
        read_tiff(path)


@pytest.mark.parametrize(
    ("hung", "following", "sub", "message"),
    [
        (0, 200, b"", "lead back to one another"),
        (200, 0, b"", "lead back to one another"),
        (0, 600, directory("<", *SMALL, following=200), "lead back to one another"),
        (0, 600, directory("<", *SMALL, following=600), "lead back to one another"),
        (600, 0, directory("<", (254, 4, 1, 1), (330, 4, 1, 200), *SMALL, following=0), "lead back to one another"),
        (0, 600, b"\x02\x00", "cut short"),
        (0, 2**31, b"", "cut short"),
        (0, 600, b"\xff\xff", "claims 65535 tags"),
    ],
)
def test_directories_that_are_damaged_or_without_end_are_refused(tmp_path, hung, following, sub, message) -> None:
    path = tmp_path / "mask.tif"
    path.write_bytes(by_hand("<", None, hung, following, sub))
    with pytest.raises(FileError, match=message):
        read_tiff(path)


def test_a_thousand_pages_are_enough(tmp_path) -> None:
    path = tmp_path / "mask.tif"
    size = len(directory("<", *SMALL, following=0))
    chain = b"".join(directory("<", *SMALL, following=600 + size * (number + 1)) for number in range(1200))
    path.write_bytes(by_hand("<", None, 0, 600, chain))
    with pytest.raises(FileError, match="more than 1000 pages"):
        read_tiff(path)


def test_the_cases_of_several_pages(tmp_path, chrome) -> None:
    if not CASES.is_dir():
        pytest.skip("shared/cases is not here")
    for name in ("preview_then_mask.tif", "mask_alone.tif"):
        with pytest.raises(LimitError, match="smallest feature is less at 15 places"):
            list(check_mask_file(CASES / name, chrome, "clear", tmp_path / "picture.png"))
    with pytest.raises(FileError, match="holds 2 images"):
        list(check_mask_file(CASES / "two_pages.tif", chrome, "clear", tmp_path / "picture.png"))


def test_a_tiff_has_no_cells(tmp_path, chrome) -> None:
    with pytest.raises(InputError, match="a TIFF has no cells; leave out --set cell=A"):
        list(check_mask_file(pages(tmp_path / "mask.tif", (drawing(), {})), chrome, cell="A"))

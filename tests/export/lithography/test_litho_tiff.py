"""1-bit TIFF: written in strips, read by four readers, and refused where something would be guessed."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cidesign.constraints.aperture import Cells
from cidesign.errors import CidesignError, FileError, LimitError
from cidesign.export.aperture.files import read_code
from cidesign.export.aperture.layout import OrderOptions, plan_plate
from cidesign.export.aperture.tiff import write as lithography_tiff
from cidesign.export.aperture.tiff.read import read_tiff
from cidesign.export.aperture.tiff.write import packbits, write_tiff


def write(path: Path, levels, pixel_nm=1000, compression="packbits", step=1) -> Path:
    edges = [np.arange(count + 1, dtype=np.int64) * pixel_nm * step for count in levels.shape]
    write_tiff(path, Cells(levels, edges[0], edges[1]), pixel_nm, compression, "text", "cidesign test")
    return path


def expanded(tiff) -> np.ndarray:
    levels, y, x = tiff.cells_px
    return np.repeat(np.repeat(levels, np.diff(y), axis=0), np.diff(x), axis=1)


@pytest.mark.parametrize("compression", ["packbits", "deflate"])
@pytest.mark.parametrize(("shape", "step"), [((3, 5), 1), ((64, 64), 1), ((37, 50), 7), ((5, 3), 400), ((700, 9), 1)])
def test_four_readers_see_the_pixels_that_were_written(tmp_path, compression, shape, step) -> None:
    levels = np.random.default_rng(shape[0]).integers(0, 2, shape, dtype=np.uint8)
    path = write(tmp_path / "mask.tif", levels, 1000, compression, step)
    expected = np.repeat(np.repeat(levels, step, axis=0), step, axis=1)
    own = read_tiff(path)
    np.testing.assert_array_equal(expanded(own), expected)
    assert (own.columns, own.rows, own.pixel_nm, own.description) == (*expected.shape[::-1], 1000, "text")
    with Image.open(path) as image:
        assert image.mode == "1"
        np.testing.assert_array_equal(np.asarray(image), expected == 1)
        assert image.info["compression"] == ("packbits" if compression == "packbits" else "tiff_adobe_deflate")
        assert image.info["dpi"] == pytest.approx((25_400, 25_400))
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), expected * 255)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert (page.photometric, page.bitspersample, page.is_tiled) == (tifffile.PHOTOMETRIC.MINISBLACK, 1, False)
        assert page.tags["XResolution"].value == (10_000, 1)
        assert page.tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
        assert page.software == "cidesign test"
        if compression == "deflate":  # tifffile alone has no decoder for PackBits of bits
            np.testing.assert_array_equal(page.asarray(), expected == 1)


@given(st.binary(min_size=1, max_size=700))
@settings(max_examples=200, deadline=None)
def test_packbits_can_be_decoded_by_a_plain_statement_of_the_code(row) -> None:
    code, out, position = packbits(row), bytearray(), 0
    while position < len(code):
        count = code[position]
        assert count != 128
        if count < 128:
            out += code[position + 1 : position + 2 + count]
            position += 2 + count
        else:
            out += code[position + 1 : position + 2] * (257 - count)
            position += 2
    assert out == row
    assert len(code) <= len(row) + -(-len(row) // 128)


@pytest.mark.parametrize("tone", ["clear", "chrome"])
@pytest.mark.parametrize("reading", ["chrome_up", "chrome_down"])
@pytest.mark.parametrize("save", ["none", "packbits", "deflate", "tiff_lzw", "group4", "tifffile", "inch"])
def test_the_code_is_rebuilt_from_a_file_that_another_program_saved(
    tmp_path, letter, chrome, tone, reading, save
) -> None:
    plate = plan_plate(letter, chrome, OrderOptions(tone=tone, reading=reading, tiff_pixel_um=2.5))
    path = tmp_path / "mask.tif"
    write_tiff(path, plate.drawn, plate.pixel_nm, "packbits", "", "")
    again = tmp_path / "again.tif"
    with Image.open(path) as image:
        if save == "tifffile":
            # Without its photometric, tifffile would write WhiteIsZero.
            changes = {"resolution": (4000, 4000), "resolutionunit": "CENTIMETER", "photometric": "minisblack"}
            tifffile.imwrite(again, np.asarray(image), **changes)
        elif save == "inch":
            image.save(again, format="TIFF", dpi=(10_160, 10_160))
        else:
            resolution = {"x_resolution": 4000.0, "y_resolution": 4000.0, "resolution_unit": "cm"}
            image.save(again, format="TIFF", compression=None if save == "none" else save, **resolution)
    np.testing.assert_array_equal(read_code(again, plate.placement), letter.levels)


def saved(path: Path, **changes) -> Path:
    """A small TIFF by tifffile, with things that a mask must not have."""
    data = changes.pop("data", np.eye(16, dtype=bool))
    settings = {"resolution": (1000, 1000), "resolutionunit": "CENTIMETER", "photometric": "minisblack", **changes}
    tifffile.imwrite(path, data, **settings)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photometric": "miniswhite"}, r"PhotometricInterpretation is 0 \(WhiteIsZero\). Some programs show the bits"),
        ({"resolution": None, "resolutionunit": None}, "no resolution is in this TIFF, so the size of the mask"),
        ({"resolutionunit": "NONE"}, "no resolution is in this TIFF"),
        ({"resolution": (1000, 500)}, "1000 pixels along x and 500 along y"),
        (
            {"data": np.eye(16, dtype=np.uint8) * 255},
            r"1 sample\(s\) of 8 bits a pixel; a mask has one bit, so that no grey",
        ),
        ({"tile": (16, 16)}, "stored in tiles"),
        ({"bigtiff": True}, "a BigTIFF, which mask converters do not read"),
        ({"extratags": [(274, 3, 1, 4, True)]}, "Orientation is 4; some programs flip such a file"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(tmp_path, changes, message) -> None:
    with pytest.raises(FileError, match=message):
        read_tiff(saved(tmp_path / "mask.tif", **changes))


def test_bits_in_the_other_order_are_refused(tmp_path) -> None:
    path = write(tmp_path / "mask.tif", np.eye(4, dtype=np.uint8))
    content = path.read_bytes()
    entry = content.index(struct.pack("<HHI", 277, 3, 1))  # SamplesPerPixel becomes FillOrder
    path.write_bytes(content[:entry] + struct.pack("<HHII", 266, 3, 1, 2) + content[entry + 12 :])
    with pytest.raises(FileError, match="FillOrder is 2, which few programs read"):
        read_tiff(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a TIFF file"),
        (b"\x89PNG\r\n\x1a\n", "not a TIFF file"),
        (b"II*\0\xff\xff\xff\x7f", "cut short"),
        (b"II\x07\0\x08\0\0\0", "its version is 7"),
        (b"II*\0\x08\0\0\0\xff\xff", "claims 65535 tags"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "has no width"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message) -> None:
    path = tmp_path / "mask.tif"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message):
        read_tiff(path)
    with pytest.raises(FileError, match="cannot be read"):
        read_tiff(tmp_path / "missing.tif")


def test_a_resolution_that_is_no_whole_number_of_nm_is_refused(tmp_path, letter, chrome) -> None:
    path = saved(tmp_path / "mask.tif", resolution=(3001, 3001))
    placement = plan_plate(letter, chrome, OrderOptions()).placement
    with pytest.raises(FileError, match=r"makes a pixel 3\.332223 um, which is no whole number of nm"):
        read_code(path, placement)


@pytest.mark.parametrize("compression", ["packbits", "deflate"])
def test_damage_is_a_file_error_never_a_traceback(tmp_path_factory, compression) -> None:
    path = tmp_path_factory.mktemp("tiff") / "mask.tif"
    levels = np.random.default_rng(1).integers(0, 2, (20, 33), dtype=np.uint8)
    sound = write(path, levels, 1000, compression).read_bytes()

    @given(st.data())
    @settings(max_examples=250, deadline=None)
    def damage(data) -> None:
        content = bytearray(sound)
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            content = content[: data.draw(st.integers(0, len(content)))]
        path.write_bytes(content)
        try:
            read_tiff(path)
        except CidesignError as error:
            said = str(error)
        else:
            return
        assert said.startswith(str(path))

    damage()


def test_more_than_four_gib_is_said_before_and_while_it_is_written(tmp_path, monkeypatch) -> None:
    far = np.array([0, 2 * 10**12], dtype=np.int64)
    with pytest.raises(LimitError, match=r"mask.tif: 2000000 x 2000000 pixels of 1000 um need more than the 4 GiB"):
        write_tiff(tmp_path / "mask.tif", Cells(np.ones((1, 1), np.uint8), far, far), 10**6, "packbits", "", "")
    assert not (tmp_path / "mask.tif").exists()
    monkeypatch.setattr(lithography_tiff, "MAX_TIFF_BYTES", 1000)
    noise = np.random.default_rng(0).integers(0, 2, (100, 200), dtype=np.uint8)
    with pytest.raises(LimitError, match=r"200 x 100 pixels of 1 um need more than the 4 GiB"):
        write(tmp_path / "mask.tif", noise)


def test_an_image_of_2500_megapixels_is_streamed(tmp_path) -> None:
    """500 x 500 code pixels of 100 TIFF pixels: written and read within 90 MB, Python and NumPy among them."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process's memory is read from /proc")
    program = f"""
import numpy as np
from pathlib import Path
from cidesign.constraints.aperture import Cells
from cidesign.export.aperture.tiff.write import write_tiff
from cidesign.export.aperture.tiff.read import read_tiff
edges = np.arange(501, dtype=np.int64) * 10_000
levels = np.random.default_rng(0).integers(0, 2, (500, 500), dtype=np.uint8)
path = Path({str(tmp_path / "mask.tif")!r})
print(*write_tiff(path, Cells(levels, edges, edges), 100, "packbits", "", ""))
again = read_tiff(path)
assert (again.cells_px.levels == levels).all() and (again.cells_px.x == edges // 100).all()
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    size, peak_kib = done.stdout.splitlines()
    assert size == "50000 50000"
    assert int(peak_kib) < 90_000


def test_a_png_under_the_name_of_a_tiff_is_no_tiff(tmp_path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.eye(4, dtype=bool)).save(buffer, format="PNG")
    path = tmp_path / "mask.tif"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(FileError, match="not a TIFF file"):
        read_tiff(path)

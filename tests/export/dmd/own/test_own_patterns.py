"""Files of patterns that somebody else made: what they hold, what they leave open, and what is refused."""

import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.dmd.own import PatternOptions, describe_frames, read_own
from cidesign.export.own_design import OwnDesign
from cidesign.files import sha256_file
from cidesign.hardware_profiles.loader import load_dmd
from cidesign.pattern.hadamard import hadamard_rows, sequency_order

SHARED = Path(__file__).parents[5] / "shared"
DLP4500 = load_dmd("dlp4500")
SEQUENCY = hadamard_rows(8, sequency_order(8))


def own(*files: Path, device: str = "dlp4500", **options: object) -> OwnDesign:
    return read_own(files, load_dmd(device), PatternOptions.model_validate(options))


def letters(count: int, rows: int, columns: int) -> np.ndarray:
    """0/1 patterns that no flip, turn or exchange leaves as they are; all differ."""
    patterns = np.random.default_rng(count + rows).integers(0, 2, (count, rows, columns), dtype=np.uint8)
    patterns[:, : rows // 2, 0], patterns[:, 0, : columns // 3] = 1, 1
    return patterns


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def colours(seed: int, rows: int = 1140, columns: int = 912) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def test_sequency_ordered_hadamard_patterns_of_both_signs(tmp_path: Path) -> None:
    read = own(saved(tmp_path / "h.npy", SEQUENCY))
    assert np.array_equal(read.design.signed(), SEQUENCY)
    assert (read.design.encoding, read.design.placement, read.design.bit_depth) == ("complementary", "superpixels", 1)
    assert read.sources == (("h.npy", sha256_file(tmp_path / "h.npy")),)
    assert any("1 is on, -1 is off" in text for text in read.said)
    assert read.preview_png.startswith(b"\x89PNG")
    once = own(tmp_path / "h.npy", encoding="as-shown")
    assert np.array_equal(once.design.signed(), SEQUENCY > 0)
    assert any("negative weights are shown as off" in text for text in once.said)


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.int64, np.float32])
def test_patterns_of_0_and_1_are_shown_as_they_are(tmp_path: Path, dtype: type) -> None:
    patterns = letters(5, 12, 12)
    design = own(saved(tmp_path / "p.npy", patterns.astype(dtype))).design
    assert design.encoding == "as-shown"
    assert np.array_equal(design.levels, patterns)
    assert np.array_equal(design.displayed(), patterns)
    turned = own(tmp_path / "p.npy", polarity="inverted", transpose=True, flip_vertical=True).design
    assert np.array_equal(turned.levels, 1 - np.swapaxes(patterns, 1, 2)[:, ::-1])


def test_frames_of_the_mirrors_in_every_array_file(tmp_path: Path) -> None:
    patterns = letters(2, 1140, 912)
    np.savez(tmp_path / "p.npz", patterns=patterns, other=np.arange(3))
    scipy.io.savemat(tmp_path / "p.mat", {"P": np.moveaxis(patterns, 0, 2) > 0}, do_compression=True)
    for path in (saved(tmp_path / "p.npy", patterns), tmp_path / "p.npz", tmp_path / "p.mat"):
        design = own(path).design
        assert design.placement == "mirrors"
        assert np.array_equal(design.levels, patterns)


def test_a_mat_file_of_level_7_3_lies_as_in_matlab(tmp_path: Path) -> None:
    patterns = letters(3, 6, 6)
    with h5py.File(tmp_path / "p.mat", "w", userblock_size=512) as file:
        # MATLAB's P(row, column, k) is stored with its axes reversed.
        data = file.create_dataset("P", data=np.moveaxis(patterns, 0, 2).T)
        data.attrs["MATLAB_class"], data.attrs["MATLAB_int_decode"] = np.bytes_("logical"), np.int32(1)
    with (tmp_path / "p.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    assert np.array_equal(own(tmp_path / "p.mat").design.levels, patterns)


def test_flattened_patterns_are_folded_as_asked_for(tmp_path: Path) -> None:
    patterns = letters(10, 4, 4)
    path = saved(tmp_path / "rows.npy", patterns.reshape(10, 16))
    with pytest.raises(InputError, match=r"row by row \(`--set order=row`\) or column by column"):
        own(path)
    assert np.array_equal(own(path, order="row").design.levels, patterns)
    assert np.array_equal(own(path, order="column").design.levels, np.swapaxes(patterns, 1, 2))
    columns = saved(tmp_path / "columns.npy", patterns.reshape(10, 16).T)
    assert np.array_equal(own(columns, order="row").design.levels, patterns)


def test_an_array_of_two_readings_is_asked_about(tmp_path: Path) -> None:
    matrix = saved(tmp_path / "matrix.npy", letters(1, 16, 16)[0])
    with pytest.raises(InputError, match=r"axis=none.*axis=first.*axis=last.*order=row"):
        own(matrix)
    assert own(matrix, axis="none").design.levels.shape == (1, 16, 16)
    assert own(matrix, axis="last", order="row").design.levels.shape == (16, 4, 4)
    cube = saved(tmp_path / "cube.npy", letters(6, 6, 6))
    with pytest.raises(InputError, match=r"axis=first.*axis=last"):
        own(cube)
    assert np.array_equal(own(cube, axis="last").design.levels, np.moveaxis(letters(6, 6, 6), 2, 0))
    # Equal either way, so there is nothing to ask.
    same = saved(tmp_path / "same.npy", np.einsum("i,j,k->ijk", *[np.arange(4) % 2] * 3).astype(np.uint8))
    assert own(same).design.levels.shape == (4, 4, 4)


def test_grey_needs_its_bits_and_its_white(tmp_path: Path) -> None:
    grey = np.linspace(0, 1, 5 * 64).reshape(5, 8, 8)
    path = saved(tmp_path / "grey.npy", grey)
    with pytest.raises(InputError, match="bit_depth=8"):
        own(path)
    with pytest.raises(InputError, match="grey"):
        own(path, bit_depth=1)
    read = own(path, bit_depth=8)
    assert np.array_equal(read.design.levels, np.round(255 * grey))
    assert any("rounded" in text for text in read.said)
    weights = own(saved(tmp_path / "weights.npy", 2 * grey - 1), bit_depth=8).design
    assert weights.encoding == "complementary"
    assert np.abs(weights.signed() - (2 * grey - 1).astype(np.float32)).max() <= 1 / 255 + 1e-6
    levels = saved(tmp_path / "levels.npy", (np.arange(320) % 16).reshape(5, 8, 8).astype(np.uint8))
    with pytest.raises(InputError, match=r"white=15`.*white=255"):
        own(levels, bit_depth=4)
    assert np.array_equal(own(levels, bit_depth=4, white=15).design.levels, np.load(levels))
    with pytest.raises(InputError, match="nothing is clipped"):
        own(levels, bit_depth=4, white=14)


@pytest.mark.parametrize("kind", ["1-bit", "1-bit reversed", "8-bit", "grey TIFF", "G4 TIFF", "RGB"])
def test_black_and_white_pictures_of_every_kind(tmp_path: Path, kind: str) -> None:
    patterns = letters(3, 9, 9)
    files = []
    for number, pattern in enumerate(patterns):
        picture = Image.fromarray(pattern * np.uint8(255))
        path = tmp_path / f"p{number}.{'tif' if 'TIFF' in kind else 'bmp' if number % 2 else 'png'}"
        if kind.startswith("1-bit"):
            picture = Image.fromarray(pattern if kind == "1-bit" else 1 - pattern, mode="P")
            picture.putpalette([0, 0, 0, 255, 255, 255] if kind == "1-bit" else [250, 250, 0, 0, 0, 90])
            picture.save(path, bits=1)
        elif kind == "G4 TIFF":
            picture.convert("1").save(path, compression="group4")
        else:
            (picture.convert("RGB") if kind == "RGB" else picture).save(path)
        files.append(path)
    read = own(*files)
    assert np.array_equal(read.design.levels, patterns)
    if kind == "1-bit reversed":
        assert any("index 0 of its palette is the brighter one" in text for text in read.said)


def test_a_one_bit_bmp_with_white_first(tmp_path: Path) -> None:
    """Index 0 white, as some tools write it; the bytes are laid by hand, bottom row first."""
    rows = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=np.uint8)
    bits = np.packbits(1 - rows[::-1], axis=1).tobytes()
    pixels = b"".join(bits[n : n + 1] + b"\0\0\0" for n in range(3))
    header = struct.pack("<2sIHHI", b"BM", 62 + 12, 0, 0, 62) + struct.pack(
        "<IiiHHIIiiII", 40, 3, 3, 1, 1, 0, 12, 0, 0, 2, 2
    )
    (tmp_path / "w.bmp").write_bytes(header + b"\xff\xff\xff\0\0\0\0\0" + pixels)
    assert np.array_equal(own(tmp_path / "w.bmp").design.levels[0], rows)


def test_pages_of_a_tiff_and_frames_of_a_folder(tmp_path: Path) -> None:
    patterns = letters(12, 7, 7)
    pictures = [Image.fromarray(pattern * np.uint8(255)) for pattern in patterns]
    pictures[0].save(tmp_path / "stack.tif", save_all=True, append_images=pictures[1:])
    assert np.array_equal(own(tmp_path / "stack.tif").design.levels, patterns)
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, picture in enumerate(pictures):
        picture.save(folder / f"f{number}.png")
    (folder / "notes.txt").write_text("mine")
    read = own(folder)
    assert np.array_equal(read.design.levels, patterns)
    assert any("order of the numbers" in text and "f0.png, f1.png" in text for text in read.said)
    assert any("notes.txt" in text and "left out" in text for text in read.said)
    assert [name for name, _ in read.sources] == [f"f{number}.png" for number in range(12)]
    (folder / "f3.png").unlink()
    assert any("no picture has the number 3" in text for text in own(folder).said)
    backwards = [tmp_path / "frames" / f"f{number}.png" for number in (11, 4, 0)]
    assert np.array_equal(own(*backwards).design.levels, patterns[[11, 4, 0]])


def test_24_bit_images_hold_24_planes_in_the_order_of_the_controller(tmp_path: Path) -> None:
    pixels = colours(1)
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    levels = own(tmp_path / "a.bmp").design.levels
    for plane in range(24):
        channel = pixels[..., (1, 0, 2)[plane // 8]]
        assert np.array_equal(levels[plane], channel >> plane % 8 & 1), plane
    assert np.array_equal(own(tmp_path / "a.bmp", bit_depth=8).design.levels, np.moveaxis(pixels[..., [1, 0, 2]], 2, 0))
    wide = colours(2, 1080, 1920)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    with pytest.raises(InputError, match=r"channels=GRB.*channels=GBR"):
        own(tmp_path / "wide.png", device="dlp6500")
    gbr = own(tmp_path / "wide.png", device="dlp6500", channels="GBR").design
    assert np.array_equal(gbr.levels[8], wide[..., 2] & 1)
    with pytest.raises(LimitError, match=r"1920 x 1080.*912 x 1140.*dlp6500"):
        own(tmp_path / "wide.png")


def test_a_24_bit_image_of_black_and_white_is_asked_about(tmp_path: Path) -> None:
    pattern = letters(1, 1140, 912)[0]
    Image.fromarray(np.repeat(pattern[..., None] * np.uint8(255), 3, axis=2)).save(tmp_path / "bw.bmp")
    with pytest.raises(InputError, match=r"planes=1.*planes=24"):
        own(tmp_path / "bw.bmp")
    assert np.array_equal(own(tmp_path / "bw.bmp", planes=1).design.levels, pattern[None])
    read = own(tmp_path / "bw.bmp", planes=24)
    assert np.array_equal(read.design.levels, np.repeat(pattern[None], 24, axis=0))
    assert any("23 of the 24 patterns occur before" in text for text in read.said)


def test_doubles_and_empty_patterns_are_told(tmp_path: Path) -> None:
    patterns = letters(6, 8, 8)
    patterns[1], patterns[2], patterns[5] = 0, 1, patterns[3]
    said = own(saved(tmp_path / "p.npy", patterns)).said
    assert any("occur before: 5 is 3" in text for text in said)
    assert any("all mirrors are off in 1 of the 6 patterns: 1" in text for text in said)
    assert any("all mirrors are on in 1 of the 6 patterns: 2" in text for text in said)


BAD = {
    "nan": (np.array([[[0.0, np.nan], [1, 0]]]), FileError, "nan"),
    "complex": (np.ones((2, 4, 4), dtype=complex), FileError, "complex"),
    "text": (np.array(["a"]), FileError, "real numbers"),
    "not square": (np.ones((2, 4, 5), np.uint8), LimitError, r"n x n, or the 1140 x 912"),
    "on its side": (np.ones((2, 912, 1140), np.uint8), LimitError, "transpose=true"),
    "of another device": (np.ones((1, 1080, 1920), np.uint8), LimitError, "dlp6500"),
    "too fine": (np.zeros((1, 600, 600), np.uint8), LimitError, "1 to 570"),
    "empty": (np.zeros((0, 4, 4)), FileError, "no pattern"),
    "infinite": (np.full((1, 4, 4), np.inf), FileError, "inf"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    array, kind, text = BAD[name]
    with pytest.raises(kind, match=text) as caught:
        own(saved(tmp_path / "bad.npy", array))
    assert "\n" not in str(caught.value)


def test_bad_files_are_refused_in_one_line(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.npy", letters(2, 4, 4))
    Image.fromarray(letters(1, 4, 4)[0] * np.uint8(255)).save(tmp_path / "good.png")
    Image.fromarray(colours(3, 8, 8)).save(tmp_path / "colour.png")
    Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save(tmp_path / "clear.png")
    Image.fromarray(colours(3, 16, 16)).save(tmp_path / "lossy.tif", compression="jpeg")
    (tmp_path / "cut.bmp").write_bytes(b"BM" + bytes(20))
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    (tmp_path / "x.gif").write_bytes(b"GIF89a")
    (tmp_path / "none").mkdir()
    huge = bytearray((tmp_path / "good.png").read_bytes())
    huge[16:24] = struct.pack(">II", 100_000, 100_000)
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    (tmp_path / "huge.png").write_bytes(huge)
    for names, kind, text in (
        (["missing.npy"], FileError, "does not exist"),
        (["x.gif"], FileError, "gif"),
        (["none"], FileError, "holds 0 pictures"),
        (["good.npy", "good.png"], InputError, "one kind"),
        (["colour.png"], LimitError, "8 x 8.*912 x 1140"),
        (["clear.png"], FileError, "transparen"),
        (["lossy.tif"], FileError, "jpeg"),
        (["cut.bmp"], FileError, "cut.bmp"),
        (["cut.png"], FileError, "cut.png"),
        (["huge.png"], FileError, "100000 x 100000"),
        ([], InputError, "no file"),
    ):
        with pytest.raises(kind, match=text) as caught:
            own(*(tmp_path / name for name in names))
        assert "\n" not in str(caught.value), names
    with pytest.raises(InputError, match="planes=24"):
        own(good, planes=24)


def test_what_a_file_holds_is_described(tmp_path: Path) -> None:
    Image.fromarray(colours(1)).save(tmp_path / "a.bmp")
    found = {finding.name: finding for finding in describe_frames(tmp_path / "a.bmp", DLP4500)}
    assert found["pictures"].text == "1 of 912 x 1140 pixels, 24 bit, values 0 to 255"
    assert "of 24 planes 24" in found["planes"].text
    assert "dlp4500" in found["size"].text
    assert found["patterns"].status == "passed"
    assert found["sequence"].text.startswith("24 entries, 1 images")
    with pytest.raises(LimitError, match="dlp4500"):
        describe_frames(tmp_path / "a.bmp", load_dmd("dlp9000"))
    alone = describe_frames(tmp_path / "a.bmp", None)
    assert alone[-1].status == "not checked"
    path = saved(tmp_path / "rows.npy", letters(10, 4, 4).reshape(10, 16))
    open_reading = describe_frames(path, DLP4500)
    assert (open_reading[-1].name, open_reading[-1].status) == ("reading", "not checked")


@pytest.mark.skipif(not (SHARED / "cases" / "23_own_patterns").is_dir(), reason="the shared cases are not here")
def test_hadamard_patterns_of_a_user() -> None:
    path = SHARED / "cases" / "23_own_patterns" / "mypat.npy"
    design = own(path).design
    assert np.array_equal(design.levels, np.load(path))
    assert (design.count, design.side, design.encoding) == (32, 16, "as-shown")


@pytest.mark.skipif(not (SHARED / "data" / "dmd").is_dir(), reason="the real data are not here")
def test_planes_of_real_bitmaps_are_in_the_order_of_time(tmp_path: Path) -> None:
    """A disc that moves a little from plane to plane: in any other order of colours or bits it would jump."""
    with zipfile.ZipFile(SHARED / "data" / "dmd" / "lightcrafter4500_24bit_bmp.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith("_1.bmp"))
        archive.extract(names[0], tmp_path)
    levels = own(tmp_path / names[0]).design.levels
    rows = np.arange(1140)
    heights = np.array([(rows * level.sum(axis=1)).sum() / level.sum() for level in levels])
    steps = np.diff(heights)
    assert (steps > 0).all()
    assert steps.max() < 60


@pytest.mark.parametrize("suffix", ["bmp", "png", "tif", "npy"])
def test_damaged_files_never_end_in_a_traceback(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"p.{suffix}"
    if suffix == "npy":
        np.save(path, letters(3, 8, 8))
    else:
        picture = Image.fromarray(letters(1, 24, 24)[0], mode="P")
        picture.putpalette([0, 0, 0, 255, 255, 255])
        picture.save(path)
    whole = path.read_bytes()
    source = np.random.default_rng(7)
    for _ in range(150):
        content = bytearray(whole[: source.integers(1, len(whole) + 1)])
        for place in source.integers(0, len(content), 3):
            content[place] = source.integers(0, 256)
        path.write_bytes(content)
        message = ""
        try:
            own(path)
        except CidesignError as error:
            message = str(error)
        assert "\n" not in message

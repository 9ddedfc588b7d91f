"""Images from a folder: every format and bit depth, corrupt files named and skipped."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cidesign.data.folders import find_images, read_folder
from cidesign.errors import FileError, InputError

RAMP = (np.add.outer(np.arange(40) * 3.0, np.arange(48) * 2.0) / 211).astype(np.float64)  # brighter to lower right
SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "images"


def _write_all(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    eight = np.round(RAMP * 255).astype(np.uint8)
    Image.fromarray(eight).save(folder / "grey.png")
    Image.fromarray(np.stack([eight] * 3, axis=2)).save(folder / "deep" / "colour.jpg", quality=95)
    Image.fromarray(np.round(RAMP * 65535).astype(np.uint16)).save(folder / "sixteen.PNG")
    tifffile.imwrite(folder / "deep" / "er" / "float.tif", RAMP.astype(np.float32))
    tifffile.imwrite(folder / "twelve.tiff", np.round(RAMP * 4095).astype(np.uint16))
    np.save(folder / "array.npy", RAMP)
    np.savez(folder / "stack.npz", scenes=np.stack([RAMP, RAMP]))


def test_every_format_gives_the_same_picture(tmp_path: Path) -> None:
    _write_all(tmp_path)
    found = read_folder(tmp_path, 8, 60, 20, 1)
    assert found.pictures == 8
    assert found.skipped == ()
    assert found.notes == ("16-bit files that use only 12 bits are read as 12-bit pictures",)
    assert found.train.shape == (60, 8, 8)
    assert found.validation.shape == (20, 8, 8)
    # Every crop of the ramp has the ramp's own direction, none is flipped or transposed, and no scale is off.
    for crop in np.concatenate([found.train, found.validation]).astype(float):
        assert crop[-1, -1] > crop[0, 0]
        down, right = crop[-1, 0] - crop[0, 0], crop[0, -1] - crop[0, 0]
        assert down == pytest.approx(1.5 * right, abs=8)


def test_corrupt_files_are_named_and_skipped(tmp_path: Path) -> None:
    _write_all(tmp_path)
    whole = (tmp_path / "grey.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "objects.npy").write_bytes(b"\x93NUMPY\x01\x00")
    np.save(tmp_path / "nan.npy", np.full((9, 9), np.nan))
    np.save(tmp_path / "negative.npy", RAMP - 0.5)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04rubbish")
    (tmp_path / "notes.txt").write_text("ignored: not a known suffix")
    found = read_folder(tmp_path, 8, 10, 10, 1)
    assert found.pictures == 8
    named = {line.split(":")[0] for line in found.skipped}
    assert named == {"cut.png", "text.jpg", "empty.tif", "objects.npy", "nan.npy", "negative.npy", "broken.npz"}


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", RAMP)
    np.save(tmp_path / "good2.npy", RAMP)
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert [line.split(":")[0] for line in read_folder(tmp_path, 8, 4, 4, 1).skipped] == ["evil.npy"]


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no image is below"):
        find_images(tmp_path)
    with pytest.raises(FileError, match="no such folder"):
        find_images(tmp_path / "missing")


def test_only_corrupt_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(FileError, match=r"none of 1 files.*a\.png"):
        read_folder(tmp_path, 8, 4, 4, 1)


def test_one_picture_is_not_enough(tmp_path: Path) -> None:
    np.save(tmp_path / "only.npy", RAMP)
    with pytest.raises(InputError, match="one picture is not enough"):
        read_folder(tmp_path, 8, 4, 4, 1)


def test_validation_pictures_are_not_trained_on(tmp_path: Path) -> None:
    for number in range(12):
        np.save(tmp_path / f"{number:02d}.npy", np.full((16, 16), number / 20))
    found = read_folder(tmp_path, 8, 200, 50, 1)
    assert not set(np.unique(found.train)) & set(np.unique(found.validation))


def test_small_pictures_are_enlarged_and_it_is_said(tmp_path: Path) -> None:
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", RAMP[:6, :6])
    assert read_folder(tmp_path, 8, 4, 4, 1).notes == ("pictures smaller than 8 x 8 are enlarged",)


def test_same_seed_same_crops(tmp_path: Path) -> None:
    _write_all(tmp_path)
    np.testing.assert_array_equal(read_folder(tmp_path, 8, 9, 3, 7).train, read_folder(tmp_path, 8, 9, 3, 7).train)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared photographs are not here")
def test_real_photographs_are_read() -> None:
    found = read_folder(SHARED / "kodak", 32, 40, 10, 1)
    assert found.skipped == ()
    assert found.train.std() > 20

"""Images from a folder: every format and bit depth, corrupt files named and skipped."""

import gzip
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import savemat

from cidesign.data.folders import Taking, find_images, measure_folder, read_folder
from cidesign.errors import FileError, InputError

RAMP = (np.add.outer(np.arange(40) * 3.0, np.arange(48) * 2.0) / 211).astype(np.float64)  # brighter to lower right
CHECKS = np.indices((16, 16)).sum(0) // 2 % 2 == 0
CASES = Path(__file__).parents[2].parent / "shared" / "cases"
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
    assert set(found.notes) == {
        "16-bit files that use only 12 bits are read as 12-bit pictures",
    }
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
        np.save(tmp_path / f"{number:02d}.npy", np.where(CHECKS, (number + 2) / 20, 0.0))
    found = read_folder(tmp_path, 16, 200, 50, 1)
    levels = [{int(crop.max()) for crop in part} for part in (found.train, found.validation)]
    assert levels[1] == {140}  # the tenth
    assert not levels[0] & levels[1]
    assert len(found.trained) == 11


def test_small_pictures_are_enlarged_and_it_is_said(tmp_path: Path) -> None:
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", RAMP[:6, :6] + 0.1 * number)
    assert "pictures smaller than 8 x 8 are enlarged" in read_folder(tmp_path, 8, 4, 4, 1).notes


def test_same_seed_same_crops(tmp_path: Path) -> None:
    _write_all(tmp_path)
    np.testing.assert_array_equal(read_folder(tmp_path, 8, 9, 3, 7).train, read_folder(tmp_path, 8, 9, 3, 7).train)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared photographs are not here")
def test_real_photographs_are_read() -> None:
    found = read_folder(SHARED / "kodak", 32, 40, 10, 1)
    assert found.skipped == ()
    assert found.train.std() > 20


def _texture(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def _save(path: Path, values: np.ndarray) -> None:
    Image.fromarray(values).save(path)


def test_crops_are_as_wide_as_a_pixel_or_as_the_picture(tmp_path: Path) -> None:
    """A crop of a ramp tells its width by how far it goes; the logarithm of the width is evenly spread."""
    ramp = np.broadcast_to(np.linspace(0, 1, 1024), (1024, 1024))
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", (ramp + number) / 2)
    crops = read_folder(tmp_path, 16, 4000, 4, 1).train.astype(float)
    widths = 2 * (crops[:, 0, -1] - crops[:, 0, 0]) / 255 * 1024 * 16 / 15
    assert widths.max() > 900
    share = [float((widths > 16 * 64**part).mean()) for part in (0.25, 0.5, 0.75)]
    np.testing.assert_allclose(share, [0.75, 0.5, 0.25], atol=0.04)


def test_wide_crops_are_averaged_over_areas(tmp_path: Path) -> None:
    """Noise in a crop falls as one over its width, and its mean stays."""
    for number in range(2):
        _save(tmp_path / f"{number}.png", _texture(number, 1024, 1024))
    crops = read_folder(tmp_path, 16, 400, 4, 1).train.astype(float)
    assert crops.mean() == pytest.approx(127.5, abs=1)
    assert np.sort(crops.std(axis=(1, 2)))[0] < 3 * 73.9 / 64


def test_flat_crops_are_told_and_refused(tmp_path: Path) -> None:
    page = np.full((256, 256), 200, dtype=np.uint8)
    page[:70] = _texture(0, 70, 256)
    for number in range(2):
        _save(tmp_path / f"{number}.png", np.rot90(page, number))
    found = read_folder(tmp_path, 8, 400, 100, 1)
    assert any("of the crops are nearly flat (standard deviation below 2% of the scale)" in n for n in found.notes)
    page[4:] = 200
    for number in range(2):
        _save(tmp_path / f"{number}.png", np.rot90(page, number))
    with pytest.raises(InputError, match=r"9\d% of the crops are nearly flat.*nothing to learn from"):
        read_folder(tmp_path, 8, 400, 100, 1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((16, 16), dtype=np.uint8), "no contrast: all of its values are 0 of 255"),
        (np.full((16, 16), 0.25), "no contrast: all of its values are 0.25 of 1"),
        (CHECKS.astype(np.uint8), "no contrast: values 0 to 1 of 255; a mask of 0 and 1. Multiply it by 255"),
        (CHECKS.astype(np.int64), "no contrast: values 0 to 1 of 255; a mask of 0 and 1. Multiply it by 255"),
        (3 * CHECKS.astype(np.uint8), "no contrast: values 0 to 3 of 255; labels or a dark picture."),
        (CHECKS * 0.003, "no contrast: values 0 to 0.003 of 1"),
        (np.where(CHECKS, np.nan, 1.0), "128 of its 256 values are not finite"),
        (np.where(CHECKS, np.inf, 1.0), "128 of its 256 values are not finite"),
        (np.where(CHECKS, -1.0, 1.0), r"negative values \(-1 to 1\)"),
        (np.where(CHECKS, -5, 9).astype(np.int16), r"negative values \(-5 to 9\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_shows_nothing_is_left_out_with_its_numbers(tmp_path: Path, values: np.ndarray, said: str) -> None:
    np.save(tmp_path / "bad.npy", values)
    with pytest.raises(FileError, match=rf"none of 1 files can be used; the first: bad\.npy: .*{said}"):
        read_folder(tmp_path, 8, 4, 4, 1)
    for number in range(2):
        _save(tmp_path / f"{number}.png", _texture(number))
    found = read_folder(tmp_path, 8, 4, 4, 1)
    assert (found.pictures, len(found.skipped)) == (2, 1)
    np.save(tmp_path / "bad.npy", np.stack([values] * 5))
    (line,) = read_folder(tmp_path, 8, 4, 4, 1).skipped
    assert line.startswith("bad.npy: 5 of 5 pictures are left out; the first, [0]: ")


def test_a_hot_pixel_is_no_contrast(tmp_path: Path) -> None:
    dark = np.zeros((64, 64), dtype=np.uint8)
    dark[3, 3] = 255
    _save(tmp_path / "dark.png", dark)
    with pytest.raises(FileError, match="values 0 to 255 of 255, nearly all of them 0 to 0"):
        read_folder(tmp_path, 8, 4, 4, 1)


def test_dim_pictures_are_told_with_their_numbers(tmp_path: Path) -> None:
    for number in range(3):
        _save(tmp_path / f"{number}.png", _texture(number) // (16 if number else 1))
    assert any(
        "2 of 3 pictures use less than 10% of the scale from black to white; the first, 1.png: values 0 to 15 of 255"
        in n
        for n in read_folder(tmp_path, 8, 40, 4, 1).notes
    )


def test_one_scale_for_all_pictures_of_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([CHECKS * 200.0, CHECKS * 100.0]))
    found = read_folder(tmp_path, 16, 1, 1, 1)
    assert (found.train.max(), found.validation.max()) == (255, 128)
    assert "a.npy: its float values go above 1 and are divided by the largest, 200" in found.notes


def test_planes_and_pages_stay_on_one_side(tmp_path: Path) -> None:
    for number in range(11):
        pages = [Image.fromarray(np.where(CHECKS, 20 * number + 40 + page, 0).astype(np.uint8)) for page in range(3)]
        pages[0].save(tmp_path / f"{number:02d}.tif", save_all=True, append_images=pages[1:])
    found = read_folder(tmp_path, 16, 330, 30, 1)
    assert found.pictures == 33
    assert {int(crop.max()) for crop in found.validation} == {220, 221, 222}
    assert not {int(crop.max()) for crop in found.train} & {220, 221, 222}


def test_last_pages_of_a_single_tiff_are_kept(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.where(CHECKS, 100 + page, 0).astype(np.uint8)) for page in range(20)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    found = read_folder(tmp_path / "a.tif", 16, 200, 20, 1)
    assert {int(crop.max()) for crop in found.validation} == {118, 119}
    assert {int(crop.max()) for crop in found.train} == set(range(100, 117))  # a neighbour is used for neither
    assert any("its pages from page 19 on are kept for validation" in note for note in found.notes)
    assert len(found.trained) == 18


def test_memory_is_that_of_one_picture(tmp_path: Path) -> None:
    """Ten pictures take no more memory than two."""
    import tracemalloc

    peaks = []
    for count in (2, 10):
        for number in range(count):
            np.save(tmp_path / f"{number}.npy", np.tile(_texture(number), (12, 12)))
        tracemalloc.start()
        read_folder(tmp_path, 8, 20, 4, 1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_every_picture_is_measured(tmp_path: Path) -> None:
    for number in range(23):
        np.save(tmp_path / f"{number:02d}.npy", np.where(CHECKS, (number + 20) / 50, 0.0))
    (tmp_path / "broken.png").write_bytes(b"")
    few, many = (measure_folder(tmp_path, 16, count, 1, frozenset()) for count in (5, 50))
    assert (few.pictures, few.left_out, few.held_out) == (23, 0, True)
    assert [line.split(":")[0] for line in few.skipped] == ["broken.png"]
    assert few.images.shape == (23, 16, 16)
    levels, counts = np.unique(many.images.max(axis=(1, 2)), return_counts=True)
    assert (len(levels), set(counts)) == (23, {2})
    (tmp_path / "one").mkdir()
    np.save(tmp_path / "one" / "a.npy", RAMP)
    assert measure_folder(tmp_path / "one" / "a.npy", 8, 10, 1, frozenset()).images.shape == (10, 8, 8)


def test_pictures_that_were_trained_on_are_not_measured(tmp_path: Path) -> None:
    for number in range(5):
        _save(tmp_path / f"{number}.png", _texture(number))
    trained = read_folder(tmp_path, 8, 8, 8, 1).trained
    found = measure_folder(tmp_path, 8, 8, 1, trained)
    assert (found.pictures, found.left_out, found.held_out) == (5, 4, True)
    _save(tmp_path / "copy.tif", _texture(0))  # in another format
    found = measure_folder(tmp_path / "copy.tif", 8, 8, 1, trained)
    assert (found.pictures, found.left_out, found.held_out) == (1, 0, False)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_cases_without_contrast_and_with_labels() -> None:
    for name, said in (("black", "all of its values are 0 of 255"), ("zero_one_uint8", "Multiply it by 255")):
        with pytest.raises(FileError, match=said):
            read_folder(CASES / "15_training_without_contrast" / name, 32, 40, 10, 1)
    labelled = CASES / "21_training_npz_with_labels"
    assert read_folder(labelled / "mnist.npz", 28, 40, 10, 1).pictures == 45
    assert read_folder(labelled / "flat", 28, 40, 10, 1).pictures == 80
    palette = read_folder(CASES / "14_training_tiff" / "palette", 64, 400, 100, 1)
    assert palette.train.mean() == pytest.approx(130.7, abs=2)
    assert palette.train.std() == pytest.approx(13.2, abs=1.5)
    assert read_folder(CASES / "14_training_tiff" / "lzw", 64, 40, 10, 1).pictures == 4


def _write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(gzip.compress(header + values.tobytes()) if path.suffix == ".gz" else header + values.tobytes())


def test_labels_stay_with_their_crops(tmp_path: Path) -> None:
    """The value of a picture is its label, and so must be that of every crop."""
    labels = np.arange(60, dtype=np.uint8) % 4
    pictures = np.where(CHECKS, 60 * labels[:, None, None] + 50, 0).astype(np.uint8)
    (tmp_path / "idx").mkdir()
    _write_idx(tmp_path / "idx" / "train-images-idx3-ubyte.gz", pictures[:40])
    _write_idx(tmp_path / "idx" / "train-labels-idx1-ubyte", labels[:40])
    _write_idx(tmp_path / "idx" / "t10k-images-idx3-ubyte", pictures[40:])
    _write_idx(tmp_path / "idx" / "t10k-labels-idx1-ubyte.gz", labels[40:])
    np.savez(tmp_path / "a.npz", images=pictures, labels=labels[:, None])
    savemat(tmp_path / "a.mat", {"set": {"X": np.moveaxis(pictures, 0, -1), "y": labels}})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["labels"] = pictures, np.eye(4)[labels]
    for name in ("idx", "a.npz", "a.mat", "a.h5"):
        found = read_folder(tmp_path / name, 16, 100, 30, 1, Taking(by_class=True))
        assert (found.pictures, found.skipped, found.classes) == (60, (), ("0", "1", "2", "3")), name
        assert found.labels is not None
        for crops, kept in zip((found.train, found.validation), found.labels, strict=True):
            np.testing.assert_array_equal((crops.max(axis=(1, 2)) - 50) // 60, kept)
    assert read_folder(tmp_path / "idx" / "t10k-images-idx3-ubyte", 16, 9, 3, 1).pictures == 20
    np.save(tmp_path / "idx" / "other.npy", pictures[0])
    mixed = read_folder(tmp_path / "idx", 16, 9, 3, 1, Taking(by_class=True))
    assert (mixed.labels, mixed.classes) == (None, ())
    assert "60 of 61 pictures have labels: none are kept" in mixed.notes


def test_idx_files_that_cannot_be_trained_on(tmp_path: Path) -> None:
    pictures = np.where(CHECKS, np.arange(50, 250, 10)[:, None, None], 0).astype(np.uint8)
    _write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.arange(20, dtype=np.uint8))
    with pytest.raises(FileError, match="holds 20 labels and no pictures; give the file of images"):
        read_folder(tmp_path, 16, 9, 3, 1)
    _write_idx(tmp_path / "t10k-images-idx3-ubyte", pictures[:19])
    found = read_folder(tmp_path, 16, 9, 3, 1)
    assert (found.pictures, found.labels) == (19, None)
    assert any(
        "t10k-labels-idx1-ubyte are left out: not one whole number for each of 19" in note for note in found.notes
    )
    whole = (tmp_path / "t10k-images-idx3-ubyte").read_bytes()
    (tmp_path / "cut.idx3-ubyte").write_bytes(whole[:-10])
    (skipped,) = read_folder(tmp_path, 16, 9, 3, 1).skipped
    assert skipped.startswith("cut.idx3-ubyte: declares 19 x 16 x 16 values, 4864 bytes, but holds only 4854")


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not here")
def test_real_pictures_with_labels() -> None:
    found = read_folder(SHARED / "fashion_mnist", 28, 1080, 1000, 1, Taking(whole=True, by_class=True))
    assert found.labels is not None
    assert found.pictures == 600
    # Each class has 60 pictures, every tenth of them is kept, and none is measured twice.
    assert np.bincount(found.labels[0]).tolist() == [108] * 10
    assert np.bincount(found.labels[1]).tolist() == [6] * 10
    assert len({image.tobytes() for image in found.validation}) == 60
    assert found.classes[0] == "Ankle boot"
    assert "540 pictures are trained on, each about 2 times an epoch" in found.notes

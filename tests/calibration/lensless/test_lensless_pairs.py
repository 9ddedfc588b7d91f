"""Pairs of a raw image and a PSF in the formats of the people who share them."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from cidesign.calibration.lensless.pairs import pair as pairs
from cidesign.calibration.lensless.pairs.pair import read_pair
from cidesign.errors import FileError

BLACK = np.array([300.0, 420.0, 510.0])
ROWS, COLUMNS = 40, 52


def counts(seed: int) -> np.ndarray:
    """(rows, columns, 3) of a picture like no turned one of itself, its channels of different light; corners dark."""
    rng = np.random.default_rng(seed)
    light = np.zeros((ROWS, COLUMNS, 3))
    light[6:30, 9:44] = rng.exponential(1.0, (24, 35, 1)) * (1.0, 0.6, 0.3)
    light[6:12, 9:15] += (4.0, 1.0, 0.5)
    return BLACK + np.rint(3000 * light)


PSF, RAW = counts(1), counts(2)


def written(folder: Path, kind: str) -> tuple[Path, Path]:
    paths = (folder / f"raw.{kind}", folder / f"psf.{kind}")
    for path, image in zip(paths, (RAW, PSF), strict=True):
        if kind == "npy":
            np.save(path, image[None] if image is PSF else image)  # as LenslessPiCam does
        elif kind == "tiff":
            tifffile.imwrite(path, image.astype(np.uint16))
        else:
            cv2.imwrite(str(path), image[..., ::-1].astype(np.uint16))
    return paths


@pytest.mark.parametrize("kind", ["tiff", "png", "npy"])
def test_16_bits_in_colour_come_in_as_they_lie(tmp_path: Path, kind: str) -> None:
    raw, psf = written(tmp_path, kind)
    found = read_pair(raw, psf, 256)
    assert found.black_levels == pytest.approx(BLACK)
    top = (PSF - BLACK).max()
    for seen, stored in ((found.raw, RAW), (found.psf, PSF)):
        assert np.array_equal(seen, np.moveaxis(stored - BLACK, -1, 0) / top)


def test_grey_pictures_are_averaged_to_whole_samples(tmp_path: Path) -> None:
    for name, image in (("raw", RAW), ("psf", PSF)):
        tifffile.imwrite(tmp_path / f"{name}.tif", image[..., 0].astype(np.uint16))
    found = read_pair(tmp_path / "raw.tif", tmp_path / "psf.tif", 20)
    assert (found.step, found.full_size, found.raw.shape) == (3, (ROWS, COLUMNS), (1, 13, 17))
    means = (RAW[:39, :51, 0] - BLACK[0]).reshape(13, 3, 17, 3).mean(axis=(1, 3))
    assert found.raw[0] == pytest.approx(means / (PSF[..., 0] - BLACK[0]).max())
    assert found.notes == (f"averaged by 3 x 3 from {ROWS} x {COLUMNS} pixels",)


def test_a_psf_without_a_dark_corner_gives_its_darkest_percent(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    fields = gaussian_filter(rng.normal(size=(2, ROWS, COLUMNS)), (0, 1.5, 1.5))
    psf = np.rint(500 + 200_000 * (fields**2).sum(axis=0))
    np.save(tmp_path / "psf.npy", psf)
    np.save(tmp_path / "raw.npy", RAW[..., 0])
    assert read_pair(tmp_path / "raw.npy", tmp_path / "psf.npy", 256).black_levels == np.percentile(psf, 1)


def test_what_is_no_pair_is_refused(tmp_path: Path) -> None:
    raw, psf = written(tmp_path, "png")
    small, flat, same, full = (tmp_path / f"{name}.png" for name in ("small", "flat", "same", "full"))
    cv2.imwrite(str(small), PSF[:-1].astype(np.uint16))
    cv2.imwrite(str(flat), np.random.default_rng(0).normal(400, 20, PSF.shape).astype(np.uint16))
    cv2.imwrite(str(same), RAW[..., ::-1].astype(np.uint16))
    cv2.imwrite(str(full), np.minimum(PSF, 2000).astype(np.uint16))
    for wrong, words in (
        (small, "have to be of one camera"),
        (flat, "no image of a point source"),
        (same, "is the same image"),
        (full, "it is saturated"),
        (tmp_path / "none.png", "no such file"),
    ):
        with pytest.raises(FileError, match=words):
            read_pair(raw, wrong, 256)
    (tmp_path / "text.tif").write_bytes(b"II*\x00 this is none")
    with pytest.raises(FileError, match="holds 0 pictures"):
        read_pair(raw, tmp_path / "text.tif", 256)
    two = tmp_path / "two.tif"
    tifffile.imwrite(two, np.zeros((2, ROWS, COLUMNS), np.uint16), photometric="minisblack")
    with pytest.raises(FileError, match="holds 2 pictures"):
        read_pair(raw, two, 256)
    clear = tmp_path / "clear.png"
    cv2.imwrite(str(clear), np.zeros((ROWS, COLUMNS, 4), np.uint8))
    with pytest.raises(FileError, match="leave transparency out"):
        read_pair(raw, clear, 256)
    assert psf.is_file()


def test_sizes_are_checked_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, psf = written(tmp_path, "tiff")
    monkeypatch.setattr(pairs, "MAX_PIXELS", ROWS * COLUMNS - 1)
    with pytest.raises(FileError, match=f"declares {ROWS} x {COLUMNS} pixels"):
        read_pair(raw, psf, 256)
    monkeypatch.undo()
    huge = struct.pack(">IIBBBBB", 60_000, 60_000, 16, 0, 0, 0, 0)
    chunks = [(b"IHDR", huge), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(FileError, match="declares 60000 x 60000 pixels"):
        read_pair(tmp_path / "huge.png", psf, 256)

"""idx files: types, packing, names, and what is not whole."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from cidesign.errors import FileError
from cidesign.io.idx import is_idx, labels_beside, read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def _idx(values: np.ndarray) -> bytes:
    header = bytes([0, 0, CODES[values.dtype.str[1:]], values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("kind", list(CODES))
@pytest.mark.parametrize("packed", [False, True])
def test_every_type(tmp_path: Path, kind: str, packed: bool) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(kind)
    content = _idx(values)
    (tmp_path / "x.idx").write_bytes(gzip.compress(content) if packed else content)
    found = read_idx(tmp_path / "x.idx")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_names_and_first_bytes(tmp_path: Path) -> None:
    content = _idx(np.zeros((2, 3, 4), np.uint8))
    for name in ("train-images-idx3-ubyte", "train-images.idx3-ubyte", "A-IDX1-UBYTE.GZ", "x.idx", "y.idx.gz"):
        (tmp_path / name).write_bytes(b"no idx at all")
        assert is_idx(tmp_path / name), name
    for name, stored in (("data", content), ("data.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(stored)
        assert is_idx(tmp_path / name), name
    for name, stored in (("readme", b"text"), ("empty", b""), ("b.nii.gz", gzip.compress(content)), ("c.png", content)):
        (tmp_path / name).write_bytes(stored)
        assert not is_idx(tmp_path / name), name


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_not_whole_is_refused_with_both_sizes(tmp_path: Path, packed: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 28, 28)).astype(np.uint8)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(_idx(values)[:-7]) if packed else _idx(values)[:-7])
    with pytest.raises(FileError, match=r"declares 9 x 28 x 28 values, 7056 bytes, but holds only 7049; it is cut off"):
        read_idx(path)
    path.write_bytes(gzip.compress(_idx(values) + b"!") if packed else _idx(values) + b"!")
    with pytest.raises(FileError, match="7056 bytes, but holds more than that"):
        read_idx(path)
    path.write_bytes(gzip.compress(_idx(values))[:4000])
    with pytest.raises(FileError, match=r"7056 bytes, but holds only [1-9]\d+; it is cut off"):
        read_idx(path)
    path.write_bytes(b"\0\0\x08\x03\0\0")
    with pytest.raises(FileError, match="declares 3 axes and ends after 6 bytes"):
        read_idx(path)
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 2))
    with pytest.raises(FileError, match="are read"):  # and no memory is taken
        read_idx(path)
    path.write_bytes(b"\x1f\x8bnot gzip")
    with pytest.raises(FileError, match="this idx file cannot be read"):
        read_idx(path)
    path.write_bytes(b"<html>")
    with pytest.raises(FileError, match="no idx file"):
        read_idx(path)


def test_labels_by_name(tmp_path: Path) -> None:
    images = tmp_path / "train-images-idx3-ubyte.gz"
    assert labels_beside(images) is None
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"")
    assert labels_beside(images) == tmp_path / "train-labels-idx1-ubyte"
    assert labels_beside(tmp_path / "train-labels-idx1-ubyte") is None

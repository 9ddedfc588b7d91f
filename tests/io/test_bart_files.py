"""BART arrays: byte layout, damage, and what the program `bart` makes of them."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import FileError
from cidesign.io.bart import bart_mask, bart_trajectory, read_cfl, write_cfl
from cidesign.pattern import CartesianLines

BART = shutil.which("bart")
needs_bart = pytest.mark.skipif(BART is None, reason="the program bart is not installed")
ACQUIRED = (1, 5, 6, 7, 8, 9, 10, 14)


def design() -> CartesianLines:
    return CartesianLines(16, 12, np.array(ACQUIRED, dtype=np.int64), 4, "some", "0" * 64)


def bart(folder: Path, *words: object) -> str:
    assert BART is not None
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [BART, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_bytes_are_column_major_little_endian_pairs(tmp_path: Path) -> None:
    array = np.array([[1 + 2j, 3], [4, 5 - 1j], [6, 7]], dtype=np.complex64)
    data, header = write_cfl(tmp_path / "some", array)
    assert np.frombuffer(data.read_bytes(), "<f4").tolist() == [1, 2, 4, 0, 6, 0, 3, 0, 5, -1, 7, 0]
    assert header.read_text() == "# Dimensions\n3 2 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n"
    for name in ("some", "some.cfl", "some.hdr"):
        assert np.array_equal(read_cfl(tmp_path / name), array)


def test_lengths_of_one_are_kept_when_asked_for(tmp_path: Path) -> None:
    write_cfl(tmp_path / "some", np.ones((3, 1, 1), dtype=np.complex64))
    assert read_cfl(tmp_path / "some").shape == (3,)
    assert read_cfl(tmp_path / "some", 2).shape == (3, 1)


def test_mask_and_trajectory() -> None:
    mask = bart_mask(design())
    assert mask.shape == (12, 16)
    assert np.flatnonzero(mask[0].real).tolist() == list(ACQUIRED)
    points = bart_trajectory(design(), [9, 1])
    assert points[:, 0, 0].tolist() == [-6, 1, 0]
    assert points[:, 11, 1].tolist() == [5, -7, 0]


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("# Dimensions\n3 2\n", 47, "has 47 bytes, its header says 48 (3 x 2 complex64)"),
        ("# Dimensions\n3 0\n", 48, "this BART header is damaged"),
        ("# Dimension\n3 2\n", 48, "this BART header is damaged"),
        ("# Dimensions\n", 48, "this BART header is damaged"),
        ("# Dimensions\n3 two\n", 48, "this BART header is damaged"),
        ("# Dimensions\n100000 100000 100000\n", 48, "declares 8000000000000000 bytes"),
        ("# Dimensions\n" + "1 " * 17 + "\n", 8, "this BART header is damaged"),
    ],
)
def test_damaged_pairs(tmp_path: Path, header: str, size: int, expected: str) -> None:
    (tmp_path / "some.hdr").write_text(header)
    (tmp_path / "some.cfl").write_bytes(bytes(size))
    with pytest.raises(FileError) as caught:
        read_cfl(tmp_path / "some")
    assert expected in str(caught.value)


def test_half_a_pair(tmp_path: Path) -> None:
    write_cfl(tmp_path / "some", np.ones((2, 2), dtype=np.complex64))
    (tmp_path / "some.cfl").unlink()
    with pytest.raises(FileError, match=r"some\.cfl: this BART array cannot be read"):
        read_cfl(tmp_path / "some")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_header_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.hdr").write_bytes(b"# Dimensions\n" + content)
    (tmp_path / "some.cfl").write_bytes(bytes(48))
    try:
        assert read_cfl(tmp_path / "some").nbytes == 48
    except FileError as error:
        assert "some." in str(error)  # noqa: PT017  # both outcomes are right


@needs_bart
def test_bart_reads_the_shapes(tmp_path: Path) -> None:
    write_cfl(tmp_path / "mask", bart_mask(design()))
    write_cfl(tmp_path / "traj", bart_trajectory(design(), list(ACQUIRED)))
    assert "12\t16" in bart(tmp_path, "show", "-m", "mask")
    assert "3\t12\t8" in bart(tmp_path, "show", "-m", "traj")


@needs_bart
def test_the_trajectory_is_in_the_units_of_bart(tmp_path: Path) -> None:
    full = CartesianLines(16, 12, np.arange(16), 4, "some", "0" * 64)
    write_cfl(tmp_path / "ours", bart_trajectory(full, list(range(16))))
    bart(tmp_path, "traj", "-x12", "-y16", "theirs")
    assert np.array_equal(read_cfl(tmp_path / "ours"), read_cfl(tmp_path / "theirs"))


@needs_bart
def test_pics_takes_the_mask_and_it_is_the_pattern_of_the_data(tmp_path: Path) -> None:
    design_64 = CartesianLines(64, 64, np.unique(np.r_[1:64:2, 20:44]).astype(np.int64), 24, "some", "0" * 64)
    write_cfl(tmp_path / "mask", bart_mask(design_64))
    bart(tmp_path, "phantom", "-k", "-s", "4", "-x", "64", "full")
    full = read_cfl(tmp_path / "full")
    measured = full * bart_mask(design_64)[:, :, None, None]
    write_cfl(tmp_path / "measured", measured)
    bart(tmp_path, "phantom", "-S", "4", "-x", "64", "maps")
    bart(tmp_path, "pattern", "measured", "pattern")
    assert np.array_equal(read_cfl(tmp_path / "pattern"), read_cfl(tmp_path / "mask"))
    bart(tmp_path, "pics", "-d0", "-S", "-r", "0.001", "full", "maps", "reference")
    bart(tmp_path, "pics", "-d0", "-S", "-r", "0.001", "-p", "mask", "measured", "maps", "image")
    image, reference = read_cfl(tmp_path / "image"), read_cfl(tmp_path / "reference")
    assert np.linalg.norm(image - reference) < 0.06 * np.linalg.norm(reference)


def test_dimensions_of_one_may_be_left_out(tmp_path: Path) -> None:
    data, header = write_cfl(tmp_path / "some", np.arange(6, dtype=np.complex64).reshape(3, 2))
    header.write_text("# Dimensions\n3 2\n")
    found = read_cfl(data, 16)
    assert found.shape == (3, 2, *[1] * 14)
    assert np.array_equal(found[..., 0].reshape(3, 2), np.arange(6).reshape(3, 2))

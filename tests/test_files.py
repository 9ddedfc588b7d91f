"""Writing in one step: a failure leaves what was there; reading refuses what lies about itself."""

import errno
import io
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cidesign.errors import FileError, LimitError
from cidesign.files import inside, load_npz, read_json, replacing_file, replacing_folder, save_npz, write_json
from cidesign.io.arrays import read_array
from cidesign.io.npy import read_npy


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"a": 1})
    with pytest.raises(FileError, match="disk is full"), replacing_file(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert read_json(path, "record") == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_failed_folder_keeps_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    with replacing_folder(folder, False) as temporary:
        (temporary / "a").write_text("first")
        (temporary / "manifest.json").write_text("{}")
    with pytest.raises(FileError, match="--force"), replacing_folder(folder, False):
        pytest.fail("an existing folder must be refused before anything is written")
    with pytest.raises(KeyboardInterrupt), replacing_folder(folder, True) as temporary:
        (temporary / "a").write_text("half")
        raise KeyboardInterrupt
    assert (folder / "a").read_text() == "first"
    with replacing_folder(folder, True) as temporary:
        (temporary / "b").write_text("second")
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["run.json", "holiday.jpg", "capture/capture.json"])
def test_force_keeps_what_is_no_result(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("precious")
    for path in (folder, folder / name):
        with pytest.raises(FileError, match="--force does not replace it"), replacing_folder(path, True):
            pytest.fail("it must be refused before anything is written")
    assert (folder / name).read_text() == "precious"


def test_full_disk_names_the_folder_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    with (
        pytest.raises(FileError, match="disk is full") as failure,
        replacing_folder(folder, False) as temporary,
        replacing_file(temporary / "a.npz"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(failure.value).startswith(f"{folder / 'a.npz'}: ")


def test_an_error_keeps_what_it_is_when_its_folder_gets_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    with pytest.raises(LimitError) as failure, replacing_folder(folder, False) as temporary:
        raise LimitError(f"{temporary / 'a.seq'}: too long", fault="lost-trigger")
    assert (str(failure.value), failure.value.fault) == (f"{folder / 'a.seq'}: too long", "lost-trigger")


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0o077, 0o600, 0o700)]
)
def test_everything_written_has_the_mode_that_the_umask_asks_for(
    umask: int, file: int, folder: int, tmp_path: Path
) -> None:
    """Whatever mode a library gives its file: safetensors and `tempfile` make private ones."""

    def private(path: Path) -> None:
        path.unlink()
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))

    def public(path: Path) -> None:
        path.write_text("x")
        path.chmod(0o777)

    before = os.umask(umask)
    try:
        with replacing_folder(tmp_path / "out", False) as temporary:
            for name, write in (("private", private), ("public", public)):
                with replacing_file(temporary / "in" / name) as partial:
                    write(partial)
            write_json(temporary / "record.json", {})
            save_npz(temporary / "a.npz", {"a": np.zeros(3)})
    finally:
        os.umask(before)
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").rglob("*")}
    assert len(found) == 5
    assert found == {path: folder if path.is_dir() else file for path in found}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == folder


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_compressed_content_is_one_line(method: int, tmp_path: Path) -> None:
    """Every compression that zipfile knows has an exception of its own."""
    content = io.BytesIO()
    np.save(content, np.random.default_rng(1).integers(0, 4, 4000))
    with zipfile.ZipFile(tmp_path / "whole.npz", "w", method) as archive:
        archive.writestr("a.npy", content.getvalue())
    whole = (tmp_path / "whole.npz").read_bytes()
    for place in range(36, len(whole) - 90, 23):
        damaged = bytearray(whole)
        damaged[place : place + 8] = b"\xff\x00\xff\x00\xff\x00\xff\x00"
        (tmp_path / "a.npz").write_bytes(damaged)
        with pytest.raises(FileError, match=r"a\.npz"):
            load_npz(tmp_path / "a.npz", "capture")


def test_no_permission_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        write_json(tmp_path / "file" / "run.json", {})


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "C:\\x", "a\\b"])
def test_names_that_leave_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="not a file inside"):
        inside(tmp_path, name, "manifest")


def test_links_that_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(FileError, match="leaves its folder"):
        inside(tmp_path / "in", "link", "manifest")
    assert inside(tmp_path / "in", "a/b.bin", "manifest") == tmp_path / "in" / "a" / "b.bin"


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b'{"a": ' + b"[" * 100_000])
def test_wrong_json_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(FileError, match=r"x\.json"):
        read_json(tmp_path / "x.json", "record")


def test_npz_round_trip_keeps_order_and_type(tmp_path: Path) -> None:
    arrays = {"f": np.asfortranarray(np.arange(12.0).reshape(3, 4)), "i": np.arange(3, dtype=np.int16)}
    save_npz(tmp_path / "a.npz", arrays)
    again = load_npz(tmp_path / "a.npz", "array file")
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype


def test_declared_size_is_checked_before_memory_is_taken(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(FileError, match="declares 8000000000000 bytes"):
        load_npz(tmp_path / "huge.npz", "capture")


def test_pickled_npz_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", a=np.array([{}], dtype=object))
    with pytest.raises(FileError, match="Python objects"):
        load_npz(tmp_path / "evil.npz", "capture")


def _npy(header: bytes, content: bytes) -> bytes:
    """An npy file of version 1.0 with this header."""
    padded = header + b" " * (118 - len(header) - 1) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + content


def test_a_type_that_numpy_only_warns_of_is_refused_everywhere(tmp_path: Path) -> None:
    stored = _npy(b"{'descr': 'a8', 'fortran_order': False, 'shape': (2,), }", bytes(16))
    (tmp_path / "a.npy").write_bytes(stored)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("scene.npy", stored)
    with pytest.raises(FileError, match=r"a\.npz: .*alias 'a' was deprecated"):
        load_npz(tmp_path / "a.npz", "array file")
    with pytest.raises(FileError, match=r"a\.npy: .*alias 'a' was deprecated"):
        read_npy(tmp_path / "a.npy", "cube")
    for name in ("a.npy", "a.npz"):
        with pytest.raises(FileError, match="alias 'a' was deprecated"):
            read_array(tmp_path / name, "scene")


def test_headers_of_python_2_are_read(tmp_path: Path) -> None:
    values = np.arange(3, dtype=np.int16)
    (tmp_path / "old.npy").write_bytes(
        _npy(b"{'descr': '<i2', 'fortran_order': False, 'shape': (3L,), }", values.tobytes())
    )
    np.testing.assert_array_equal(read_npy(tmp_path / "old.npy", "cube"), values)
    np.testing.assert_array_equal(read_array(tmp_path / "old.npy", "scene"), values)


def test_npy_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "new.npy").write_bytes(b"\x93NUMPY\x03\x00" + bytes(64))
    with pytest.raises(FileError, match=r"npy version \(3, 0\); 1\.0 and 2\.0 are known"):
        read_npy(tmp_path / "new.npy", "cube")

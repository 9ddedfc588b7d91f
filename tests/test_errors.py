"""An expected failure is one line, whatever a library or a file's name put into it."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from cidesign.errors import CidesignError, FileError, InputError, LimitError, first_line
from cidesign.files import load_npz
from cidesign.io.arrays import read_stored


@pytest.mark.parametrize("kind", [CidesignError, InputError, LimitError, FileError])
@pytest.mark.parametrize("text", ["a\nb", "a\r\n  b", "a\u2028b", "a\x0bb"])
def test_is_one_line(kind: type[CidesignError], text: str) -> None:
    assert str(kind(text, fault="drift")) == "a b"


def test_the_first_line_of_a_library_is_kept_and_its_advice_is_not() -> None:
    assert first_line(ValueError("large header\nuse allow_pickle=True")) == "large header"
    assert first_line(ValueError()) == "ValueError"


def long_header() -> bytes:
    """An npy file whose header is longer than NumPy reads without being told to."""
    header = repr({"descr": "<f8", "fortran_order": False, "shape": (1,)}).encode().ljust(16501) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + np.zeros(1).tobytes()


def test_advice_of_numpy_to_trust_a_file_is_not_passed_on(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "a.npy", tmp_path / "a.npz"
    plain.write_bytes(long_header())
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.npy", long_header())
    for read in (
        lambda: read_stored(plain, "cube"),
        lambda: read_stored(zipped, "cube"),
        lambda: load_npz(zipped, "x"),
    ):
        with pytest.raises(FileError, match="large and may not be safe") as caught:
            read()
        assert "\n" not in str(caught.value)
        assert "pickle" not in str(caught.value)

"""Writing that never leaves half a file, and reading that never trusts one.

Everything is written under a temporary name in the same folder, then renamed; a reader checks sizes before it
takes memory and never executes what it reads.
"""

import contextlib
import errno
import glob
import hashlib
import json
import lzma
import math
import os
import shutil
import stat
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, TypeAlias

from cidesign.errors import CidesignError, FileError, first_line

if TYPE_CHECKING:  # numpy takes longer to import than `profiles list` takes to run
    import numpy as np

# A value as JSON has it.  What is read is made of `dict` and `list`, and becomes a model before it is used.
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = "Mapping[str, Json]"

# One of these is in every folder that `replacing_folder` writes.
RECORD_NAMES = ("manifest.json", "capture.json", "calibration.json", "reconstruction.json", "design.json")
MAX_JSON_BYTES = 64_000_000
MAX_ARRAY_BYTES = 2_000_000_000
# What zipfile, its decompressors and numpy raise for damaged content; the last four come from npy headers that are not
# the literal they should be.
_UNSOUND_NPZ = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError,
    SyntaxError, tokenize.TokenError, struct.error,
)  # fmt: skip


def canonical_json(value: Json) -> bytes:
    """The one byte form of a JSON value (sorted keys, no spaces, no NaN); digests are taken of it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256_bytes(*parts: bytes | memoryview) -> str:
    """SHA-256 of the concatenated parts, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission or another failed write into a `FileError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FileError(
                f"{path}: the disk is full; nothing that was there before is lost. Free some space and repeat"
            ) from error
        raise FileError(f"{path}: cannot be written ({error.strerror or error}); check the path") from error


def refuse_existing(path: Path, force: bool) -> None:
    """Raise `FileError` when `path` exists and `force` is not set."""
    if path.exists() and not force:
        raise FileError(f"{path}: exists already; choose another name or repeat with --force to replace it")


def require_folder(path: Path, what: str, how: str) -> None:
    """Raise `FileError` when there is no folder `path`: `what` it should be, `how` one is made where there is nothing.

    A file that is there is named as one, and never told to be made.
    """
    if path.is_dir():
        return
    if not path.exists():
        raise FileError(f"{path}: no such {what}; {how}")
    if path.name in (*RECORD_NAMES, "run.json"):
        raise FileError(f"{path}: is the record of a folder; give the folder, {path.parent}")
    raise FileError(
        f"{path}: is a file, and a folder ({what}) is needed here. Patterns, masks and lines made elsewhere become a "
        "design folder by `cidesign design`, which `check`, `export` and `upload` go on with"
    )


def partial_name(path: Path) -> Path:
    """A hidden name beside `path` that no other process uses, on this computer or on another one with the same disk."""
    return path.with_name(f".{path.name}.{os.urandom(6).hex()}.partial")


def partials_of(path: Path) -> list[Path]:
    """What killed processes left of writing `path`, and what living ones write now."""
    return list(path.parent.glob(f".{glob.escape(path.name)}.*.partial"))


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, else removed."""
    temporary = partial_name(path)
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Made here, so that the system gives it the mode that the umask and the folder ask for.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            mode = stat.S_IMODE(temporary.stat().st_mode)
            yield temporary
            # Some libraries put a private file (0600) in its place: colleagues could not read it.
            if stat.S_IMODE(temporary.stat().st_mode) != mode:
                temporary.chmod(mode)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # gone already, or its folder could not be made
            temporary.unlink()


def _refuse_foreign(path: Path) -> None:
    if path.is_dir() and not (path / "run.json").exists():
        # An empty folder and an export in several formats (one folder each) hold no record of their own.
        if any((path / name).exists() for name in RECORD_NAMES):
            return
        if all((entry / "manifest.json").exists() for entry in path.iterdir()):
            return
    raise FileError(
        f"{path}: not a folder that this command writes, so --force does not replace it; choose another name"
    )


@contextlib.contextmanager
def replacing_folder(path: Path, force: bool) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it takes the place of `path`, else it is removed.

    Raises `FileError` before anything is written when `path` exists and `force` is not set, or when it is not a
    folder that cidesign wrote: a run or a folder of pictures is not what `--force` is meant to replace.
    """
    refuse_existing(path, force)
    if path.exists():
        _refuse_foreign(path)
    temporary, aside = partial_name(path), partial_name(path)
    try:
        with disk_errors(path):
            temporary.mkdir(parents=True)
            try:
                yield temporary
            except CidesignError as error:
                # The user knows the folder, not the name it has while it is written.
                error.args = (str(error).replace(str(temporary), str(path)),)
                raise
            if path.exists():
                os.replace(path, aside)
            os.replace(temporary, path)
    except BaseException:
        if aside.exists() and not path.exists():
            os.replace(aside, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step: the old content or the new, never a part."""
    with replacing_file(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Json) -> None:
    """Write a JSON file for people (indented, keys in the given order), in one step."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, what: str) -> dict[str, Json]:
    """Read a JSON object; `what` names the file's role in errors."""
    content = read_limited(path, what, MAX_JSON_BYTES)
    try:
        value: Json = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: this {what} is not readable JSON ({error})") from error
    if not isinstance(value, dict):
        raise FileError(f"{path}: this {what} should hold a JSON object, not a {type(value).__name__}")
    return value


def read_limited(path: Path, what: str, max_bytes: int) -> bytes:
    """Read a whole file of at most `max_bytes` bytes."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > max_bytes:
            raise FileError(f"{path}: {size_bytes} bytes are more than a {what} can have ({max_bytes})")
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: this {what} cannot be read ({error.strerror or error})") from error


def inside(folder: Path, name: str, what: str) -> Path:
    """The path of a file named in a manifest; raises `FileError` for a name that leaves `folder`."""
    pure = PurePosixPath(name)
    if not name or pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name:
        raise FileError(f"{folder}: the {what} names {name!r}, which is not a file inside its folder")
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FileError(f"{folder}: the {what} names {name!r}, a link that leaves its folder")
    return path


def save_npz(path: Path, arrays: "dict[str, np.ndarray]") -> None:
    """Write arrays as a compressed npz in one step, and check that they read back equal."""
    import numpy as np

    with replacing_file(path) as temporary:
        with temporary.open("wb") as stream:
            np.savez_compressed(stream, allow_pickle=False, **arrays)
        # One after the other: together they would take their memory twice.
        unread = set(arrays)
        for name, again in _members(temporary, "array file", MAX_ARRAY_BYTES):
            array = arrays[name]
            if again.dtype != array.dtype or again.tobytes() != np.ascontiguousarray(array).tobytes():
                raise FileError(f"{path}: array {name!r} did not read back as written; is the disk sound?")
            unread.remove(name)
        if unread:
            raise FileError(f"{path}: array {min(unread)!r} is not in the file that was written; is the disk sound?")


def load_npz(path: Path, what: str, max_bytes: int = MAX_ARRAY_BYTES) -> "dict[str, np.ndarray]":
    """Read an npz without pickle; the declared sizes are checked before memory is taken."""
    return dict(_members(path, what, max_bytes))


def _members(path: Path, what: str, max_bytes: int) -> "Iterator[tuple[str, np.ndarray]]":
    """The arrays of an npz with their names, one after the other."""
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                yield info.filename.removesuffix(".npy"), _read_npy_member(path, archive, info, what, max_bytes)
    except FileNotFoundError as error:
        raise FileError(f"{path}: this {what} does not exist") from error
    except _UNSOUND_NPZ as error:
        raise FileError(f"{path}: this {what} is not a sound npz file ({first_line(error)})") from error


def read_npy_header(stream: IO[bytes]) -> "tuple[tuple[int, ...], bool, np.dtype[np.generic]]":
    """Shape, whether columns come first, and type of the npy array that begins here.

    Raises `ValueError` for another version and for what numpy only warns of, such as type names that it no longer
    writes, and whatever numpy raises for a header that is not the literal it should be.
    """
    from numpy.lib import format as npy_format

    version = npy_format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"npy version {version}; 1.0 and 2.0 are known")
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Reading `.npy`")  # a header of Python 2, which is sound
        try:
            return read(stream)
        except Warning as error:
            raise ValueError(first_line(error)) from error


def _read_npy_member(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str, max_bytes: int
) -> "np.ndarray":
    import numpy as np

    with archive.open(info) as stream:
        shape, fortran_order, dtype = read_npy_header(stream)
        if dtype.hasobject:
            raise FileError(f"{path}: {info.filename} in this {what} holds Python objects, which are never loaded")
        size_bytes = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or size_bytes > max_bytes or size_bytes > info.file_size:
            raise FileError(f"{path}: {info.filename} in this {what} declares {size_bytes} bytes; that cannot be")
        content = stream.read(size_bytes)
    if len(content) != size_bytes:
        raise FileError(f"{path}: {info.filename} in this {what} is cut short")
    flat = np.frombuffer(content, dtype=dtype)
    return flat.reshape(shape, order="F" if fortran_order else "C").copy()

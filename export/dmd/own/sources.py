"""Which files hold the patterns, in which order, and what kind each is."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from cidesign.errors import FileError, InputError
from cidesign.export.dmd.own.pictures import PICTURE_SUFFIXES
from cidesign.records import shown

ARRAY_SUFFIXES = (".npy", ".npz", ".mat")
SUFFIXES = (*ARRAY_SUFFIXES, *PICTURE_SUFFIXES)
MAX_FILES = 100_000
_LISTED = 4


def listed(files: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The files to read, folders replaced by their frames, and what is to be said about their order.

    Raises `FileError` for a file that is missing or of another kind, `InputError` for arrays among pictures.
    """
    if not files:
        raise InputError("patterns: no file is named; name array files, pictures or a folder of them")
    found: list[Path] = []
    said: list[str] = []
    for path in files:
        if path.is_dir():
            frames, told = _frames_of(path)
            found += frames
            said += told
            continue
        if not path.exists():
            raise FileError(f"{path}: this file of patterns does not exist")
        if path.suffix.lower() not in SUFFIXES:
            raise FileError(
                f"{path}: patterns in a {path.suffix or 'nameless'} file are not read; use {', '.join(SUFFIXES)}"
            )
        found.append(path)
    if len(files) > 1:
        said.append(f"{len(files)} files in the order in which they were named: {_short(files)}")
    kinds = {path.suffix.lower() in ARRAY_SUFFIXES for path in found}
    if len(kinds) > 1:
        raise InputError(f"patterns: {_short(found)} are arrays and pictures; name files of one kind")
    return found, said


def _frames_of(folder: Path) -> tuple[list[Path], list[str]]:
    try:
        inside = [path for path in folder.iterdir() if path.name[0] != "."]
    except OSError as error:
        raise FileError(f"{folder}: this folder cannot be read ({error.strerror or error})") from error
    frames = sorted((path for path in inside if path.suffix.lower() in PICTURE_SUFFIXES), key=_natural)
    if not 1 <= len(frames) <= MAX_FILES:
        raise FileError(
            f"{folder}: holds {len(frames)} pictures ({', '.join(PICTURE_SUFFIXES)}); 1 to {MAX_FILES} make patterns "
            "(arrays are named themselves)"
        )
    said = [f"{folder.name}: {len(frames)} pictures in the order of the numbers in their names: {_short(frames)}"]
    said += _gaps(frames)
    others = sorted(path for path in inside if path not in set(frames))
    if others:
        said.append(f"{folder.name}: {len(others)} other entries were left out: {_short(others)}")
    return frames, said


def _gaps(frames: list[Path]) -> list[str]:
    """Numbers that are missing between the first frame and the last, where the names differ in one number."""
    parts = [re.split(r"([0-9]+)", path.stem) for path in frames]
    if any(found[::2] != parts[0][::2] for found in parts):
        return ["the names of the pictures are not equal but for their number; is the order right?"]
    rows = [[int(text) for text in found[1::2]] for found in parts]
    changing = [place for place in range(len(rows[0])) if len({row[place] for row in rows}) > 1]
    if len(changing) != 1:
        return []
    numbers = [row[changing[0]] for row in rows]
    missing = [n for one, after in itertools.pairwise(numbers) for n in range(one + 1, after)[:_LISTED]]
    return [f"no picture has the number {', '.join(map(str, missing[:_LISTED]))}; is a frame missing?"] * bool(missing)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts `f2` before `f10`: numbers as numbers, text as text, without regard to case."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [(1, int(text), "") if place % 2 else (0, 0, text) for place, text in enumerate(parts)] + [(0, 0, path.name)]


def _short(paths: Sequence[Path]) -> str:
    names = shown(path.name for path in paths[:_LISTED])
    return f"{names}, ... {shown([paths[-1].name])}" if len(paths) > _LISTED else names

"""Which files hold pictures, and the grey pictures of one of them, one after the other."""

from collections.abc import Iterator
from pathlib import Path

from cidesign.data import pillow_pictures, tiff_pages
from cidesign.data.picture_arrays import Picture, pictures_of_arrays
from cidesign.errors import CidesignError, FileError
from cidesign.files import load_npz
from cidesign.io.npy import read_npy, reason
from cidesign.records import shown

ARRAY_SUFFIXES = (".npy", ".npz")
SUFFIXES = (*pillow_pictures.SUFFIXES, *tiff_pages.SUFFIXES, *ARRAY_SUFFIXES)


def find_images(path: Path) -> tuple[list[Path], str]:
    """The file `path`, or every file below the folder `path` with a known suffix, in a fixed order; and what else is
    there, in words ("" for nothing).  Raises `FileError` when there is none.
    """
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise FileError(
                f"{path}: {path.suffix or 'nameless'} files are not read as pictures; use {', '.join(SUFFIXES)}"
            )
        return [path], ""
    if not path.is_dir():
        raise FileError(
            f"{path}: no such folder of images, and no such file; give --data one, or leave it out for procedural data"
        )
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    found = [entry for entry in files if entry.suffix.lower() in SUFFIXES]
    counts: dict[str, int] = {}
    for entry in files:
        if entry.suffix.lower() not in SUFFIXES and not entry.name.startswith("."):
            kind = entry.suffix.lower() or "nameless"
            counts[kind] = counts.get(kind, 0) + 1
    others = shown(f"{count} {kind}" for kind, count in counts.items())
    if not found:
        seen = f"; what is there is not read: {others}" if counts else ""
        raise FileError(f"{path}: no image is below this folder; looked for {', '.join(SUFFIXES)}{seen}")
    return found, others if counts else ""


def one_scene(path: Path) -> bool:
    """Whether the pictures of a file show one scene (pages of a TIFF), or one each (arrays)."""
    return path.suffix.lower() not in ARRAY_SUFFIXES


def read_pictures(path: Path, notes: list[str]) -> Iterator[Picture]:
    """The grey pictures (H, W) of one file, one at a time; remarks are added to `notes`.

    Raises `FileError` for whatever is wrong with the file, also after some of its pictures.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            yield from pictures_of_arrays(path, load_npz(path, "image file"), notes)
        elif suffix == ".npy":
            yield from pictures_of_arrays(path, {"": read_npy(path, "image file")}, notes)
        elif suffix in tiff_pages.SUFFIXES:
            yield from tiff_pages.tiff_pages(path, notes)
        else:
            yield Picture(pillow_pictures.read_with_pillow(path, notes))
    except CidesignError:
        raise
    except MemoryError as error:
        raise FileError(f"{path}: needs more memory than there is; cut it into smaller files") from error
    # Every decoder fails in its own way on a damaged file; the text says how.
    except Exception as error:
        raise FileError(f"{path}: it cannot be read ({reason(path, error)})") from error

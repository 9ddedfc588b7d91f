"""The pages of a TIFF: every directory that a file leads to, and which of them is the one drawing.

TIFF 6.0: directories are chained; NewSubfileType (254) and SubfileType (255) say what a page is; SubIFDs (330, TIFF
Technical Note 1) hang further ones on a page.
"""

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cidesign.errors import FileError

_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 13: "I"}
_MAX_TAGS, _MAX_VALUES, _MAX_PAGES = 500, 4_000_000, 1000
_WIDTH, _HEIGHT, _NEW_SUBFILE, _OLD_SUBFILE, _SUB_DIRECTORIES = 256, 257, 254, 255, 330
_REDUCED, _TRANSPARENCY, _OLD_REDUCED = 1, 4, 2


class Page(NamedTuple):
    """One directory: its values by tag; `number` counts the chain from 1, `hung_on` is the page whose SubIFD it is."""

    path: Path
    number: int
    hung_on: int | None
    values: dict[int, tuple[int, ...]]
    texts: dict[int, str]

    def need(self, tag: int, name: str) -> tuple[int, ...]:
        """The values of a tag; raises `FileError` that names it where there are none."""
        if not self.values.get(tag):
            raise FileError(f"{self.path}: this TIFF has no {name} (tag {tag}); save it again as a 1-bit TIFF")
        return self.values[tag]

    def one(self, tag: int, default: int) -> int:
        """The first value of a tag, or `default` where the tag is absent."""
        values = self.values.get(tag, (default,))
        if not values:
            raise FileError(f"{self.path}: tag {tag} of this TIFF holds no value; save it again as a 1-bit TIFF")
        return values[0]

    @property
    def name(self) -> str:
        """The page in words, with its size."""
        where = f"page {self.number}" if self.hung_on is None else f"a SubIFD of page {self.hung_on}"
        return f"{where} ({self.one(_WIDTH, 0)} x {self.one(_HEIGHT, 0)} pixels)"

    @property
    def aside(self) -> str | None:
        """What the page says that it is, if it says that it is not the image itself."""
        kind = self.one(_NEW_SUBFILE, 0)
        if kind & _TRANSPARENCY:
            return "a transparency mask"
        if kind & _REDUCED or self.one(_OLD_SUBFILE, 0) == _OLD_REDUCED:
            return "a preview of reduced resolution"
        return None

    @property
    def pixels(self) -> int:
        """Width times height as declared."""
        return self.one(_WIDTH, 0) * self.one(_HEIGHT, 0)


def the_drawing(stream: BinaryIO, path: Path) -> tuple[Page, tuple[str, ...]]:
    """The one page of full resolution, and what the others say that they are.

    Raises `FileError` for several such pages or none, for a drawing in a SubIFD, for a preview that is as large as the
    drawing, and for directories that are damaged or lead back to themselves.
    """
    pages = _pages(stream, path)
    whole = [page for page in pages if page.aside is None]
    if not whole:
        raise FileError(f"{path}: every page says that it is a preview or a transparency mask; save the drawing alone")
    if len(whole) > 1:
        shown = ", ".join(page.name for page in whole[:4]) + (" ..." if len(whole) > 4 else "")
        raise FileError(
            f"{path}: holds {len(whole)} images ({shown}); a mask is one, and programs differ in which they take. Save "
            "the drawing alone"
        )
    (drawing,) = whole
    if drawing.hung_on is not None:
        raise FileError(f"{path}: the drawing is {drawing.name}, where few programs look; save it alone")
    others = [page for page in pages if page is not drawing]
    for page in others:
        if page.pixels >= drawing.pixels:
            raise FileError(
                f"{path}: {page.name} says that it is {page.aside}, but is not smaller than {drawing.name}; which of "
                "them is the drawing would be a guess. Save it alone"
            )
    return drawing, tuple(f"{page.name} says that it is {page.aside}" for page in others)


def _pages(stream: BinaryIO, path: Path) -> list[Page]:
    order, offset = _header(stream, path)
    pages: list[Page] = []
    seen: set[int] = set()
    number = 1
    # What is still to be read: an offset, and the page that it hangs on.
    waiting: list[tuple[int, int | None]] = [(offset, None)]
    while waiting:
        offset, hung_on = waiting.pop(0)
        if offset in seen:
            raise FileError(f"{path}: the pages of this TIFF lead back to one another; it is damaged")
        if len(pages) >= _MAX_PAGES:
            raise FileError(f"{path}: more than {_MAX_PAGES} pages; a mask is one image")
        seen.add(offset)
        page, following = _directory(stream, path, order, offset, number, hung_on)
        pages.append(page)
        waiting += [(below, hung_on or number) for below in page.values.get(_SUB_DIRECTORIES, ())[: _MAX_PAGES + 1]]
        if following:
            waiting.append((following, hung_on))
        number += hung_on is None and following != 0
    return pages


def _header(stream: BinaryIO, path: Path) -> tuple[str, int]:
    header = stream.read(8)
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    if order is None or len(header) < 8:
        raise FileError(f"{path}: not a TIFF file (it begins with {header[:4]!r})")
    magic, offset = struct.unpack(order + "HI", header[2:])
    if magic == 43:
        raise FileError(f"{path}: a BigTIFF, which mask converters do not read; save it as a classic TIFF")
    if magic != 42:
        raise FileError(f"{path}: not a TIFF file (its version is {magic}, not 42)")
    return order, offset


def _directory(
    stream: BinaryIO, path: Path, order: str, offset: int, number: int, hung_on: int | None
) -> tuple[Page, int]:
    """The directory at `offset`, and the offset of the next one in its chain (0: none)."""
    stream.seek(offset)
    (count,) = struct.unpack(order + "H", exactly(stream, 2, path))
    if count > _MAX_TAGS:
        raise FileError(f"{path}: this TIFF claims {count} tags; it is damaged")
    content = exactly(stream, 12 * count + 4, path)
    entries, (following,) = content[:-4], struct.unpack(order + "I", content[-4:])
    values: dict[int, tuple[int, ...]] = {}
    texts: dict[int, str] = {}
    for position in range(0, 12 * count, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", entries, position)
        if kind not in _TYPES or length > _MAX_VALUES:
            continue
        size = length * struct.calcsize("<" + _TYPES[kind])
        content = entries[position + 8 : position + 12]
        if size > 4:
            stream.seek(struct.unpack(order + "I", content)[0])
            content = exactly(stream, size, path)
        if kind == 2:
            texts[tag] = content[:size].rstrip(b"\0").decode("ascii", "replace")
        else:
            values[tag] = struct.unpack(f"{order}{length * len(_TYPES[kind])}{_TYPES[kind][0]}", content[:size])
    return Page(path, number, hung_on, values, texts), following


def exactly(stream: BinaryIO, count: int, path: Path) -> bytes:
    """The next `count` bytes; raises `FileError` where the file ends before."""
    content = stream.read(count)
    if len(content) != count:
        raise FileError(f"{path}: this TIFF is cut short")
    return content

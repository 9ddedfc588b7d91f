"""A design that was read from somebody's own files, and how they were understood."""

from dataclasses import dataclass

from cidesign.orientation import Orientation
from cidesign.pattern import Design


@dataclass(frozen=True)
class OwnDesign:
    """A design from files.

    `said`: how the files were understood, one sentence each (order, polarity, orientation, levels, what was left out).
    `sources`: (file name, SHA-256) of each file that was read, in order.  `preview_png`: a picture of what was
    understood, empty where nothing had to be.
    """

    design: Design
    said: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    preview_png: bytes


def orientation_said(orientation: Orientation, as_stored: str) -> str:
    """What was done to the images of a file; `as_stored` says what row 0 and column 0 are where it was nothing."""
    return as_stored if orientation.identity else f"{orientation.text}, as asked for"

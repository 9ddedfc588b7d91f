"""A design that was read from somebody's own files, and how they were understood."""

from dataclasses import dataclass

from cidesign.pattern import Design


@dataclass(frozen=True)
class OwnDesign:
    """A design from files.

    `said`: how the files were understood, one sentence each (order, polarity, orientation, levels, what was left out).
    `sources`: (file name, SHA-256) of each file that was read, in order.  `preview_png`: a picture of what was
    understood.
    """

    design: Design
    said: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    preview_png: bytes

"""A design that exists, for which a decoder is trained."""

from typing import NamedTuple

from cidesign.pattern import Design


class GivenDesign(NamedTuple):
    """A design, and what it was named as: a folder or a file."""

    name: str
    design: Design

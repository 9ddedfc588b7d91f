"""What every design says of itself, whichever device it is for."""

from pathlib import Path
from typing import Protocol, Self


class Design(Protocol):
    """Patterns, a mask or lines, as plain arrays in one file, and the profile that they were designed for."""

    @property
    def profile_id(self) -> str:
        """The name of that profile."""

    @property
    def profile_digest(self) -> str:
        """The digest of that profile."""

    @property
    def design_digest(self) -> str:
        """The SHA-256 of everything that decides what is built."""

    def save(self, path: Path) -> None:
        """Write it as one file."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises `FileError`."""

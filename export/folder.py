"""What every export folder holds, whatever device it is for, and what is needed of designs and profiles for that."""

from pathlib import Path
from typing import Any, Protocol, Self

MANIFEST_NAME = "manifest.json"
DESIGN_NAME = "design.npz"
PREVIEW_NAME = "preview.png"


class Device(Protocol):
    """What is needed of a profile here, whichever family it is of."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def digest(self) -> str:
        """The SHA-256 of its values."""

    def model_dump(self, *, mode: str = ..., exclude_none: bool = ...) -> dict[str, Any]:
        """Its values as JSON has them."""


class DesignOnDisk(Protocol):
    """What is needed of a design here, whichever family it is of."""

    @property
    def profile_id(self) -> str:
        """The name of the profile that it was designed for."""

    @property
    def profile_digest(self) -> str:
        """The digest of that profile."""

    @property
    def design_digest(self) -> str:
        """The SHA-256 of all that the design says."""

    def save(self, path: Path) -> None:
        """Write it as one file."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises `FileError`."""

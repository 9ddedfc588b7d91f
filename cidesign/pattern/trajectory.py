"""What a scan measures of k-space: samples, whichever kind of scan takes them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.files import JsonObject, canonical_json, sha256_bytes
from cidesign.pattern.store import load_design, save_design

# Far above any scan, and low enough that a damaged file cannot ask for gigabytes.
MAX_MATRIX = 65_536


class Trajectory(ABC):
    """Where k-space is sampled, shot by shot; Cartesian lines and points are kinds of it.

    A kind is one subclass, one line in `kinds`, and one name for its array in the file.
    """

    profile_id: str
    profile_digest: str

    # Which kind it is, in files: `lines`, `points` or `shots`.
    kind: ClassVar[str]
    # Whether all samples lie on a grid of whole steps of 1/FOV.
    is_cartesian: ClassVar[bool]
    # What the array is called in the file.
    array_name: ClassVar[str]

    @property
    @abstractmethod
    def matrix(self) -> tuple[int, int]:
        """Height and width of an image, in pixels."""

    @property
    @abstractmethod
    def acceleration(self) -> float:
        """R: what a fully sampled scan of this kind would measure, over what this one does."""

    @property
    @abstractmethod
    def samples(self) -> NDArray[np.float64]:
        """(shots, samples, 2 or 3), k-space in 1/FOV, 0 at its centre, in the order in which it is sampled."""

    @abstractmethod
    def stored(self) -> tuple[NDArray[Any], JsonObject]:
        """The array that decides what is measured, and what else does but the profile."""

    @classmethod
    @abstractmethod
    def of_stored(cls, array: NDArray[Any], header: Mapping[str, Any]) -> Self:
        """The trajectory of what `stored` gave, with `profile_id` and `profile_digest` in the header."""

    @property
    def design_digest(self) -> str:
        """SHA-256 of what decides what is measured, and of the profile it was designed for."""
        array, header = self.stored()
        whole = {**header, "profile_digest": self.profile_digest}
        return sha256_bytes(canonical_json(whole), np.ascontiguousarray(array).tobytes())

    def save(self, path: Path) -> None:
        """Write the trajectory as npz (no pickle), in one step."""
        array, header = self.stored()
        whole = {**header, "profile_id": self.profile_id, "profile_digest": self.profile_digest}
        save_design(path, self.array_name, array, whole, self.design_digest)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a trajectory written by `save`; raises `FileError` when it is damaged, of a newer version or another
        kind."""
        found = load_design(path, {kind.array_name: kind.of_stored for kind in kinds()})
        if not isinstance(found, cls):
            raise FileError(f"{path}: this design is {found.kind} of k-space, not {cls.kind}")
        return found


def kinds() -> "tuple[type[Trajectory], ...]":
    """All kinds of trajectories."""
    from cidesign.pattern.lines import CartesianLines
    from cidesign.pattern.points import CartesianPoints
    from cidesign.pattern.shots import NonCartesian

    return CartesianLines, CartesianPoints, NonCartesian

"""A coded aperture for a plate."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.files import Json, JsonObject, canonical_json, sha256_bytes
from cidesign.pattern.store import load_design, save_design


@dataclass(frozen=True)
class ApertureMask:
    """One coded aperture: binary, as a plate has it, or grey, as a mask that exists was measured.

    `levels` (H, W): uint8, 1 where light passes and 0 where it is blocked, or float32, the transmission in [0, 1]; as
    the mask is seen by the scene's light, with row 0 at the top and column 0 at the left of the image.  Transmissions
    of nothing but 0 and 1 become uint8: one mask has one form.  `pitch_um` is the side of one code pixel on the plate.
    `profile_id` and `profile_digest` name the process it was designed for.
    """

    levels: NDArray[np.uint8] | NDArray[np.float32]
    pitch_um: float
    profile_id: str
    profile_digest: str

    def __post_init__(self) -> None:
        found = self.levels
        if found.dtype not in (np.uint8, np.float32) or found.ndim != 2 or 0 in found.shape:
            raise InputError(
                f"mask: must be uint8, or float32 for grey transmission, of shape (H, W), not {found.dtype} "
                f"{found.shape}"
            )
        if not self.is_binary:
            bad = int(np.count_nonzero(~((found >= 0) & (found <= 1))))
            if bad:
                raise InputError(f"mask: {bad} of {found.size} transmissions are no numbers from 0 to 1")
            if not np.any((found != 0) & (found != 1)):
                object.__setattr__(self, "levels", found.astype(np.uint8))
        elif int(found.max()) > 1:
            raise InputError(f"mask: value {found.max()} is neither 0 (blocked) nor 1 (light passes)")
        if not 0 < self.pitch_um < float("inf"):
            raise InputError(f"mask: a pitch of {self.pitch_um} um is not a length")

    @property
    def is_binary(self) -> bool:
        """Whether every code pixel is open or blocked, so that a plate can have it."""
        return self.levels.dtype == np.uint8

    @property
    def plate_levels(self) -> NDArray[np.uint8]:
        """The levels (H, W) of a binary mask; raises `InputError` for a grey one, which no plate can have."""
        if self.is_binary:
            return cast(NDArray[np.uint8], self.levels)
        grey = int(np.count_nonzero((self.levels != 0) & (self.levels != 1)))
        raise InputError(
            f"mask: {grey} of {self.levels.size} code pixels are grey ({self.levels.min():.3g} to "
            f"{self.levels.max():.3g}); a plate is open or opaque, so no mask file is written or checked for it, and a "
            "threshold would make another mask of it. Simulate and reconstruct with it as it is, or give the drawing "
            "that its plate was made from"
        )

    @property
    def open_fraction(self) -> float:
        """The mean transmission: of a binary mask, the share of pixels that let light pass."""
        return float(self.levels.mean(dtype=np.float64))

    @property
    def design_digest(self) -> str:
        """SHA-256 of the mask, its pitch, and the profile it was designed for."""
        header: dict[str, Json] = {
            "pitch_um": self.pitch_um,
            "profile_digest": self.profile_digest,
            "shape": list(self.levels.shape),
        }
        if not self.is_binary:
            header["levels"] = "float32"
        content = self.levels if self.is_binary else self.levels.astype("<f4")
        return sha256_bytes(canonical_json(header), np.ascontiguousarray(content).tobytes())

    def save(self, path: Path) -> None:
        """Write the mask as npz (no pickle), in one step."""
        header: JsonObject = {
            "pitch_um": self.pitch_um,
            "profile_id": self.profile_id,
            "profile_digest": self.profile_digest,
        }
        save_design(path, "levels", self.levels, header, self.design_digest)

    @classmethod
    def load(cls, path: Path) -> "ApertureMask":
        """Read a mask written by `save`; raises `FileError` when it is damaged or of a newer version."""

        def build(levels: NDArray[Any], header: Mapping[str, Any]) -> "ApertureMask":
            return cls(levels, float(header["pitch_um"]), str(header["profile_id"]), str(header["profile_digest"]))

        return load_design(path, {"levels": build})

"""What leaves training: the hard patterns, as plain arrays with their units and digests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.files import canonical_json, load_npz, save_npz, sha256_bytes

SCHEMA_VERSION = 1
MAX_BIT_DEPTH = 8
Encoding = Literal["complementary", "offset"]


class Frame(NamedTuple):
    """One displayed frame: pattern number `pattern` (`+`), its complement (`-`), or all-on (`on`, pattern -1)."""

    pattern: int
    role: Literal["+", "-", "on"]


@dataclass(frozen=True)
class PatternStack:
    """K patterns of n x n super-pixels for a micromirror device.

    `levels` (K, n, n), uint8, 0 (off) .. 2**bit_depth - 1 (on the whole exposure); row 0 is the top of the image.
    A device shows only light, so signed weights phi = 2 levels / (2**bit_depth - 1) - 1 in [-1, 1] are realised
    by an `encoding`: `complementary` shows each pattern and its complement; `offset` shows each pattern once
    and one all-on frame.  `profile_id` and `profile_digest` name the device the patterns were designed for.
    """

    levels: NDArray[np.uint8]
    bit_depth: int
    encoding: Encoding
    profile_id: str
    profile_digest: str

    def __post_init__(self) -> None:
        if self.levels.dtype != np.uint8 or self.levels.ndim != 3 or self.levels.shape[1] != self.levels.shape[2]:
            raise InputError(
                f"patterns: levels must be uint8 of shape (K, n, n), not {self.levels.dtype} {self.levels.shape}"
            )
        if 0 in self.levels.shape:
            raise InputError(f"patterns: shape {self.levels.shape} holds no super-pixel; at least one is needed")
        if not 1 <= self.bit_depth <= MAX_BIT_DEPTH:
            raise InputError(f"patterns: bit depth {self.bit_depth} is outside 1..{MAX_BIT_DEPTH}")
        if int(self.levels.max()) > self.max_level:
            raise InputError(f"patterns: level {self.levels.max()} is above {self.max_level} ({self.bit_depth} bit)")
        if self.encoding not in get_args(Encoding):
            raise InputError(f"patterns: encoding {self.encoding!r} is not one of {', '.join(get_args(Encoding))}")

    @property
    def count(self) -> int:
        """K, the number of patterns."""
        return int(self.levels.shape[0])

    @property
    def side(self) -> int:
        """n, the number of super-pixels along a side."""
        return int(self.levels.shape[1])

    @property
    def max_level(self) -> int:
        """The level of a mirror that is on during the whole exposure."""
        return int(2**self.bit_depth - 1)

    @property
    def design_digest(self) -> str:
        """SHA-256 of everything that decides what the mirrors show, and of the profile it was designed for."""
        header = {
            "bit_depth": self.bit_depth,
            "encoding": self.encoding,
            "profile_digest": self.profile_digest,
            "shape": list(self.levels.shape),
        }
        return sha256_bytes(canonical_json(header), np.ascontiguousarray(self.levels).tobytes())

    def signed(self) -> NDArray[np.float32]:
        """The signed weights phi = 2 levels / (2**bit_depth - 1) - 1, (K, n, n), in [-1, 1]."""
        return (2.0 * self.levels / self.max_level - 1.0).astype(np.float32)

    def frames(self) -> list[Frame]:
        """What is shown, in order: `+ -` pairs (complementary), or every pattern and then all-on (offset)."""
        if self.encoding == "complementary":
            return [frame for k in range(self.count) for frame in (Frame(k, "+"), Frame(k, "-"))]
        return [*(Frame(k, "+") for k in range(self.count)), Frame(-1, "on")]

    def displayed(self) -> NDArray[np.uint8]:
        """The levels of every frame in display order, (F, n, n), 0 .. 2**bit_depth - 1."""
        if self.encoding == "complementary":
            pairs = np.stack([self.levels, np.uint8(self.max_level) - self.levels], axis=1)
            return pairs.reshape(2 * self.count, self.side, self.side)
        all_on = np.full((1, self.side, self.side), self.max_level, dtype=np.uint8)
        return np.concatenate([self.levels, all_on])

    def save(self, path: Path) -> None:
        """Write the stack as npz (no pickle), in one step."""
        header = {
            "schema_version": SCHEMA_VERSION,
            "bit_depth": self.bit_depth,
            "encoding": self.encoding,
            "profile_id": self.profile_id,
            "profile_digest": self.profile_digest,
            "design_digest": self.design_digest,
        }
        save_npz(
            path,
            {"levels": self.levels, "header_json": np.frombuffer(canonical_json(header), dtype=np.uint8)},
        )

    @classmethod
    def load(cls, path: Path) -> "PatternStack":
        """Read a stack written by `save`; raises `FileError` when it is damaged or of a newer version."""
        import json

        arrays = load_npz(path, "design")
        if set(arrays) != {"levels", "header_json"}:
            raise FileError(f"{path}: this design should hold levels and header_json, not {', '.join(sorted(arrays))}")
        try:
            header = json.loads(arrays["header_json"].tobytes())
            version = header["schema_version"]
            if version != SCHEMA_VERSION:
                raise FileError(
                    f"{path}: this design has schema version {version}; this program knows {SCHEMA_VERSION}. Update it"
                )
            stack = cls(
                levels=arrays["levels"],
                bit_depth=int(header["bit_depth"]),
                encoding=cast(Encoding, header["encoding"]),
                profile_id=str(header["profile_id"]),
                profile_digest=str(header["profile_digest"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError, InputError) as error:
            raise FileError(f"{path}: this design is damaged ({error})") from error
        if stack.design_digest != header.get("design_digest"):
            raise FileError(f"{path}: this design was changed after it was written (its digest does not fit)")
        return stack

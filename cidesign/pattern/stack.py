"""Patterns for a micromirror device: what is shown, in which order, and what it weighs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.files import Json, canonical_json, sha256_bytes
from cidesign.pattern.store import load_design, save_design

MAX_BIT_DEPTH = 8
Encoding = Literal["complementary", "offset", "as-shown"]
Placement = Literal["superpixels", "mirrors"]
FrameRole = Literal["+", "-", "on", "off"]
# Barker's code of 13: at any shift against itself, at most one more of its frames agree than disagree.
BLINK_CODE: tuple[Literal["on", "off"], ...] = (
    "on", "on", "on", "on", "on", "off", "off", "on", "on", "off", "on", "off", "on",
)  # fmt: skip


class Frame(NamedTuple):
    """One displayed frame: pattern `pattern` (`+`), its complement (`-`), or all mirrors `on` or `off` (pattern -1)."""

    pattern: int
    role: FrameRole


_SYNC_PAIR = (Frame(-1, "on"), Frame(-1, "off"))
_AT_A_TIME = 64


@dataclass(frozen=True)
class PatternStack:
    """K patterns for a micromirror device: n x n super-pixels, or frames of exactly its mirrors.

    `levels` (K, n, n), or (K, rows, columns) with `placement` `mirrors`; uint8, 0 (off) .. 2**bit_depth - 1 (on the
    whole exposure); row 0 is the top of the image.
    A device shows only light, so signed weights phi = 2 levels / (2**bit_depth - 1) - 1 in [-1, 1] are realised
    by an `encoding`: `complementary` shows each pattern and its complement; `offset` shows each pattern once
    and one all-on frame.  `as-shown` shows each pattern once and adds nothing; its weights are
    levels / (2**bit_depth - 1).  `profile_id` and `profile_digest` name the device the patterns were designed for.

    `sync_every` adds frames that are no part of the design: the blink code `BLINK_CODE` at the start, by which the
    sequence is found in a stream of readings, and an all-on and an all-off frame after every so many patterns and
    at the end, which show the lamp and the dark level.  None: the design's frames alone.
    """

    levels: NDArray[np.uint8]
    bit_depth: int
    encoding: Encoding
    profile_id: str
    profile_digest: str
    sync_every: int | None = None
    placement: Placement = "superpixels"

    def __post_init__(self) -> None:
        self._check_levels()
        if not 1 <= self.bit_depth <= MAX_BIT_DEPTH:
            raise InputError(f"patterns: bit depth {self.bit_depth} is outside 1..{MAX_BIT_DEPTH}")
        if int(self.levels.max()) > self.max_level:
            raise InputError(f"patterns: level {self.levels.max()} is above {self.max_level} ({self.bit_depth} bit)")
        if self.encoding not in get_args(Encoding):
            raise InputError(f"patterns: encoding {self.encoding!r} is not one of {', '.join(get_args(Encoding))}")
        if self.sync_every is not None and not 1 <= self.sync_every <= self.count:
            raise InputError(
                f"patterns: sync frames after every {self.sync_every} patterns; choose a number from 1 to the "
                f"{self.count} patterns of this design"
            )

    def _check_levels(self) -> None:
        if self.placement not in get_args(Placement):
            raise InputError(f"patterns: placement {self.placement!r} is not one of {', '.join(get_args(Placement))}")
        shape = "(K, n, n)" if self.placement == "superpixels" else "(K, rows, columns)"
        square = self.levels.ndim == 3 and self.levels.shape[1] == self.levels.shape[2]
        if self.levels.dtype != np.uint8 or self.levels.ndim != 3 or (self.placement == "superpixels" and not square):
            raise InputError(
                f"patterns: levels must be uint8 of shape {shape}, not {self.levels.dtype} {self.levels.shape}"
            )
        if 0 in self.levels.shape:
            raise InputError(f"patterns: shape {self.levels.shape} holds no super-pixel; at least one is needed")

    @property
    def count(self) -> int:
        """K, the number of patterns."""
        return int(self.levels.shape[0])

    @property
    def side(self) -> int:
        """n, the number of super-pixels along a side; raises `InputError` for frames of mirrors, which have none."""
        if self.placement == "mirrors":
            raise InputError(
                f"patterns: these are frames of {self.size_text}, not of n x n super-pixels, which are needed here"
            )
        return int(self.levels.shape[1])

    @property
    def size_text(self) -> str:
        """The size of a pattern for people: `32 x 32`, or `912 x 1140 mirrors` (columns x rows)."""
        size = f"{self.levels.shape[2]} x {self.levels.shape[1]}"
        return f"{size} mirrors" if self.placement == "mirrors" else size

    @property
    def max_level(self) -> int:
        """The level of a mirror that is on during the whole exposure."""
        return int(2**self.bit_depth - 1)

    @property
    def design_digest(self) -> str:
        """SHA-256 of everything that decides what the mirrors show, and of the profile it was designed for."""
        header: dict[str, Json] = {
            "bit_depth": self.bit_depth,
            "encoding": self.encoding,
            "profile_digest": self.profile_digest,
            "shape": list(self.levels.shape),
        }
        if self.sync_every is not None:
            header |= {"sync_every": self.sync_every, "blink_code": BLINK_CODE}
        if self.placement != "superpixels":
            header["placement"] = self.placement
        return sha256_bytes(canonical_json(header), np.ascontiguousarray(self.levels).tobytes())

    @property
    def patterns_digest(self) -> str:
        """The digest of the same design without sync frames: equal for a run's design and its exports."""
        return replace(self, sync_every=None).design_digest

    def with_sync(self, every: int) -> "PatternStack":
        """The same design with sync frames after every `every` patterns, 1 .. K; see `sync_every`."""
        return replace(self, sync_every=every)

    @property
    def design_frames(self) -> NDArray[np.intp]:
        """Where the design's own frames lie in `frames`, (F,), rising; 0 .. F - 1 without sync frames."""
        per_pattern = 2 if self.encoding == "complementary" else 1
        number = np.arange(len(self._designed()))
        if self.sync_every is None:
            return number
        # The all-on frame of offset encoding belongs to the last segment, which may be shorter than the others.
        segments = -(-self.count // self.sync_every)
        segment = np.minimum(number // (per_pattern * self.sync_every), segments - 1)
        places: NDArray[np.intp] = len(BLINK_CODE) + number + 2 * segment
        return places

    @property
    def pairs_from(self) -> int | None:
        """The frame from which on each two frames belong together, a pattern and its complement; None without pairs."""
        if self.encoding != "complementary":
            return None
        return 0 if self.sync_every is None else len(BLINK_CODE)

    def frames_of(self, role: FrameRole) -> NDArray[np.intp]:
        """The numbers of all frames of a role, rising; `on` includes the design's own all-on frame."""
        return np.flatnonzero([frame.role == role for frame in self.frames()])

    def signed(self) -> NDArray[np.float32]:
        """The weights of the measurement, shape as `levels`: phi = 2 levels / (2**bit_depth - 1) - 1 in [-1, 1].

        Of patterns that are measured `as-shown` nothing is subtracted: levels / (2**bit_depth - 1), in [0, 1].
        """
        signed: NDArray[np.float32] = self.level_weights[self.levels]
        return signed

    @property
    def level_weights(self) -> NDArray[np.float32]:
        """The weight of each level, (2**bit_depth,), see `signed`."""
        levels = np.arange(self.max_level + 1)
        weights = levels / self.max_level if self.encoding == "as-shown" else 2.0 * levels / self.max_level - 1.0
        return weights.astype(np.float32)

    def frames(self) -> list[Frame]:
        """What is shown, in order: `+ -` pairs (complementary), every pattern and then all-on (offset), or as-shown.

        With sync frames the blink code comes first, and `on off` after every `sync_every` patterns and at the end.
        """
        designed = self._designed()
        if self.sync_every is None:
            return designed
        shown = [Frame(-1, role) for role in BLINK_CODE]
        for frame, place in zip(designed, self.design_frames, strict=True):
            shown += _SYNC_PAIR if place > len(shown) else ()
            shown.append(frame)
        return [*shown, *_SYNC_PAIR]

    def _designed(self) -> list[Frame]:
        if self.encoding == "complementary":
            return [frame for k in range(self.count) for frame in (Frame(k, "+"), Frame(k, "-"))]
        shown = [Frame(k, "+") for k in range(self.count)]
        return [*shown, Frame(-1, "on")] if self.encoding == "offset" else shown

    def displayed(self) -> NDArray[np.uint8]:
        """The levels of every frame in display order, (F, n, n) or (F, rows, columns), 0 .. 2**bit_depth - 1."""
        return self.levels if self.encoding == "as-shown" and self.sync_every is None else self.shown(self.frames())

    def shown(self, frames: Sequence[Frame]) -> NDArray[np.uint8]:
        """The levels of some of `frames`, as in `displayed`; of all of them they can take gigabytes."""
        roles = np.array([frame.role for frame in frames])
        levels = self.levels[np.maximum([frame.pattern for frame in frames], 0)]
        levels[roles == "-"] = np.uint8(self.max_level) - levels[roles == "-"]
        levels[roles == "on"], levels[roles == "off"] = self.max_level, 0
        return levels

    def each_displayed(self) -> Iterator[NDArray[np.uint8]]:
        """The frames of `displayed`, one after another, of which only some are made at a time."""
        frames = self.frames()
        for first in range(0, len(frames), _AT_A_TIME):
            yield from self.shown(frames[first : first + _AT_A_TIME])

    def save(self, path: Path) -> None:
        """Write the stack as npz (no pickle), in one step."""
        header: dict[str, Json] = {
            "bit_depth": self.bit_depth,
            "encoding": self.encoding,
            "profile_id": self.profile_id,
            "profile_digest": self.profile_digest,
        }
        if self.sync_every is not None:
            header["sync_every"] = self.sync_every
        if self.placement != "superpixels":
            header["placement"] = self.placement
        save_design(path, "levels", self.levels, header, self.design_digest)

    @classmethod
    def load(cls, path: Path) -> "PatternStack":
        """Read a stack written by `save`; raises `FileError` when it is damaged or of a newer version."""

        def build(levels: NDArray[Any], header: Mapping[str, Any]) -> "PatternStack":
            every = header.get("sync_every")
            return cls(
                levels,
                int(header["bit_depth"]),
                cast(Encoding, header["encoding"]),
                str(header["profile_id"]),
                str(header["profile_digest"]),
                None if every is None else int(every),
                cast(Placement, header.get("placement", "superpixels")),
            )

        return load_design(path, {"levels": build})

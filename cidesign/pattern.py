"""What leaves training: patterns, masks and k-space lines, as plain arrays with their units and digests."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError
from cidesign.files import canonical_json, load_npz, save_npz, sha256_bytes

SCHEMA_VERSION = 1
MAX_BIT_DEPTH = 8
# Far above any scan, and low enough that a damaged file cannot ask for gigabytes.
MAX_MATRIX = 65_536
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
        header: dict[str, Any] = {
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

    def frames_of(self, role: FrameRole) -> NDArray[np.intp]:
        """The numbers of all frames of a role, rising; `on` includes the design's own all-on frame."""
        return np.flatnonzero([frame.role == role for frame in self.frames()])

    def signed(self) -> NDArray[np.float32]:
        """The weights of the measurement, shape as `levels`: phi = 2 levels / (2**bit_depth - 1) - 1 in [-1, 1].

        Of patterns that are measured `as-shown` nothing is subtracted: levels / (2**bit_depth - 1), in [0, 1].
        """
        if self.encoding == "as-shown":
            return (self.levels / np.float32(self.max_level)).astype(np.float32)
        return (2.0 * self.levels / self.max_level - 1.0).astype(np.float32)

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
        size = self.levels.shape[1:]
        if self.sync_every is not None:
            shown = np.zeros((len(self.frames()), *size), dtype=np.uint8)
            shown[self.frames_of("on")] = self.max_level
            shown[self.design_frames] = replace(self, sync_every=None).displayed()
            return shown
        if self.encoding == "complementary":
            pairs = np.stack([self.levels, np.uint8(self.max_level) - self.levels], axis=1)
            return pairs.reshape(2 * self.count, *size)
        if self.encoding == "as-shown":
            return self.levels
        all_on = np.full((1, *size), self.max_level, dtype=np.uint8)
        return np.concatenate([self.levels, all_on])

    def save(self, path: Path) -> None:
        """Write the stack as npz (no pickle), in one step."""
        header: dict[str, Any] = {
            "bit_depth": self.bit_depth,
            "encoding": self.encoding,
            "profile_id": self.profile_id,
            "profile_digest": self.profile_digest,
        }
        if self.sync_every is not None:
            header["sync_every"] = self.sync_every
        if self.placement != "superpixels":
            header["placement"] = self.placement
        _save(path, "levels", self.levels, header, self.design_digest)

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

        return _load(path, "levels", build)


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
        header: dict[str, Any] = {
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
        header = {"pitch_um": self.pitch_um, "profile_id": self.profile_id, "profile_digest": self.profile_digest}
        _save(path, "levels", self.levels, header, self.design_digest)

    @classmethod
    def load(cls, path: Path) -> "ApertureMask":
        """Read a mask written by `save`; raises `FileError` when it is damaged or of a newer version."""

        def build(levels: NDArray[Any], header: Mapping[str, Any]) -> "ApertureMask":
            return cls(levels, float(header["pitch_um"]), str(header["profile_id"]), str(header["profile_digest"]))

        return _load(path, "levels", build)


@dataclass(frozen=True)
class Trajectory:
    """Which phase-encode lines of a 2-D Cartesian scan are measured.

    `acquired` (L,), int64, rising: line indices in 0..lines-1; line `lines // 2` is the centre of k-space.
    `calibration_lines` of them are the contiguous block around the centre (ACS), counted in L.  `readout` is the
    number of samples of a line, without oversampling.
    """

    lines: int
    readout: int
    acquired: NDArray[np.int64]
    calibration_lines: int
    profile_id: str
    profile_digest: str

    def __post_init__(self) -> None:
        found = self.acquired
        if found.dtype != np.int64 or found.ndim != 1 or not len(found):
            raise InputError(f"trajectory: lines must be int64 of shape (L,), not {found.dtype} {found.shape}")
        if not (1 <= self.lines <= MAX_MATRIX and 1 <= self.readout <= MAX_MATRIX):
            raise InputError(
                f"trajectory: {self.lines} lines of {self.readout} samples are no matrix; both are 1 to {MAX_MATRIX}"
            )
        if int(found.min()) < 0 or int(found.max()) >= self.lines:
            raise InputError(f"trajectory: lines {found.min()}..{found.max()} are outside 0..{self.lines - 1}")
        if np.any(np.diff(found) <= 0):
            raise InputError("trajectory: the lines must rise and none may occur twice")
        if not 0 <= self.calibration_lines <= len(found):
            raise InputError(f"trajectory: {self.calibration_lines} calibration lines among {len(found)} lines")
        missing = sorted(set(centre_block(self.lines, self.calibration_lines)) - set(found.tolist()))
        if missing:
            raise InputError(f"trajectory: calibration lines {', '.join(map(str, missing))} are missing")

    @property
    def acceleration(self) -> float:
        """R = lines of the matrix / lines acquired, calibration lines included."""
        return self.lines / len(self.acquired)

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """(lines,), 1 where the line is acquired."""
        mask = np.zeros(self.lines, dtype=np.uint8)
        mask[self.acquired] = 1
        return mask

    @property
    def design_digest(self) -> str:
        """SHA-256 of the lines, the matrix, and the profile it was designed for."""
        return sha256_bytes(canonical_json(self._header()), np.ascontiguousarray(self.acquired).tobytes())

    def _header(self) -> dict[str, Any]:
        return {
            "lines": self.lines,
            "readout": self.readout,
            "calibration_lines": self.calibration_lines,
            "profile_digest": self.profile_digest,
        }

    def save(self, path: Path) -> None:
        """Write the trajectory as npz (no pickle), in one step."""
        _save(path, "acquired", self.acquired, {**self._header(), "profile_id": self.profile_id}, self.design_digest)

    @classmethod
    def load(cls, path: Path) -> "Trajectory":
        """Read a trajectory written by `save`; raises `FileError` when it is damaged or of a newer version."""

        def build(acquired: NDArray[Any], header: Mapping[str, Any]) -> "Trajectory":
            return cls(
                int(header["lines"]),
                int(header["readout"]),
                acquired,
                int(header["calibration_lines"]),
                str(header["profile_id"]),
                str(header["profile_digest"]),
            )

        return _load(path, "acquired", build)


Design = PatternStack | ApertureMask | Trajectory
_D = TypeVar("_D", PatternStack, ApertureMask, Trajectory)


def centre_block(lines: int, count: int) -> range:
    """The `count` contiguous lines around the centre of k-space, line lines // 2 among them."""
    first = lines // 2 - count // 2
    return range(first, first + count)


def _save(path: Path, name: str, array: NDArray[Any], header: dict[str, Any], design_digest: str) -> None:
    whole = {"schema_version": SCHEMA_VERSION, **header, "design_digest": design_digest}
    save_npz(path, {name: array, "header_json": np.frombuffer(canonical_json(whole), dtype=np.uint8)})


def _load(path: Path, name: str, build: Callable[[NDArray[Any], Mapping[str, Any]], _D]) -> _D:
    arrays = load_npz(path, "design")
    if set(arrays) != {name, "header_json"}:
        raise FileError(f"{path}: this design should hold {name} and header_json, not {', '.join(sorted(arrays))}")
    try:
        header = json.loads(arrays["header_json"].tobytes())
        version = header["schema_version"]
        if version != SCHEMA_VERSION:
            raise FileError(
                f"{path}: this design has schema version {version}; this program knows {SCHEMA_VERSION}. Update it"
            )
        design = build(arrays[name], header)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, InputError) as error:
        raise FileError(f"{path}: this design is damaged ({error})") from error
    if design.design_digest != header.get("design_digest"):
        raise FileError(f"{path}: this design was changed after it was written (its digest does not fit)")
    return design

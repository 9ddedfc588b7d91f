"""Reads somebody's own patterns as a design for a micromirror device."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.rules import pattern_rules, require, sizes_hint
from cidesign.errors import FileError, InputError, LimitError
from cidesign.export.dmd.base import grid_of
from cidesign.export.dmd.own.arrays import read_patterns
from cidesign.export.dmd.own.levels import Levels, to_levels
from cidesign.export.dmd.own.options import AS_STORED, PatternOptions
from cidesign.export.dmd.own.pictures import Picture, read_pictures
from cidesign.export.dmd.own.planes import (
    as_grey,
    channel_order,
    holds_planes,
    planes_of_picture,
    planes_text,
)
from cidesign.export.dmd.own.remarks import remarks
from cidesign.export.dmd.own.sources import ARRAY_SUFFIXES, listed
from cidesign.export.dmd.preview import preview_png
from cidesign.export.own_design import OwnDesign, orientation_said
from cidesign.files import sha256_file
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import Encoding, PatternStack, Placement

# As the levels of all patterns, a byte each.
MAX_LEVELS = 1_000_000_000


class _Read(NamedTuple):
    levels: Levels
    said: list[str]
    sources: list[tuple[str, str]]


def read_own(files: Sequence[Path], profile: DmdProfile, options: PatternOptions) -> OwnDesign:
    """A design from arrays (.npy, .npz, .mat), pictures (BMP, PNG, TIFF) or folders of pictures.

    Patterns of the size of the mirrors are shown exactly as they are; square ones are n x n super-pixels.  Raises
    `InputError` where the files leave two readings (both are named, with the option that decides), `LimitError` for
    what the device cannot show, and `FileError` for damage.
    """
    design, said, sources = read_stack(files, profile, options)
    return OwnDesign(design, tuple(said), tuple(sources), preview_png(design, profile, grid_of(profile, design)))


def read_stack(
    files: Sequence[Path], profile: DmdProfile, options: PatternOptions
) -> tuple[PatternStack, list[str], list[tuple[str, str]]]:
    """The patterns, how they were understood, and name and SHA-256 of each file; see `read_own`."""
    paths, said = listed(files)
    arrays = paths[0].suffix.lower() in ARRAY_SUFFIXES
    read = _from_arrays(paths, profile, options) if arrays else _from_pictures(paths, profile, options)
    turned = options.orientation.apply(read.levels.levels)
    placement = _placement(turned.shape[2], turned.shape[1], profile, options, paths[0])
    encoding: Encoding = options.encoding or ("complementary" if read.levels.signed else "as-shown")
    levels = np.ascontiguousarray(turned).astype(np.uint8, copy=False)
    design = PatternStack(levels, read.levels.bit_depth, encoding, profile.id, profile.digest, placement=placement)
    require([violation for rule in pattern_rules(profile, design.bit_depth) for violation in rule.check(design)])
    said += read.said
    said.append(f"orientation: {orientation_said(options.orientation, AS_STORED)}")
    said += read.levels.said
    said.append(_placed(design, profile))
    said.append(_encoded(design, read.levels.signed, options))
    said += remarks(design)
    return design, said, read.sources


def _from_arrays(paths: list[Path], profile: DmdProfile, options: PatternOptions) -> _Read:
    if options.planes == 24:
        raise InputError(f"--set planes=24: {paths[0].name} is an array; only 24-bit pictures hold planes")
    said: list[str] = []
    stacks: list[NDArray[np.generic]] = []
    for path in paths:
        patterns, understood = read_patterns(path, profile, options)
        stacks.append(patterns)
        said.append(understood)
        _one_kind(path, patterns, paths[0], stacks[0])
        _small_enough(path, sum(one.size for one in stacks))
    values = stacks[0] if len(stacks) == 1 else np.concatenate(stacks)
    full = 255 if values.dtype == np.uint8 else None
    levels = to_levels(values, full, options, str(paths[0]))
    return _Read(levels, said, [(path.name, sha256_file(path)) for path in paths])


def _one_kind(path: Path, patterns: NDArray[np.generic], first: Path, one: NDArray[np.generic]) -> None:
    if (patterns.shape[1:], patterns.dtype) != (one.shape[1:], one.dtype):
        raise InputError(
            f"{path}: patterns of {patterns.shape[2]} x {patterns.shape[1]} of {patterns.dtype}, {first.name} has "
            f"{one.shape[2]} x {one.shape[1]} of {one.dtype}; the patterns of a design are of one size and type"
        )


def _small_enough(path: Path, size: int) -> None:
    if size > MAX_LEVELS:
        raise LimitError(f"{path}: the patterns have {size} pixels together, at most {MAX_LEVELS} are read; name fewer")


def _from_pictures(paths: list[Path], profile: DmdProfile, options: PatternOptions) -> _Read:
    pictures: list[Picture] = []
    sources: list[tuple[str, str]] = []
    for path in paths:
        found, digest = read_pictures(path)
        pictures += found
        sources.append((path.name, digest))
        _small_enough(path, sum(one.values.size for one in pictures))
    _same_size(pictures)
    said = [_short([one.said for one in pictures if one.said])] if any(one.said for one in pictures) else []
    if len(pictures) > len(paths):
        said.append(f"{len(pictures)} pictures in {len(paths)} files, pages in the order of the file")
    if holds_planes(pictures, profile, options):
        return _Read(_from_planes(pictures, profile, options, said), said, sources)
    grey = [as_grey(one) for one in pictures]
    first = grey[0]
    for one in grey:
        if (one.values.dtype, one.full) != (first.values.dtype, first.full):
            raise InputError(
                f"{one.name}: has {one.bits} bits a pixel, {first.name} has {first.bits}; the pictures of a design are "
                "of one depth"
            )
    levels = to_levels(np.stack([one.values for one in grey]), first.full, options, str(paths[0]))
    return _Read(levels, said, sources)


def _from_planes(pictures: list[Picture], profile: DmdProfile, options: PatternOptions, said: list[str]) -> Levels:
    bits = options.bit_depth or 1
    channels = channel_order(pictures, profile, options)
    stack = np.concatenate([planes_of_picture(one, channels, bits) for one in pictures])
    said.append(f"{planes_text(channels, bits)}: {len(stack)} patterns")
    polarity = "a bit of 1 is on"
    if options.polarity == "inverted":
        stack = np.uint8(2**bits - 1) - stack
        polarity = "a bit of 0 is on, as asked for (polarity=inverted)"
    return Levels(stack, bits, False, (polarity,))


def _same_size(pictures: list[Picture]) -> None:
    first = pictures[0]
    for one in pictures:
        if one.size != first.size:
            raise FileError(
                f"{one.name}: is {one.size[0]} x {one.size[1]}, {first.name} is {first.size[0]} x {first.size[1]}; the "
                "pictures of a design are of one size"
            )


def _placement(columns: int, rows: int, profile: DmdProfile, options: PatternOptions, path: Path) -> Placement:
    """Mirrors or super-pixels; raises `LimitError` with both sizes for patterns that are neither."""
    mirrors = profile.mirrors.columns.value, profile.mirrors.rows.value
    if (columns, rows) == mirrors:
        return "mirrors"
    if columns == rows:
        try:
            superpixel_grid(profile, columns)
        except LimitError as error:
            raise LimitError(f"{path}: {error}") from error
        return "superpixels"
    hint = sizes_hint(columns, rows)
    if (rows, columns) == mirrors:
        hint = f"lying on its side it would fit: `--set transpose={'false' if options.transpose else 'true'}`"
    raise LimitError(
        f"{path}: patterns of {columns} x {rows} are neither n x n super-pixels nor the {mirrors[0]} x {mirrors[1]} "
        f"mirrors of {profile.id}; {hint}"
    )


def _placed(design: PatternStack, profile: DmdProfile) -> str:
    count = f"{design.count} pattern{'s' if design.count > 1 else ''}"
    if design.placement == "mirrors":
        return f"{count} of {design.size_text}, the size of {profile.id}: shown mirror for mirror"
    side = superpixel_grid(profile, design.side).side_columns
    return (
        f"{count} of {design.size_text} super-pixels, each {side} columns of {profile.id} wide and as "
        "high, in the middle of the mirrors"
    )


def _encoded(design: PatternStack, signed: bool, options: PatternOptions) -> str:
    weights = "of both signs" if signed else "of 0 to 1"
    text = {
        "complementary": "each pattern is shown, then its complement, and their difference measured: weights -1 to 1",
        "offset": "each pattern is shown once, then all mirrors on: weights -1 to 1",
        "as-shown": "each pattern is shown once and nothing is added: weights 0 to 1",
    }[design.encoding]
    why = "as asked for" if options.encoding else f"as the file holds weights {weights}"
    others = " or ".join(
        f"encoding={name}" for name in ("complementary", "offset", "as-shown") if name != design.encoding
    )
    lost = "; the file's negative weights are shown as off" if signed and design.encoding == "as-shown" else ""
    return f"encoding {design.encoding}, {why} (else --set {others}): {text}{lost}"


def _short(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{texts[0]} (and {len(texts) - 1} more pictures with a palette)"

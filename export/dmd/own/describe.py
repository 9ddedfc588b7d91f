"""What a file or folder of patterns holds, for `cidesign check`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check, not_checked, passed, remarked
from cidesign.constraints.rules import check_design, require, sizes_hint
from cidesign.constraints.sequence import sequences_text
from cidesign.errors import InputError
from cidesign.export.dmd.own.arrays import MAX_BYTES
from cidesign.export.dmd.own.options import PatternOptions
from cidesign.export.dmd.own.pictures import Picture, read_pictures
from cidesign.export.dmd.own.planes import is_plain
from cidesign.export.dmd.own.read import read_stack
from cidesign.export.dmd.own.sources import ARRAY_SUFFIXES, listed
from cidesign.export.dmd.planning import plan_design
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.io.arrays import read_stored


def describe_frames(path: Path, profile: DmdProfile | None) -> list[Check]:
    """Size, bits, values and planes of a picture, an array or a folder, and whether `profile` shows it.

    Raises `FileError` for damage and `LimitError` for what the device cannot show; a file that leaves two readings is
    told as not evaluated, with the option that decides.
    """
    paths, said = listed([path])
    findings = [remarked("order", text) for text in said]
    if paths[0].suffix.lower() in ARRAY_SUFFIXES:
        findings += _of_array(paths[0])
    else:
        findings += _of_pictures(paths)
    if profile is None:
        return [*findings, not_checked("device", "no --profile is named, so nothing was compared")]
    try:
        design, understood, _ = read_stack([path], profile, PatternOptions())
    except InputError as error:
        return [*findings, not_checked("reading", str(error))]
    plan = plan_design(profile, design)
    require(check_design(design, plan, profile))
    return [
        *findings,
        *(remarked("reading", text) for text in understood[len(said) :]),
        passed("patterns", f"{design.count} of {design.size_text}, {design.bit_depth} bit, which {profile.id} shows"),
        passed(
            "sequence",
            f"{len(plan.entries)} entries, {plan.images} images{sequences_text(plan)} at {plan.exposure_us} us: within "
            "all limits",
        ),
        *(remarked("note", text) for text in plan.notes if plan.streamed or len(plan.starts) > 1),
    ]


def _of_array(path: Path) -> list[Check]:
    array = read_stored(path, PatternOptions().array, MAX_BYTES)
    return [remarked("array", f"shape {array.shape} of {array.dtype}, {_values([array])}")]


def _of_pictures(paths: list[Path]) -> list[Check]:
    pictures = [picture for path in paths for picture in read_pictures(path)[0]]
    kinds = Counter((picture.size, picture.bits) for picture in pictures)
    findings = []
    for (size, bits), count in kinds.items():
        alike = [one for one in pictures if (one.size, one.bits) == (size, bits)]
        text = f"{count} of {size[0]} x {size[1]} pixels, {bits} bit, {_values([one.values for one in alike])}"
        findings.append(remarked("pictures", text))
        if bits == 24:
            findings.append(remarked("planes", _planes(alike)))
        findings.append(remarked("size", f"{size[0]} x {size[1]}: {sizes_hint(*size)}"))
    findings += [remarked("palette", one.said) for one in pictures[:1] if one.said]
    return findings


def _planes(pictures: list[Picture]) -> str:
    """How many planes of 24-bit pictures hold something, as far as they are no plain pictures."""
    if all(is_plain(one) for one in pictures):
        return "black, white or grey, or two colours: a picture, or 24 bit planes (`planes=24`)"
    used = [
        int(np.unpackbits(np.bitwise_or.reduce(one.values.reshape(-1, 3).astype(np.uint8))).sum()) for one in pictures
    ]
    return f"coloured: 24 bit planes each; of {24 * len(pictures)} planes {sum(used)} have mirrors on"


def _values(arrays: Sequence[NDArray[np.generic]]) -> str:
    if arrays[0].dtype.kind not in "biuf" or not arrays[0].size:
        return "no real numbers"
    low, high = min(one.min() for one in arrays), max(one.max() for one in arrays)
    if low == high:
        return f"all {low:g}"
    two = all(bool(((one == low) | (one == high)).all()) for one in arrays)
    return f"two values, {low:g} and {high:g}" if two else f"values {low:g} to {high:g}"

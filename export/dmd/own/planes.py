"""24-bit pictures: whether each is a picture, or 24 bit planes of patterns in the order of a controller."""

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.rules import sizes_hint
from cidesign.errors import FileError, InputError, LimitError
from cidesign.export.dmd.bitplanes import frames_per_image, planes_of
from cidesign.export.dmd.own.options import PatternOptions
from cidesign.export.dmd.own.pictures import Picture, luminance
from cidesign.hardware_profiles.dmd.schema import DmdProfile

_WITH_PLANES = ("dlpc350", "dlpc900")
_COLOURS = {"R": 0, "G": 1, "B": 2}


def holds_planes(pictures: list[Picture], profile: DmdProfile, options: PatternOptions) -> bool:
    """Whether 24-bit pictures are read as bit planes.

    Raises `InputError` where both readings are possible or neither is, `LimitError` for the size of another device.
    """
    coloured = [one for one in pictures if one.values.ndim == 3]
    if not coloured:
        if options.planes == 24:
            raise InputError(f"--set planes=24: {pictures[0].name} has {pictures[0].bits} bits a pixel, not 24")
        return False
    if len(coloured) < len(pictures):
        grey = next(one for one in pictures if one.values.ndim == 2)
        raise InputError(f"patterns: {coloured[0].name} has 24 bits a pixel, {grey.name} {grey.bits}; give one kind")
    mirrors = profile.mirrors
    size = mirrors.columns.value, mirrors.rows.value
    plain = all(is_plain(one) for one in coloured)
    of_device = coloured[0].size == size
    if options.planes == 24 or (options.planes is None and not plain):
        if not of_device:
            columns, rows = coloured[0].size
            raise LimitError(
                f"{coloured[0].name}: a 24-bit image of {columns} x {rows}, {profile.id} has {size[0]} x {size[1]} "
                f"mirrors; {sizes_hint(columns, rows)}"
            )
        if options.planes is None and profile.controller.value not in _WITH_PLANES:
            raise InputError(
                f"{coloured[0].name}: holds colours, which {profile.id} does not show; save it as black and white or "
                "grey, or say `--set planes=24` if these are bit planes"
            )
        return True
    if options.planes is None and of_device and profile.controller.value in _WITH_PLANES:
        raise InputError(
            f"{coloured[0].name}: a 24-bit image of black, white or grey is one picture (`--set planes=1`), or 24 bit "
            "planes (`--set planes=24`); say which"
        )
    return False


def is_plain(picture: Picture) -> bool:
    """Whether a picture in red, green and blue shows levels of grey, or no more than two colours."""
    if picture.values.ndim == 2:
        return True
    pixels = picture.values.astype(np.uint32)
    if np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2]):
        return True
    words = (pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]).reshape(-1)
    others = words[words != words[0]]
    return bool((others == others[:1]).all())


def as_grey(picture: Picture) -> Picture:
    """A plain picture in red, green and blue as one channel, two colours by their luminance."""
    if picture.values.ndim == 2:
        return picture
    pixels = picture.values.astype(np.uint8)
    if not is_plain(picture):
        raise FileError(f"{picture.name}: has more than two colours, which are no levels of grey; save it as grey")
    grey = luminance(pixels)
    if np.ptp(pixels.reshape(-1, 3), axis=0).any() and not np.ptp(grey):
        raise FileError(f"{picture.name}: its two colours are equally bright; save it as black and white")
    return Picture(picture.name, grey, picture.bits, 255)


def channel_order(pictures: list[Picture], profile: DmdProfile, options: PatternOptions) -> str:
    """The colours of the planes 0-7, 8-15 and 16-23; raises `InputError` where they are not known.

    DLPC350: G, R, B (TI LUT_Entry_Helper sheet; ALC SDK).  Images for the DLPC900 are about in that order (HDMI) and
    in the order G, B, R, in which TI's GUI and SDK of the DLPC900 merge them.
    """
    if options.channels:
        return options.channels
    if profile.controller.value == "dlpc350" or all(
        np.array_equal(one.values[..., 0], one.values[..., 2]) for one in pictures
    ):
        return "GRB"
    raise InputError(
        f"{pictures[0].name}: on {profile.id} the planes 8-23 are red, blue (`--set channels=GRB`, as over HDMI) or "
        "blue, red (`--set channels=GBR`, as TI's GUI of the DLPC900 merges them); say which"
    )


def planes_of_picture(picture: Picture, channels: str, bit_depth: int) -> NDArray[np.uint8]:
    """The patterns in a 24-bit picture in the order of its slots, (S, H, W), levels 0 .. 2**bit_depth - 1."""
    groups = [picture.values[..., _COLOURS[name]].astype(np.uint8) for name in channels]
    levels = np.zeros((frames_per_image(bit_depth), *picture.values.shape[:2]), dtype=np.uint8)
    for slot, level in enumerate(levels):
        for bit, plane in enumerate(planes_of(bit_depth, slot)):
            level |= (groups[plane // 8] >> np.uint8(plane % 8) & np.uint8(1)) << np.uint8(bit)
    return levels


def planes_text(channels: str, bit_depth: int) -> str:
    """The order of the planes, for people."""
    names = " ".join(f"{colour}0-{colour}7" for colour in channels)
    count = frames_per_image(bit_depth)
    return f"each 24-bit image holds {count} patterns of {bit_depth} bit in the planes {names}, in this order"

"""One file of a mask becomes a design: what is in it, what it leaves open, and a picture of what was understood."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cidesign.errors import FileError, InputError
from cidesign.export.aperture.own.layouts import read_drawn
from cidesign.export.aperture.own.options import AS_STORED, MaskLevels, MaskOptions
from cidesign.export.aperture.own.pictures import SUFFIXES as PICTURES
from cidesign.export.aperture.own.pictures import MaskPicture, read_picture
from cidesign.export.aperture.own.values import plane_of, transmission
from cidesign.export.own_design import OwnDesign, orientation_said
from cidesign.files import load_npz, sha256_file
from cidesign.hardware_profiles.mask import MaskProfile
from cidesign.io.mat import read_every_matrix
from cidesign.io.npy import read_npy
from cidesign.pattern import ApertureMask
from cidesign.records import shown

ARRAYS = (".npy", ".npz", ".mat")
LAYOUTS = (".gds", ".gds2", ".gdsii", ".oas", ".oasis")
SUFFIXES = (*ARRAYS, *PICTURES, *LAYOUTS)
_LONGEST_PX = 1024


def read_own(files: Sequence[Path], profile: MaskProfile, options: MaskOptions) -> OwnDesign:
    """Read one mask (H, W), binary or grey, as a design for the process of `profile`.

    .npy, .npz, .mat: numbers; .png, .tif, .bmp: pictures; .gds, .oas: layouts.  Raises `FileError` for damage and for
    what is no mask, `InputError` where the file can be read in several ways, naming them and the option that decides.
    """
    if len(files) != 1:
        raise InputError(f"a mask is one file, {len(files)} are named: {shown(path.name for path in files)}")
    (path,) = files
    if not path.is_file():
        raise FileError(f"{path}: no such file of a mask")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(f"{path}: a mask in a {suffix or 'nameless'} file is not read; use {', '.join(SUFFIXES)}")
    _refuse_unused(path, suffix, options)
    digest = sha256_file(path)
    levels: MaskLevels
    if suffix in LAYOUTS:
        levels, pitch_um, said = _from_layout(path, profile, options)
    else:
        levels, pitch_um, said = _from_numbers(path, suffix, profile, options)
    said.append(orientation_said(options.orientation, AS_STORED))
    own_um = profile.pixel_pitch_um.value
    if pitch_um != own_um:
        said.append(
            f"the pitch of {pitch_um:g} um is not that of {profile.id}, {own_um:g} um: no order is written for it"
        )
    mask = ApertureMask(options.orientation.apply(levels), pitch_um, profile.id, profile.digest)
    height, width = mask.levels.shape
    size_mm = f"{height * pitch_um / 1e3:g} x {width * pitch_um / 1e3:g} mm"
    said.append(f"{height} x {width} code pixels of {pitch_um:g} um: {size_mm}")
    return OwnDesign(mask, tuple(said), ((path.name, digest),), _picture(mask.levels))


def _refuse_unused(path: Path, suffix: str, options: MaskOptions) -> None:
    """Refuse options that mean nothing for a file: a user who gives one expects it to count."""
    numbers = {"white": options.white, "black": options.black}
    layout = {"cell": options.cell, "layer": options.layer}
    unused = numbers if suffix in LAYOUTS else layout
    for name, value in unused.items():
        if value is not None:
            raise InputError(f"--set {name}: means nothing for {path}; leave it out")


def _from_layout(path: Path, profile: MaskProfile, options: MaskOptions) -> tuple[NDArray[np.uint8], float, list[str]]:
    drawn = read_drawn(path, profile.pixel_pitch_um.value, options)
    share = float(drawn.levels.mean())
    if share == 1:
        raise FileError(f"{path}: draws one closed area; there is no mask in it")
    if options.polarity is None:
        raise InputError(
            f"{path}: does not say what its polygons become: if light passes there, {share:.1%} of the mask is "
            f"open (--set polarity=normal); if chrome, {1 - share:.1%} is (--set polarity=inverted)"
        )
    normal = options.polarity == "normal"
    said = f"light passes {'inside' if normal else 'outside'} the polygons, as asked for"
    return (drawn.levels if normal else np.uint8(1) - drawn.levels), drawn.pitch_um, [*drawn.said, said]


def _from_numbers(
    path: Path, suffix: str, profile: MaskProfile, options: MaskOptions
) -> tuple[MaskLevels, float, list[str]]:
    own_um = profile.pixel_pitch_um.value
    pitch_um = own_um if options.pitch_um is None else options.pitch_um
    pitch_said = f"pitch of {pitch_um:g} um: " + ("the profile's" if options.pitch_um is None else "as asked for")
    if suffix in PICTURES:
        picture = read_picture(path)
        values, said = picture.values, list(picture.said)
        if picture.pixel_um is not None:
            values, pitch_um, pitch_said = _by_resolution(path, picture, pitch_um, options)
        where = str(path)
    else:
        values, name = _array(path, suffix, options.array)
        where, said = (f"{path}: {name}", [f"array {name}"]) if name else (str(path), [])
    levels, told = transmission(plane_of(values, where), values.dtype, options, where)
    return levels, pitch_um, [*said, *told, pitch_said]


def _array(path: Path, suffix: str, wanted: str) -> tuple[NDArray[np.generic], str]:
    """The array that is meant and its name in a file of several; "" where the file has no names."""
    if suffix == ".npy":
        return read_npy(path, "mask"), ""
    others: dict[str, str] = {}
    if suffix == ".npz":
        arrays = load_npz(path, "mask")
    else:
        arrays, others = read_every_matrix(path)
    if set(arrays) == {"levels", "header_json"}:
        raise FileError(f"{path}: is a design already; use it as it is")
    if wanted in others:
        raise FileError(f"{path}: `{wanted}` is {others[wanted]}; a real numeric matrix is needed")
    names = [wanted] if wanted in arrays else [name for name in arrays if name.endswith(f".{wanted}")] or list(arrays)
    if len(names) != 1:
        listing = ", ".join(f"{shown([name])} {array.shape}" for name, array in arrays.items()) or "none"
        raise InputError(f"{path}: holds arrays {listing}; say which is the mask with --set array=NAME")
    return arrays[names[0]], names[0]


def _by_resolution(
    path: Path, picture: MaskPicture, pitch_um: float, options: MaskOptions
) -> tuple[NDArray[np.generic], float, str]:
    """The code pixels of a bilevel TIFF that says how large a pixel is: several to a code pixel, or one."""
    values, pixel_um = picture.values, picture.pixel_um or pitch_um
    step = round(pitch_um / pixel_um)
    fits = step >= 1 and abs(step * pixel_um - pitch_um) < 1e-6 * pitch_um
    if fits and step > 1:
        whole = not (values.shape[0] % step or values.shape[1] % step)
        cells = values[::step, ::step]
        if whole and np.array_equal(np.repeat(np.repeat(cells, step, axis=0), step, axis=1), values):
            return (
                cells,
                pitch_um,
                f"pitch of {pitch_um:g} um: {step} x {step} pixels of {pixel_um:g} um by its resolution",
            )
    elif fits:
        return values, pitch_um, f"pitch of {pitch_um:g} um, by the resolution of the file"
    if options.pitch_um is not None:
        raise InputError(
            f"{path}: its pixels of {pixel_um:g} um do not make code pixels of {pitch_um:g} um (--set pitch_um); a "
            "code pixel is a whole number of them, all alike"
        )
    return values, pixel_um, f"pitch of {pixel_um:g} um: one pixel by the resolution of the file is one code pixel"


def _picture(levels: MaskLevels) -> bytes:
    """The mask as it was understood: white lets all light pass, row 0 on top; a frame shows where it ends."""
    longest = max(levels.shape)
    scale, step = max(1, _LONGEST_PX // longest), -(-longest // _LONGEST_PX)
    grey = np.rint(levels[::step, ::step].astype(np.float32) * 255).astype(np.uint8)
    grey = np.kron(grey, np.ones((scale, scale), dtype=np.uint8))
    framed = np.pad(np.repeat(grey[..., None], 3, axis=2), ((4, 4), (4, 4), (0, 0)))
    framed[:4], framed[-4:], framed[:, :4], framed[:, -4:] = ((70, 110, 160),) * 4
    stream = io.BytesIO()
    Image.fromarray(framed).save(stream, format="PNG")
    return stream.getvalue()

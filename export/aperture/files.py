"""Opens a mask file of any format, whoever saved it, and rebuilds the code from it."""

from pathlib import Path
from typing import Literal, NamedTuple

from cidesign.constraints.aperture import Cells, Levels
from cidesign.errors import FileError, InputError
from cidesign.export.aperture.drawing import code_levels, moved
from cidesign.export.aperture.gds.outlines import Outlines
from cidesign.export.aperture.gds.read_gds import read_gds
from cidesign.export.aperture.gds.read_oasis import read_oasis
from cidesign.export.aperture.layout import Placement
from cidesign.export.aperture.tiff.read import TiffMask, read_tiff

Format = Literal["tiff", "gds", "oasis"]
FILE_NAMES: dict[Format, str] = {"tiff": "mask.tif", "gds": "mask.gds", "oasis": "mask.oas"}
_SUFFIXES: dict[str, Format] = {
    ".tif": "tiff",
    ".tiff": "tiff",
    ".gds": "gds",
    ".gds2": "gds",
    ".gdsii": "gds",
    ".oas": "oasis",
    ".oasis": "oasis",
}
SUFFIXES = tuple(_SUFFIXES)
# (layer, datatype): what lies inside the code's rectangle, and what lies around it.  The shop writes both.
CODE_LAYER, SURROUND_LAYER = (1, 0), (2, 0)
LAYER_MAP = {CODE_LAYER: "the code", SURROUND_LAYER: "marks, text and frame around the code"}


class MaskFile(NamedTuple):
    """What a file holds: `cells` 1 where it is drawn, edges in nm in the file's own coordinates, but y always down."""

    path: Path
    format: Format
    cells: Cells
    tiff: TiffMask | None = None
    outlines: Outlines | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def place(self, x_nm: float, y_nm: float) -> str:
        """A place as its reader would look it up: y up in GDSII and OASIS, from the upper left corner in a TIFF."""
        if self.tiff:
            return f"x = {x_nm / 1000:g} um, y = {y_nm / 1000:g} um from the upper left corner"
        return f"x = {x_nm / 1000:g} um, y = {0 - y_nm / 1000:g} um"

    def from_code(self, placement: Placement) -> Cells:
        """The cells with the origin at the code's upper left corner, where the placement has it."""
        if self.tiff:
            return moved(self.cells, placement.left_nm, placement.top_nm)
        return moved(self.cells, placement.origin_x_nm, placement.origin_y_nm)


def is_mask_file(path: Path) -> bool:
    """Whether a path has the ending of a mask file."""
    return path.suffix.lower() in _SUFFIXES


def format_of(path: Path) -> Format:
    """The format that the ending of a path names; raises `InputError` for another ending."""
    mask_format = _SUFFIXES.get(path.suffix.lower())
    if mask_format is None:
        raise InputError(f"{path}: a mask file ends with {', '.join(_SUFFIXES)}")
    return mask_format


def read_mask(path: Path) -> MaskFile:
    """Read a TIFF, GDSII or OASIS file by its ending; raises `FileError` for what cannot be taken without guessing."""
    mask_format = format_of(path)
    if mask_format == "tiff":
        tiff = read_tiff(path)
        pixel_nm = round(tiff.pixel_nm)
        if pixel_nm < 1 or abs(tiff.pixel_nm - pixel_nm) > 1e-6 * pixel_nm:
            raise FileError(
                f"{path}: its resolution makes a pixel {tiff.pixel_nm / 1000:.7g} um, which is no whole number of nm; "
                "save it with the resolution of the order"
            )
        levels, y, x = tiff.cells_px
        return MaskFile(path, mask_format, Cells(levels, y * pixel_nm, x * pixel_nm), tiff=tiff)
    outlines = read_gds(path) if mask_format == "gds" else read_oasis(path)
    require_layers(path, set(outlines.layers))
    return MaskFile(path, mask_format, outlines.cells(), outlines=outlines)


def require_layers(path: Path, layers: set[tuple[int, int]]) -> None:
    """Raise `FileError` unless the code's layer is there, and none that is not in the layer map."""
    found = ", ".join(f"{layer}/{datatype}" for layer, datatype in sorted(layers)) or "none"
    known = ", ".join(f"{layer}/{datatype} ({what})" for (layer, datatype), what in LAYER_MAP.items())
    if CODE_LAYER not in layers:
        raise FileError(f"{path}: layer 1/0, the code, is missing; found: {found}. The layer map is {known}")
    if layers - set(LAYER_MAP):
        raise FileError(
            f"{path}: layers {found}; the layer map is {known}. A shop might write the others too; delete them"
        )


def read_code(path: Path, placement: Placement) -> Levels:
    """Rebuild the code (H, W), uint8, 1 where light passes, as the scene sees it, from a file that anybody saved.

    Raises `FileError` unless the file has exactly the edges that this code has under `placement`.
    """
    mask = read_mask(path)
    return code_levels(mask.from_code(placement), placement, str(path))


def format_named(name: str) -> Format:
    """A format by its name; raises `InputError` for an unknown one."""
    for known in FILE_NAMES:
        if known == name:
            return known
    raise InputError(f"unknown mask format {name!r}; known are {', '.join(FILE_NAMES)}")

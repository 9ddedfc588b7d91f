"""The record of a mask order: `manifest.json` for machines, `order.json` for the shop, both from the same values."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cidesign.errors import FileError
from cidesign.export.aperture.fiducials import Mark
from cidesign.export.aperture.files import LAYER_MAP, Format
from cidesign.export.aperture.layout import Compression, OrderOptions, Placement, Reading, Tone
from cidesign.export.folder import MANIFEST_NAME
from cidesign.export.manifest import ExportManifest, FileEntry, kind_in, profile_in, read_as
from cidesign.files import JsonObject
from cidesign.hardware_profiles.loader import validate_profile
from cidesign.hardware_profiles.mask import MaskProfile
from cidesign.records import Strict

ORDER_NAME, SHEET_NAME = "order.json", "order.html"

_Text = Annotated[str, Field(max_length=500)]
_LengthUm = Annotated[float, Field(ge=0, le=2e6, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=2**40)]
# Across and down.
Size = tuple[float, float]


class OptionsRecord(Strict):
    """The options of the order, as `OrderOptions` has them."""

    name: _Text
    tone: Tone
    reading: Reading
    compression: Compression
    tiff_pixel_um: _LengthUm | None
    join_rows: bool
    compensate_edge_bias: bool
    fiducials: bool

    def options(self) -> OrderOptions:
        """The options themselves; raises `InputError` for a name that is not legal."""
        return OrderOptions(**self.model_dump())


class MaskRecord(Strict):
    """What was measured on a written mask file."""

    format: Format
    smallest_feature_um: _LengthUm | None
    smallest_gap_um: _LengthUm | None
    outlines: _Count
    max_corners: _Count
    pixel_um: _LengthUm | None
    columns: _Count | None
    rows: _Count | None


class OrderFile(FileEntry):
    """One file of the folder."""

    role: Literal["mask", "order", "preview", "design"]
    mask: MaskRecord | None = None


class OrderManifest(ExportManifest):
    """The content of `manifest.json` of a mask order.

    `placement` says how the code lies in the files; `marks` (in code pixels from the code's upper left corner, as the
    files have them) are what calibration looks for.  `drawn_open_fraction` is measured on the written files.
    """

    called: ClassVar[str] = "mask order"

    kind: Literal["aperture-export"]
    options: OptionsRecord
    placement: Placement
    marks: tuple[Mark, ...]
    critical_dimension_um: _LengthUm
    open_fraction: Annotated[float, Field(ge=0, le=1)]
    drawn_open_fraction: Annotated[float, Field(ge=0, le=1)]
    files: dict[str, OrderFile]

    def aperture_profile(self, where: Path) -> MaskProfile:
        """The manifest's own copy of the profile; its digest is checked."""
        return profile_in(where, self, MaskProfile)

    def masks(self) -> dict[str, MaskRecord]:
        """The mask files by their names."""
        return {name: record.mask for name, record in self.files.items() if record.mask}


def is_order(folder: Path) -> bool:
    """Whether a folder holds a mask order (its manifest says so)."""
    return (folder / MANIFEST_NAME).is_file() and kind_in(folder) == "aperture-export"


def read_order(folder: Path) -> OrderManifest:
    """Read the manifest of a mask order; raises `FileError` when it is missing, damaged or of another version."""
    return read_as(folder, OrderManifest)


class ProcessSaid(Strict):
    """The process, and the profile that describes it."""

    profile: str
    kind: str
    name: str


class CodeSaid(Strict):
    """The code on the plate, and where its upper left corner is from that of the drawing."""

    columns: int
    rows: int
    pitch_um: float
    size_um: Size
    origin_from_upper_left_um: Size
    pitch_on_detector_um: float


class ToneSaid(Strict):
    """What 1-pixels and polygons become, and what is not drawn."""

    ones_become: str
    not_drawn_becomes: str
    says: str


class ReadingSaid(Strict):
    """From which side the plate reads right, and whether the files are mirrored for it."""

    side: str
    files_are_mirrored: bool
    says: str
    mount: str


class BiasSaid(Strict):
    """How far edges were moved against the bias of the process."""

    applied_um: float
    says: str


class LayerSaid(Strict):
    """What a layer of GDSII and OASIS holds."""

    layer: int
    datatype: int
    holds: str


class MarkSaid(Strict):
    """A mark for calibration."""

    role: str
    name: str
    note: str


class PictureSaid(Strict):
    """A mask file of pixels."""

    format: str
    bytes: int
    sha256: str
    pixel_um: float
    pixels: tuple[int, int]

    @property
    def says(self) -> str:
        """The file in words."""
        columns, rows = self.pixels
        return f"1-bit TIFF, {columns} x {rows} pixels of {self.pixel_um:g} um, {self.bytes} bytes"


class DrawingSaid(Strict):
    """A mask file of polygons."""

    format: str
    bytes: int
    sha256: str
    polygons: int
    max_vertices: int

    @property
    def says(self) -> str:
        """The file in words."""
        corners = f"{self.polygons} polygons of at most {self.max_vertices} vertices"
        return f"{self.format.upper()}, {corners}, {self.bytes} bytes"


class OrderRecord(Strict):
    """The content of `order.json`: what the shop needs to know, in words and numbers."""

    schema_version: Literal[1] = 1
    kind: Literal["aperture-order"] = "aperture-order"
    name: str
    created_utc: str
    written_by: str
    process: ProcessSaid
    outer_size_um: Size
    plate_size_mm: Size
    code: CodeSaid
    smallest_feature_um: float | None
    smallest_gap_um: float | None
    measured_on: str = "the written files, re-read, along x and y"
    tone: ToneSaid
    reading: ReadingSaid
    edge_bias: BiasSaid
    open_fraction_of_code: float
    drawn_open_fraction_of_code: float
    units: str = "um; GDSII and OASIS have a database unit of 1 nm, y up, (0, 0) in the middle of the code"
    writer_grid_um: float
    layers: tuple[LayerSaid, ...] = tuple(
        LayerSaid(layer=layer, datatype=datatype, holds=what) for (layer, datatype), what in LAYER_MAP.items()
    )
    top_cell: str
    critical_dimension_um: float | None
    marks: tuple[MarkSaid, ...]
    design_sha256: str
    files: dict[str, PictureSaid | DrawingSaid]

    @property
    def value(self) -> JsonObject:
        """The order as JSON."""
        return self.model_dump(mode="json")


def order_record(manifest: OrderManifest) -> OrderRecord:
    """The order of a manifest."""
    profile = validate_profile(manifest.profile, MANIFEST_NAME)
    if not isinstance(profile, MaskProfile):
        raise FileError(f"{MANIFEST_NAME}: holds a profile of kind {profile.kind}, not of a mask")
    placement, masks, lithography = manifest.placement, manifest.masks(), profile.lithography
    features = [record.smallest_feature_um for record in masks.values() if record.smallest_feature_um is not None]
    gaps = [record.smallest_gap_um for record in masks.values() if record.smallest_gap_um is not None]
    opaque = "emulsion" if lithography.process.value == "film" else "chrome"
    bias_um = placement.edge_bias_nm / 1000
    return OrderRecord(
        name=manifest.options.name,
        created_utc=manifest.created_utc,
        written_by=f"cidesign {manifest.cidesign_version}",
        process=ProcessSaid(profile=profile.id, kind=lithography.process.value, name=profile.name),
        outer_size_um=(placement.width_nm / 1000, placement.height_nm / 1000),
        plate_size_mm=(lithography.plate_width_mm.value, lithography.plate_height_mm.value),
        code=_code(placement, abs(profile.magnification)),
        smallest_feature_um=min(features, default=None),
        smallest_gap_um=min(gaps, default=None),
        tone=tone_text(placement.tone, opaque),
        reading=reading_text(placement.reading, opaque),
        edge_bias=BiasSaid(applied_um=0.0 - bias_um, says=_bias_text(bias_um)),
        open_fraction_of_code=round(manifest.open_fraction, 6),
        drawn_open_fraction_of_code=round(manifest.drawn_open_fraction, 6),
        writer_grid_um=lithography.writer_grid_um.value,
        top_cell=manifest.options.name,
        critical_dimension_um=manifest.critical_dimension_um if manifest.marks else None,
        marks=tuple(MarkSaid(role=mark.role, name=mark.name, note=mark.note) for mark in manifest.marks),
        design_sha256=manifest.design_digest,
        files={name: _file(record, manifest.files[name]) for name, record in masks.items()},
    )


def _code(placement: Placement, magnification: float) -> CodeSaid:
    return CodeSaid(
        columns=placement.columns,
        rows=placement.rows,
        pitch_um=placement.pitch_nm / 1000,
        size_um=(placement.code_width_nm / 1000, placement.code_height_nm / 1000),
        origin_from_upper_left_um=(placement.origin_x_nm / 1000, placement.origin_y_nm / 1000),
        pitch_on_detector_um=round(placement.pitch_nm / 1000 * magnification, 6),
    )


def _file(record: MaskRecord, file: OrderFile) -> PictureSaid | DrawingSaid:
    if record.pixel_um and record.columns is not None and record.rows is not None:
        return PictureSaid(
            format=record.format,
            bytes=file.bytes,
            sha256=file.sha256,
            pixel_um=record.pixel_um,
            pixels=(record.columns, record.rows),
        )
    return DrawingSaid(
        format=record.format,
        bytes=file.bytes,
        sha256=file.sha256,
        polygons=record.outlines,
        max_vertices=record.max_corners,
    )


def _bias_text(bias_um: float) -> str:
    if bias_um == 0:
        return "none applied: the drawing has the size that the plate should have"
    way = "in" if bias_um > 0 else "out"
    return (
        f"every edge of a clear area is drawn {abs(bias_um):g} um further {way}, against the bias of the process; "
        "do not correct it again"
    )


def tone_text(tone: Tone, opaque: str) -> ToneSaid:
    """What 1-pixels and polygons become, and what is not drawn."""
    if tone == "clear":
        return ToneSaid(
            ones_become="clear",
            not_drawn_becomes=opaque,
            says=f"1-pixels and polygons become clear: light passes there. All else is {opaque}, "
            "also outside the drawing (digitised data clear).",
        )
    return ToneSaid(
        ones_become=opaque,
        not_drawn_becomes="clear",
        says=f"1-pixels and polygons become {opaque}: light is blocked there. All else is clear, "
        "also outside the drawing (digitised data dark).",
    )


def reading_text(reading: Reading, opaque: str) -> ReadingSaid:
    """From which side the plate reads right, and whether the files are mirrored for it."""
    if reading == "chrome_up":
        return ReadingSaid(
            side=f"right-reading {opaque} up",
            files_are_mirrored=False,
            says=f"Seen from the {opaque} side the text reads right. The files show that side: "
            "write them as they are, do not mirror them.",
            mount=f"the {opaque} faces the scene",
        )
    return ReadingSaid(
        side=f"right-reading {opaque} down (wrong-reading {opaque} up)",
        files_are_mirrored=True,
        says=f"Seen through the base the text reads right. The files show the {opaque} side and are mirrored "
        "already: write them as they are, do not mirror them again.",
        mount=f"the {opaque} faces the detector",
    )

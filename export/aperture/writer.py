"""Coded apertures to the fab: an order folder is written, re-read by readers of their own, checked, then renamed."""

from collections.abc import Callable, Sequence
from pathlib import Path

from cidesign import __version__
from cidesign.export.aperture.files import FILE_NAMES, Format, format_named, read_mask
from cidesign.export.aperture.gds.write import build_library, write_gds, write_oasis
from cidesign.export.aperture.layout import OrderOptions, Placement, Plate, plan_plate
from cidesign.export.aperture.order import (
    ORDER_NAME,
    SHEET_NAME,
    OptionsRecord,
    OrderFile,
    OrderManifest,
    order_record,
    reading_text,
    tone_text,
)
from cidesign.export.aperture.order_sheet import order_sheet
from cidesign.export.aperture.preview import write_plate_preview
from cidesign.export.aperture.tiff.write import write_tiff
from cidesign.export.aperture.verify import check_design, measure, open_area, picture_beside, verify_aperture_export
from cidesign.export.folder import DESIGN_NAME, PREVIEW_NAME
from cidesign.export.manifest import common_fields
from cidesign.export.writing import Output, require_own_profile, write_export_folder
from cidesign.files import refuse_existing, write_bytes, write_json
from cidesign.hardware_profiles.mask import MaskProfile
from cidesign.pattern import ApertureMask


def write_aperture_export(
    mask: ApertureMask,
    profile: MaskProfile,
    folder: Path,
    options: OrderOptions,
    formats: Sequence[str] = (),
    force: bool = False,
) -> OrderManifest:
    """Write the order of `mask` into `folder` and verify it there; nothing is left when anything fails.

    `formats` are `tiff`, `gds` and `oasis`; none means those of the profile.  Raises `LimitError` for what the process
    cannot make (with a picture beside the folder that shows where), `InputError` for options, and `FileError`.
    """
    refuse_existing(folder, force)
    require_own_profile(mask, profile, "mask: it was")
    chosen = [format_named(name) for name in dict.fromkeys(formats or profile.lithography.formats.value)]
    check_design(mask, profile, picture_beside(folder))
    plate = plan_plate(mask, profile, options)
    return write_export_folder(
        folder,
        force,
        lambda temporary: _write_into(temporary, mask, profile, options, plate, chosen),
        lambda temporary: verify_aperture_export(temporary, profile, picture_beside(folder)),
    )


def _write_into(
    folder: Path,
    mask: ApertureMask,
    profile: MaskProfile,
    options: OrderOptions,
    plate: Plate,
    formats: list[Format],
) -> OrderManifest:
    """Write everything; what the manifest says of the masks is measured on the written files."""
    if {"gds", "oasis"} & set(formats):
        library = build_library(plate, options.name, options.join_rows)
    software = f"cidesign {__version__}"
    writers: dict[Format, Callable[[Path], object]] = {
        "tiff": lambda path: write_tiff(
            path,
            plate.drawn,
            plate.pixel_nm,
            options.compression,
            description(plate.placement, profile, options),
            software,
        ),
        "gds": lambda path: write_gds(library, path),
        "oasis": lambda path: write_oasis(library, path),
    }
    out = Output(folder, OrderFile)
    drawn_open = 0.0
    for name in formats:
        path = folder / FILE_NAMES[name]
        writers[name](path)
        found = read_mask(path)
        drawn_open = open_area(found, plate.placement)
        out.record(path.name, "mask", mask=measure(found, plate.placement))
    mask.save(folder / DESIGN_NAME)
    write_plate_preview(plate, folder / PREVIEW_NAME)
    out.record(DESIGN_NAME, "design")
    out.record(PREVIEW_NAME, "preview")
    manifest = OrderManifest(
        **common_fields(mask, profile),
        kind="aperture-export",
        options=OptionsRecord(**vars(options)),
        placement=plate.placement,
        marks=plate.marks,
        critical_dimension_um=plate.critical_dimension_nm / 1000,
        open_fraction=mask.open_fraction,
        drawn_open_fraction=drawn_open,
        files=dict(out.files),
    )
    order = order_record(manifest)
    write_json(folder / ORDER_NAME, order.value)
    write_bytes(folder / SHEET_NAME, order_sheet(order, (folder / PREVIEW_NAME).read_bytes()).encode())
    out.record(ORDER_NAME, "order")
    out.record(SHEET_NAME, "order")
    return manifest.model_copy(update={"files": out.files})


def description(placement: Placement, profile: MaskProfile, options: OrderOptions) -> str:
    """The description inside a TIFF: its name, tone and side in words, for those who have nothing but the file."""
    opaque = "emulsion" if profile.lithography.process.value == "film" else "chrome"
    tone, reading = tone_text(placement.tone, opaque), reading_text(placement.reading, opaque)
    return (
        f"coded aperture {options.name} for {profile.id}; {tone.says} {reading.side}: {reading.says} "
        f"Code {placement.columns} x {placement.rows} pixels of {placement.pitch_nm / 1000:g} um."
    )

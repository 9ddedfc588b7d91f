"""Checks mask orders and mask files: everything is re-read from disk by readers that share nothing with the writers."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cidesign.checks import Check, not_checked, passed
from cidesign.constraints.aperture import Cells, feature_rule
from cidesign.constraints.rules import require
from cidesign.errors import FileError, InputError
from cidesign.export.aperture.drawing import code_levels, first_difference
from cidesign.export.aperture.drc import Breach, check_drawing, clear_cells, measured_widths, with_tone
from cidesign.export.aperture.drc_picture import draw_breaches
from cidesign.export.aperture.drc_slanted import check_slanted, picture_cells
from cidesign.export.aperture.files import MaskFile, format_of, read_mask
from cidesign.export.aperture.foreign import open_mask
from cidesign.export.aperture.gds.layout import Layout
from cidesign.export.aperture.layout import Placement, Plate, Tone, plan_plate
from cidesign.export.aperture.order import ORDER_NAME, MaskRecord, OrderManifest, is_order, order_record, read_order
from cidesign.export.folder import DESIGN_NAME, MANIFEST_NAME
from cidesign.export.manifest import check_files, design_in, profile_to_check
from cidesign.files import inside, read_json, sha256_file
from cidesign.hardware_profiles.mask import MaskProfile
from cidesign.pattern import ApertureMask

_TONE_IN_TIFF = re.compile(r"1-pixels and polygons become (clear|chrome|emulsion):")


def verify_aperture_export(
    folder: Path, profile: MaskProfile | None = None, picture: Path | None = None
) -> Iterator[Check]:
    """Check an order with everything re-read from disk, and yield each check as it passes.

    The limits are those of the profile in the manifest, or of `profile`.  Raises `FileError` for files that are
    damaged, edited or not the design, and `LimitError` for a rule that a file breaks (`picture` shows where).
    """
    manifest = read_order(folder)
    own = manifest.aperture_profile(folder)
    process = profile_for(own, profile, str(folder))
    yield passed("manifest", f"order {manifest.options.name} for {own.id}, {', '.join(manifest.masks())}")
    check_files(folder, manifest)
    _require_whole(folder, manifest)
    yield passed("files", f"{len(manifest.files)} files, every SHA-256 fits")
    mask = design_in(folder, manifest, ApertureMask)
    plate = plan_plate(mask, own, manifest.options.options())
    if plate.placement != manifest.placement or plate.marks != manifest.marks:
        raise FileError(
            f"{folder}: {MANIFEST_NAME} places the code or the marks otherwise than the design; export again"
        )
    height, width = mask.levels.shape
    yield passed("design", f"{height} x {width} code pixels of {mask.pitch_um:g} um, {mask.open_fraction:.1%} open")
    for name, record in manifest.masks().items():
        path = inside(folder, name, "export manifest")
        yield from _check_mask(path, record, plate, mask, process, picture or picture_beside(folder))
    order = order_record(manifest)
    if read_json(inside(folder, ORDER_NAME, "export manifest"), "mask order") != order.value:
        raise FileError(f"{folder}: {ORDER_NAME} does not say what {MANIFEST_NAME} says; export again")
    yield passed("order", f"1 becomes {order.tone.ones_become}, {order.reading.side}, as the files have it")


def profile_for(own: MaskProfile, asked: MaskProfile | None, where: str) -> MaskProfile:
    """The profile to check against; raises `LimitError` when `asked` is another process than `own`."""
    process = asked.id if asked else own.id
    otherwise = f"design for the other process with `cidesign distill --profile {process}`"
    return profile_to_check(own, asked, where, otherwise)


def _require_whole(folder: Path, manifest: OrderManifest) -> None:
    for name in (DESIGN_NAME, ORDER_NAME):
        if name not in manifest.files:
            raise FileError(f"{folder}: {MANIFEST_NAME} does not name {name}; export again")
    if not manifest.masks():
        raise FileError(f"{folder}: {MANIFEST_NAME} names no mask file; export again")


def _check_mask(
    path: Path, record: MaskRecord, plate: Plate, mask: ApertureMask, profile: MaskProfile, picture: Path
) -> Iterator[Check]:
    found = read_mask(path)
    drawn = found.from_code(plate.placement)
    levels = code_levels(drawn, plate.placement, str(path))
    wrong = int(np.count_nonzero(levels != mask.levels))
    if wrong:
        raise FileError(f"{path}: {wrong} of {levels.size} code pixels are not those of the design; export again")
    difference = first_difference(drawn, plate.drawn)
    if difference:
        raise FileError(
            f"{path}: {difference.area_um2:g} um2 differ from the order, first at x = {difference.x_nm / 1000:g} um, "
            f"y = {difference.y_nm / 1000:g} um from the code's upper left corner; export again"
        )
    yield passed(path.name, f"{levels.shape[0]} x {levels.shape[1]} code pixels equal the design bit for bit")
    if measure(found, plate.placement) != record:
        raise FileError(f"{path}: does not measure what {MANIFEST_NAME} says; export again")
    tone = plate.placement.tone
    raise_breaches(check_drawing(found, profile, tone), with_tone(found.cells, tone), picture)
    widths = f"feature {length_text(record.smallest_feature_um)}, gap {length_text(record.smallest_gap_um)}"
    yield passed(f"{path.name} rules", f"{widths}, every rule of {profile.id} holds")


def check_mask_file(
    path: Path, profile: MaskProfile, tone: Tone | None = None, picture: Path | None = None, cell: str | None = None
) -> Iterator[Check]:
    """Check one mask file, whoever wrote it, against the rules of a process, and yield each finding.

    `tone` is what 1-pixels and polygons become; without it, the description inside a TIFF or `manifest.json` beside
    the file tells.  `cell` names the cell of a layout that has several.  Raises `LimitError` for the first rule it
    breaks (all are drawn in `picture`) and `FileError`.
    """
    mask, layout, remark, findings = open_mask(path, cell)
    known = tone or _known_tone(path, mask.tiff.description if mask and mask.tiff else "", profile)
    picture = picture or picture_beside(path)
    if layout:
        yield from _check_layout(layout, remark, profile, known, picture)
    if mask is None:
        return
    height_um, width_um = (float(edges[-1] - edges[0]) / 1000 for edges in (mask.cells.y, mask.cells.x))
    what = f"pixels of {mask.tiff.pixel_nm / 1000:g} um" if mask.tiff else "outlines"
    yield passed("file", f"{mask.format}, {width_um:g} x {height_um:g} um, {what}{remark}")
    yield from findings
    raise_breaches(check_drawing(mask, profile, known), with_tone(mask.cells, known), picture)
    widths = measured_widths(clear_cells(mask.cells, known))
    yield passed("tone", f"1 becomes {known}")
    yield passed(
        "widths", f"smallest feature {length_text(_in_um(widths.feature_nm))}, gap {length_text(_in_um(widths.gap_nm))}"
    )
    yield passed("rules", f"grid, extents, names, vertices, corners and widths are within the limits of {profile.id}")


def _check_layout(layout: Layout, remark: str, profile: MaskProfile, tone: Tone, picture: Path) -> Iterator[Check]:
    """The same for a drawing with slanted edges."""
    checked = check_slanted(layout, profile, tone)
    width_um, height_um = ((layout.united.max(axis=0) - layout.united.min(axis=0)) / 1000).tolist()
    yield passed("file", f"{format_of(layout.path)}, {width_um:g} x {height_um:g} um, edges of any direction{remark}")
    if checked.breaches:
        raise_breaches(checked.breaches, picture_cells(layout, tone), picture)
    yield passed("tone", f"1 becomes {tone}")
    if checked.measured:
        lithography = profile.lithography
        least = lithography.min_feature_um.value, lithography.min_gap_um.value
        yield passed("widths", f"no feature below {least[0]:g} um, no gap below {least[1]:g} um")
    yield passed("rules", f"what was evaluated is within the limits of {profile.id}")
    for what, why in checked.open:
        yield not_checked(what, f"not evaluated: {why}")


def _known_tone(path: Path, description: str, profile: MaskProfile) -> Tone:
    said = _TONE_IN_TIFF.search(description)
    if said:
        return "clear" if said[1] == "clear" else "chrome"
    if is_order(path.parent):
        manifest = read_order(path.parent)
        record = manifest.files.get(path.name)
        if record and record.sha256 == sha256_file(path):
            return manifest.placement.tone
    lithography = profile.lithography
    if lithography.min_feature_um.value == lithography.min_gap_um.value:
        return "clear"  # the rules are the same for what is drawn and what is not
    raise InputError(
        f"{path}: does not say what its 1-pixels or polygons become, and {profile.id} has other limits for clear "
        "than for opaque; say --tone clear or --tone chrome"
    )


def check_design(mask: ApertureMask, profile: MaskProfile, picture: Path) -> None:
    """Check a mask against the rule that training builds by; draws `picture` and raises `LimitError` when it fails."""
    rule = feature_rule(profile)
    violations = rule.check(mask)
    if not violations:
        return
    pitch_nm = round(mask.pitch_um * 1000)
    height, width = mask.levels.shape
    cells = Cells(mask.plate_levels, np.arange(height + 1) * pitch_nm, np.arange(width + 1) * pitch_nm)
    found = {broken.rule: broken.boxes for broken in rule.check_plate(cells)}
    nowhere = np.empty((0, 4), dtype=np.int64)
    breaches = [Breach(violation, found.get(violation.name, nowhere)) for violation in violations]
    raise_breaches(breaches, cells, picture)


def raise_breaches(breaches: list[Breach], clear: Cells, picture: Path) -> None:
    """Raise `LimitError` for the first of some breaches, after drawing them all; nothing happens without any."""
    if not breaches:
        return
    if any(len(breach.boxes) for breach in breaches):
        draw_breaches(clear, breaches, picture)
        first = breaches[0].violation
        shown = first.model_copy(update={"text": f"{first.text}; {picture} shows where"})
        breaches = [Breach(shown, breaches[0].boxes), *breaches[1:]]
    require([breach.violation for breach in breaches])


def picture_beside(path: Path) -> Path:
    """Where the picture of violations goes: beside the folder or file, never into an order, which it would spoil."""
    where = path.parent if path.is_file() and is_order(path.parent) else path
    if where.name in ("", ".."):  # the working folder, or the one above it
        where = where.resolve()
    return where.with_name(f"{where.name}.violations.png")


def measure(mask: MaskFile, placement: Placement) -> MaskRecord:
    """What can be measured on a mask file."""
    widths = measured_widths(clear_cells(mask.cells, placement.tone))
    tiff, outlines = mask.tiff, mask.outlines
    return MaskRecord(
        format=mask.format,
        smallest_feature_um=_in_um(widths.feature_nm),
        smallest_gap_um=_in_um(widths.gap_nm),
        outlines=sum(outlines.layers.values()) if outlines else 0,
        max_corners=outlines.largest()[0] if outlines else 0,
        pixel_um=round(tiff.pixel_nm) / 1000 if tiff else None,
        columns=tiff.columns if tiff else None,
        rows=tiff.rows if tiff else None,
    )


def open_area(mask: MaskFile, placement: Placement) -> float:
    """The share of the code's rectangle that is drawn to let light pass, in [0, 1]."""
    drawn = mask.from_code(placement)
    spans = [
        np.diff(np.clip(edges, 0, end)).astype(float)
        for edges, end in ((drawn.y, placement.code_height_nm), (drawn.x, placement.code_width_nm))
    ]
    share = float(spans[0] @ drawn.levels @ spans[1]) / (placement.code_height_nm * placement.code_width_nm)
    return share if placement.tone == "clear" else 1 - share


def _in_um(length_nm: int | None) -> float | None:
    return None if length_nm is None else length_nm / 1000


def length_text(length_um: float | None) -> str:
    """A length for people."""
    return "none" if length_um is None else f"{length_um:g} um"

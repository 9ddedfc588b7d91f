"""What `cidesign export` and `cidesign check` do for coded apertures; each gives a JSON value and a text."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cidesign.text import table, totals

if TYPE_CHECKING:
    from cidesign.checks import Finding, Report
    from cidesign.export.aperture.layout import OrderOptions, Tone
    from cidesign.hardware_profiles.aperture.schema import ApertureProfile
    from cidesign.pattern import ApertureMask


def export_aperture(
    mask: "ApertureMask",
    profile: "ApertureProfile",
    folder: Path,
    options: "OrderOptions",
    formats: Sequence[str] = (),
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Write a mask order; see `write_aperture_export` for what it raises."""
    from cidesign.export.aperture.order import order_record
    from cidesign.export.aperture.writer import write_aperture_export
    from cidesign.units import format_bytes

    manifest = write_aperture_export(mask, profile, folder, options, formats, force)
    order = order_record(manifest)
    rows = [
        ((folder / name).as_posix(), record.role, format_bytes(record.bytes)) for name, record in manifest.files.items()
    ]
    outer_um, code = order["outer_size_um"], order["code"]
    text = "\n".join(
        (
            table(rows, ("file", "role", "size")),
            "",
            f"code {code['columns']} x {code['rows']} pixels of {code['pitch_um']:g} um "
            f"({code['pitch_on_detector_um']:g} um on the detector), drawing {outer_um[0]:g} x {outer_um[1]:g} um",
            f"smallest feature {order['smallest_feature_um']:g} um, gap {order['smallest_gap_um']:g} um, "
            f"{order['drawn_open_fraction_of_code']:.1%} open",
            f"tone: {order['tone']['says']}",
            f"reading: {order['reading']['side']}. {order['reading']['says']}",
            f"edge bias: {order['edge_bias']['says']}",
        )
    )
    return {"folder": str(folder), "order": order, "files": manifest.model_dump(mode="json")["files"]}, text


def check_aperture(
    path: Path,
    profile: "ApertureProfile | None",
    tone: "Tone | None" = None,
    report: "Report | None" = None,
    cell: str | None = None,
) -> tuple[dict[str, Any], str]:
    """Check an order folder, or one mask file against `profile`; `report` is called with each finding.

    `cell` names the cell of a layout that has several which no other refers to.
    """
    from cidesign.errors import InputError
    from cidesign.export.aperture.verify import check_mask_file, verify_aperture_export

    if path.is_dir():
        findings = verify_aperture_export(path, profile)
    elif profile is None:
        raise InputError(f"{path}: a mask file does not say what process it is for; name one with --profile")
    else:
        findings = check_mask_file(path, profile, tone, cell=cell)
    found: list[Finding] = []
    for finding in findings:
        found.append(finding)
        if report:
            report(finding)
    checks = [{"path": str(path), **finding._asdict()} for finding in found]
    text = f"{path}: {totals([finding.status for finding in found])}"
    return {"path": str(path), "ok": True, "checks": checks}, text

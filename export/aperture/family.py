"""Coded apertures as a device family."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cidesign.checks import Check, Report, passed, printed
from cidesign.errors import InputError
from cidesign.export.aperture.files import SUFFIXES
from cidesign.export.aperture.layout import OrderOptions, Tone
from cidesign.export.aperture.order import OrderManifest, OrderRecord, order_record
from cidesign.export.aperture.own import MaskOptions, read_own
from cidesign.export.aperture.verify import (
    check_design,
    check_mask_file,
    length_text,
    picture_beside,
    profile_for,
    verify_aperture_export,
)
from cidesign.export.aperture.writer import write_aperture_export
from cidesign.export.family import DeviceFamily, Exported, FileReport
from cidesign.export.options import fitting, read_options
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.mask import MaskProfile
from cidesign.pattern import ApertureMask
from cidesign.text import table, totals
from cidesign.units import format_bytes


@dataclass(frozen=True)
class ApertureOptions:
    """What is said of an order beside the design; no formats are those of the profile."""

    order: OrderOptions
    formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class MaskFileOptions:
    """What is said of a single mask file: the cell of a layout that has several, and what its 1-pixels become."""

    cell: str | None = None
    tone: Tone | None = None

    def __post_init__(self) -> None:
        if self.tone not in (None, "clear", "chrome"):
            raise InputError(f"--tone {self.tone}: not known; choose clear or chrome")


class ApertureFamily(DeviceFamily[ApertureMask, MaskProfile, ApertureOptions, MaskFileOptions]):
    """Mask orders for the fab."""

    name = "aperture"
    design_type, profile_type, manifest_type = ApertureMask, MaskProfile, OrderManifest
    file_options_type = MaskFileOptions
    suffixes = SUFFIXES
    described, plural, contents = "a coded aperture", "apertures", "a mask"

    def options(self, formats: Sequence[str] = (), settings: Mapping[str, Any] = {}) -> ApertureOptions:
        """Formats by name, and the fields of an order."""
        return ApertureOptions(OrderOptions(**fitting(OrderOptions, settings, "an order")), tuple(formats))

    def export(
        self,
        design: ApertureMask,
        profile: MaskProfile,
        folder: Path,
        options: ApertureOptions,
        force: bool = False,
    ) -> Exported:
        """Write the order of a mask."""
        manifest = write_aperture_export(design, profile, folder, options.order, options.formats, force)
        order = order_record(manifest)
        value = {"folder": str(folder), "order": order.value, "files": manifest.model_dump(mode="json")["files"]}
        return Exported(folder, (folder,), value, _text(folder, manifest, order))

    def verify_export(self, folder: Path, profile: MaskProfile | None = None) -> Iterator[Check]:
        """Every mask file cell by cell, the rules of the process, and all hashes."""
        return verify_aperture_export(folder, profile)

    def profile_for(self, own: MaskProfile, asked: MaskProfile | None, where: str) -> MaskProfile:
        """A mask has the pitch and the features of one process."""
        return profile_for(own, asked, where)

    def read_own(self, files: Sequence[Path], profile: MaskProfile, settings: Mapping[str, Any] = {}) -> OwnDesign:
        """A mask from an array, a picture or a layout."""
        return read_own(files, profile, read_options(MaskOptions, settings, "a file of a mask"))

    def check_design(
        self, design: ApertureMask, profile: MaskProfile, options: ApertureOptions, where: Path
    ) -> list[Check]:
        """The feature rules that training builds by."""
        check_design(design, profile, picture_beside(where))
        rows, columns = design.levels.shape
        said = (
            f"mask of {rows} x {columns} pixels of {design.pitch_um:g} um, {design.open_fraction:.1%} open, "
            f"within the feature rules of {profile.id}"
        )
        return [passed("design", said)]

    def check_file(
        self, path: Path, profile: MaskProfile | None, options: MaskFileOptions, report: Report | None = None
    ) -> FileReport:
        """A TIFF, GDSII or OASIS file against the rules of a process; raises `LimitError` for the first it breaks."""
        if profile is None:
            raise InputError(f"{path}: a mask file does not say what process it is for; name one with --profile")
        found = []
        for check in check_mask_file(path, profile, options.tone, cell=options.cell):
            found.append(check)
            if report:
                report(check)
        checks = [{"path": str(path), **printed(check)} for check in found]
        text = f"{path}: {totals([check.status for check in found])}"
        return FileReport(tuple(found), {"path": str(path), "ok": True, "checks": checks}, text)


def _text(folder: Path, manifest: OrderManifest, order: OrderRecord) -> str:
    rows = [
        ((folder / name).as_posix(), record.role, format_bytes(record.bytes)) for name, record in manifest.files.items()
    ]
    outer_um, code = order.outer_size_um, order.code
    return "\n".join(
        (
            table(rows, ("file", "role", "size")),
            "",
            f"code {code.columns} x {code.rows} pixels of {code.pitch_um:g} um "
            f"({code.pitch_on_detector_um:g} um on the detector), drawing {outer_um[0]:g} x {outer_um[1]:g} um",
            f"smallest feature {length_text(order.smallest_feature_um)}, "
            f"gap {length_text(order.smallest_gap_um)}, "
            f"{order.drawn_open_fraction_of_code:.1%} open",
            f"tone: {order.tone.says}",
            f"reading: {order.reading.side}. {order.reading.says}",
            f"edge bias: {order.edge_bias.says}",
        )
    )


FAMILY = ApertureFamily()

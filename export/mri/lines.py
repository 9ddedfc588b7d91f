"""Lines of a slice as a kind of scan: its two sequences, and its tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cidesign.checks import Check
from cidesign.export.mri.blocks import MriPlan
from cidesign.export.mri.cartesian import CartesianKind
from cidesign.export.mri.gre import plan_gre
from cidesign.export.mri.manifest import MriFile, MriManifest, ScanRecord, acquisitions_of, scan_record
from cidesign.export.mri.protocol import GreProtocol, TseProtocol
from cidesign.export.mri.scan import Order, equals
from cidesign.export.mri.tables import read_csv_lines, read_mat_lines, write_csv, write_mat
from cidesign.export.mri.tse import plan_tse
from cidesign.export.mri.verify import verify_scan
from cidesign.export.mri.writer import planned, write_scan
from cidesign.export.writing import Output
from cidesign.files import JsonObject
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import bart_mask, bart_trajectory, read_cfl, write_cfl
from cidesign.pattern import CartesianLines, centre_block

MRI_FORMATS = ("pulseq", "ismrmrd", "bart", "table", "mat")
DEFAULT_FORMATS = ("pulseq", "ismrmrd", "bart", "table")
LineProtocols = GreProtocol | TseProtocol


class LinesOfSlice(CartesianKind[CartesianLines, LineProtocols, MriManifest]):
    """One slice, by gradient or spin echoes."""

    design_type, manifest_type = CartesianLines, MriManifest
    name, formats = "mri-export", MRI_FORMATS

    def plan(self, design: CartesianLines, protocol: LineProtocols, profile: MriProfile) -> MriPlan:
        """A spoiled gradient echo, or a turbo spin echo."""
        if isinstance(protocol, TseProtocol):
            return plan_tse(design, protocol, profile)
        return plan_gre(design, protocol, profile)

    def scan(self, plan: MriPlan, design: CartesianLines, protocol: LineProtocols) -> ScanRecord:
        """Times, and every readout."""
        return scan_record(plan, design.acceleration)

    def order(self, manifest: MriManifest, design: CartesianLines) -> Order:
        """The lines."""
        return [(line, 0) for line in manifest.scan.lines]

    def described(self, design: CartesianLines) -> str:
        """Lines, R, calibration lines."""
        return (
            f"{len(design.acquired)} of {design.lines} lines, R = {design.acceleration:.4g}, "
            f"{design.calibration_lines} calibration lines"
        )

    def write_tables(
        self,
        out: Output[MriFile],
        name: str,
        formats: Sequence[str],
        plan: MriPlan,
        design: CartesianLines,
        protocol: LineProtocols,
    ) -> None:
        """Mask and trajectory for BART, CSV, .mat."""
        folder, lines = out.folder, [acquisition.line for acquisition in plan.acquisitions]
        if "bart" in formats:
            for path in write_cfl(folder / f"{name}_mask", bart_mask(design)):
                out.record(path.name, "bart-mask")
            for path in write_cfl(folder / f"{name}_traj", bart_trajectory(design, lines)):
                out.record(path.name, "bart-trajectory")
        if "table" in formats:
            write_csv(folder / f"{name}.csv", design, plan.acquisitions)
            out.record(f"{name}.csv", "lines-csv")
        if "mat" in formats:
            write_mat(folder / f"{name}.mat", design, lines, protocol)
            out.record(f"{name}.mat", "lines-mat")

    def check_tables(self, folder: Path, manifest: MriManifest, design: CartesianLines) -> Iterator[Check]:
        """Each equals the design, or the order in the manifest."""
        lines, name = manifest.scan.lines, manifest.name
        if manifest.files_of("bart-mask"):
            mask = read_cfl(folder / f"{name}_mask", 2)
            problem = f"{folder / name}_mask.cfl: is not the mask of the design"
            said = f"{mask.shape[0]} x {mask.shape[1]}, equals the mask of the design"
            yield equals(f"{name}_mask.cfl", np.array_equal(mask, bart_mask(design)), problem, said)
            points = read_cfl(folder / f"{name}_traj", 3)
            problem = f"{folder / name}_traj.cfl: is not the trajectory of the design"
            same = np.array_equal(points, bart_trajectory(design, lines))
            yield equals(f"{name}_traj.cfl", same, problem, f"{len(lines)} lines in order of acquisition, 1/FOV")
        for file in manifest.files_of("lines-csv"):
            problem = f"{folder / file}: its rows are not the order of lines in the manifest"
            same = read_csv_lines(folder / file) == acquisitions_of(manifest.scan)
            yield equals(file, same, problem, f"{len(lines)} rows equal the order of lines")
        for file in manifest.files_of("lines-mat"):
            problem = f"{folder / file}: its lines are not the order of lines in the manifest"
            yield equals(
                file, read_mat_lines(folder / file) == lines, problem, f"{len(lines)} lines equal the order of lines"
            )

    def record(self, design: CartesianLines, order: Order) -> JsonObject:
        """Lines, exact acceleration, calibration lines."""
        return {
            "what": "phase-encode lines",
            "matrix": {"readout": design.readout, "lines": design.lines},
            "centre_line": design.lines // 2,
            "lines": design.acquired.tolist(),
            "acceleration": design.acceleration,
            "calibration_lines": list(centre_block(design.lines, design.calibration_lines)),
            "order": [line for line, _ in order],
            "trajectory_file": "points in 1/FOV, readout without oversampling",
        }

    def notes(self, plan: MriPlan, design: CartesianLines, protocol: LineProtocols) -> tuple[str, ...]:
        """Lines that are missed where somebody counts on them."""
        notes = []
        if design.lines // 2 not in design.acquired:
            notes.append(f"line {design.lines // 2}, the centre of k-space, is not measured")
        if design.lines - 1 not in design.acquired:
            notes.append(f"the last line {design.lines - 1} is not measured: the largest LIN label is less than that")
        return tuple(notes)


LINES = LinesOfSlice()


def plan_scan(trajectory: CartesianLines, protocol: LineProtocols, profile: MriProfile) -> MriPlan:
    """The sequence for a design; raises `LimitError` for what cannot be played and `InputError` for another profile."""
    return planned(LINES, trajectory, protocol, profile)


def write_mri_export(
    trajectory: CartesianLines,
    profile: MriProfile,
    folder: Path,
    protocol: LineProtocols,
    formats: Sequence[str] = DEFAULT_FORMATS,
    force: bool = False,
) -> MriManifest:
    """Write the lines for `profile` into `folder`, as `write_scan` does."""
    return write_scan(LINES, trajectory, profile, folder, protocol, formats, force)


def verify_mri_export(folder: Path, profile: MriProfile | None = None) -> Iterator[Check]:
    """Check an export of lines, as `verify_scan` does."""
    return verify_scan(LINES, folder, profile)

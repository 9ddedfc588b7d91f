"""Points of a volume as a kind of scan: a 3-D spoiled gradient echo, a pattern for BART, and a table."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cidesign.checks import Check
from cidesign.export.mri.blocks import Acquisition, MriPlan
from cidesign.export.mri.cartesian import CartesianKind
from cidesign.export.mri.gre import Along, Encoded, gradient_echo
from cidesign.export.mri.manifest import MriFile, scan_times
from cidesign.export.mri.points.manifest import Jumps, PointsManifest, PointsRecord
from cidesign.export.mri.points.order import OrderedPoints, jumps_of_all, ordered_points
from cidesign.export.mri.points.protocol import SLAB_MARGIN, PointsProtocol
from cidesign.export.mri.scan import Order, equals
from cidesign.export.mri.tables import read_csv_points, write_csv
from cidesign.export.writing import Output
from cidesign.files import JsonObject
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import bart_points, read_cfl, write_cfl
from cidesign.pattern import CartesianPoints

POINT_FORMATS = ("pulseq", "ismrmrd", "bart", "table")
# Cycles that the spoiler winds up across a partition; phase encoding rewinds to it.
SPOILER_CYCLES_PARTITION = 1.0


class PointsOfVolume(CartesianKind[CartesianPoints, PointsProtocol, PointsManifest]):
    """A slab, by gradient echoes."""

    design_type, manifest_type = CartesianPoints, PointsManifest
    name, formats = "mri-points", POINT_FORMATS

    def plan(self, design: CartesianPoints, protocol: PointsProtocol, profile: MriProfile) -> MriPlan:
        """One excitation of the slab for each point; the slab's rephaser and the partition encoding are one lobe."""
        ordered = ordered_points(design, protocol.order, protocol.segments)
        y, z = design.lines // 2, design.partitions // 2
        encoded = [
            Encoded(
                (line - y) / max(y, 1),
                (partition - z) / max(z, 1),
                (("LIN", line), ("PAR", partition)),
                Acquisition(segment, 0, line, partition),
            )
            for segment, (line, partition) in zip(ordered.segment_of.tolist(), ordered.points.tolist(), strict=True)
        ]
        partition_mm = protocol.depth_fov / design.partitions
        along = Along(
            z / (protocol.depth_fov * 1e-3),
            SPOILER_CYCLES_PARTITION / (partition_mm * 1e-3),
            "slab rephaser with partition encoding",
            "partition rewinder with spoiler",
        )
        return gradient_echo(design, protocol, profile, encoded, along)

    def scan(self, plan: MriPlan, design: CartesianPoints, protocol: PointsProtocol) -> PointsRecord:
        """Times, every readout, and the jumps between them."""
        ordered = ordered_points(design, protocol.order, protocol.segments)
        return PointsRecord(
            **scan_times(plan, design.acceleration),
            order=protocol.order,
            jumps=_jumps(ordered),
            jumps_of={name: _jumps(one) for name, one in jumps_of_all(design).items()},
            segment_sizes=ordered.sizes,
            points=tuple((ordered.points @ (design.partitions, 1)).tolist()),
        )

    def order(self, manifest: PointsManifest, design: CartesianPoints) -> Order:
        """The points."""
        return [divmod(point, design.partitions) for point in manifest.scan.points]

    def described(self, design: CartesianPoints) -> str:
        """Points, R, calibration region."""
        return points_said(design)

    def write_tables(
        self,
        out: Output[MriFile],
        name: str,
        formats: Sequence[str],
        plan: MriPlan,
        design: CartesianPoints,
        protocol: PointsProtocol,
    ) -> None:
        """Pattern for BART, CSV."""
        if "bart" in formats:
            for path in write_cfl(out.folder / f"{name}_mask", bart_points(design)):
                out.record(path.name, "bart-mask")
        if "table" in formats:
            write_csv(out.folder / f"{name}.csv", design, plan.acquisitions)
            out.record(f"{name}.csv", "points-csv")

    def check_tables(self, folder: Path, manifest: PointsManifest, design: CartesianPoints) -> Iterator[Check]:
        """Each equals the design, or the order in the manifest."""
        if manifest.files_of("bart-mask"):
            file = f"{manifest.name}_mask.cfl"
            mask = read_cfl(folder / file, 3)
            said = f"{' x '.join(map(str, mask.shape))}, equals the points of the design"
            problem = f"{folder / file}: is not the mask of the design"
            yield equals(file, np.array_equal(mask, bart_points(design)), problem, said)
        for file in manifest.files_of("points-csv"):
            segments = np.repeat(np.arange(len(manifest.scan.segment_sizes)), manifest.scan.segment_sizes).tolist()
            order = self.order(manifest, design)
            wanted = [Acquisition(segment, 0, *point) for segment, point in zip(segments, order, strict=True)]
            problem = f"{folder / file}: its rows are not the order of points in the manifest"
            same = read_csv_points(folder / file) == wanted
            yield equals(file, same, problem, f"{len(wanted)} rows equal the order of points")

    def record(self, design: CartesianPoints, order: Order) -> JsonObject:
        """Matrix, exact acceleration, calibration region; the points are in the table."""
        return {
            "what": "points (ky, kz)",
            "matrix": {"readout": design.readout, "lines": design.lines, "partitions": design.partitions},
            "centre": [design.lines // 2, design.partitions // 2],
            "points": len(design.acquired),
            "acceleration": design.acceleration,
            "calibration": list(design.calibration),
        }

    def notes(self, plan: MriPlan, design: CartesianPoints, protocol: PointsProtocol) -> tuple[str, ...]:
        """The order and what it costs, and a slab whose edges fold in."""
        record = self.scan(plan, design, protocol)
        others = ", ".join(
            f"{name} {one.mean_steps:.3g}" for name, one in record.jumps_of.items() if name != record.order
        )
        notes = [
            f"order {record.order}, {record.jumps.segments} segments: a mean jump of {record.jumps.mean_steps:.3g} "
            f"steps of k-space between excitations, the largest {record.jumps.largest_steps:.3g} (mean jump in other "
            f"orders: {others}); the smaller the jumps, the smaller the changes of eddy currents"
        ]
        if design.mask[design.lines // 2, design.partitions // 2] == 0:
            notes.append("the centre of k-space is not measured")
        if protocol.partition_fov_mm is None:
            notes.append(f"partition_fov_mm: not set, {protocol.depth_fov:g} mm are encoded, {SLAB_MARGIN:g} slabs")
        elif protocol.depth_fov < SLAB_MARGIN * protocol.slab_thickness_mm:
            notes.append(
                f"slab: its edges are not sharp; what is excited beyond the {protocol.depth_fov:g} mm that are encoded "
                f"folds in, a partition_fov_mm of {SLAB_MARGIN * protocol.slab_thickness_mm:g} keeps it out"
            )
        return tuple(notes)


POINTS = PointsOfVolume()


def points_said(design: CartesianPoints) -> str:
    """How much of what is measured, for people."""
    lines, partitions = design.calibration
    return (
        f"{len(design.acquired)} of {design.lines} x {design.partitions} points, R = {design.acceleration:.4g}, "
        f"{lines} x {partitions} fully sampled at the centre"
    )


def _jumps(ordered: OrderedPoints) -> Jumps:
    return Jumps(
        segments=ordered.segments,
        mean_steps=ordered.mean_jump_steps,
        largest_steps=ordered.largest_jump_steps,
    )

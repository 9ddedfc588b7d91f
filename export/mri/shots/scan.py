"""Shots of a slice as a kind of scan: a spoiled gradient echo that plays their gradients, and their trajectories."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.checks import Check
from cidesign.constraints.rules import require
from cidesign.errors import FileError
from cidesign.export.mri.blocks import MriPlan
from cidesign.export.mri.checks import check_sequence
from cidesign.export.mri.line_checks import STEP_TOLERANCE
from cidesign.export.mri.manifest import MriFile, ScanTimes, scan_times
from cidesign.export.mri.pulseq.write import Definitions
from cidesign.export.mri.scan import Order, ScanKind, equals
from cidesign.export.mri.shots.bart import bart_points, read_bart_points
from cidesign.export.mri.shots.checks import designed_shots
from cidesign.export.mri.shots.ismrmrd import check_shots, write_shots
from cidesign.export.mri.shots.limits import broken_limits
from cidesign.export.mri.shots.manifest import ShotsManifest
from cidesign.export.mri.shots.plan import ShotProtocol, plan_shots
from cidesign.export.writing import Output
from cidesign.files import JsonObject, write_bytes
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import write_cfl
from cidesign.io.npy import read_npy
from cidesign.pattern import NonCartesian

SHOT_FORMATS = ("pulseq", "ismrmrd", "bart", "npy", "table")


class ShotsOfSlice(ScanKind[NonCartesian, ShotProtocol, ShotsManifest]):
    """One slice, by gradient echoes."""

    design_type, manifest_type = NonCartesian, ShotsManifest
    name, formats = "mri-shots", SHOT_FORMATS

    def plan(self, design: NonCartesian, protocol: ShotProtocol, profile: MriProfile) -> MriPlan:
        """One excitation for each shot, within the limits of the profile."""
        require(broken_limits(design, profile))
        return plan_shots(design, protocol, profile)

    def scan(self, plan: MriPlan, design: NonCartesian, protocol: ShotProtocol) -> ScanTimes:
        """Times."""
        return ScanTimes(**scan_times(plan, design.acceleration))

    def order(self, manifest: ShotsManifest, design: NonCartesian) -> Order:
        """As in the design."""
        return [(shot, 0) for shot in range(design.shots)]

    def require_order(self, order: Order, design: NonCartesian, where: Path) -> None:
        """Shots have no order but that of the design."""

    def stem(self, design: NonCartesian) -> str:
        """How many shots."""
        return f"{design.shots}shots"

    def definitions(self, design: NonCartesian, protocol: ShotProtocol) -> Definitions:
        """Field of view, shots."""
        fov_m = design.fov_mm * 1e-3
        return {
            "Name": f"cidesign_{protocol.kind}_shots_research_only",
            "FOV": [fov_m, fov_m, protocol.depth_fov * 1e-3],
            "BaseResolution": design.size[1],
            "Shots": design.shots,
            "SliceThickness": protocol.excited_mm * 1e-3,
        }

    def check_file(self, path: Path, profile: MriProfile, design: NonCartesian, order: Order) -> list[Check]:
        """Shot by shot."""
        return check_sequence(path, profile, designed_shots(design, profile), "design")

    def write_template(
        self, path: Path, plan: MriPlan, design: NonCartesian, protocol: ShotProtocol, profile: MriProfile
    ) -> None:
        """With trajectories."""
        write_shots(path, plan, design, protocol, profile)

    def check_template(self, path: Path, design: NonCartesian, order: Order) -> str:
        """Trajectories against the design's."""
        return check_shots(path, design)

    def described(self, design: NonCartesian) -> str:
        """Shots, their length and samples, the image, R."""
        return shots_said(design)

    def write_tables(
        self,
        out: Output[MriFile],
        name: str,
        formats: Sequence[str],
        plan: MriPlan,
        design: NonCartesian,
        protocol: ShotProtocol,
    ) -> None:
        """Trajectories for BART and NumPy."""
        if "bart" in formats:
            for path in write_cfl(out.folder / f"{name}_traj", bart_points(design.samples)):
                out.record(path.name, "bart-trajectory")
        if "npy" in formats:
            stream = io.BytesIO()
            np.save(stream, design.samples, allow_pickle=False)
            write_bytes(out.folder / f"{name}_traj.npy", stream.getvalue())
            out.record(f"{name}_traj.npy", "npy-trajectory")

    def check_tables(self, folder: Path, manifest: ShotsManifest, design: NonCartesian) -> Iterator[Check]:
        """Each holds the samples of the design."""
        if manifest.files_of("bart-trajectory"):
            name = f"{manifest.name}_traj"
            yield _same(folder / f"{name}.cfl", read_bart_points(folder / name), design)
        for file in manifest.files_of("npy-trajectory"):
            yield _same(folder / file, read_npy(folder / file, "trajectory"), design)

    def record(self, design: NonCartesian, order: Order) -> JsonObject:
        """Image, shots and their times."""
        return {
            "what": "shots of gradients",
            "matrix": {"rows": design.size[0], "columns": design.size[1]},
            "fov_mm": design.fov_mm,
            "shots": design.shots,
            "acceleration": design.acceleration,
            "samples_per_shot": design.samples_per_shot,
            "dwell_us": design.dwell_ns / 1e3,
            "gradient_raster_us": design.raster_ns / 1e3,
            "shot_ms": design.duration_ns / 1e6,
            "trajectory_files": "k of each sample in 1/FOV; .npy (shots, samples, 2): along rows of the image (down), "
            "then columns (right); BART and ISMRMRD: columns (x), then rows (y)",
        }

    def notes(self, plan: MriPlan, design: NonCartesian, protocol: ShotProtocol) -> tuple[str, ...]:
        """That gradients are not played as they are written."""
        return (
            "gradients come late, and eddy currents change them: what is played is not quite what was designed; a "
            "delay is estimated and corrected by `cidesign calibrate`",
        )


SHOTS = ShotsOfSlice()


def shots_said(design: NonCartesian) -> str:
    """A design of shots in a line."""
    return (
        f"{design.shots} shots of {design.duration_ns / 1e6:g} ms with {design.samples_per_shot} samples, "
        f"{design.size[0]} x {design.size[1]} pixels over {design.fov_mm:g} mm, R = {design.acceleration:.4g}"
    )


def _same(path: Path, found: NDArray[Any], design: NonCartesian) -> Check:
    wanted = design.samples
    if found.dtype.kind != "f":
        raise FileError(f"{path}: holds {found.dtype}, not the trajectory of the design; export again")
    same = found.shape == wanted.shape and bool(np.abs(found - wanted).max() < STEP_TOLERANCE)
    said = f"{len(wanted)} shots in 1/FOV, equal to the design's to {STEP_TOLERANCE:g}"
    return equals(path.name, same, f"{path}: is not the trajectory of the design", said)

"""An ISMRMRD (MRD v1) template of shots: one acquisition for each, with its trajectory and data of zeros."""

from pathlib import Path
from typing import Any

import numpy as np

from cidesign.errors import FileError
from cidesign.export.mri.blocks import MriPlan
from cidesign.export.mri.ismrmrd import ismrmrd, read_rows, space_of, template_header, template_rows, write_rows
from cidesign.export.mri.line_checks import STEP_TOLERANCE
from cidesign.export.mri.protocol import ScanProtocol
from cidesign.export.mri.shots.plan import centre_sample
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian

# The standard names no unit of trajectories, so the header does.
UNIT_NAME, UNIT = "trajectory_unit", "1/FOV"
COMMENT = (
    "k of each sample in 1/FOV of encodedSpace, 0 at the centre; along the columns of the image (x), then its rows"
)


def write_shots(path: Path, plan: MriPlan, design: NonCartesian, protocol: ScanProtocol, profile: MriProfile) -> None:
    """Write the template; `kspace_encode_step_1` counts the shots."""
    library = ismrmrd()
    encoding = _encoding(library.xsd, design, protocol)
    header = template_header(library.xsd, plan, encoding, design.design_digest, protocol, profile)
    points = design.samples[..., ::-1].astype(np.float32)
    write_rows(library, path, header, template_rows(library.hdf5, plan, centre_sample(design), points))


def _encoding(xsd: Any, design: NonCartesian, protocol: ScanProtocol) -> Any:
    height, width = design.size
    space = space_of(xsd, (width, height, 1), (design.fov_mm, design.fov_mm, protocol.depth_fov))
    return xsd.encodingType(
        encodedSpace=space,
        reconSpace=space,
        encodingLimits=xsd.encodingLimitsType(
            kspace_encoding_step_1=xsd.limitType(minimum=0, maximum=design.shots - 1, center=0),
            slice=xsd.limitType(minimum=0, maximum=0, center=0),
        ),
        trajectory=xsd.trajectoryType.OTHER,
        trajectoryDescription=xsd.trajectoryDescriptionType(
            identifier="cidesign",
            userParameterLong=[],
            userParameterDouble=[],
            userParameterString=[xsd.userParameterStringType(name=UNIT_NAME, value=UNIT)],
            comment=COMMENT,
        ),
        echoTrainLength=1,
    )


def check_shots(path: Path, design: NonCartesian) -> str:
    """Re-read a template and compare matrix, counters and trajectories with the design; returns what was found.

    Raises `FileError` for a damaged file, another matrix or field of view, and other shots.
    """
    header, head, trajectories = read_rows(path)
    encoding = header.encoding[0]
    matrix, fov = encoding.encodedSpace.matrixSize, encoding.encodedSpace.fieldOfView_mm
    found = ((matrix.y, matrix.x), fov.y, fov.x)
    if found[0] != design.size or max(abs(fov.y - design.fov_mm), abs(fov.x - design.fov_mm)) > 1e-4:
        raise FileError(
            f"{path}: its matrix is {matrix.y} x {matrix.x} over {fov.y:g} x {fov.x:g} mm, the design has "
            f"{design.size[0]} x {design.size[1]} over {design.fov_mm:g} mm (encoding.encodedSpace)"
        )
    if head["idx"]["kspace_encode_step_1"].tolist() != list(range(design.shots)):
        raise FileError(f"{path}: its kspace_encode_step_1 counters are not the {design.shots} shots in their order")
    for shot, points in enumerate(trajectories):
        wanted = design.samples[shot][:, ::-1].ravel()
        if points.shape != wanted.shape or not np.abs(points - wanted).max() < STEP_TOLERANCE:
            raise FileError(f"{path}: the trajectory of shot {shot} is not that of the design; export again")
    return f"{len(trajectories)} acquisitions, trajectories equal the design's to {STEP_TOLERANCE:g} of 1/FOV"

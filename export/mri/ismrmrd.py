"""An ISMRMRD (MRD v1) template: the header of the scan, and one acquisition for each line, with data of zeros."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cidesign import __version__
from cidesign.errors import FileError, InputError
from cidesign.export.mri.blocks import GAMMA_HZ_PER_T, NS_PER_MS, NS_PER_US, MriPlan
from cidesign.export.mri.protocol import Protocol
from cidesign.files import disk_errors
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import CartesianLines, centre_block

# Numbers of the flags, from 1, as in ismrmrd.h.
FIRST_IN_SLICE, LAST_IN_SLICE, CALIBRATION_AND_IMAGING, LAST_IN_MEASUREMENT = 7, 8, 21, 25
TEMPLATE_NOTE = "cidesign template: the data are zeros, nothing was measured; research only"
_T = TypeVar("_T")


def ismrmrd() -> Any:
    """The module `ismrmrd`; raises `InputError` that names the extra when it is not installed."""
    try:
        importlib.import_module("ismrmrd.xsd")
        return importlib.import_module("ismrmrd")
    except ImportError as error:
        raise InputError(
            f"ISMRMRD files need the package ismrmrd ({error}); install it with `pip install 'cidesign[mri]'`"
        ) from error


def write_ismrmrd(
    path: Path, plan: MriPlan, trajectory: CartesianLines, protocol: Protocol, profile: MriProfile
) -> None:
    """Write the template: positions are counters (`kspace_encode_step_1` less the header's centre), not coordinates."""
    library = ismrmrd()
    header = _header(library, plan, trajectory, protocol, profile)
    calibration = set(centre_block(trajectory.lines, trajectory.calibration_lines))
    with disk_errors(path):
        dataset = library.Dataset(str(path), "dataset", create_if_needed=True)
        try:
            dataset.write_xml_header(library.xsd.ToXML(header).encode())
            for number, (shot, echo, line) in enumerate(plan.acquisitions):
                acquisition = library.Acquisition.from_array(np.zeros((1, plan.samples), dtype=np.complex64))
                acquisition.version = 1
                acquisition.available_channels = 1
                acquisition.center_sample = plan.samples // 2
                acquisition.scan_counter = number
                acquisition.sample_time_us = plan.dwell_ns / NS_PER_US
                acquisition.idx.kspace_encode_step_1 = line
                acquisition.idx.segment = echo
                acquisition.user_int[0] = shot
                acquisition.read_dir[0], acquisition.phase_dir[1], acquisition.slice_dir[2] = 1.0, 1.0, 1.0
                for flag in _flags(number, len(plan.acquisitions), line in calibration):
                    acquisition.set_flag(flag)
                dataset.append_acquisition(acquisition)
        finally:
            dataset.close()  # another process can open the file only then


def _flags(number: int, count: int, calibration: bool) -> list[int]:
    flags = [FIRST_IN_SLICE] if number == 0 else []
    if number == count - 1:
        flags += [LAST_IN_SLICE, LAST_IN_MEASUREMENT]
    return flags + ([CALIBRATION_AND_IMAGING] if calibration else [])


def _header(library: Any, plan: MriPlan, trajectory: CartesianLines, protocol: Protocol, profile: MriProfile) -> Any:
    xsd = library.xsd

    def space(samples: int, width_mm: float) -> Any:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=samples, y=trajectory.lines, z=1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=width_mm, y=protocol.phase_fov, z=protocol.slice_thickness_mm),
        )

    def limit(last: int, centre: int) -> Any:
        return xsd.limitType(minimum=0, maximum=last, center=centre)

    echoes = max(acquisition.echo for acquisition in plan.acquisitions)
    encoding = xsd.encodingType(
        # Oversampling doubles the field of view along the readout, not the resolution.
        encodedSpace=space(plan.samples, protocol.fov_mm * protocol.oversampling),
        reconSpace=space(trajectory.readout, protocol.fov_mm),
        encodingLimits=xsd.encodingLimitsType(
            kspace_encoding_step_0=limit(plan.samples - 1, plan.samples // 2),
            kspace_encoding_step_1=limit(trajectory.lines - 1, trajectory.lines // 2),
            slice=limit(0, 0),
            segment=limit(echoes, 0),
        ),
        trajectory=xsd.trajectoryType.CARTESIAN,
        echoTrainLength=echoes + 1,
    )
    field_t = profile.field_t.value
    return xsd.ismrmrdHeader(
        measurementInformation=xsd.measurementInformationType(
            patientPosition=xsd.patientPositionType.HFS, protocolName=f"cidesign {protocol.kind}, research only"
        ),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemModel=profile.name, systemFieldStrength_T=field_t, receiverChannels=1
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=round(field_t * GAMMA_HZ_PER_T)),
        encoding=[encoding],
        sequenceParameters=xsd.sequenceParametersType(
            TR=[plan.tr_ns / NS_PER_MS],
            TE=[plan.te_ns / NS_PER_MS],
            flipAngle_deg=[protocol.flip_angle_deg],
            sequence_type=protocol.kind.upper(),
            echo_spacing=[] if plan.echo_spacing_ns is None else [plan.echo_spacing_ns / NS_PER_MS],
        ),
        userParameters=xsd.userParametersType(
            userParameterString=[
                xsd.userParameterStringType(name="content", value=TEMPLATE_NOTE),
                xsd.userParameterStringType(name="cidesign_version", value=__version__),
                xsd.userParameterStringType(name="design_digest", value=trajectory.design_digest),
            ]
        ),
    )


def check_ismrmrd(path: Path, trajectory: CartesianLines, lines: list[int]) -> str:
    """Re-read a template and compare header and counters with the design; returns what was found.

    Raises `FileError` for a damaged file, another matrix, and missing, unexpected or duplicated lines.
    """
    library = ismrmrd()
    header, counters, flags = _guarded(path, lambda: _read(library, path))
    encoding = header.encoding[0]
    found = (encoding.reconSpace.matrixSize.x, encoding.reconSpace.matrixSize.y)
    if found != (trajectory.readout, trajectory.lines):
        raise FileError(
            f"{path}: its matrix is {found[0]} x {found[1]}, the design has {trajectory.readout} x "
            f"{trajectory.lines} (encoding.reconSpace.matrixSize)"
        )
    centre = encoding.encodingLimits.kspace_encoding_step_1.center
    if centre != trajectory.lines // 2:
        raise FileError(f"{path}: the centre of k-space is line {centre}, the design has {trajectory.lines // 2}")
    if counters != lines:
        missing, unexpected = sorted(set(lines) - set(counters)), sorted(set(counters) - set(lines))
        raise FileError(
            f"{path}: its kspace_encode_step_1 counters are not the lines of the design in their order (missing "
            f"{missing[:8]}, unexpected {unexpected[:8]}, duplicated {len(counters) - len(set(counters))})"
        )
    calibration = [line for line, flag in zip(counters, flags, strict=True) if flag]
    if sorted(calibration) != list(centre_block(trajectory.lines, trajectory.calibration_lines)):
        raise FileError(
            f"{path}: {len(calibration)} lines are flagged as calibration, the design has "
            f"{trajectory.calibration_lines}"
        )
    return f"{len(counters)} acquisitions, counters equal the lines of the design, {len(calibration)} calibration lines"


def _read(library: Any, path: Path) -> tuple[Any, list[int], list[bool]]:
    dataset = library.Dataset(str(path), "dataset", mode="r")
    try:
        header = library.xsd.CreateFromDocument(dataset.read_xml_header())
        acquisitions = [dataset.read_acquisition(number) for number in range(dataset.number_of_acquisitions())]
    finally:
        dataset.close()
    counters = [int(acquisition.idx.kspace_encode_step_1) for acquisition in acquisitions]
    return header, counters, [bool(acquisition.is_flag_set(CALIBRATION_AND_IMAGING)) for acquisition in acquisitions]


def _guarded(path: Path, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except Exception as error:  # HDF5 and XML readers raise whatever damaged bytes lead them to
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")[:160]
        raise FileError(
            f"{path}: this ISMRMRD file cannot be read ({reason}); is it whole, and not open elsewhere?"
        ) from error

"""An ISMRMRD (MRD v1) template: header of the scan, and an acquisition for each line or point, with data of zeros."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign import __version__
from cidesign.errors import FileError, InputError
from cidesign.export.mri.blocks import GAMMA_HZ_PER_T, NS_PER_MS, NS_PER_US, MriPlan
from cidesign.export.mri.protocol import Protocol, ScanProtocol
from cidesign.files import disk_errors
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import Cartesian, CartesianPoints, as_points

# Numbers of the flags, from 1, as in ismrmrd.h.
FIRST_IN_SLICE, LAST_IN_SLICE, CALIBRATION_AND_IMAGING, LAST_IN_MEASUREMENT = 7, 8, 21, 25
GROUP = "dataset"
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


def write_ismrmrd(path: Path, plan: MriPlan, trajectory: Cartesian, protocol: Protocol, profile: MriProfile) -> None:
    """Write the template: positions are counters (`kspace_encode_step_1` and `_2` less the header's centre)."""
    library = ismrmrd()
    rows = template_rows(library.hdf5, plan, plan.samples // 2)
    idx = rows["head"]["idx"]
    calibration = as_points(trajectory).calibration_mask[idx["kspace_encode_step_1"], idx["kspace_encode_step_2"]] == 1
    rows["head"]["flags"] |= np.where(calibration, _bit(CALIBRATION_AND_IMAGING), np.uint64(0))
    encoding = _encoding(library.xsd, plan, trajectory, protocol)
    header = template_header(library.xsd, plan, encoding, trajectory.design_digest, protocol, profile)
    write_rows(library, path, header, rows)


def write_rows(library: Any, path: Path, header: Any, rows: NDArray[np.void]) -> None:
    """Write a header and all acquisitions in one step: the library writes them one by one, a hundred times slower."""
    with disk_errors(path):
        dataset = library.Dataset(str(path), GROUP, create_if_needed=True)
        try:
            dataset.write_xml_header(library.xsd.ToXML(header).encode())
        finally:
            dataset.close()  # another process can open the file only then
        with importlib.import_module("h5py").File(path, "r+") as file:
            file[GROUP].create_dataset("data", data=rows, maxshape=(None,))


def template_rows(
    layout: Any, plan: MriPlan, centre_sample: int, points: NDArray[np.float32] | None = None
) -> NDArray[np.void]:
    """The acquisitions of a plan, with data of zeros; `points` (acquisitions, samples, dimensions): trajectories."""
    count, steps = len(plan.acquisitions), np.array(plan.acquisitions)
    shot, echo, line, partition = steps.T
    rows = np.zeros(count, dtype=layout.acquisition_dtype)
    nothing, no_trajectory = np.zeros(2 * plan.samples, dtype=np.float32), np.zeros(0, dtype=np.float32)
    for row in range(count):
        rows["data"][row], rows["traj"][row] = nothing, no_trajectory if points is None else points[row].ravel()
    head = rows["head"]
    head["version"] = head["available_channels"] = head["active_channels"] = 1
    head["number_of_samples"], head["center_sample"] = plan.samples, centre_sample
    head["trajectory_dimensions"] = 0 if points is None else points.shape[2]
    head["scan_counter"], head["sample_time_us"] = np.arange(count), plan.dwell_ns / NS_PER_US
    head["idx"]["kspace_encode_step_1"], head["idx"]["kspace_encode_step_2"] = line, partition
    head["idx"]["segment"], head["user_int"][:, 0] = echo, shot
    for axis, name in enumerate(("read_dir", "phase_dir", "slice_dir")):
        head[name][:, axis] = 1.0
    head["flags"][0] |= _bit(FIRST_IN_SLICE)
    head["flags"][-1] |= _bit(LAST_IN_SLICE) | _bit(LAST_IN_MEASUREMENT)
    return rows


def _bit(flag: int) -> np.uint64:
    return np.uint64(1 << (flag - 1))


def _encoding(xsd: Any, plan: MriPlan, trajectory: Cartesian, protocol: Protocol) -> Any:
    lines, partitions = as_points(trajectory).matrix

    def limit(last: int, centre: int) -> Any:
        return xsd.limitType(minimum=0, maximum=last, center=centre)

    echoes = max(acquisition.echo for acquisition in plan.acquisitions)
    width_mm, height_mm, depth_mm = protocol.fovs_mm
    # Oversampling doubles the field of view along the readout, not the resolution.
    wide_mm = (width_mm * protocol.oversampling, height_mm, depth_mm)
    return xsd.encodingType(
        encodedSpace=space_of(xsd, (plan.samples, lines, partitions), wide_mm),
        reconSpace=space_of(xsd, (trajectory.readout, lines, partitions), protocol.fovs_mm),
        encodingLimits=xsd.encodingLimitsType(
            kspace_encoding_step_0=limit(plan.samples - 1, plan.samples // 2),
            kspace_encoding_step_1=limit(lines - 1, lines // 2),
            kspace_encoding_step_2=limit(partitions - 1, partitions // 2),
            slice=limit(0, 0),
            segment=limit(echoes, 0),
        ),
        trajectory=xsd.trajectoryType.CARTESIAN,
        echoTrainLength=echoes + 1,
    )


def space_of(xsd: Any, pixels: tuple[int, int, int], fov_mm: tuple[float, float, float]) -> Any:
    """A matrix (x, y, z) and its field of view."""
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(x=pixels[0], y=pixels[1], z=pixels[2]),
        fieldOfView_mm=xsd.fieldOfViewMm(x=fov_mm[0], y=fov_mm[1], z=fov_mm[2]),
    )


def template_header(
    xsd: Any, plan: MriPlan, encoding: Any, design_digest: str, protocol: ScanProtocol, profile: MriProfile
) -> Any:
    """The header of a template: scanner, times, what it is, and how k-space is encoded."""
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
                xsd.userParameterStringType(name="design_digest", value=design_digest),
            ]
        ),
    )


def check_ismrmrd(path: Path, trajectory: Cartesian, order: Sequence[int] | Sequence[tuple[int, int]]) -> str:
    """Re-read a template and compare header and counters with the design; returns what was found.

    `order`: the lines, or the points (line, partition), as they are measured.  Raises `FileError` for a damaged file,
    another matrix, and missing, unexpected or duplicated lines.
    """
    header, head, _ = read_rows(path)
    counters = list(zip(*(head["idx"][f"kspace_encode_step_{step}"].tolist() for step in (1, 2)), strict=True))
    flags = ((head["flags"] & _bit(CALIBRATION_AND_IMAGING)) != 0).tolist()
    encoding, points, word = header.encoding[0], as_points(trajectory), trajectory.kind
    recon, limits = encoding.reconSpace.matrixSize, encoding.encodingLimits
    partition_limits = limits.kspace_encoding_step_2
    is_3d = isinstance(trajectory, CartesianPoints)
    centres = (limits.kspace_encoding_step_1.center, partition_limits.center if partition_limits is not None else 0)
    sizes, designed = (recon.x, recon.y, recon.z), (points.readout, *points.matrix)
    if sizes != designed:
        shown = 3 if is_3d else 2
        raise FileError(
            f"{path}: its matrix is {' x '.join(map(str, sizes[:shown]))}, the design has "
            f"{' x '.join(map(str, designed[:shown]))} (encoding.reconSpace.matrixSize)"
        )
    centre = (points.lines // 2, points.partitions // 2)
    for what, found, wanted in zip(("line", "partition"), centres, centre, strict=True):
        if found != wanted:
            raise FileError(f"{path}: the centre of k-space is {what} {found}, the design has {wanted}")
    wanted_order = [(one, 0) if isinstance(one, int) else one for one in order]
    if counters != wanted_order:
        missing, unexpected = sorted(set(wanted_order) - set(counters)), sorted(set(counters) - set(wanted_order))
        name = "kspace_encode_step_1 and _2" if is_3d else "kspace_encode_step_1"
        raise FileError(
            f"{path}: its {name} counters are not the {word} of the design in their order (missing "
            f"{_shown(missing, is_3d)}, unexpected {_shown(unexpected, is_3d)}, duplicated "
            f"{len(counters) - len(set(counters))})"
        )
    flagged = {point for point, flag in zip(counters, flags, strict=True) if flag}
    calibration = int(points.calibration_mask.sum())
    if flagged != {(line, partition) for line, partition in np.argwhere(points.calibration_mask).tolist()}:
        raise FileError(f"{path}: {len(flagged)} {word} are flagged as calibration, the design has {calibration}")
    return f"{len(counters)} acquisitions, counters equal the {word} of the design, {calibration} calibration {word}"


def _shown(points: list[tuple[int, int]], is_3d: bool) -> str:
    return str([list(point) if is_3d else point[0] for point in points[:8]])


def read_rows(path: Path) -> tuple[Any, NDArray[np.void], list[NDArray[np.float32]]]:
    """Header, heads and trajectories of all acquisitions of a template; raises `FileError` for a damaged file."""
    library = ismrmrd()
    return _guarded(path, lambda: _read(library, path))


def _read(library: Any, path: Path) -> tuple[Any, NDArray[np.void], list[NDArray[np.float32]]]:
    with importlib.import_module("h5py").File(path, "r") as file:
        header = library.xsd.CreateFromDocument(file[GROUP]["xml"][0])
        head = file[GROUP]["data"].fields("head")[:]
        data = file[GROUP]["data"].fields("data")
        wrong = [number for number, row in enumerate(data[:]) if len(row) != 2 * head["number_of_samples"][number]]
        if wrong:
            raise ValueError(f"acquisition {wrong[0]} does not hold the samples that it says")
        return header, head, list(file[GROUP]["data"].fields("traj")[:])


def _guarded(path: Path, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except Exception as error:  # HDF5 and XML readers raise whatever damaged bytes lead them to
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")[:160]
        raise FileError(
            f"{path}: this ISMRMRD file cannot be read ({reason}); is it whole, and not open elsewhere?"
        ) from error

"""What a registration was checked against, and its record in a calibration."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from cidesign.calibration.camera.checkerboard import MAX_RMS_PX, Lens
from cidesign.calibration.camera.fit import MirrorLattice
from cidesign.calibration.camera.map import CameraMap
from cidesign.calibration.camera.registration import LatticeFound, LensSource, Registration
from cidesign.checks import Check
from cidesign.records import Finite, NotNegative, Strict, gathered

# Median distance of edges that were held out of the fit, in column pitches or, where those are wider, camera pixels.
MAX_RESIDUAL = 0.15
MIN_AGREEING_FRACTION = 0.7
WARN_BEND_COLUMNS = 0.15
WARN_SATURATED_FRACTION = 0.001
WARN_ROTATION_DEGREES = 5.0


class RegistrationRecord(Strict):
    """A registration as a calibration keeps it; `homography` and `lens_matrix_px` row by row."""

    camera_shape_px: tuple[Annotated[int, Field(ge=1, le=100_000)], Annotated[int, Field(ge=1, le=100_000)]]
    columns: Annotated[int, Field(ge=1, le=20_000)]
    rows: Annotated[int, Field(ge=1, le=20_000)]
    lattice: Literal["square", "diamond_odd_right"]
    homography: Annotated[list[Finite], Field(min_length=9, max_length=9)]
    lens_matrix_px: Annotated[list[Finite], Field(min_length=9, max_length=9)] | None
    lens_distortion: Annotated[list[Finite], Field(min_length=5, max_length=5)] | None
    lens_source: LensSource
    lens_rms_px: NotNegative | None
    orientation: Annotated[str, Field(max_length=100)]
    mirrored: bool
    quarter_turns: Annotated[int, Field(ge=0, le=3)]
    rotation_degrees: Finite
    lattice_found: LatticeFound
    agreeing_fraction: Annotated[float, Field(ge=0, le=1)]
    held_out_columns: NotNegative
    largest_columns: NotNegative
    bend_columns: NotNegative

    @property
    def camera_map(self) -> CameraMap:
        """The geometry, for `camera_image_on_superpixels`."""
        lens = None
        if self.lens_matrix_px is not None and self.lens_distortion is not None:
            lens = Lens(np.array(self.lens_matrix_px).reshape(3, 3), np.array(self.lens_distortion))
        pitch, shift = (1.0, 0.0) if self.lattice == "square" else (0.5, 0.5)
        lattice = MirrorLattice(self.columns, self.rows, pitch, shift)
        return CameraMap(self.camera_shape_px, lattice, np.array(self.homography).reshape(3, 3), lens)


def registration_record(registration: Registration) -> RegistrationRecord:
    """The record of a registration."""
    camera, lens = registration.camera, registration.camera.lens
    lattice, view = camera.lattice, camera.view
    calibration = registration.lens_calibration
    return gathered(
        RegistrationRecord,
        registration,
        lattice,
        view,
        view.orientation,
        camera_shape_px=camera.shape,
        lattice="square" if lattice.shift == 0 else "diamond_odd_right",
        homography=camera.homography.ravel().tolist(),
        lens_matrix_px=None if lens is None else lens.matrix_px.ravel().tolist(),
        lens_distortion=None if lens is None else lens.distortion.tolist(),
        lens_rms_px=None if calibration is None else calibration.rms_px,
        orientation=view.orientation.text,
    )


def registration_checks(registration: Registration) -> list[Check]:
    """Everything that is known about a registration, as checks; a sound one has none but `passed` and `not checked`."""
    return [
        _saturation(registration),
        _agreement(registration),
        _residual(registration),
        _lens(registration),
        _lattice(registration),
        _orientation(registration),
        _view(registration),
    ]


def _saturation(registration: Registration) -> Check:
    fraction = registration.code.saturated_fraction
    sound = fraction <= WARN_SATURATED_FRACTION
    return Check(
        name="camera saturation",
        status="passed" if sound else "warning",
        text=f"{fraction:.2%} of the lit pixels are at full scale"
        + ("" if sound else "; they are left out. Shorten the camera's exposure"),
        value=100 * fraction,
        limit=100 * WARN_SATURATED_FRACTION,
        unit="%",
        fault=None if sound else "saturation",
    )


def _agreement(registration: Registration) -> Check:
    fraction = registration.agreeing_fraction
    sound = fraction >= MIN_AGREEING_FRACTION
    pixels = int(registration.code.valid.sum())
    return Check(
        name="registration inliers",
        status="passed" if sound else "failed",
        text=f"{fraction:.1%} of {pixels} pixels see the mirror that the fit says"
        + ("" if sound else "; was something moved between the frames, or is more than one surface in the picture?"),
        value=100 * fraction,
        limit=100 * MIN_AGREEING_FRACTION,
        unit="%",
    )


def _residual(registration: Registration) -> Check:
    value = registration.held_out_columns
    limit = MAX_RESIDUAL * max(1.0, 1 / registration.camera.pixels_per_column)
    sound = value <= limit
    return Check(
        name="registration residual",
        status="passed" if sound else "failed",
        text=f"held-out stripe edges lie {value:.3f} column pitches from it (median), the farthest of those "
        f"that agree {registration.largest_columns:.2f}"
        + ("" if sound else "; focus the camera, lengthen the exposure, or calibrate its lens with a checkerboard"),
        value=value,
        limit=limit,
        unit="column pitches",
    )


def _lens(registration: Registration) -> Check:
    bend, calibration = registration.bend_columns, registration.lens_calibration
    if calibration is not None and calibration.rms_px > MAX_RMS_PX:
        return Check(
            name="registration lens",
            status="warning",
            text=f"the checkerboard's corners miss the lens by {calibration.rms_px:.2f} px; is the board flat, are the "
            "pictures sharp?",
            value=calibration.rms_px,
            limit=MAX_RMS_PX,
            unit="px",
        )
    words = {
        "ideal": "no distortion is seen",
        "radial, fitted": f"distortion of {_corner_px(registration):+.2f} px in the corners is allowed for",
        "checkerboard": "the checkerboard's lens is used",
    }[registration.lens_source]
    sound = bend <= WARN_BEND_COLUMNS
    advice = (
        "" if sound else "; give a folder of checkerboard pictures of this camera, and check that the device is flat"
    )
    return Check(
        name="registration lens",
        status="passed" if sound else "warning",
        text=f"{words}; what is left bends by {bend:.3f} column pitches over the picture{advice}",
        value=bend,
        limit=WARN_BEND_COLUMNS,
        unit="column pitches",
    )


def _corner_px(registration: Registration) -> float:
    """How far outwards the lens moves the picture's corners, in pixels."""
    camera = registration.camera
    if camera.lens is None:
        return 0.0
    corner = np.array([0.0, 0.0])
    middle = camera.lens.matrix_px[:2, 2]
    return float(np.hypot(*(corner - middle)) - np.hypot(*(camera.lens.undistort(corner) - middle)))


def _lattice(registration: Registration) -> Check:
    lattice, found, fit = registration.camera.lattice, registration.lattice_found, registration.fit
    expected: LatticeFound = "odd rows right" if lattice.shift > 0 else "square"
    measured = f"column edges zigzag by {fit.column_zigzag:+.3f} +- {fit.column_zigzag_error:.3f} column pitches"
    if found == "not resolved":
        return Check(
            name="lattice",
            status="not checked",
            text=f"not resolved: the camera has {registration.camera.pixels_per_column:.2f} pixels per column and "
            f"leaves {registration.code.row_stripe_contrast:.0%} of the finest stripes; the profile's lattice "
            f"({expected}) is taken. A closer picture of a part of the device shows it",
        )
    if found == expected:
        return Check(name="lattice", status="passed", text=f"{found}, as the profile says: {measured}")
    turned = found == "odd rows left" and expected == "odd rows right"
    advice = (
        "the device exchanges top and bottom, or left and right, of what it is sent, which moves patterns by half a "
        "column; switch its flips to how they were at the export"
        if turned
        else "is this the device of the profile?"
    )
    return Check(
        name="lattice",
        status="failed",
        text=f"{found}, the profile says {expected}: {measured}; {advice}",
        value=fit.column_zigzag,
        unit="column pitches",
        fault="mirror" if turned else None,
    )


def _orientation(registration: Registration) -> Check:
    orientation, rotation_degrees = registration.camera.view
    usual = orientation.identity and abs(rotation_degrees) <= WARN_ROTATION_DEGREES
    text = f"the camera sees patterns {orientation.text}, and turned by {rotation_degrees:+.2f} degrees"
    return Check(
        name="camera orientation",
        status="passed" if usual else "corrected",
        text=text if usual else f"{text}; pictures on the super-pixels are turned back",
        value=rotation_degrees,
        limit=WARN_ROTATION_DEGREES,
        unit="degrees",
        fault=None if usual else "mirror" if orientation.mirrored else "rotation",
    )


def _view(registration: Registration) -> Check:
    seen, scale = registration.camera.seen_fraction, registration.camera.pixels_per_column
    whole = seen == 1.0
    return Check(
        name="camera view",
        status="passed" if whole else "not checked",
        text=f"{seen:.0%} of the mirrors are in the picture, {scale:.2f} camera pixels per column"
        + ("" if whole else "; super-pixels outside it have no reference"),
        value=100 * seen,
        unit="%",
    )

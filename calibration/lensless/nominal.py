"""The camera as designed, for a capture without a calibration: nothing of it was verified."""

from pathlib import Path

import numpy as np

from cidesign import __version__
from cidesign.calibration.folder import SCHEMA_VERSION
from cidesign.calibration.lensless.calibrate import NOTHING_HELD, not_captured, require_sizes
from cidesign.calibration.lensless.calibration import LenslessCalibration
from cidesign.calibration.lensless.camera import Camera
from cidesign.calibration.lensless.capture import LenslessCapture
from cidesign.calibration.lensless.record import LenslessCalibrationRecord, StoredLenslessCalibration, arrays_of
from cidesign.calibration.verify import Verification
from cidesign.files import sha256_bytes
from cidesign.orientation import Orientation
from cidesign.pattern import ApertureMask
from cidesign.records import gathered

# What stands in the place of the folder of a calibration that was never written.
DESIGNED = Path("(as designed)")


def nominal_calibration(
    capture: LenslessCapture, design: ApertureMask, camera: Camera, created_utc: str
) -> StoredLenslessCalibration:
    """The mask as drawn at the distance as designed; dark level from the capture, gain and noise from the profile.

    Raises `FileError` for a capture of another mask or size, or without dark frames.
    """
    require_sizes(capture, design, camera)
    dark = capture.dark_of("scene")
    operator = camera.operator(design.levels)
    full = capture.record.saturation_counts or float(2**camera.adc_bits - 1)
    room = full - float(dark.mean())
    gain = room / camera.photoelectrons_full_scale
    calibration = LenslessCalibration(
        operator=operator,
        readout=Orientation(),
        dark_counts=dark.mean(axis=0),
        usable=np.ones(camera.geometry.sensor, dtype=bool),
        scale_counts=np.full(operator.channels, room / float(operator.white().max())),
        read_noise_counts=gain * camera.read_noise_photoelectrons,
        gain_counts_per_photoelectron=gain,
        measured=np.zeros(operator.psf.shape[1:], dtype=bool),
        psf_noise=0.0,
        pixel_uncertainty_px=0.0,
        notes=(
            "PSF, scale and colours as designed: nothing was measured; 1 is what would fill the converter's range in a "
            "white scene",
        ),
        saturation_counts=capture.record.saturation_counts,
    )
    checks = [not_captured("second point", "second"), not_captured("known target", "target")]
    record = gathered(
        LenslessCalibrationRecord,
        {
            "schema_version": SCHEMA_VERSION,
            "kind": "calibration",
            "modality": "lensless",
            "cidesign_version": __version__,
            "created_utc": created_utc,
            "capture": str(capture.path),
            "capture_utc": capture.record.created_utc,
            "bench": capture.record.bench_state,
            "verification": Verification(score=None, score_meaning=NOTHING_HELD, checks=checks),
            "arrays_sha256": sha256_bytes(*(one.tobytes() for one in arrays_of(calibration).values())),
            "sensor_size": operator.sensor,
            "image_size": operator.image,
            "code_size": camera.geometry.code,
            "mask_orientation": Orientation(),
            "mask_rotation_deg": 0.0,
            "mask_shift_px": (0.0, 0.0),
            "mask_distance_percent": None,
            "mean_scale_counts": float(calibration.scale_counts.mean()),
            "simulated_bench": capture.bench,
        },
        calibration,
        capture.record,
    )
    return StoredLenslessCalibration(DESIGNED, record, calibration)

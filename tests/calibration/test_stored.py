"""Calibration folders of earlier versions (`stored/`) are read, and say the same when they are written again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.calibration.base import AnyCalibration
from cidesign.calibration.cassi.record import read_cassi_calibration
from cidesign.calibration.estimate import Estimate
from cidesign.calibration.mri.record import read_kspace_calibration
from cidesign.calibration.single_pixel.record import read_calibration
from cidesign.orientation import Orientation

STORED = Path(__file__).parent / "stored"
READERS = {"single_pixel": read_calibration, "cassi": read_cassi_calibration, "mri": read_kspace_calibration}


def _content(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((STORED / name / "calibration.json").read_text())
    return content


@pytest.mark.parametrize("name", READERS)
def test_a_stored_record_is_said_again(name: str) -> None:
    stored: AnyCalibration = READERS[name](STORED / name)
    said = stored.record.model_dump(mode="json")
    # Places and orientations have other names by now, and a description is told from a bench; the rest is as read.
    moved = {"operator", "placement", "shift_px", "displacement_px", "source"}
    # What calibrations did not have then is not there: of virtual coils none.
    later = {"virtual_coils": None, "virtual_kept": None} if name == "mri" else {}
    assert {**said, **dict.fromkeys(moved)} == {**_content(name), **later, **dict.fromkeys(moved)}
    assert type(stored.record).model_validate(said) == stored.record
    assert stored.notes == tuple(_content(name)["notes"])


def test_a_single_pixel_response_and_operator_are_as_stored() -> None:
    found, content = read_calibration(STORED / "single_pixel"), _content("single_pixel")
    for name in ("dark_counts", "read_noise_counts", "gain_counts_per_photoelectron", "scale_counts"):
        assert getattr(found.response, name) == Estimate(**content[name])
    intercept = Estimate(**content["photon_transfer_intercept_counts2"])
    assert found.response.photon_transfer_intercept_counts2 == intercept
    assert (found.response.stray_counts, found.response.step_counts) == (
        content["stray_counts"],
        content["step_counts"],
    )
    operator, optics = content["operator"], found.optics
    place = optics.placement
    assert (place.rotation_deg, place.down_px, place.right_px) == (
        operator["rotation_deg"], operator["down_px"], operator["right_px"],
    )  # fmt: skip
    assert place.orientation == Orientation(
        operator["transpose"], operator["flip_vertical"], operator["flip_horizontal"]
    )
    assert (optics.polarity, optics.fitted) == (operator["polarity"], operator["fitted"])
    assert optics.shift_error_px == operator["shift_error_px"]
    with np.load(STORED / "single_pixel" / "arrays.npz") as arrays:
        np.testing.assert_array_equal(optics.illumination, arrays["light_map"])


def test_a_cassi_operator_and_detector_are_as_stored() -> None:
    found, content = read_cassi_calibration(STORED / "cassi").calibration, _content("cassi")
    for name in ("scale_counts", "read_noise_counts", "saturation_counts", "pixel_uncertainty_px"):
        assert getattr(found, name) == content[name]
    assert list(found.operator.size) == content["detector_size"]
    assert found.binning == content["detector_px_per_code_px"]
    with np.load(STORED / "cassi" / "arrays.npz") as arrays:
        for name in ("masks", "to_code", "response"):
            np.testing.assert_array_equal(getattr(found.operator, name), arrays[name])
        for name in ("dark_counts", "flat", "shift_px", "usable"):
            np.testing.assert_array_equal(getattr(found, name), arrays[name])


def test_a_scanner_and_its_corrections_are_as_stored() -> None:
    """One of three coils was left out, and every correction has a value of its own."""
    found, content = read_kspace_calibration(STORED / "mri").calibration, _content("mri")
    for name in ("scale", "echo_shift_samples", "acs_lines", "kernel", "support"):
        assert getattr(found, name) == content[name]
    assert found.orientation == Orientation(**content["orientation"]) == Orientation(True, False, True)
    wrong = found.corrections
    assert (wrong.coils, wrong.offset_lines) == ((0, 2), 1)
    assert (wrong.shift_px, wrong.drift_rad_per_readout) == (1.5, 0.01)
    assert wrong.offset is not None
    np.testing.assert_array_equal(wrong.offset, [1e-6, 2e-6j, 3e-6])
    assert (found.noise.source, found.noise.from_scan) == (content["noise_source"], content["noise_from_scan"])
    with np.load(STORED / "mri" / "arrays.npz") as arrays:
        np.testing.assert_array_equal(found.maps, arrays["maps"])
        np.testing.assert_array_equal(found.noise.covariance, arrays["noise_covariance"])

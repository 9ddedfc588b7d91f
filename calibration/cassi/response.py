"""How much light each band gives, and what a count is worth.

    response_k = lamp(l_k) detector(l_k), divided by its mean over the bands
    scale      = mean(flat - dark) / sum_k response_k

The flat field is the lamp's light without the mask: there every band reaches every pixel, so the operator's y is
sum_k response_k = L.  White target, flat and scene share lamp and exposure, and the white target is left for
verification.
"""

import numpy as np

from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.optics import Array
from cidesign.errors import FileError


def spectral_response(capture: CassiCapture, wavelengths_nm: Array) -> tuple[Array, str]:
    """Relative light of every band (L,), mean 1, and its source; raises `FileError` without a lamp spectrum."""
    record = capture.known
    if record.lamp is None:
        raise FileError(
            f"{capture.path}: capture.json gives no `lamp` spectrum; measure the lamp with a spectrometer and write "
            "its wavelength_nm, relative and source"
        )
    light = record.lamp.at(wavelengths_nm, f"{capture.path}: lamp")
    source = f"light of the bands: lamp spectrum ({record.lamp.source})"
    if record.detector_response is None:
        source += ", in which the detector's response is taken to be contained"
    else:
        light = light * record.detector_response.at(wavelengths_nm, f"{capture.path}: detector_response")
        source += f" times detector response ({record.detector_response.source})"
    return np.asarray(light / light.mean()), source

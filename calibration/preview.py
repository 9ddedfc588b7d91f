"""The picture of a calibration: photon transfer and linearity, with what was fitted."""

import io

import numpy as np

from cidesign.calibration.response import Response, WhiteLevels


def draw_photon_transfer(levels: WhiteLevels, response: Response) -> bytes:
    """A PNG with two panels: variance against signal with the fitted line, and the departure from linearity."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    transfer, linearity = figure.subplots(1, 2)
    signal = levels.mean_counts - response.dark_counts.value
    gain, intercept = response.gain_counts_per_photoelectron, response.intercept_counts2

    # A variance from M successive differences scatters by sqrt(3 / M) of itself.
    scatter = levels.variance_counts2 * (3.0 / levels.repeats) ** 0.5
    transfer.errorbar(signal, levels.variance_counts2, yerr=scatter, fmt="o", markersize=4, label="white frames")
    transfer.plot(0, response.read_noise_counts.value**2, "s", markersize=4, label="dark frames")
    line = np.array([0.0, float(signal.max())])
    transfer.plot(line, gain.value * line + intercept.value, label=f"gain {gain.value:.4g} ± {gain.standard_error:.2g}")
    transfer.set(xlabel="mean above dark (counts)", ylabel="variance (counts²)", title="photon transfer")
    transfer.legend(frameon=False, fontsize=8)

    scale = response.scale_counts.value
    departure = 100 * (signal - scale * levels.light_fraction) / scale
    error = 100 * (levels.variance_counts2 / levels.repeats) ** 0.5 / scale
    linearity.errorbar(levels.light_fraction, departure, yerr=error, fmt="o", markersize=4)
    linearity.axhline(0.0, linewidth=0.8, color="grey")
    linearity.set(xlabel="light fraction", ylabel="departure (% of full white)", title="linearity")

    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()

"""
A mask that hangs in my camera
==============================

A coded aperture that exists already, in a single-disperser spectral camera: no design, no training, a cube.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import cidesign as ci

folder = Path(tempfile.mkdtemp())
mask = (np.random.default_rng(3).random((48, 48)) < 0.5).astype(np.float32)
np.save(folder / "mask.npy", mask)

# %%
# The profile says wavelengths, dispersion and pitch: copy ``chrome-laser-10um`` and change the numbers to yours. What the
# file leaves open is asked for, never guessed; here, whether 1 means clear.
design = ci.design(folder / "mask.npy", "chrome-laser-10um", folder / "mask", polarity="normal")
print(design.record.said)

# %%
# Such a design is simulated, calibrated and reconstructed like a run.
capture = ci.simulate(design, seed=2)
calibration = ci.calibrate(design, capture)
print("calibration:", calibration.verification.verdict)
images = ci.reconstruct(design, capture, calibration)
print(images.table())

# %%
cube, truth = images.images.linear, capture.truth
figure, axes = plt.subplots(2, 4, figsize=(9, 4.6))
for column, band in enumerate((0, 2, 5, 7)):
    for row, (name, values) in enumerate((("scene", truth), ("linear", cube))):
        axes[row, column].imshow(values[band], cmap="gray", vmin=0, vmax=float(truth.max()))
        axes[row, column].set_title(f"{name}, band {band}")
        axes[row, column].axis("off")
plt.show()

"""
A first student
===============

Design 102 one-bit patterns of 32 x 32 super-pixels for a DLP4500, and the decoder that goes with them.

A teacher whose patterns may have any value is trained first, then a student whose patterns are what the mirrors can show.
The images are procedural (dead leaves), so nothing has to be downloaded.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import cidesign as ci

folder = Path(tempfile.mkdtemp())
run = ci.distill(
    "dlp4500", side=32, images=1500, validation_images=100, channels=8, teacher_epochs=2, student_epochs=2,
    teacher="none", strategy="distill", out=folder / "run",
)  # fmt: skip

# %%
# What was learned is a design: patterns of 0 and 1, with the digest by which every later file names them.
print(run.design.levels.shape, run.design.levels.dtype, run.design.design_digest[:12])

figure, axes = plt.subplots(2, 6, figsize=(9, 3.2))
for axis, pattern in zip(axes.flat, run.design.levels, strict=False):
    axis.imshow(pattern, cmap="gray", interpolation="nearest")
    axis.axis("off")
figure.suptitle("12 of the 102 patterns")
plt.show()

# %%
# The limits of the device are looked at on what was re-read from disk, not on what is in memory.
files = ci.export(run, folder / "export")
print(ci.check(files).text)

# %%
# A scene that the bench would see: simulate what the detector reads, calibrate, and reconstruct. After so short a training
# the network is hardly ahead of the linear estimate, and total variation is ahead of both: all stand side by side.
capture = ci.simulate(run, seed=1)
calibration = ci.calibrate(run, capture)
images = ci.reconstruct(run, capture, calibration)
print("calibration:", calibration.verification.verdict)
print(images.table())

# %%
shown = {"scene": capture.truth, "student": images.images.student, "best linear": images.images.lmmse}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for axis, (name, image) in zip(axes, shown.items(), strict=True):
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    error = np.sqrt(np.mean((image - capture.truth) ** 2))
    axis.set_title(name if name == "scene" else f"{name}, rms error {error:.3f}")
    axis.axis("off")
plt.show()

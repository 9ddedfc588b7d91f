"""
A calibration, and what it saved
================================

The bench is never as designed. Here the patterns are turned by ten degrees and the lamp drifts; the calibration finds
both, from the captures alone, and is judged on readings that its fit did not use.
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
capture = ci.simulate(run, faults={"rotation": 10, "drift": 5}, seed=1)
calibration = ci.calibrate(run, capture)
print("verdict:", calibration.verification.verdict)
for check in calibration.verification.checks:
    if check.status != "passed":
        print(f"{check.status:12} {check.name}: {check.text}")

# %%
# The same readings with the operator as designed, and as calibrated. Both are on the scene's own light, so their errors
# can be compared.
designed = ci.reconstruct(run, capture)
calibrated = ci.reconstruct(run, capture, calibration)
print("as designed:", designed.record.verdict, "- as calibrated:", calibrated.record.verdict)

figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
shown = {"scene": capture.truth, "as designed": designed.images.student, "calibrated": calibrated.images.student}
for axis, (name, image) in zip(axes, shown.items(), strict=True):
    gain = float((image * capture.truth).sum() / (image * image).sum())
    error = np.sqrt(np.mean((gain * image - capture.truth) ** 2))
    axis.imshow(gain * image, cmap="gray", vmin=0, vmax=1)
    axis.set_title(name if name == "scene" else f"{name}, rms error {error:.3f}")
    axis.axis("off")
plt.show()

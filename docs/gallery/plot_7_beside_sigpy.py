"""
Beside sigpy
============

The operator of a design is a pair of functions on arrays, so any solver can use it: here sigpy's, on a scan of learned
k-space lines. With deepinv, `ci.to_deepinv(run)` is its physics.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import sigpy

import cidesign as ci

folder = Path(tempfile.mkdtemp())
run = ci.distill(
    "mri-generic-3t", side=64, acceleration=4, images=400, validation_images=40, channels=8, teacher_epochs=1,
    student_epochs=1, teacher="none", strategy="distill", out=folder / "run",
)  # fmt: skip
print(len(run.design.acquired), "of 64 lines")

# %%
# A and A^H on complex images (64, 64). They are adjoint: <A x, y> = <x, A^H y>.
operator = run.operator
rng = np.random.default_rng(1)
x = (rng.normal(size=(64, 64)) + 1j * rng.normal(size=(64, 64))).astype(np.complex64)
y = operator.A(x)
other = (rng.normal(size=y.shape) + 1j * rng.normal(size=y.shape)).astype(np.complex64)
print("adjoint to", abs(np.vdot(other, y) - np.vdot(operator.A_adjoint(other), x)) / abs(np.vdot(other, y)))

# %%
# Total variation by sigpy's primal-dual solver, beside our own decoder on the same readings.
scene = np.zeros((64, 64), np.complex64)
scene[10:54, 14:50], scene[20:44, 22:30], scene[24:34, 36:44] = 0.4, 0.9, 0.7
readings = operator.A(scene)


class Design(sigpy.linop.Linop):
    """The operator of the design, for sigpy."""

    def __init__(self, forward: bool = True) -> None:
        self.forward = forward
        shapes = (readings.shape, scene.shape) if forward else (scene.shape, readings.shape)
        super().__init__(*shapes)

    def _apply(self, values):
        return operator.A(values) if self.forward else operator.A_adjoint(values)

    def _adjoint_linop(self):
        return Design(not self.forward)


gradient = sigpy.linop.FiniteDifference(scene.shape)
solver = sigpy.app.LinearLeastSquares(
    Design(), readings, proxg=sigpy.prox.L1Reg(gradient.oshape, 0.003), G=gradient, max_iter=200, show_pbar=False
)
tv = solver.run()
student = run.student(readings)

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
shown = {"scene": scene, "sigpy, total variation": tv, "student": student}
for axis, (name, image) in zip(axes, shown.items(), strict=True):
    error = np.sqrt(np.mean(np.abs(image - scene) ** 2))
    axis.imshow(np.abs(image), cmap="gray", vmin=0, vmax=1)
    axis.set_title(name if name == "scene" else f"{name}, rms error {error:.3f}")
    axis.axis("off")
plt.show()

"""
My capture is an array
======================

Readings of a detector that were recorded last year, with the patterns that were shown: no capture folder, no calibration.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import hadamard

import cidesign as ci

folder = Path(tempfile.mkdtemp())
side, shown = 32, 400
row, column = np.mgrid[:side, :side] / side
scene = 0.1 + 0.8 * (np.hypot(row - 0.4, column - 0.35) < 0.22) + 0.4 * (np.abs(row + 0.6 * column - 1.1) < 0.08)
# Hadamard patterns in the order of their sign changes along both axes, the coarsest first; each with its complement.
basis = hadamard(side)[np.argsort(np.abs(np.diff(hadamard(side), axis=1)).sum(axis=1))]
order = sorted(((i, j) for i in range(side) for j in range(side)), key=lambda pair: (pair[0] + 1) * (pair[1] + 1))
patterns = np.stack([np.outer(basis[i], basis[j]) for i, j in order[:shown]])
np.save(folder / "patterns.npy", patterns.reshape(shown, -1))
frames = np.stack([(1 + patterns) / 2, (1 - patterns) / 2], axis=1).reshape(-1, side * side)
readings = 100 + 3 * frames @ scene.ravel() + np.random.default_rng(2).normal(size=2 * shown)
np.savetxt(folder / "readings.csv", readings, header="reading", comments="")

# %%
# ``encoding`` says what was shown: each pattern and its complement.
design = ci.design(
    folder / "patterns.npy", "dlp4500", folder / "mine", encoding="complementary", axis="first", order="row"
)
images = ci.reconstruct(design, folder / "readings.csv")
print(images.table())
print("verdict:", images.record.verdict)

# %%
# Without a calibration the verdict is *not verified*: nothing in these files shows that the patterns lie as they are said
# to. The image agrees with the readings, which is looked at too.
for remark in images.remarks:
    print("-", remark)
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
for axis, (name, image) in zip(
    axes,
    {"scene": scene, "best linear": images.images.linear, "least variation": images.images.tv}.items(),
    strict=True,
):
    axis.imshow(image / np.max(image), cmap="gray", vmin=0, vmax=1)
    axis.set_title(name)
    axis.axis("off")
plt.show()

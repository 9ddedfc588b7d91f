"""
Trained on my own images
========================

Patterns are as good as the images that they are trained for. Here the images are of one kind (printed letters), which
learning can make use of; of photographs it gains little over low-pass patterns.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

import cidesign as ci

folder = Path(tempfile.mkdtemp())
letters = folder / "letters"
letters.mkdir()
rng = np.random.default_rng(1)
for number in range(400):
    font = ImageFont.truetype(findfont(str(rng.choice(["DejaVu Sans", "DejaVu Serif"]))), int(rng.integers(22, 31)))
    picture = Image.new("L", (32, 32), int(rng.integers(0, 60)))
    letter = "ABCDEFGHKLMNPRSTUVXYZ"[rng.integers(21)]
    place = tuple(int(value) for value in 16 + rng.integers(-2, 3, 2))
    ImageDraw.Draw(picture).text(place, letter, fill=int(rng.integers(160, 256)), font=font, anchor="mm")
    picture.save(letters / f"{number:03d}.png")

# %%
# A folder, a file of arrays, a data set: whatever `--data` takes. Letters must not be mirrored in training, so images are
# shifted instead (`augmentation="shifts"`). Some of the pictures are kept back.
settings = {
    "side": 32, "patterns": 102, "images": 360, "validation_images": 40, "channels": 8, "augmentation": "shifts",
    "pictures": "whole",
}  # fmt: skip
run = ci.distill(
    "dlp4500", data=letters, teacher_epochs=4, student_epochs=4, teacher="none", strategy="distill", out=folder / "run",
    **settings,
)  # fmt: skip

# %%
# Beside the strong designs that nobody had to learn, on the pictures that were kept back. Their decoders are trained for
# as many epochs as teacher and student together.
evaluation = ci.evaluate(run, train=False)
print(evaluation.text())

# %%
capture = ci.simulate(run, scene=letters / "399.png", seed=1)
images = ci.reconstruct(run, capture, ci.calibrate(run, capture))
figure, axes = plt.subplots(1, 4, figsize=(10, 3))
shown = {"scene": capture.truth, "student, 102 patterns": images.images.student, "best linear": images.images.lmmse}
for axis, (name, image) in zip(axes, shown.items(), strict=False):
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    axis.set_title(name)
axes[3].imshow(run.design.levels[:12].reshape(3, 4, 32, 32).transpose(0, 2, 1, 3).reshape(96, 128), cmap="gray")
axes[3].set_title("12 of the patterns")
for axis in axes:
    axis.axis("off")
plt.show()

"""
Trained on my own images
========================

Patterns and decoder are those of the images that they were trained on. Here the images are printed letters, and two runs are
held against each other on letters that neither has seen: one trained on letters, one on the procedural images of the default.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

import cidesign as ci

folder = Path(tempfile.mkdtemp())
letters, others = folder / "letters", folder / "others"
letters.mkdir()
others.mkdir()
rng = np.random.default_rng(1)
for number in range(460):
    font = ImageFont.truetype(findfont(str(rng.choice(["DejaVu Sans", "DejaVu Serif"]))), int(rng.integers(22, 31)))
    picture = Image.new("L", (32, 32), int(rng.integers(0, 60)))
    letter = "ABCDEFGHKLMNPRSTUVXYZ"[rng.integers(21)]
    place = tuple(int(value) for value in 16 + rng.integers(-2, 3, 2))
    ImageDraw.Draw(picture).text(place, letter, fill=int(rng.integers(160, 256)), font=font, anchor="mm")
    picture.save((letters if number < 400 else others) / f"{number:03d}.png")

# %%
# A folder, a file of arrays, a data set: whatever `--data` takes. Letters must not be mirrored in training, so images are
# shifted instead (`augmentation="shifts"`).
settings = {
    "side": 32, "patterns": 102, "images": 360, "validation_images": 40, "channels": 8, "augmentation": "shifts",
    "teacher_epochs": 4, "student_epochs": 4, "teacher": "none", "strategy": "distill",
}  # fmt: skip
run = ci.distill("dlp4500", data=letters, pictures="whole", out=folder / "run", **settings)
usual = ci.distill("dlp4500", out=folder / "usual", **settings)

# %%
# Both on the 60 other letters, with equal noise. Eight epochs of 360 pictures give little; what more images and epochs give,
# for other kinds of pictures too, is in the results.
for name, one in (("trained on letters", run), ("trained on dead leaves", usual)):
    student = ci.evaluate(one, others, train=False).rows[0]
    print(f"{name:23} PSNR {student.images['psnr_db']:.2f} dB, SSIM {student.images['ssim']:.3f}")

# %%
capture = ci.simulate(run, scene=others / "400.png", seed=1)
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

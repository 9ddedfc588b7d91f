"""
A device and a decoder of my own
================================

A device is a file of numbers with their sources. A decoder is a class in a package of your own, which names it as an entry
point; no file that cidesign reads can bring code along.
"""

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import cidesign as ci
from cidesign.hardware_profiles.loader import shipped_profiles

folder = Path(tempfile.mkdtemp())
(shipped,) = (entry.path for entry in shipped_profiles() if entry.id == "dlp4500")
mine = shipped.read_text().replace('id = "dlp4500"', 'id = "my-dmd"')
(folder / "my_dmd.toml").write_text(mine)
profile = ci.profile(folder / "my_dmd.toml")
print(profile.id, profile.digest[:12])

# %%
# The decoder: the best linear estimate, and two convolutions that correct it. It takes the operator, so that a calibrated
# one can replace the designed one.
(folder / "my_decoder.py").write_text("""
import torch
from pydantic import Field
from torch import nn

from cidesign.models.decoder import Decoder, DecoderOutput, DecoderSettings


class MySettings(DecoderSettings):
    width: int = Field(default=8, ge=1, le=512)


class MyDecoder(Decoder):
    settings_type = MySettings

    def __init__(self, bands, size, settings):
        super().__init__(bands, size, settings)
        self.inward = nn.Conv2d(bands, settings.width, 5, padding=2)
        self.outward = nn.Conv2d(settings.width, bands, 5, padding=2)
        # It begins as the linear estimate, and can only learn from there.
        nn.init.zeros_(self.outward.weight)
        nn.init.zeros_(self.outward.bias)

    def bottleneck(self, y, encoder):
        return torch.relu(self.inward(self.linear_estimate(y, encoder)))

    def forward(self, y, encoder):
        x_0 = self.linear_estimate(y, encoder)
        features = torch.relu(self.inward(x_0))
        return DecoderOutput(x_0 + self.outward(features), features)
""")
# What `pip install` writes for the entry point in your pyproject.toml.
metadata = folder / "my_decoder-1.0.dist-info"
metadata.mkdir()
(metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-decoder\nVersion: 1.0\n")
(metadata / "entry_points.txt").write_text("[cidesign.decoders]\nmine = my_decoder:MyDecoder\n")

# %%
sys.path.insert(0, str(folder))  # as if it were installed
run = ci.distill(
    profile, decoder="mine", width=16, side=16, patterns=64, images=1000, validation_images=100, teacher_epochs=2,
    student_epochs=2, teacher="none", strategy="distill", out=folder / "run",
)  # fmt: skip
print(run.settings.decoder, "on", run.profile.id)
capture = ci.simulate(run, seed=3)
images = ci.reconstruct(run, capture, ci.calibrate(run, capture))
print(images.table())

figure, axes = plt.subplots(1, 2, figsize=(6, 3.2))
for axis, (name, image) in zip(
    axes, {"scene": capture.truth, "my decoder": images.images.student}.items(), strict=True
):
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    axis.set_title(name)
    axis.axis("off")
plt.show()

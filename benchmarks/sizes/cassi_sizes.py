"""Seconds and memory of a cube without training, for masks of 256 x 256 and 660 x 660, 28 bands, 2 pixels per band.

A grey random mask, a procedural scene, an image of a camera with 1 % of noise: what `cidesign reconstruct --design`
does, from the design folder to the files that it writes, in a process of its own.  Seconds are those of the clock and
of the processor, which are far apart where other programs run; memory is the largest that was resident.

Run: python benchmarks/sizes/cassi_sizes.py [SIDE]...
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import cidesign as ci
from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.modalities.cassi.data.dead_leaves import spectral_dead_leaves

BANDS, STEP_PX, NOISE = 28, 2, 0.01
SIDES = (256, 660)
SEED = 2**33 + 1


def profile() -> ApertureProfile:
    """A camera of 28 bands."""
    raw = ci.profile("chrome-laser-10um").model_dump(mode="json")
    raw["spectrograph"]["wavelengths_nm"]["value"] = np.linspace(450, 650, BANDS).round(1).tolist()
    raw["spectrograph"]["shift_px"]["value"] = [float(STEP_PX * band) for band in range(BANDS)]
    return ApertureProfile.model_validate(raw)


def measure(side: int, answers: "multiprocessing.Queue[str]") -> None:
    """Make the mask and the image, and reconstruct."""
    rng = np.random.default_rng(1)
    mask = rng.random((side, side)).astype(np.float32)
    scene = spectral_dead_leaves(1, side, profile().spectrograph.wavelengths_nm.value, SEED)[0] / 255.0
    y = np.zeros((side, side + STEP_PX * (BANDS - 1)))
    for band in range(BANDS):
        y[:, STEP_PX * band : STEP_PX * band + side] += mask * scene[band]
    y += NOISE * y.max() * rng.normal(size=y.shape)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.save(folder / "mask.npy", mask)
        (folder / "camera.toml").write_text(
            f"white_counts = 1\ndark_counts = 0\nread_noise_counts = {NOISE * y.max()}\n"
        )
        design = ci.design(folder / "mask.npy", profile(), folder / "design")
        capture = CassiCapture(Path("y.npy"), None, {"scene": y})
        clock, processor = time.perf_counter(), time.process_time()
        calibration = ci.calibrate(design, capture, instrument=folder / "camera.toml")
        found = ci.reconstruct(design, capture, calibration, folder / "images")
        seconds = time.perf_counter() - clock, time.process_time() - processor
    row = {
        "mask": f"{side} x {side}", "clock_s": round(seconds[0], 1), "processor_s": round(seconds[1], 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "psnr_db": {name: round(float(-10 * np.log10(np.mean((cube - scene) ** 2))), 2)
                    for name, cube in found.images.items()},
    }  # fmt: skip
    answers.put(json.dumps(row))


def main() -> None:
    """One process for each size, so that memory is that of the size alone."""
    context = multiprocessing.get_context("spawn")
    for side in [int(text) for text in sys.argv[1:]] or SIDES:
        answers: multiprocessing.Queue[str] = context.Queue()
        process = context.Process(target=measure, args=(side, answers))
        process.start()
        print(answers.get())
        process.join()


if __name__ == "__main__":
    main()

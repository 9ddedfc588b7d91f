"""Shadows of masks beside the angular spectrum of an independent library: waveprop (MIT).

    pip install --no-deps waveprop pyffs progressbar && python benchmarks/lensless_propagation.py

waveprop's `angular_spectrum_np` (band-limited; Matsushima and Shimobaba, Opt. Express 17, 19662, 2009) propagates the
field behind a random mask, at a tenth of a code pixel; its intensity is averaged over sensor samples.  Printed is the
root-mean-square difference of both shadows over that of the structure, with 4 points of the plane along a code pixel,
as samples of half a code pixel have in training, and with 8; for the Fresnel numbers of the shipped profiles and
around.  waveprop imports torchvision for pictures, which takes no part here: where it is absent an empty module stands
in for it.
"""

import argparse
import importlib.util
import sys
import types

import numpy as np
import torch

from cidesign.calibration.lensless.optics import Geometry, Lines, fresnel_number
from cidesign.modalities.lensless.encoders.propagation import Propagation
from cidesign.text import table

CODE, FINE, DARK = (17, 14), 10, 3
CASES = ((50.0, 4000.0), (60.0, 6000.0), (30.0, 4000.0), (20.0, 4000.0), (100.0, 2000.0))
WAVELENGTHS_UM = (0.46, 0.535, 0.6)


def _without_torchvision() -> None:
    if importlib.util.find_spec("torchvision") is None:
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            module = types.ModuleType(name)
            module.crop = module.resize = None  # type: ignore[attr-defined]
            sys.modules[name] = module


def theirs(levels: np.ndarray, pitch_um: float, distance_um: float, wavelength_um: float) -> np.ndarray:
    """The intensity behind a mask, averaged over samples of half a code pixel; darkness around the mask."""
    from waveprop.rs import angular_spectrum_np

    around = DARK * max(CODE)
    field = np.pad(levels.astype(float), around).repeat(FINE, axis=0).repeat(FINE, axis=1)
    step_um = pitch_um / FINE
    found = angular_spectrum_np(field, wavelength_um * 1e-6, step_um * 1e-6, distance_um * 1e-6)
    light = np.abs(found[0]) ** 2
    half = FINE // 2
    return light.reshape(light.shape[0] // half, half, light.shape[1] // half, half).mean(axis=(1, 3))


def ours(levels: np.ndarray, pitch_um: float, distance_um: float, wavelength_um: float, parts: int) -> np.ndarray:
    """The same by the encoder's propagation, for samples `parts` times as small that are averaged afterwards."""
    rows, columns = (2 * parts * (count + 2 * DARK * max(CODE)) for count in CODE)
    geometry = Geometry(CODE, pitch_um, distance_um, pitch_um / 2 / parts, (1, 1), (rows, columns))
    lines = [Lines(np.array([wavelength_um]), np.ones(1))]
    found = Propagation(geometry, lines, "waves").psf(torch.from_numpy(levels.astype(float))[None])[0, 0].numpy()
    return found.reshape(rows // parts, parts, columns // parts, parts).mean(axis=(1, 3))


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    _without_torchvision()
    levels = np.random.default_rng(1).integers(0, 2, CODE)
    rows = []
    for pitch_um, distance_um in CASES:
        for wavelength_um in WAVELENGTHS_UM:
            other = theirs(levels, pitch_um, distance_um, wavelength_um)
            apart = []
            for parts in (1, 2):
                own = ours(levels, pitch_um, distance_um, wavelength_um, parts)
                apart.append(f"{float(np.sqrt(((own - other) ** 2).mean()) / other.std()):.4f}")
            number = fresnel_number(pitch_um, wavelength_um, distance_um)
            rows.append((f"{pitch_um:g}", f"{distance_um:g}", f"{wavelength_um:g}", f"{number:.2f}", *apart))
    header = (
        "code / um", "distance / um", "wavelength / um", "Fresnel number", "difference, 4 points", "8 points",
    )  # fmt: skip
    print(table(rows, header))


if __name__ == "__main__":
    main()

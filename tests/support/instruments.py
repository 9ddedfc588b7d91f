"""Instruments of a small SD-CASSI camera from TOML files, and captures by the definition of what it does."""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from cidesign.calibration.cassi.capture import CassiCapture
from cidesign.calibration.cassi.instrument.check import mask_check
from cidesign.calibration.cassi.instrument.described import Instrument, read_instrument
from cidesign.checks import Check
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import ApertureMask

BANDS, HEIGHT, WIDTH, STEP = 8, 90, 96, 2
SPAN = (BANDS - 1) * STEP
NM = np.linspace(450, 650, BANDS)
RNG = np.random.default_rng(5)
MASK = np.clip(gaussian_filter((RNG.random((HEIGHT, WIDTH)) > 0.5).astype(float), 0.6), 0, 1)


def made_for(nm: np.ndarray, shifts: list[float], axis: str = "columns") -> ApertureProfile:
    """A profile of other bands."""
    raw = load_profile("chrome-laser-10um").model_dump(mode="json")
    for name, value in (("wavelengths_nm", nm.tolist()), ("shift_px", shifts), ("axis", axis)):
        raw["spectrograph"][name]["value"] = value
    return ApertureProfile.model_validate(raw)


PROFILE = made_for(NM, [float(STEP * k) for k in range(BANDS)])


def designed(levels: np.ndarray = MASK, profile: ApertureProfile = PROFILE) -> ApertureMask:
    return ApertureMask(levels.astype(np.float32), 10.0, profile.id, profile.digest)


DESIGN = designed()


def alone(y: np.ndarray) -> CassiCapture:
    """A capture of which the images alone are there."""
    return CassiCapture(Path("scene.npy"), None, {"scene": y})


def scene(seed: int, bands: int = BANDS) -> np.ndarray:
    """Discs with smooth spectra before a smooth background."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    cube = np.zeros((bands, HEIGHT, WIDTH))
    wave = np.linspace(0, 1, bands)
    cube += (0.4 + 0.2 * np.sin(3 * wave + seed))[:, None, None] * (0.6 + 0.4 * columns / WIDTH)
    for _ in range(60):
        row, column, radius = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH), rng.uniform(3, 14)
        inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        light = rng.uniform(0.1, 1) * np.exp(-(((wave - rng.uniform(0, 1)) / rng.uniform(0.2, 0.8)) ** 2))
        cube[:, inside] = light[:, None]
    return cube


def captured(
    cube: np.ndarray,
    mask: np.ndarray = MASK,
    sign: int = 1,
    axis: str = "columns",
    step: int = STEP,
    noise: float = 0.01,
) -> np.ndarray:
    """By the definition: every band of the masked scene, displaced by whole pixels."""
    masked = mask * cube
    if axis == "rows":
        return captured(cube.transpose(0, 2, 1), np.swapaxes(mask, -1, -2), sign, "columns", step, noise).T
    bands, height, width = masked.shape
    y = np.zeros((height, width + (bands - 1) * step))
    for k in range(bands):
        first = k * step if sign > 0 else (bands - 1 - k) * step
        y[:, first : first + width] += masked[k]
    return y + noise * np.random.default_rng(3).normal(size=y.shape)


def written(folder: Path, stored: np.ndarray | None = MASK, **fields: object) -> Path:
    if stored is not None:
        np.save(folder / "mask.npy", stored)
    body: dict[str, object] = {
        "mask": "mask.npy", "wavelengths_nm": NM.tolist(), "step_px": float(STEP), "axis": "columns", "sign": 1,
    }  # fmt: skip
    body |= fields
    lines = [f"{name} = {_toml(value)}" for name, value in body.items() if value is not None]
    (folder / "instrument.toml").write_text("\n".join(lines))
    return folder / "instrument.toml"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value).replace("'", '"')


def read(folder: Path, stored: np.ndarray | None = MASK, y: np.ndarray | None = None, **fields: object) -> Instrument:
    capture = None if y is None else alone(y)
    return read_instrument(written(folder, stored, **fields), DESIGN, PROFILE, capture)


def checked(folder: Path, y: np.ndarray, **fields: object) -> Check:
    return mask_check(read(folder, MASK, y, detector=list(y.shape), **fields).calibration(), y)

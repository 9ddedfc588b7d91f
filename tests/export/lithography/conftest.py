"""Masks and processes that the lithography tests share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.errors import FileError
from cidesign.export.aperture.gds import layout as gds_layout
from cidesign.export.aperture.gds.layout_child import answer
from cidesign.hardware_profiles.aperture.schema import ApertureProfile
from cidesign.hardware_profiles.loader import load_profile, validate_profile
from cidesign.io.child import Refused
from cidesign.pattern import ApertureMask

LETTER_F = (
    ".........",
    ".#######.",
    ".#.......",
    ".#.......",
    ".#####...",
    ".#.......",
    ".#.......",
    ".#.......",
    ".........",
    ".........",
    "######...",
)


def letter_f() -> NDArray[np.uint8]:
    """An F over a bar, 11 rows of 9: no flip, turn, transpose or inversion leaves it as it is."""
    return np.array([[cell == "#" for cell in row] for row in LETTER_F], dtype=np.uint8)


def mask_for(profile: ApertureProfile, levels: NDArray[np.uint8]) -> ApertureMask:
    return ApertureMask(levels, profile.pixel_pitch_um.value, profile.id, profile.digest)


def without_contacts(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A random code in which no two pixels touch at a corner alone."""
    generator = np.random.default_rng(seed)
    levels = generator.integers(0, 2, (height, width), dtype=np.uint8)
    while True:
        a, b, c, d = levels[:-1, :-1], levels[:-1, 1:], levels[1:, :-1], levels[1:, 1:]
        found = np.argwhere((a == d) & (b == c) & (a != b))
        if not len(found):
            return levels
        rows, columns = found.T + generator.integers(0, 2, (2, len(found)))
        levels[rows, columns] ^= 1


@pytest.fixture
def chrome() -> ApertureProfile:
    return load_profile("chrome-laser-10um")


@pytest.fixture
def letter(chrome: ApertureProfile) -> ApertureMask:
    return mask_for(chrome, letter_f())


@pytest.fixture
def code(chrome: ApertureProfile) -> ApertureMask:
    return mask_for(chrome, without_contacts(37, 50))


@pytest.fixture
def mask_of() -> Callable[[ApertureProfile, NDArray[np.uint8]], ApertureMask]:
    return mask_for


@pytest.fixture
def changed(chrome: ApertureProfile) -> Callable[..., ApertureProfile]:
    """The chrome process with other values: `changed(lithography__edge_bias_um=0.5, pixel_pitch_um=12.0)`."""

    def change(**values: Any) -> ApertureProfile:
        raw = chrome.model_dump(mode="json", exclude_none=True)
        for name, value in values.items():
            place = raw
            *path, last = name.split("__")
            for key in path:
                place = place[key]
            place[last] = {"value": value, "source": "test", "confidence": "D"}
        return validate_profile(raw, "test")

    return change


@pytest.fixture
def read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of layouts in this process: what the child would answer, without its start."""

    def ask(path: Path, reader: str, request: dict[str, Any], what: str, longest_s: float, cpu_s: float) -> Any:
        try:
            return answer({**request, "path": str(path), "what": what})
        except Refused as error:
            raise FileError(f"{path}: {error}") from error

    monkeypatch.setattr(gds_layout, "ask", ask)

"""Designs and devices that the export tests share."""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.constraints.sequence import plan_sequence
from cidesign.export.dmd.base import Exporter
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.writer import write_export
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import load_profile, validate_profile
from cidesign.io.child import ask
from cidesign.pattern import PatternStack


def answered_here(
    path: Path, reader: str, request: Mapping[str, Any], what: str, *limits: float, cpu_s: float | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `ask` gives, without the child: importing pypulseq anew for each file takes longer than all of its tests."""
    asked = json.loads(json.dumps({**request, "path": str(path), "what": what}))
    head, arrays = importlib.import_module(reader).answer(asked)
    return json.loads(json.dumps(asdict(head))), arrays


@pytest.fixture(scope="session", autouse=True)
def pulseq_in_this_process() -> Iterator[None]:
    """Have Pulseq files read here; `pulseq_in_the_child` gives a test the real child."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cidesign.export.mri.pulseq.read.ask", answered_here)
        yield


@pytest.fixture
def pulseq_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read Pulseq files in the bounded child, as the product does."""
    monkeypatch.setattr("cidesign.export.mri.pulseq.read.ask", ask)


LETTER_F = ("......", ".####.", ".#....", ".###..", ".#....", ".#...."), 6


def letter_f(side: int, level: int) -> NDArray[np.uint8]:
    """An F of `level` on 0, (side, side): no flip, turn or transpose leaves it as it is."""
    small = np.array([[level * (cell == "#") for cell in row] for row in LETTER_F[0]], dtype=np.uint8)
    index = np.arange(side) * LETTER_F[1] // side
    return small[np.ix_(index, index)]


def build_pattern(
    profile: DmdProfile, count: int, side: int, bit_depth: int = 1, encoding: str = "offset"
) -> PatternStack:
    """`count` patterns: an F first, then random levels from a fixed seed."""
    generator = np.random.default_rng(count * 100 + side * 10 + bit_depth)
    levels = generator.integers(0, 2**bit_depth, (count, side, side), dtype=np.uint8)
    levels[0] = letter_f(side, 2**bit_depth - 1)
    return PatternStack(levels, bit_depth, encoding, profile.id, profile.digest)  # type: ignore[arg-type]


def shrink(profile: DmdProfile, columns: int, rows: int) -> DmdProfile:
    """The same device with fewer mirrors, for tests that write many exports."""
    raw: dict[str, Any] = profile.model_dump(mode="json", exclude_none=True)
    raw["mirrors"]["columns"]["value"] = columns
    raw["mirrors"]["rows"]["value"] = rows
    return validate_profile(raw, "test")


@pytest.fixture
def shrunk() -> Callable[[DmdProfile, int, int], DmdProfile]:
    return shrink


@pytest.fixture
def dlp4500() -> DmdProfile:
    return load_profile("dlp4500")


@pytest.fixture
def tiny(dlp4500: DmdProfile) -> DmdProfile:
    """A DLP4500 of 21 x 30 mirrors (diamond): rows of 63 bytes, so BMP rows are padded."""
    return shrink(dlp4500, 21, 30)


@pytest.fixture
def make_pattern() -> Callable[..., PatternStack]:
    return build_pattern


@pytest.fixture
def small_export(tmp_path: Path) -> Callable[[str, str], tuple[Exporter, Path]]:
    """Write 30 frames of 4 x 4 super-pixels for a small version of a device, once; gives exporter and folder."""

    def write(format_name: str, device: str) -> tuple[Exporter, Path]:
        folder = tmp_path / "export"
        if not folder.exists():
            full = load_profile(device)
            # ALP rows are known for 1024 and 1920 mirrors only.
            profile = shrink(full, 1024 if format_name == "alp" else 22, 30)
            pattern = build_pattern(profile, 29, 4)
            write_export(exporter_named(format_name), pattern, profile, plan_sequence(profile, 30, 1), folder)
        return exporter_named(format_name), folder

    return write


@pytest.fixture
def plan_for() -> Callable[..., Any]:
    """The default plan of a design on a device."""

    def plan(profile: DmdProfile, pattern: PatternStack, **times: float) -> Any:
        return plan_sequence(profile, len(pattern.frames()), pattern.bit_depth, **times)

    return plan

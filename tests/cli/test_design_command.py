"""`cidesign design`: files that exist become a design that check, export and the emulator take."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cidesign as ci
from cidesign.errors import CidesignError, FileError, InputError
from cidesign.export.dmd.verify import verified
from cidesign.pattern import CartesianLines, PatternStack


def _patterns(path: Path, count: int = 6, side: int = 5) -> Path:
    levels = np.random.default_rng(4).integers(0, 2, (count, side, side), dtype=np.uint8)
    np.save(path, 2 * levels.astype(np.int8) - 1)
    return path


def test_patterns_of_ones_own_are_exported_as_they_are(cidesign: Callable[..., Any], tmp_path: Path) -> None:
    file, out = _patterns(tmp_path / "mine.npy"), tmp_path / "design"
    done = cidesign("design", file, "--profile", "dlp4500", "--out", out, "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert value["sources"][0]["name"] == "mine.npy"
    opened = ci.open_design(out)
    assert isinstance(opened.design, PatternStack)
    np.testing.assert_array_equal(opened.design.signed(), np.load(file))
    assert (out / "preview.png").is_file()
    assert cidesign("export", out).code == 0
    done = cidesign("check", out)
    assert done.code == 0, done.err
    assert "equal the design bit for bit" in done.out
    assert "understood:" in done.out
    assert list(verified(out / "export"))
    done = cidesign("distill", "--resume", "--out", out)
    assert done.code == 5
    assert f"train one with `cidesign distill --design {out}`" in done.err


def test_a_design_takes_the_place_of_another_when_it_is_asked_to(tmp_path: Path) -> None:
    for name in ("a.npy", "b.npy"):
        _patterns(tmp_path / name, 5 + len(name))
    ci.design(tmp_path / "a.npy", "dlp4500", tmp_path / "design")
    with pytest.raises(FileError, match="exists"):
        ci.design(tmp_path / "b.npy", "dlp4500", tmp_path / "design")
    found = ci.design(tmp_path / "b.npy", "dlp4500", tmp_path / "design", force=True)
    assert found.record.sources[0].name == "b.npy"


def test_lines_and_a_mask_from_python(tmp_path: Path) -> None:
    mask = np.zeros(32, dtype=np.uint8)
    mask[[2, 9, 14, 15, 16, 17, 25]] = 1
    np.save(tmp_path / "lines.npy", mask)
    lines = ci.design(tmp_path / "lines.npy", "mri-generic-3t", tmp_path / "scan", readout=32)
    assert isinstance(lines.design, CartesianLines)
    assert lines.design.acquired.tolist() == [2, 9, 14, 15, 16, 17, 25]
    code = np.random.default_rng(2).integers(0, 2, (12, 9)).astype(np.uint8)
    np.save(tmp_path / "mask.npy", code)
    opened = ci.design(tmp_path / "mask.npy", "chrome-laser-10um", tmp_path / "mask", polarity="inverted")
    np.testing.assert_array_equal(opened.design.levels, 1 - code)  # type: ignore[union-attr]
    assert opened.record.options == {"polarity": "inverted"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"polrity": "normal"},
            "--set polrity: a file of patterns leaves no such thing open; known are transpose, flip_vertical, "
            "flip_horizontal, encoding, polarity, bit_depth, white, order, axis, planes, channels, array",
        ),
        ({"bit_depth": 12}, "--set bit_depth=12: input should be less than or equal to 8"),
    ],
)
def test_wrong_options_are_one_line_and_nothing_is_written(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    file = _patterns(tmp_path / "mine.npy")
    with pytest.raises(InputError) as caught:
        ci.design(file, "dlp4500", tmp_path / "design", **options)
    assert text in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.npy"]


def test_a_changed_design_is_found(tmp_path: Path) -> None:
    ci.design(_patterns(tmp_path / "mine.npy"), "dlp4500", tmp_path / "a")
    ci.design(_patterns(tmp_path / "other.npy", side=7), "dlp4500", tmp_path / "b")
    (tmp_path / "a" / "design.npz").write_bytes((tmp_path / "b" / "design.npz").read_bytes())
    with pytest.raises(FileError, match="not the design that design"):
        ci.check(tmp_path / "a")
    with pytest.raises(CidesignError, match="exists already"):
        ci.design(tmp_path / "mine.npy", "dlp4500", tmp_path / "a")


def test_a_folder_of_frames_says_what_it_holds(cidesign: Callable[..., Any], tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(1)
    (tmp_path / "frames").mkdir()
    for number in range(3):
        frame = 255 * rng.integers(0, 2, (1140, 912), dtype=np.uint8)
        Image.fromarray(frame).save(tmp_path / "frames" / f"frame_{number}.png")
    done = cidesign("check", tmp_path / "frames", "--profile", "dlp4500")
    assert done.code == 0, done.err
    assert "3 of 912 x 1140 pixels" in done.out
    done = cidesign("check", tmp_path / "frames", "--profile", "dlp6500")
    assert done.code == 3
    assert "1920 x 1080" in done.err

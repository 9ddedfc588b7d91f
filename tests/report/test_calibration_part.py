"""Calibration folders in a report: verdict in words, every picture, circumstances; damaged ones refused in one line."""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cidesign.checks import Check
from cidesign.errors import FileError
from cidesign.files import save_npz, sha256_file
from cidesign.report.calibration_part import CAPTIONS, calibration_section
from cidesign.report.included import folder_section
from cidesign.report.parts import Figure
from cidesign.report.run_report import write_report
from cidesign.runs import Run

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PASSED = Check(name="held-out", status="passed", text="as <predicted>", value=0.01, limit=0.05, unit="of the signal")
MIRROR = Check(name="orientation", status="corrected", text="left and right exchanged", fault="mirror")
WARNING = Check(name="age", status="warning", text="calibrated 3 days before", value=3.0, limit=1.0, unit="days")
FAILED = Check(name="white target", status="failed", text="not as predicted", value=0.4, limit=0.25, fault="wrong-step")
UNSEEN = Check(name="phantom", status="not checked", text="none was captured")


def _picture(shade: int) -> bytes:
    target = io.BytesIO()
    Image.new("L", (5, 3), shade).save(target, format="PNG")
    return target.getvalue()


def _folder(path: Path, checks: list[Check], score: float | None = 0.012, **changes: Any) -> Path:
    """A calibration folder with two known pictures and an unknown one."""
    path.mkdir(exist_ok=True)
    save_npz(path / "arrays.npz", {"illumination": np.ones((2, 2))})
    record = {
        "schema_version": 2, "kind": "calibration", "modality": "single-pixel", "cidesign_version": "0.1",
        "created_utc": "2026-03-02", "capture": "bench/<b>cap", "capture_utc": "2026-03-01", "design_digest": "d1",
        "profile_digest": "p1", "exposure_us": 235.0, "notes": ["mind <the> lamp"],
        "bench": {"temperature_c": 21.5, "roi_px": [1, 2, 30, 40], "binning": 2, "detector_gain": "dial <3>"},
        "verification": {
            "score": score, "score_meaning": "misfit on the card", "checks": [one.model_dump() for one in checks]
        },
        "arrays_sha256": sha256_file(path / "arrays.npz"),
        "dark_counts": {"value": 200.0, "standard_error": 0.25}, "excluded_coils": [1, 4], "step_counts": 1.0,
        "operator": {"rotation_deg": -3.25, "fitted": True, "polarity": 1},
        "simulated_bench": {"faults": {"mirror": 1.0}},
    }  # fmt: skip
    (path / "calibration.json").write_text(json.dumps(record | changes))
    (path / "first.json").write_text(json.dumps(record))
    for number, name in enumerate(("photon_transfer", "operator", "own <i>")):
        (path / f"{name}.png").write_bytes(_picture(50 * number))
    return path


def _text(folder: Path, digest: str = "d1") -> str:
    section = folder_section(folder, digest)
    return "".join(block for block in section.blocks if isinstance(block, str))


def test_a_passed_calibration(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "cal", [PASSED, UNSEEN, WARNING, MIRROR])
    section = folder_section(folder, "d1")
    assert section.title == "Calibration: cal"
    assert isinstance(section.blocks[0], str)
    assert section.blocks[0].startswith('<p class="good">PASSED its verification')
    assert "1 of 4 things could not be checked" in section.blocks[0]
    text = _text(folder)
    assert "Found and allowed for: mirror." in text
    assert "Warnings: age; see the table." in text
    assert "held-out data: 0.012 (misfit on the card)" in text
    assert '<th scope="row">dark level / counts</th><td>200 ± 0.25</td>' in text
    assert '<th scope="row">operator: rotation deg</th><td>-3.25</td>' in text
    assert '<th scope="row">excluded coils</th><td>1, 4</td>' in text
    assert '<th scope="row">temperature</th><td>21.5 C</td>' in text
    assert "top 1, left 2, height 30, width 40" in text
    assert "yes; faults put into the bench: mirror" in text
    assert "dial &lt;3&gt;" in text
    assert "mind &lt;the&gt; lamp" in text
    assert "as &lt;predicted&gt;" in text
    assert "design of another run" not in text
    # What needs attention stands first.
    assert text.index("calibrated 3 days") < text.index("exchanged") < text.index("predicted") < text.index("none was")


def test_a_failed_calibration_says_so_first(tmp_path: Path) -> None:
    text = _text(_folder(tmp_path / "cal", [PASSED, FAILED], score=None), "d2")
    assert text.startswith('<p class="bad">FAILED its verification: white target (this resembles: wrong-step)')
    assert "--accept-failed" in text
    assert "Score: none." in text
    assert "design of another run" in text


def test_every_picture_with_its_caption(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "cal", [PASSED])
    shown = {b.png: b.caption for b in folder_section(folder, "d1").blocks if isinstance(b, Figure)}
    assert shown[_picture(0)] == f"photon_transfer.png: {CAPTIONS['photon_transfer']}"
    assert shown[_picture(50)] == f"operator.png: {CAPTIONS['operator']}"
    assert shown[_picture(100)] == "own <i>.png: a picture of this calibration."
    for caption in CAPTIONS.values():
        assert "ealthy" in caption


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "calibration.json").write_text("{"), "not readable JSON"),
        (lambda folder: (folder / "arrays.npz").write_bytes(b"x"), "is not the one that calibration.json names"),
        (lambda folder: (folder / "arrays.npz").unlink(), "is not the one that calibration.json names"),
        (
            lambda folder: (folder / "operator.png").write_bytes(b"GIF89a<script>"),
            "operator.png: this picture is not a",
        ),
        (lambda folder: [(folder / f"{n}.png").write_bytes(_picture(1)) for n in range(30)], "holds 33 pictures"),
        (lambda folder: _outside(folder), "a link that leaves its folder"),
    ],
)
def test_damaged_folders_are_refused(tmp_path: Path, damage: Callable[[Path], object], said: str) -> None:
    folder = _folder(tmp_path / "cal", [PASSED])
    damage(folder)
    with pytest.raises(FileError, match=said) as caught:
        folder_section(folder, "d1")
    assert "\n" not in str(caught.value)


def _outside(folder: Path) -> None:
    (folder.parent / "secret.png").write_bytes(_picture(9))
    (folder / "operator.png").unlink()
    (folder / "operator.png").symlink_to(folder.parent / "secret.png")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "capture"},
        {"verification": {"score": 1.0}},
        {"bench": {"temperature_c": "warm"}},
        {"notes": "none"},
        {"exposure_us": [1]},
    ],
)
def test_records_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(FileError, match=r"calibration\.json: ") as caught:
        folder_section(_folder(tmp_path / "cal", [PASSED], **changes), "d1")
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
KEYS = ["bench", "notes", "operator", "simulated_bench", "verification", "exposure_us", "<x>", "schema_version"]


@QUICK
@given(changes=st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_record_is_shown_as_text_or_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = tmp_path / "cal"
    record = json.loads((folder if folder.exists() else _folder(folder, [PASSED])).joinpath("first.json").read_text())
    (folder / "calibration.json").write_text(json.dumps(record | changes))
    with contextlib.suppress(FileError):
        assert "<x>" not in _text(folder)


def test_a_calibration_in_the_page_of_a_run(run: Run, tmp_path: Path) -> None:
    import torch

    folder = _folder(tmp_path / "cal", [FAILED, MIRROR])
    scenes = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    page = write_report(run, [folder], False, scenes).page.read_text()
    assert "<h2>Calibration: cal</h2>" in page
    assert "FAILED its verification" in page
    assert "own &lt;i&gt;.png" in page


def test_other_modalities_need_no_more(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "cal", [PASSED], modality="mri", exposure_us=None, simulated_bench=None)
    section = calibration_section(folder, "d1")
    text = "".join(block for block in section.blocks if isinstance(block, str))
    assert "no, a real bench" in text
    assert '<th scope="row">exposure</th><td>not written down</td>' in text

"""Reconstruction folders in a report: shown as text whatever they hold, refused where they are something else."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cidesign.errors import FileError
from cidesign.report.included import included_section
from cidesign.report.parts import Figure

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def _picture() -> bytes:
    target = io.BytesIO()
    Image.new("L", (5, 3), 77).save(target, format="PNG")
    return target.getvalue()


def _folder(path: Path, record: dict[str, Any]) -> Path:
    path.mkdir(exist_ok=True)
    (path / "reconstruction.json").write_text(json.dumps(record))
    (path / "comparison.png").write_bytes(_picture())
    return path


def _text(folder: Path) -> str:
    return "".join(block for block in included_section(folder, "d1").blocks if isinstance(block, str))


def test_numbers_tables_picture_and_remarks(tmp_path: Path) -> None:
    record = {
        "kind": "reconstruction",
        "design_digest": "d1",
        "simulated": True,
        "images": {"student": {"psnr_db": 23.456, "ssim": None, "more": [1]}, "linear": {"psnr_db": 20.0, "ssim": 0.5}},
        "table": [{"patterns": "all", "correlation": 0.98765}],
        "notes": ["mind <the> lamp"],
    }
    folder = _folder(tmp_path / "<i>mine", record)
    section = included_section(folder, "d1")
    assert section.title == "Reconstruction: <i>mine"
    assert [block.png for block in section.blocks if isinstance(block, Figure)] == [_picture()]
    text = _text(folder)
    assert "<tr><td>student</td><td>23.46</td><td>-</td></tr>" in text
    assert "<td>all</td><td>0.9877</td>" in text
    assert '<th scope="row">simulated</th><td>yes</td>' in text
    assert '<th scope="col">psnr db</th>' in text
    assert "mind &lt;the&gt; lamp" in text
    assert "another design" not in text


def test_another_design_is_said(tmp_path: Path) -> None:
    assert "is of another design" in _text(_folder(tmp_path / "rec", {"design_digest": "d2"}))
    assert "is of another design" in _text(_folder(tmp_path / "rec", {}))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=st.dictionaries(st.sampled_from(["images", "table", "notes", "run", "design_digest", "<x>"]), JSON))
def test_any_record_is_shown_as_text(tmp_path: Path, record: dict[str, Any]) -> None:
    assert "<x>" not in _text(_folder(tmp_path / "rec", record))


def test_what_is_not_a_reconstruction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"reconstruction\.json"):
        included_section(tmp_path, "d1")
    folder = _folder(tmp_path / "rec", {})
    (folder / "comparison.png").write_bytes(b"GIF89a<script>")
    with pytest.raises(FileError, match=r"comparison\.png: this picture is not a PNG"):
        included_section(folder, "d1")
    (folder / "comparison.png").unlink()
    with pytest.raises(FileError, match=r"comparison\.png"):
        included_section(folder, "d1")


def test_checks_diagnostics_and_maps_are_shown(tmp_path: Path) -> None:
    check = {"name": "lamp (scene)", "status": "corrected", "text": "flicker <100 Hz>", "fault": "flicker"}
    record = {
        "design_digest": "d1",
        "checks": [{"name": "drift", "status": "passed", "text": "steady"}, check],
        "maps": {"uncertainty": "how much <it> scatters"},
        "pictures": {"residuals": "what is left"},
        "held_out": {
            "meaning": "kept <out>",
            "images": {"student": {"error_over_noise": 12.5}, "linear": {"error_over_noise": 14.0}},
            "error_over_wrong_order": 0.125,
        },
        "disagreement": {"rms": 0.04, "row": 3},
        "uncertainty": {"student_rms": 0.003},
    }
    folder = _folder(tmp_path / "rec", record)
    with pytest.raises(FileError, match=r"uncertainty\.png: this picture cannot be read"):
        included_section(folder, "d1")
    for name in ("uncertainty", "residuals"):
        (folder / f"{name}.png").write_bytes(_picture())
    captions = [block.caption for block in included_section(folder, "d1").blocks if isinstance(block, Figure)]
    assert captions[1:] == ["uncertainty.png: how much <it> scatters.", "residuals.png: what is left."]
    text = _text(folder)
    assert text.index("flicker &lt;100 Hz&gt;") < text.index("steady")
    assert "<td>student</td><td>12.5</td>" in text
    assert "kept &lt;out&gt;" in text
    assert '<th scope="row">error over that of wrong orders</th><td>0.125</td>' in text
    assert '<th scope="row">disagreement: row</th><td>3</td>' in text


def test_a_map_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "rec", {"maps": {"../secret": "x"}})
    (tmp_path / "secret.png").write_bytes(_picture())
    with pytest.raises(FileError, match="is not a file inside its folder"):
        included_section(folder, "d1")


def test_checks_of_a_capture_of_another_modality(tmp_path: Path) -> None:
    inner = {"checks": [{"name": "echo", "status": "passed", "text": "in the middle"}]}
    record = {"design_digest": "d1", "verification": {"calibration": {}, "capture": inner}}
    assert "in the middle" in _text(_folder(tmp_path / "rec", record))


def test_wide_tables_of_a_few_images_stand_upright(tmp_path: Path) -> None:
    entry = {f"quantity_{number}": number for number in range(9)}
    text = _text(_folder(tmp_path / "rec", {"images": {"student": entry, "linear": entry}}))
    assert '<th scope="col">image</th><th scope="col">student</th><th scope="col">linear</th>' in text
    assert "<tr><td>quantity 4</td><td>4</td><td>4</td></tr>" in text


def test_the_verdict_is_repeated(tmp_path: Path) -> None:
    missing = {
        "check": "place of the patterns", "target": "known card", "unseen": "mirrored patterns", "why": "no card",
        "when": "capture",
    }  # fmt: skip
    record = {"design_digest": "d1", "calibration": "cal", "verdict": "not verified", "not_looked_at": [missing]}
    text = _text(_folder(tmp_path / "rec", record))
    assert '<p class="bad">NOT VERIFIED. NOT LOOKED AT: place of the patterns (missing in this capture: known' in text
    assert "mirrored patterns" in text
    passed = _text(_folder(tmp_path / "rec", record | {"verdict": "passed", "not_looked_at": []}))
    assert '<p class="good">PASSED' in passed
    failed = _text(_folder(tmp_path / "rec", record | {"verdict": "failed", "not_looked_at": []}))
    assert "ACCEPTED all the same" in failed
    assert "does not say whether" in _text(_folder(tmp_path / "rec", {"design_digest": "d1", "calibration": "cal"}))
    with pytest.raises(FileError, match="verdict"):
        _text(_folder(tmp_path / "rec", record | {"verdict": "fine"}))

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
    assert "<td>simulated</td><td>yes</td>" in text
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
    with pytest.raises(FileError, match=r"comparison\.png: this comparison picture is not a PNG"):
        included_section(folder, "d1")
    (folder / "comparison.png").unlink()
    with pytest.raises(FileError, match=r"comparison\.png"):
        included_section(folder, "d1")

"""Drawings and reference of the documentation are those of the source."""

import runpy
import subprocess
import sys
from pathlib import Path

from cidesign.cli import COMMANDS
from cidesign.hardware_profiles.loader import shipped_profiles
from cidesign.modality import modalities

ROOT = Path(__file__).parents[2]


def test_the_drawing_of_the_rooms_is_of_this_source() -> None:
    subprocess.run([sys.executable, str(ROOT / "docs" / "draw_rooms.py"), "--check"], check=True)


def test_the_reference_holds_every_command_profile_and_fault(tmp_path: Path) -> None:
    runpy.run_path(str(ROOT / "docs" / "reference_pages.py"))["write"](tmp_path)
    commands, profiles, faults = ((tmp_path / f"{name}.md").read_text() for name in ("commands", "profiles", "faults"))
    for name in COMMANDS:
        assert f"## {name}\n\n```text\nUsage: cidesign {name} " in commands
    assert "## sweep plan\n" in commands
    for entry in shipped_profiles():
        assert f"## {entry.id}\n" in profiles
    assert "| `lithography.min_feature_um` | 6.0 | um | Photoplot Store" in profiles
    for one in modalities():
        section = faults.partition(f"## {one.name}\n")[2].partition("\n## ")[0]
        assert section.count("| `") == len(one.bench().faults)


def test_the_index_leads_to_every_page() -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    index = (ROOT / "docs" / "index.md").read_text()
    assert {page for page in pages if f"\n{page}\n" not in index} == set()

"""Drawings of the documentation are those of the source."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_drawing_of_the_rooms_is_of_this_source() -> None:
    subprocess.run([sys.executable, str(ROOT / "docs" / "draw_rooms.py"), "--check"], check=True)

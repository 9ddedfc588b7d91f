"""Sweeps of runs that train in a second."""

from typing import Any

import pytest

BASE: dict[str, Any] = {
    "profile": "dlp4500", "side": 8, "patterns": 6, "images": 16, "validation_images": 8, "batch": 8, "channels": 4,
    "teacher_epochs": 1, "student_epochs": 1, "device": "cpu",
}  # fmt: skip


@pytest.fixture
def base() -> dict[str, Any]:
    """The settings of a tiny single-pixel run."""
    return dict(BASE)

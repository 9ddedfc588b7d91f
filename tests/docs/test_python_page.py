"""The program of the page on Python does what it says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
# The same chain in seconds: fewer images, one epoch each.
SHORTER = "side=32, images=512, validation_images=64, teacher_epochs=1, student_epochs=1"


def test_the_chain_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert program.count("side=32") == 1
    assert len([line for line in program.splitlines() if line.strip()]) <= 19
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program.replace("side=32", SHORTER), str(PAGE), "exec"), names)  # noqa: S102 - our own page
    said = capsys.readouterr().out
    assert "passed" in said
    assert "best linear" in said
    assert names["calibration"].verification.verdict == "passed"
    image, again = names["image"], names["again"]
    assert image.shape == again.shape == (32, 32)
    truth = names["capture"].truth
    assert np.mean((image - truth) ** 2) < 0.2 * np.var(truth)
    x = np.random.default_rng(1).random((32, 32), dtype=np.float32)
    y = np.random.default_rng(2).random(names["readings"].shape, dtype=np.float32)
    left = float((names["run"].operator.A(x) * y).sum())
    assert left == pytest.approx(float((names["run"].operator.A_adjoint(y) * x).sum()), rel=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "run"]

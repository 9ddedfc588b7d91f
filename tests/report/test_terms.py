"""The terms of the loss over the epochs: what is there is drawn and said, and nothing else."""

import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cidesign.errors import FileError
from cidesign.report.figures import Epoch
from cidesign.report.parts import Figure
from cidesign.report.run_report import read_epochs
from cidesign.report.terms import terms_blocks
from cidesign.runs import Run


def _epochs(*others: dict[str, float]) -> list[Epoch]:
    return [Epoch("teacher", (1.0, 2.0)), *(Epoch("student", (1.0, 2.0), one) for one in others)]


def _figure(epochs: list[Epoch]) -> Figure:
    (block,) = terms_blocks(epochs)
    assert isinstance(block, Figure)
    return block


def test_each_kind_has_a_panel_and_its_numbers_in_words() -> None:
    first = {
        "loss_task": 1e-3,
        "loss_encoder": 0.5,
        "gradient_task": 0.25,
        "gradient_encoder": 0.0,
        "weight_encoder": 2,
    }
    last = {"loss_task": 5e-4, "loss_encoder": 0.125, "gradient_task": 0.5, "gradient_encoder": 0.0}
    found = _figure(_epochs(first, last))
    assert "over epochs 2 to 3, counted over all phases" in found.caption
    assert "terms of the loss, unweighted: task 0.001 to 0.0005, encoder 0.5 to 0.125;" in found.caption
    assert "pull of each on the optics, unweighted: task 0.25 to 0.5, encoder 0 to 0;" in found.caption
    assert "what each counts in the sum: encoder 2." in found.caption
    three, one = Image.open(io.BytesIO(found.png)), Image.open(io.BytesIO(_figure(_epochs({"loss_task": 1.0})).png))
    assert three.size == one.size
    assert three.width > 2 * three.height


def test_terms_of_any_name_and_sign_are_drawn() -> None:
    found = _figure(_epochs({"loss_soft_labels": -1.0}, {"loss_soft_labels": 1.0}))
    assert "soft_labels -1 to 1" in found.caption


def test_nothing_known_or_finite_is_no_figure() -> None:
    assert terms_blocks(_epochs({}, {})) == []
    assert terms_blocks(_epochs({"gradient_task": math.nan})) == []


def test_they_are_read_from_the_metrics(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Run(shutil.copytree(trained("single-pixel"), tmp_path / "run"))
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    lines[-1] |= {"loss_encoder": 0.25, "weight_encoder": 3}
    (run.path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    *_, last = read_epochs(run)
    assert last.others["loss_encoder"] == 0.25
    assert last.others["weight_encoder"] == 3
    assert set(last.others) >= {"gradient_task", "loss_encoder", "weight_encoder"}
    assert read_epochs(run)[0].others == {}
    for damage in ('"loss_task": "much"', '"loss_task": [1]', '"loss_task": null'):
        text = json.dumps(lines[-1])[:-1] + f", {damage}}}\n"
        (run.path / "metrics.jsonl").write_text(text)
        with pytest.raises(FileError, match="this metrics file is damaged"):
            read_epochs(run)
    (run.path / "metrics.jsonl").write_text("[1]\n")
    with pytest.raises(FileError, match="this metrics file is damaged"):
        read_epochs(run)

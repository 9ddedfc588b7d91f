"""What `evaluate` found last stands in the report: its columns, and its sentences."""

import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest

from cidesign.distill.comparison.evaluation import EvaluationListener, evaluate_run
from cidesign.distill.comparison.evaluation_record import keep_evaluation, kept_evaluation
from cidesign.report.optics import evaluation_section
from cidesign.runs import Run


@pytest.mark.parametrize("modality", ["single-pixel", "cassi", "mri"])
def test_columns_and_sentences(modality: str, trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Run(shutil.copytree(trained(modality), tmp_path / "run"))
    found = evaluate_run(run, None, False, EvaluationListener())
    kept = kept_evaluation(run)
    assert kept is not None
    page = "".join(str(block) for block in evaluation_section(run, kept).blocks)
    for word in ("linear estimate dB", "TV dB", "PSNR dB", "student", "8 validation images of the run", *found.remarks):
        assert escape(word) in page
    other = kept.model_copy(update={"held_out": False, "design_digest": "0" * 64, "skipped": 3})
    assert keep_evaluation(run, other)
    again = kept_evaluation(run)
    assert again is not None
    page = "".join(str(block) for block in evaluation_section(run, again).blocks)
    assert "Not held out: the run was trained on these images." in page
    assert "measured with another design than this run" in page
    assert "validation images of the run, 3 left out;" in page

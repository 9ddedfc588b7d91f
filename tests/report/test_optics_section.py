"""The figures of merit of the optics stand in the report, with or without an evaluation, and what they mean."""

import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest
import torch

from cidesign.distill.comparison.evaluation import EvaluationListener, evaluate_run
from cidesign.distill.comparison.evaluation_record import (
    EvaluationRecord,
    keep_evaluation,
    kept_evaluation,
    shown_value,
)
from cidesign.distill.comparison.optics_merit import BOUND, EXPLANATIONS
from cidesign.modality import modality as modality_named
from cidesign.models.system import load_student, load_teacher
from cidesign.report.optics import optics_section
from cidesign.report.parts import Shown, reconstruct_scenes
from cidesign.runs import Run


def _shown(run: Run) -> Shown:
    kind = modality_named(run.settings.modality)
    images = torch.from_numpy(kind.procedural_images(run.settings, run.profile, 4, 2**40))
    scenes = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    student, teacher = load_student(run), load_teacher(run)
    return Shown(
        student, teacher, "teacher (its own)", reconstruct_scenes(student, teacher, "teacher (its own)", scenes)
    )


def _text(run: Run, record: EvaluationRecord | None) -> str:
    return "".join(str(block) for block in optics_section(run, _shown(run), record).blocks)


@pytest.mark.parametrize("modality", ["single-pixel", "cassi", "mri", "lensless"])
def test_all_systems_and_what_their_numbers_mean(modality: str, trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Run(shutil.copytree(trained(modality), tmp_path / "run"))
    kind = modality_named(modality)
    alone = _text(run, None)
    assert "column_coherence" in kind.explanations
    for name, meaning in kind.explanations.items():
        assert f'<th scope="col">{escape(kind.headings[name])}</th>' in alone
        assert escape(f"{kind.headings[name]}: {meaning}") in alone
    for word in ("<td>student</td>", "<td>teacher (its own)</td>", escape(EXPLANATIONS[BOUND]), "own systems"):
        assert word in alone
    assert "linear reached dB" not in alone
    evaluate_run(run, None, False, EvaluationListener())
    record = kept_evaluation(run)
    assert record is not None
    page = _text(run, record)
    (student, _) = record.rows
    for heading in ("linear bound dB", "linear reached dB", "network reached dB"):
        assert f'<th scope="col">{heading}</th>' in page
    cells = "".join(f"<td>{escape(student.optics_text(name))}</td>" for name in student.optics)
    assert f"<td>student</td>{cells}" in page
    bound = student.optics[BOUND]
    assert isinstance(bound, float)
    assert f"<td>{shown_value(bound)}</td>" in alone


def test_what_is_not_evaluated_says_why(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Run(shutil.copytree(trained("cassi"), tmp_path / "run"))
    evaluate_run(run, None, False, EvaluationListener())
    record = kept_evaluation(run)
    assert record is not None
    row = record.rows[0].model_copy(
        update={
            "optics": {**record.rows[0].optics, "column_coherence": None},
            "not_evaluated": {"column_coherence": "9 unknowns <too many>"},
            "standard_errors": {BOUND: 0.25},
        }
    )
    keep_evaluation(run, record.model_copy(update={"rows": [row, *record.rows[1:]]}))
    again = kept_evaluation(run)
    assert again is not None
    page = _text(run, again)
    assert "<td>not evaluated</td>" in page
    assert "column coherence not evaluated (student): 9 unknowns &lt;too many&gt;" in page
    assert "± 0.25 (estimate)" in page


def test_records_of_others_and_of_earlier_versions_are_not_shown_as_this(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Run(shutil.copytree(trained("mri"), tmp_path / "run"))
    evaluate_run(run, None, False, EvaluationListener())
    record = kept_evaluation(run)
    assert record is not None
    assert "own systems" in _text(run, record.model_copy(update={"design_digest": "0" * 64}))
    earlier = record.rows[0].model_copy(update={"optics": {"acceleration": 4.0, "side_lobe": 0.2}})
    assert "own systems" in _text(run, record.model_copy(update={"rows": [earlier]}))
    assert "own systems" not in _text(run, record)

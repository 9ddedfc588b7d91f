"""Figures of merit of the optics in an evaluation: text, values and record have them, or say why not."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cidesign.distill.comparison.evaluate import LINEAR, NETWORK, measure
from cidesign.distill.comparison.evaluation import Evaluation, EvaluationListener, evaluate_run
from cidesign.distill.comparison.evaluation_record import (
    FILE,
    EvaluationRecord,
    RowEntry,
    kept_evaluation,
    optics_fields,
    optics_table,
)
from cidesign.distill.comparison.optics_merit import BOUND, REACHED, optics_merits
from cidesign.distill.job import Listener, start_run
from cidesign.distill.loop import as_floats, evaluation_noise
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import modality
from cidesign.models.system import load_student
from cidesign.physics.linear_bound import Bound
from cidesign.physics.merit import Estimate, NotEvaluated
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run


@pytest.fixture(scope="module", params=["single-pixel", "cassi", "mri"])
def found(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_settings: Callable[..., TrainingSettings],
    profile_of: Callable[[str], HardwareProfile],
) -> Evaluation:
    settings = make_settings(request.param, teacher_epochs=1, student_epochs=1, images=32, validation_images=16)
    path = tmp_path_factory.mktemp("merit") / "run"
    run = start_run(path, settings, profile_of(request.param), False, Listener())
    return evaluate_run(run, None, False, EvaluationListener())


def test_text_values_and_record_hold_every_metric(found: Evaluation) -> None:
    kind = modality(found.run.settings.modality)
    names = [*kind.explanations, BOUND, *REACHED]
    kept = kept_evaluation(found.run)
    assert kept is not None
    text = found.text()
    for rows in (found.value()["rows"], json.loads((found.run.path / FILE).read_text())["rows"]):
        assert [list(row["optics"]) for row in rows] == [names, names]
    assert list(found.value()["explanations"]) == names
    for name in names:
        heading = {**kind.headings, BOUND: "linear bound dB"}.get(name)
        assert heading is None or re.search(rf"^  {re.escape(heading)}: ", text, re.MULTILINE)
    assert "not evaluated" not in text
    assert re.search(r"^optics .*linear bound dB  linear reached dB  network reached dB$", text, re.MULTILINE)
    for row in kept.rows:
        assert re.search(rf"^{re.escape(row.name)} .*{row.optics_text(BOUND)}", text, re.MULTILINE)


def test_what_is_reached_is_the_mean_squared_error_of_all_images(found: Evaluation) -> None:
    run, system = found.run, load_student(found.run)
    images = found.measured.images
    import torch

    x = as_floats(torch.from_numpy(images))
    y = system.encoder(x, evaluation_noise(run.settings))
    network = float((system.decoder(y, system.encoder).prediction - x).square().mean())
    linear = float((system.decoder.linear_estimate(y, system.encoder) - x).square().mean())
    optics = found.rows[0].optics
    assert optics["network_reached_db"] == pytest.approx(-10 * math.log10(network), abs=1e-3)
    assert optics["linear_reached_db"] == pytest.approx(-10 * math.log10(linear), abs=1e-3)
    measured = measure(system, torch.from_numpy(images), run.settings, len(images), ()).mean_square
    assert measured == pytest.approx({NETWORK: network, LINEAR: linear}, rel=1e-4)


def test_the_teacher_that_is_freer_has_a_higher_bound_in_a_scan(found: Evaluation) -> None:
    student, teacher = (row.optics[BOUND] for row in found.rows)
    assert isinstance(student, float)
    assert isinstance(teacher, float)
    assert 5 < student < 60
    if found.run.settings.modality == "mri":  # twice as many lines
        assert teacher > student + 0.5


def test_tasks_whose_predictions_are_no_images_say_so(found: Evaluation) -> None:
    import torch

    kind, system = modality(found.run.settings.modality), load_student(found.run)
    images = torch.from_numpy(found.measured.images)
    merits = optics_merits(system, kind, images, {})
    assert merits["network_reached_db"] == NotEvaluated("predictions are no images")
    assert "network_reached_db" not in optics_merits(system, kind, images, None)


def test_what_is_not_evaluated_and_what_is_estimated(found: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = modality(found.run.settings.modality)
    monkeypatch.setattr(type(kind), "linear_bound", lambda self, encoder, prior: NotEvaluated("too large"))
    text = evaluate_run(found.run, None, False, EvaluationListener()).text()
    assert re.search(r"^linear bound dB not evaluated \(student, teacher .*\): too large$", text, re.MULTILINE)
    monkeypatch.setattr(type(kind), "linear_bound", lambda self, encoder, prior: Bound(1e-3, 1e-5))
    again = evaluate_run(found.run, None, False, EvaluationListener())
    assert "30.00 ± 0.04343 (estimate)" in again.text()
    row = again.value()["rows"][0]
    assert row["optics"][BOUND] == pytest.approx(30.0)
    assert row["standard_errors"] == {BOUND: pytest.approx(0.04343, abs=1e-4)}


def test_rows_of_all_kinds_of_values(make_settings: Callable[..., TrainingSettings]) -> None:
    fields = optics_fields(
        {
            "acceleration": 4.0,
            "line_density": (1.0, 0.25, math.nan),
            BOUND: Estimate(30.0, 0.25),
            "column_coherence": NotEvaluated("too many"),
            "side_lobe": math.inf,
        }
    )
    row = RowEntry(name="student", images={}, held_against={}, **fields)
    assert [row.optics_text(name) for name in row.optics] == [
        "4.00", "1.00 0.25 -", "30.00 ± 0.25 (estimate)", "not evaluated", "-",
    ]  # fmt: skip
    table = optics_table([row, row.model_copy(update={"name": "E2E"})], modality("mri"))
    assert table.header == ("optics", "R", "line density", "linear bound dB", "column coherence", "side lobe")
    assert table.not_evaluated == ["column coherence not evaluated (student, E2E): too many"]
    assert table.explanations[0] == "R: lines of the matrix over lines acquired"


def test_records_of_earlier_versions_are_read(found: Evaluation, tmp_path: Path) -> None:
    value = found.record().model_dump(mode="json")
    for row in value["rows"]:
        del row["not_evaluated"], row["standard_errors"]
        row["optics"] = {"condition_number": 2.5}
    record = EvaluationRecord.model_validate(value)
    assert record.rows[0].optics_text("condition_number") == "2.50"
    assert record.rows[0].optics_text(BOUND) == "-"


def test_soft_teachers_are_measured(
    tmp_path: Path,
    make_settings: Callable[..., TrainingSettings],
    profile_of: Callable[[str], HardwareProfile],
) -> None:
    """Their lines are shares of the time, none of which need be 1."""
    settings = make_settings("mri", ladder=("soft",), acs_lines=0, teacher_epochs=1, student_epochs=1, images=32)
    run = start_run(tmp_path / "run", settings, profile_of("mri"), False, Listener())
    rows = evaluate_run(Run(run.path), None, False, EvaluationListener()).rows
    assert rows[1].name == "teacher (soft)"
    assert rows[1].optics["acceleration"] == pytest.approx(4.0, rel=1e-2)

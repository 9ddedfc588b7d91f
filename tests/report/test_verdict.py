"""The line that a report opens with: from fields of checks and limits, for runs of each kind, whole and broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

from cidesign import api
from cidesign.checks import Check, Limit, binding, not_checked, passed, remarked
from cidesign.cli import group
from cidesign.report.verdict import BuildVerdict, build_verdict
from cidesign.runs import Run, write_record

LIMITED_BY = {
    # name, sense, unit of what the small runs of each kind are limited by
    "single-pixel": ("exposure of a frame of 1 bit", "at least", "us"),
    "cassi": ("smallest feature", "at least", "um"),
    "lensless": ("smallest feature", "at least", "um"),
    "mri": ("acquired lines of 16 (R = 4)", "exactly", ""),
    "mri-points": ("acquired points of 120 (R = 4)", "exactly", ""),
    "mri-shots": ("largest slew rate", "at most", "T/m/s"),
}


def _limit(name: str, value: float, sense: Any, limit: float) -> Limit:
    return Limit(name=name, value=value, sense=sense, limit=limit)


def test_the_binding_limit_is_the_one_of_which_most_is_taken() -> None:
    assert binding([]) is None
    slack, tight = _limit("slack", 1, "at most", 4), _limit("tight", 10, "at least", 9)
    assert (slack.share, tight.share) == (0.25, 0.9)
    assert binding([slack, tight]) is tight
    # 9.95 and 9.9 of 10 are alike: the first one counts; 9.8 is not.
    near = [_limit(str(value), value, "at most", 10) for value in (9.8, 9.9, 9.95)]
    assert binding(near) is near[1]
    broken = _limit("broken", 3, "at least", 6)
    assert broken.share == 2
    assert binding([*near, broken]) is broken
    assert _limit("lines", 5, "exactly", 4).share == _limit("lines", 4, "exactly", 5).share == 1.25


def test_the_verdict_follows_from_the_status_of_the_checks_alone() -> None:
    fine, lying = passed("a", "FAILED, says the text"), passed("b", "not evaluated, says the text")
    unseen = not_checked("stimulation", "no model")
    wrong = Check(name="gap", status="failed", text="mask: gap is 4 um, the limit is 6 um", fault="limit")
    assert BuildVerdict("d", (fine, lying, remarked("c", "note")), None).verdict == "passed"
    assert BuildVerdict("d", (fine, unseen), None).verdict == "not verified"
    assert BuildVerdict("d", (fine, unseen, wrong), None).verdict == "failed"
    assert BuildVerdict("d", (), None).verdict == "not verified"
    line = BuildVerdict("one mask", (fine, wrong), _limit("gap", 4, "at least", 6)).line
    assert line.startswith("one mask: FAILED")
    assert "gap is 4 um, the limit is 6 um" in line
    assert line.endswith("gap: 4, at least 6")


def test_each_kind_says_what_limits_it(reported: Run) -> None:
    kind = reported.settings.modality
    found = build_verdict(reported)
    assert found.verdict == ("not verified" if kind.startswith("mri") else "passed")
    assert found.limit is not None
    assert (found.limit.name, found.limit.sense, found.limit.unit) == LIMITED_BY[kind]
    assert 0 < found.limit.share <= 1
    assert found.line.endswith(f"what limits it: {found.limit}")
    page = (reported.path / "report.html").read_text()
    opening = page.split("<main>", 1)[0]
    assert f'class="verdict {"unsure" if found.verdict == "not verified" else "good"}"' in opening
    assert found.limit.name in opening


def test_the_command_begins_with_the_line_and_gives_its_fields(run: Run) -> None:
    said = CliRunner().invoke(group, ["report", str(run.path)])
    verdict = build_verdict(run)
    assert said.stdout.splitlines()[0] == verdict.line
    told = json.loads(CliRunner().invoke(group, ["report", str(run.path), "--force", "--json"]).stdout)
    assert told["verdict"] == "passed"
    assert told["limit"]["value"] == told["limit"]["limit"]
    assert told["verdict_line"] == verdict.line


def test_an_export_that_was_edited_fails(run: Run) -> None:
    CliRunner().invoke(group, ["export", str(run.path)], catch_exceptions=False, standalone_mode=False)
    assert build_verdict(run).verdict == "passed"
    edited = next(path for path in (run.path / "export").iterdir() if path.suffix in (".png", ".bmp"))
    edited.write_bytes(edited.read_bytes() + b"\0")
    found = build_verdict(run)
    assert found.verdict == "failed"
    assert [check.fault for check in found.checks if check.status == "failed"] == ["file"]


def test_a_design_that_breaks_a_rule_fails_with_its_numbers(trained: Callable[[str], Path], tmp_path: Path) -> None:
    path = Path(shutil.copytree(trained("mri"), tmp_path / "run"))
    opened = Run(path)
    settings = opened.settings.model_copy(update={"acquired": 5})
    found = build_verdict(_with(opened, settings))
    assert found.verdict == "failed"
    assert [check.fault for check in found.checks if check.status == "failed"] == ["limit"]
    assert found.limit is not None
    assert (found.limit.value, found.limit.limit) == (4, 5)


def _with(run: Run, settings: Any) -> Run:
    write_record(run.path, run.record.model_copy(update={"settings": settings}))
    return Run(run.path)


def test_a_grey_mask_cannot_be_built(tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", np.linspace(0, 1, 256).reshape(16, 16))
    command = ["design", str(tmp_path / "grey.npy"), "--profile", "chrome-laser-10um", "--out", str(tmp_path / "own")]
    CliRunner().invoke(group, command, catch_exceptions=False, standalone_mode=False)
    found = build_verdict(api.open_designed(tmp_path / "own"))
    assert found.verdict == "failed"
    assert found.designed.startswith("a given design, ")
    assert found.limit is None

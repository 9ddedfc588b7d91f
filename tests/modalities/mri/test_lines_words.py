"""Fixed lines that are better on a full scan are named, with the command that takes them."""

import shlex
from pathlib import Path

from cidesign.modalities.mri.lines_words import TOLD_DB, lines_words
from cidesign.modalities.mri.record import LinesEntry

RUN = Path("runs") / "my run"


def _entry(lines: str, method: str, psnr_db: float | None) -> LinesEntry:
    more = {} if psnr_db is None else {"psnr_db": psnr_db}
    return LinesEntry(lines=lines, reconstruction=method, residual=0.1, chi_square_reduced=1.0, **more)


def _said(centre_db: float, run: Path | None = RUN) -> list[str]:
    entries = [
        _entry("student", "student", 24.0),
        _entry("student", "total_variation", 25.0),
        _entry("centre block", "student", 20.0),
        _entry("centre block", "cg_sense", centre_db),
        _entry("variable density", "total_variation", 23.0),
    ]
    return lines_words(entries, "student", run)


def test_the_best_of_each_set_is_compared() -> None:
    (line,) = _said(25.5)
    assert line.startswith("on this scan the lines of the centre block are better by 0.50 dB")
    command = shlex.split(line.split("`")[1])
    assert command[:6] == ["cidesign", "design", "--fixed", "centre block", "--run", str(RUN)]


def test_small_differences_and_scans_without_a_reference_need_no_words() -> None:
    assert _said(25.0 + TOLD_DB) == []
    assert _said(21.0) == []
    assert (
        lines_words([_entry("student", "student", None), _entry("centre block", "student", None)], "student", RUN) == []
    )
    assert lines_words([_entry("student", "student", 20.0)], "student", RUN) == []


def test_given_lines_have_no_run_to_take_them_from() -> None:
    (line,) = _said(26.0, None)
    assert "cidesign design" not in line

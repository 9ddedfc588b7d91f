"""The report of a small run: whole, self-contained, and refused where one is there already."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from cidesign.distill.job import Listener, start_run
from cidesign.errors import FileError
from cidesign.hardware_profiles.dmd_schema import DmdProfile
from cidesign.report.run_report import write_report
from cidesign.run_settings import RunSettings
from cidesign.runs import Run

SCENES = np.random.default_rng(1).integers(0, 255, (3, 8, 8)).astype(np.uint8)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.headings: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        self.inside = tag == "h2"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.headings.append(data)
            self.inside = False


@pytest.fixture
def run(tmp_path: Path, settings: RunSettings, profile: DmdProfile) -> Run:
    return start_run(tmp_path / "run", settings, profile, False, Listener())


def test_page_loads_nothing_from_elsewhere(run: Run) -> None:
    report = write_report(run, SCENES, [], False)
    links = _Links()
    links.feed(report.page.read_text())
    assert len(links.sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in links.sources)
    assert links.headings[:3] == ["Design", "What the patterns measure", "Training"]
    assert {path.stem for path in report.pictures} == {
        "patterns",
        "singular_values",
        "training",
        "reconstructions",
        "timing",
    }
    assert str(run.record.design_digest) in report.page.read_text()


def test_existing_report_is_kept_without_force(run: Run) -> None:
    first = write_report(run, SCENES, [], False).page.read_text()
    with pytest.raises(FileError, match="--force"):
        write_report(run, SCENES[:1], [], False)
    assert (run.path / "report.html").read_text() == first
    write_report(run, SCENES[:1], [], True)


def test_damaged_metrics_are_named(run: Run) -> None:
    (run.path / "metrics.jsonl").write_text('{"phase": "teacher"')
    with pytest.raises(FileError, match=r"metrics\.jsonl"):
        write_report(run, SCENES, [], False)


def test_included_folder_must_be_a_reconstruction(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(FileError, match=r"reconstruction\.json"):
        write_report(run, SCENES, [tmp_path / "other"], False)

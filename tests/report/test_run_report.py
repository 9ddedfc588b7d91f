"""The report of small runs of each kind: whole, self-contained, escaped, and refused where one is there already."""

import base64
import contextlib
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from PIL import Image

from cidesign.errors import FileError
from cidesign.report.run_report import read_epochs, write_report
from cidesign.runs import Run, write_record

SCENES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
QUICK = limits(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
RECONSTRUCTIONS = "Reconstructions of unseen procedural scenes, with noise"
MERIT = "Figures of merit of the optics"
END = ["How to repeat it"]
HEADINGS = {
    "single-pixel": ["What the patterns measure", MERIT, "Training", RECONSTRUCTIONS, "Time on the device"],
    "cassi": ["What the detector sees", MERIT, "Training", RECONSTRUCTIONS, "Spectra"],
    "lensless": ["What the sensor sees", MERIT, "Training", RECONSTRUCTIONS],
    "mri": ["What the lines measure", MERIT, "Training", RECONSTRUCTIONS, "Where the errors are"],
    "mri-points": ["What the points measure", MERIT, "Training", RECONSTRUCTIONS, "Where the errors are"],
    "mri-shots": ["What the shots measure", MERIT, "Training", RECONSTRUCTIONS, "Where the errors are"],
}
FIGURES = {
    "single-pixel": {"patterns", "singular_values", "training", "terms", "reconstructions", "timing"},
    "cassi": {"mask", "detector", "training", "terms", "reconstructions", "band_psnr", "spectra"},
    "lensless": {"mask", "shadow", "readings", "training", "terms", "reconstructions"},
    "mri": {"lines", "point_spread", "line_density", "training", "terms", "reconstructions", "errors"},
    "mri-points": {"points", "point_spread", "point_density", "training", "terms", "reconstructions", "errors"},
    "mri-shots": {"shots", "gradients", "point_spread", "training", "terms", "reconstructions", "errors"},
}
SAID = {
    "single-pixel": ["7 of 8 x 8 super-pixels", "teacher-1 (real@12)", "bit depth ruleobeyed", "from flash"],
    "cassi": [
        "12 x 12 code pixels of 10 um", "% of the code pixels let light pass", "feature ruleobeyed",
        "red is the band at 621.4 nm, green 535.7 nm, blue 450 nm", "spectral angle (SAM) / degrees",
    ],
    "lensless": [
        "18 x 18 code pixels of 60 um", "8 x 8, each 20 x 20 pixels of 3.45 um", "feature ruleobeyed",
        "1e+05 photoelectrons of a white scene in a sample behind an open mask", "Fresnel number 1.1",
    ],
    "mri": [
        "R = 16 / 4 = 4", "line budgetobeyed", "line 8, acquired", "calibration lines (ACS)2: 7-8", "largest side lobe",
        "PSNR of the magnitude / dB", "SSIM of the magnitude", "PSNR of the complex image / dB", "2 (simulated)",
        "zero-filled", "teacher-2 (soft)",
    ],
    "mri-points": [
        "R = 120 / 30 = 4, corners counted", "point budgetobeyed", "calibration region (ACS)3 x 2", "none acquired",
        "12 lines x 10 partitions; each point is a readout of 16 samples", "2 (simulated)", "teacher-2 (soft)",
    ],
    "mri-shots": [
        "3, R = 12 / 3 = 4", "24 samples of 10 us in 0.24 ms", "gradientsobeyed", "T/m/s, as a vector", "gridding",
        "12 x 12 pixels of 256 mm", "2 (simulated)", "teacher-2 (slew2)",
    ],
}  # fmt: skip
TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "nav", "a", "section", "p", "div", "table", "thead",
    "tbody", "tr", "th", "td", "figure", "img", "figcaption", "header", "main", "script",
}  # fmt: skip


class _Page(HTMLParser):
    """What a browser would find: tags, headings, text, pictures, links."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.headings: list[str] = []
        self.pictures: list[bytes] = []
        self.links: list[str] = []
        self.text = ""
        self.inside = ""
        self.feed(path.read_text())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.inside = tag
        self.headings += [""] if tag == "h2" else []
        for name, value in attrs:
            if name == "src":
                head, _, content = (value or "").partition(",")
                assert head == "data:image/png;base64"
                self.pictures.append(base64.b64decode(content, validate=True))
            elif name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.inside == "h2":
            self.headings[-1] += data


def test_page_of_each_kind_is_whole(reported: Run) -> None:
    page = _Page(reported.path / "report.html")
    kind = reported.settings.modality
    assert page.headings == ["Design", *HEADINGS[kind], *END]
    for text in [*SAID[kind], str(reported.record.design_digest), reported.record.profile_digest]:
        assert text in page.text
    written = {path.stem: path.read_bytes() for path in (reported.path / "figures").iterdir()}
    assert set(written) == FIGURES[kind]
    assert sorted(written.values()) == sorted(page.pictures)


def test_page_loads_nothing_from_elsewhere(reported: Run) -> None:
    page = _Page(reported.path / "report.html")
    assert page.tags <= TAGS  # no link, no frame
    assert page.links == [f"#s{number}" for number in range(len(page.headings))]
    text = (reported.path / "report.html").read_text()
    for elsewhere in ("http:", "https:", "url(", "@import", "file:", "//"):
        assert elsewhere not in "".join(part.split('"', 1)[1] for part in text.split("base64,"))
    assert "default-src 'none'" in text


def test_pictures_are_png_as_wide_as_the_page(reported: Run) -> None:
    for path in (reported.path / "figures").iterdir():
        with Image.open(io.BytesIO(path.read_bytes())) as picture:
            assert picture.format == "PNG"
            picture.load()
            assert picture.width <= 1000
            assert picture.height >= 60
            assert len(picture.convert("L").getcolors()) > 1


def test_names_are_escaped(reported: Run) -> None:
    page = _Page(reported.path / "report.html")
    assert page.text.startswith("<b>&\"'run: ")
    assert "b" not in page.tags


def test_existing_report_is_kept_without_force(run: Run) -> None:
    first = write_report(run, [], False, SCENES).page.read_bytes()
    with pytest.raises(FileError, match="--force"):
        write_report(run, [], False, SCENES[:1])
    assert (run.path / "report.html").read_bytes() == first
    (run.path / "report.html").unlink()
    with pytest.raises(FileError, match=r"figures: exists already.*--force"):
        write_report(run, [], False, SCENES)
    assert not (run.path / "report.html").exists()
    assert write_report(run, [], True, SCENES).page.read_bytes() == first  # same data, same bytes


def test_scenes_beside_a_run_on_files_are_said_to_be_procedural(run: Run) -> None:
    settings = run.settings.model_copy(update={"data": "my <pictures>"})
    write_record(run.path, run.record.model_copy(update={"settings": settings}))
    page = _Page(write_report(Run(run.path), [], False, SCENES[:1]).page)
    assert "The scenes are procedural, while the run was trained on my <pictures>." in page.text


def _line(phase: str, **changes: Any) -> str:
    return json.dumps({"phase": phase, "psnr_db": 20.0, "linear_psnr_db": 19.0, **changes}) + "\n"


WHOLE = _line("teacher-1") + _line("teacher-2") + _line("student")


@pytest.mark.parametrize(
    "content",
    [
        '{"phase": "teacher"',
        "",
        "[" * 100_000,
        _line("teacher") + _line("student"),
        _line("teacher-1") + _line("teacher-2"),
        _line("student") + _line("teacher-1") + _line("teacher-2"),
        WHOLE + _line("student", psnr_db="much"),
        WHOLE + _line("student", psnr_db=None),
        WHOLE + _line("student", psnr_db=10**400),
        WHOLE + "[1, 2]",
        WHOLE + '{"phase": "student", "psnr_db": 1}',
        WHOLE + "\udcff",
    ],
    ids=lambda text: text[-40:],
)
def test_damaged_metrics_are_named(run: Run, content: str) -> None:
    (run.path / "metrics.jsonl").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(FileError, match=r"metrics\.jsonl: this metrics file is damaged"):
        write_report(run, [], False, SCENES)
    assert not (run.path / "figures").exists()


@QUICK
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode), at=st.integers(0, len(WHOLE)))
def test_any_metrics_are_read_or_refused(run: Run, content: bytes, at: int) -> None:
    (run.path / "metrics.jsonl").write_bytes(WHOLE.encode()[:at] + content + WHOLE.encode()[at:])
    with contextlib.suppress(FileError):
        assert all(isinstance(value, float) for epoch in read_epochs(run) for value in epoch.values)


def test_diverged_training_is_drawn_with_a_gap(run: Run) -> None:
    (run.path / "metrics.jsonl").write_text(
        _line("teacher-1", psnr_db=float("nan")) + _line("teacher-2", psnr_db=float("-inf")) + _line("student")
    )
    assert write_report(run, [], False, SCENES[:1]).page.is_file()


def test_unfinished_and_incomplete_runs_are_refused(run: Run) -> None:
    write_record(run.path, run.record.model_copy(update={"metrics": {"teacher_psnr_db": 20.0}}))
    with pytest.raises(FileError, match="does not hold the teacher's quality"):
        write_report(Run(run.path), [], False, SCENES)
    (run.path / "teacher.safetensors").unlink()
    write_record(run.path, run.record)
    with pytest.raises(FileError, match=r"teacher\.safetensors is missing"):
        write_report(Run(run.path), [], False, SCENES)
    write_record(run.path, run.record.model_copy(update={"status": "training"}))
    with pytest.raises(FileError, match="--resume"):
        write_report(Run(run.path), [], False, SCENES)
    assert not (run.path / "report.html").exists()

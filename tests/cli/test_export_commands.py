"""`cidesign export` and `cidesign check` as a user runs them."""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from cidesign.cli import main
from cidesign.constraints.sequence import plan_sequence
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.single_pixel.settings import SinglePixelSettings
from cidesign.pattern import PatternStack
from cidesign.runs import RunRecord, write_record


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cidesign(capsys, monkeypatch, tmp_path):
    """Run the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["cidesign", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as leave:
            code = int(leave.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def make_run(folder: Path, profile_id: str = "dlp4500", count: int = 24, **changes) -> Path:
    """A finished run without its weights: run.json and design.npz."""
    profile = load_profile(profile_id)
    bit_depth = changes.get("bit_depth", 1)
    side = 8 if count <= 64 else 16
    levels = np.random.default_rng(count).integers(0, 2**bit_depth, (count, side, side), dtype=np.uint8)
    pattern = PatternStack(levels, bit_depth, "complementary", profile.id, profile.digest)
    settings = {
        "preset": "quick", "seed": 1, "side": side, "patterns": count, "bit_depth": 1, "encoding": "complementary",
        "photoelectrons_per_frame": 1e6, "read_noise_photoelectrons": 10.0, "exposure_us": None,
        "data": "procedural", "images": 100, "validation_images": 10, "batch": 10, "decoder_settings": {"channels": 8},
        "teacher_epochs": 1, "student_epochs": 1, "learning_rate": 1e-3, "optics_learning_rate": 1e-2,
        "precision": "float32", "device": "cpu",
        "weight_task": 1.0, "weight_decoder": 0.1, "weight_encoder": 0.1, "decoder": "unet",
        "ladder": ("real",), "start": "teacher", "losses": "effective", "weighting": "fixed",
    }  # fmt: skip
    folder.mkdir(parents=True)
    pattern.save(folder / "design.npz")
    record = RunRecord(
        schema_version=2,
        kind="run",
        status=changes.pop("status", "complete"),
        created_utc="2026-01-01T00:00:00+00:00",
        cidesign_version="0.1.0",
        versions={},
        settings=SinglePixelSettings(**{**settings, **changes}),
        profile=profile.model_dump(mode="json", exclude_none=True),
        profile_digest=profile.digest,
        data_digest="0" * 64,
        teacher_digest=None,
        design_digest=pattern.design_digest,
        metrics={},
    )
    write_record(folder, record)
    return folder


def test_export_then_check(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "runs" / "first")
    done = cidesign("export", run)
    assert done.code == 0, done.err
    assert "dlp4500_01.bmp" in done.out
    assert "48 frames in 2 images, exposure 235 us" in done.out
    assert "time from flash: 11.3 ms" in done.out
    assert "time streamed over HDMI: 16.7 ms" in done.out
    assert f"next: cidesign check {run / 'export'}" in done.err
    checked = cidesign("check", run)
    assert checked.code == 0, checked.err
    assert "ok  mirrors: 48 frames of 1039680 mirrors equal the design bit for bit" in checked.out
    assert "..  time streamed over HDMI: 16.7 ms" in checked.out
    assert "next: cidesign simulate" in checked.err


def test_the_newest_run_is_taken_and_named(cidesign, tmp_path) -> None:
    old, new = make_run(tmp_path / "runs" / "old"), make_run(tmp_path / "runs" / "new", count=3)
    os.utime(old / "run.json", ns=(1, 1))
    done = cidesign("export", "--json")
    assert done.code == 0, done.err
    assert "run: runs/new (the newest)" in done.err
    assert json.loads(done.out)["frames"] == 6
    assert (new / "export" / "manifest.json").is_file()


def test_times_asked_for_are_kept(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "run", count=3, exposure_us=400.0)
    done = cidesign("export", run, "--json", "--period-us", 700)
    timing = json.loads(done.out)["folders"][0]["timing"]
    assert (timing["exposure_us"], timing["total_us"], timing["requested_period_us"]) == (400, 4200, 700)
    done = cidesign("export", run, "--json", "--exposure-us", 500.2, "--out", tmp_path / "other")
    assert json.loads(done.out)["folders"][0]["timing"]["exposure_us"] == 501
    assert "note: exposure 500.2 us becomes 501 us" in done.err


def test_a_broken_limit_leaves_with_3_and_writes_nothing(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "run", count=3)
    done = cidesign("export", run, "--exposure-us", 100)
    assert done.code == 3
    assert done.err.splitlines() == [
        "error: entry 0: exposure is 100 us, the limit is at least 235 us at 1 bit on dlp4500; "
        "use --exposure-us 235 or more"
    ]
    assert done.out == ""
    assert not (run / "export").exists()


def test_check_without_an_export_checks_the_design(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "run", count=3, exposure_us=200.0)
    done = cidesign("check", run)
    assert done.code == 3
    assert "at least 235 us" in done.err
    good = make_run(tmp_path / "good", count=3)
    done = cidesign("check", good, "--json")
    assert done.code == 0
    assert json.loads(done.out)["checks"][0]["check"] == "design"
    assert f"next: cidesign export {good}" in done.err


@pytest.mark.parametrize("with_export", [False, True])
def test_another_device_is_answered_clearly(cidesign, tmp_path, with_export) -> None:
    run = make_run(tmp_path / "run", count=3)
    if with_export:
        cidesign("export", run)
    done = cidesign("check", run / "export" if with_export else run, "--profile", "dlp6500")
    assert done.code == 3
    assert "designed for dlp4500, not for dlp6500" in done.err
    assert cidesign("check", run, "--profile", "dlp4500").code == 0


def test_an_edited_export_leaves_with_5(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "run", count=3)
    cidesign("export", run)
    path = run / "export" / "dlp4500_00.bmp"
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(bytes(content))
    done = cidesign("check", run)
    assert done.code == 5
    assert "dlp4500_00.bmp: was changed after it was exported" in done.err
    assert "Traceback" not in done.err


def test_an_export_of_an_older_design_is_found(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "run", count=3)
    other = make_run(tmp_path / "other", count=4)
    cidesign("export", other, "--out", run / "export")
    done = cidesign("check", run)
    assert done.code == 5
    assert f"holds another design than {run}; repeat `cidesign export {run} --force`" in done.err


def test_existing_output_needs_force(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "run", count=3)
    cidesign("export", run)
    before = (run / "export" / "manifest.json").read_bytes()
    done = cidesign("export", run, "--exposure-us", 400)
    assert done.code == 5
    assert "exists already" in done.err
    assert (run / "export" / "manifest.json").read_bytes() == before
    assert cidesign("export", run, "--exposure-us", 400, "--force").code == 0
    assert (run / "export" / "manifest.json").read_bytes() != before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("export", "nowhere"), 5, "no such run folder"),
        (("export",), 2, "no run is below runs/"),
        (("check", "nowhere.gds"), 5, "nowhere.gds: no such file or folder"),
        (("check", "empty"), 5, "neither a run (run.json), a design (design.json) nor an export (manifest.json)"),
        (("export", "run", "--format", "bmp"), 2, "unknown export format 'bmp'; known are dlpc350, dlpc900, alp, hdmi"),
        (("export", "run", "--exposure-us", "nan"), 2, "a positive number of microseconds is needed"),
        (("export", "unfinished"), 5, "cidesign distill --resume"),
        (("check", "run", "--profile", "dlp450"), 2, "did you mean dlp4500"),
    ],
)
def test_bad_input_is_one_line(cidesign, tmp_path, words, code, message) -> None:
    make_run(tmp_path / "run", count=3)
    make_run(tmp_path / "unfinished", count=3, status="training")
    (tmp_path / "empty").mkdir()
    done = cidesign(*words)
    assert done.code == code
    assert len(done.err.splitlines()) == 1
    assert message in done.err


@pytest.mark.parametrize(
    ("device", "file", "memory"),
    [
        ("dlp6500", "dlp6500_00.spld", "pattern memory"),
        ("dlp500yx", "dlp500yx_00_secondary.spld", "pattern memory"),
        ("dlp7000", "alp_planes.bin", "pattern memory"),
    ],
)
def test_each_controller_has_its_format(cidesign, tmp_path, device, file, memory) -> None:
    run = make_run(tmp_path / "run", device, count=3)
    done = cidesign("export", run)
    assert done.code == 0, done.err
    assert (run / "export" / file).is_file()
    assert f"time from {memory}" in done.out
    assert "time streamed over HDMI" not in done.out
    assert ("planning value" in done.err) == (device == "dlp7000")
    checked = cidesign("check", run)
    assert checked.code == 0, checked.err
    assert "equal the design bit for bit" in checked.out


def test_several_formats_go_to_a_folder_each(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "run", count=3)
    done = cidesign("export", run, "--format", "dlpc350", "--format", "hdmi", "--json")
    assert done.code == 0, done.err
    assert [item["folder"] for item in json.loads(done.out)["folders"]] == [
        str(run / "export" / "dlpc350"),
        str(run / "export" / "hdmi"),
    ]
    assert [path.name for path in sorted((run / "export").iterdir())] == ["dlpc350", "hdmi"]
    checked = cidesign("check", run, "--json")
    assert len([item for item in json.loads(checked.out)["checks"] if item["check"] == "mirrors"]) == 2
    wrong = cidesign("export", run, "--format", "hdmi", "--format", "alp", "--force")
    assert wrong.code == 2
    assert "format alp is for dlpc410; dlp4500 has a dlpc350 controller" in wrong.err
    assert [path.name for path in sorted((run / "export").iterdir())] == ["dlpc350", "hdmi"]


def test_sync_frames_are_exported_and_checked(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "run", count=24)
    done = cidesign("export", run, "--sync-every", 10, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["frames"] == 13 + 48 + 2 * 3
    # 48 frames are two images, which fit the buffers; 67 are three, of which each stays 200 ms.
    longer_us = plan_sequence(load_profile("dlp4500"), 67, 1).total_us - 48 * 235
    assert longer_us > 500_000
    assert f"19 sync frames were added to the 48 frames of the design and take {longer_us / 1000:.1f} ms" in done.err
    checked = cidesign("check", run)
    assert checked.code == 0, checked.err
    assert "sync frames: 19 of 67 frames: blink code in frames 0 to 12, 3 all-on, all-off pairs from" in checked.out
    assert "pairs from frame 33, 55, 65" in checked.out
    assert "67 frames of 1039680 mirrors equal the design bit for bit" in checked.out


@pytest.mark.parametrize("every", [0, 25, -3])
def test_a_wrong_sync_interval_is_named(cidesign, tmp_path, every) -> None:
    done = cidesign("export", make_run(tmp_path / "run"), "--sync-every", every)
    assert done.code == 2
    assert done.err.startswith(f"error: --sync-every {every}: ")
    assert "choose a number from 1 to the 24 patterns" in done.err
    assert not (tmp_path / "run" / "export").exists()


def test_sync_frames_that_no_longer_fit_are_named(cidesign, tmp_path) -> None:
    """A DLP6500 takes 400 frames: 192 patterns and their complements fit, and two more pairs behind a code do not."""
    run = make_run(tmp_path / "run", "dlp6500", count=192)
    assert cidesign("export", run, "--sync-every", 192, "--out", tmp_path / "fits").code == 0
    done = cidesign("export", run, "--sync-every", 96)
    assert done.code == 3
    assert "without its 17 sync frames the design fits: a larger --sync-every adds fewer" in done.err


def test_load_time_is_explained(cidesign, tmp_path) -> None:
    run = make_run(tmp_path / "run", count=30)
    done = cidesign("export", run)
    assert "3 images do not fit the 2 buffers" in done.err
    # 48 frames of 8334 us and 12 of 16667 us: each image stays 200 ms.
    assert plan_sequence(load_profile("dlp4500"), 60, 1).total_us == 48 * 8334 + 12 * 16667
    assert "time from flash: 600.0 ms" in done.out

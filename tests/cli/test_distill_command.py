"""`cidesign distill` for the three kinds of profile: what it designs, and what it refuses before training starts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.distill import job
from cidesign.modality import Preset, modalities
from cidesign.runs import Run

Command = Callable[..., Any]
PROFILES = {"dmd": "dlp4500", "aperture": "chrome-laser-10um", "mri": "mri-generic-3t"}
APERTURE = (Path(__file__).parents[2] / "hardware_profiles" / "aperture" / "chrome-laser-10um.toml").read_text()
STEPS = "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick preset, two thousand times smaller."""
    for kind in modalities():
        monkeypatch.setitem(kind.presets, "quick", Preset(12, 32, 8, 8, 4, 2, 1))


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("dmd", ["--patterns", "9"], "9 patterns of 12 x 12, 1 bit, complementary"),
        ("dmd", ["--ladder", "real@20, 4-bit", "--decoder", "unrolled"], "14 patterns of 12 x 12"),
        ("aperture", [], "one mask of 12 x 12 code pixels for 8 bands"),
        ("aperture", ["--weighting", "gradient", "--start", "fresh"], "for 8 bands"),
        ("mri", [], "3 of 12 lines (R = 4), 1 of them calibration lines"),
        ("mri", ["--lines", "5", "--acs-lines", "2", "--coils", "3"], "5 of 12 lines (R = 2.4), 2 of them"),
        (
            "mri",
            ["--sampling", "points", "--points", "40", "--set", "partitions=10"],
            "40 of 12 x 10 points (R = 3), a calibration region of 2 x 1 among them, no corners",
        ),
        (
            "mri",
            ["--sampling", "free", "--shots", "4", "--ladder", "slew2", "--set", "readout_ms=0.5"],
            "4 free shots (R = 3) of 24 samples in 0.4992 ms for 256 mm; learnt: the form of every shot; gradient",
        ),
        ("mri", ["--sampling", "radial", "--noise", "0.02"], "3 radial shots (R = 4) of 24 samples in 0.24 ms"),
        ("dmd", ["--recipe", "published", "--set", "channels=6"], "14 patterns of 12 x 12"),
        ("aperture", ["--weighting", "uncertainty", "--weight-output", "0.1"], "for 8 bands"),
        ("mri", ["--acceleration", "6", "--losses", "published", "--noise", "0.02"], "2 of 12 lines (R = 6)"),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_all_kinds_of_profile_with_the_same_command(kind: str, words: list[str], said: str, cidesign: Command) -> None:
    done = cidesign("distill", "--profile", PROFILES[kind], *words, "--out", "run")
    assert done.code == 0
    assert said in done.out
    assert said in done.err
    assert "student" in done.out
    assert "training: 12 steps in 3 epochs; about " in done.err
    assert "; the time is told after the first steps" in done.err
    assert " to go at this pace (" in done.err
    assert done.err.index("of memory (of ") < done.err.index("training images: ")
    assert "next: cidesign export run" in done.err
    run = Run(Path("run"))
    assert run.complete
    assert run.profile.kind == kind
    names = {path.name for path in Path("run").iterdir()}
    assert {"run.json", "metrics.jsonl", "teacher.safetensors", "student.safetensors", "design.npz"} <= names


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.usefixtures("tiny")
def test_the_published_recipe(kind: str, cidesign: Command) -> None:
    done = cidesign("distill", "--profile", PROFILES[kind], "--recipe", "published", "--start", "teacher")
    assert done.code == 0
    assert "note: recipe published: decoder back-projection, " in done.err
    assert "; given otherwise by name: start teacher (not fresh)" in done.err
    settings = Run(Path(f"runs/{PROFILES[kind]}-quick")).settings
    assert (settings.recipe, settings.decoder, settings.start) == ("published", "back-projection", "teacher")
    assert settings.weight_encoder == 0.8
    assert "--recipe" in cidesign("distill", "--profile", PROFILES[kind], "--recipe", "mine").err


@pytest.mark.parametrize("kind", PROFILES)
@pytest.mark.usefixtures("tiny")
def test_json_is_one_object(kind: str, cidesign: Command) -> None:
    done = cidesign("distill", "--profile", PROFILES[kind], "--json")
    value = json.loads(done.out)
    assert value["run"] == f"runs/{PROFILES[kind]}-quick"
    assert value["design_digest"] == Run(Path(value["run"])).design.design_digest
    assert ("frames" in value) == (kind == "dmd")  # a time on the device is a matter of micromirrors


@pytest.mark.usefixtures("tiny")
def test_interrupted_and_resumed(cidesign: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    original = job.train_phase

    def interrupted(*words: Any, **named: Any) -> Any:
        *before, original_step, threads, ranks = words

        def step(report: Any) -> None:
            original_step(report)
            if (report.phase, report.step) == ("student", 2):
                raise job.Interrupted

        return original(*before, step, threads, ranks, **named)

    monkeypatch.setattr(job, "train_phase", interrupted)
    done = cidesign("distill", "--profile", "mri-generic-3t")
    assert done.code == 130
    assert "Go on with `cidesign distill --resume --out runs/mri-generic-3t-quick`" in done.err
    monkeypatch.setattr(job, "train_phase", original)
    done = cidesign("distill", "--resume")
    assert done.code == 0
    assert "resuming runs/mri-generic-3t-quick" in done.err
    assert Run(Path("runs/mri-generic-3t-quick")).complete


def _own(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = APERTURE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        (
            [(STEPS, "[0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.5]")], [],
            "mask of 32 code pixels along the dispersion: chrome-laser-10um spreads the bands over 40.5 pixels",
        ),
        (
            [("min_feature_um = { value = 6.0", "min_feature_um = { value = 170.0")], [],
            "the smallest feature of chrome-laser-10um is 17 code pixels, so at least 34 a side are needed",
        ),
        ([("min_gap_um = { value = 6.0", "min_gap_um = { value = 65.0")], ["--side", "13"], "at least 14 a side"),
        (
            [("plate_width_mm = { value = 100.0", "plate_width_mm = { value = 1.0")], ["--side", "101"],
            "mask of 1.01 x 1.01 mm: the plate of chrome-laser-10um is 1 x 100 mm",
        ),
    ],
)  # fmt: skip
def test_masks_without_freedom_are_refused(
    changes: list[tuple[str, str]], words: list[str], said: str, cidesign: Command, tmp_path: Path
) -> None:
    done = cidesign("distill", "--profile", _own(tmp_path, *changes), *words)
    assert done.code == 3
    assert said in done.err
    _assert_one_line_and_nothing_begun(done)


def _assert_one_line_and_nothing_begun(done: Any) -> None:
    assert done.out == ""
    assert "training images" not in done.err
    assert len([line for line in done.err.splitlines() if line.lower().startswith("error: ")]) == 1
    assert list(Path().iterdir()) == []


SETTINGS: list[tuple[str, str, int, str]] = [
    # R without a whole number of lines: both neighbours.
    ("mri", "--acceleration 3", 2, "21 lines give R = 3.048 and 22 lines R = 2.909: choose with --lines 21 or 22"),
    ("mri", "--acceleration 4.5 --side 10", 2, "choose with --lines 2 or 3"),
    ("mri", "--acceleration 0", 2, "acceleration 0: between 1 and 64"),
    ("mri", "--acceleration 65", 2, "acceleration 65: between 1 and 64"),
    ("mri", "--acceleration nan", 2, "acceleration nan: "),
    ("mri", "--acceleration 4 --lines 16", 2, "give one of them"),
    ("mri", "--lines 0", 2, "lines 0: should be greater than or equal to 1"),
    ("mri", "--lines 65", 3, "budget of 65 lines"),
    # Calibration lines above the budget.
    ("mri", "--acceleration 16 --acs-lines 6", 3, "6 calibration lines do not fit a budget of 4 lines of 64"),
    ("mri", "--acceleration 32", 3, "4 calibration lines do not fit a budget of 2 lines"),
    ("mri", "--acs-lines -1", 2, "acs_lines -1: should be greater than or equal to 0"),
    ("mri", "--coils 65", 2, "--coils"),
    ("mri", "--coils 12 --side 10 --lines 5", 2, "coils 12: the samples of this scan tell at most 10 coils apart"),
    ("mri", "--noise 0", 2, "--noise"),
    ("mri", "--noise inf", 2, "noise inf: "),
    # Options of another kind of profile.
    ("mri", "--patterns 100", 2, "patterns: is for single-pixel runs; mri-generic-3t makes mri runs"),
    ("mri", "--bit-depth 1", 2, "bit_depth: is for single-pixel runs"),
    ("mri", "--photoelectrons 1e6", 2, "photoelectrons: is for single-pixel, cassi and lensless runs"),
    ("mri", "--read-noise 3", 2, "read_noise: is for single-pixel, cassi and lensless runs"),
    ("aperture", "--encoding offset", 2, "encoding: is for single-pixel runs; chrome-laser-10um makes cassi runs"),
    ("aperture", "--exposure-us 300", 2, "exposure_us: is for single-pixel runs"),
    ("aperture", "--lines 8", 2, "lines: is for mri runs"),
    ("aperture", "--noise 0.1", 2, "noise: is for mri"),
    ("dmd", "--acceleration 4", 2, "dlp4500 makes single-pixel runs. Leave it out"),
    ("dmd", "--acs-lines 4", 2, "acs_lines: is for mri"),
    ("dmd", "--coils 4", 2, "coils: is for mri"),
    (
        "mri",
        "--points 40",
        2,
        "points: is for mri-points runs; mri-generic-3t makes mri runs here. Leave it out, or give sampling points",
    ),
    (
        "mri",
        "--sampling points --lines 8",
        2,
        "lines: is for mri runs; mri-generic-3t makes mri-points runs here. Leave",
    ),
    ("mri", "--sampling dots", 2, "sampling dots: not known for mri-generic-3t; use lines, points"),
    (
        "mri",
        "--sampling points --acceleration 7",
        2,
        "acceleration 7 of 4096 points is 585.14 points; 585 points give "
        "R = 7.0017 and 586 points R = 6.9898: choose with --points 585 or 586",
    ),
    (
        "mri",
        "--sampling points --points 10",
        3,
        "budget of 10 points: the calibration region of 8 x 8 alone has 64; choose 64 to 3207 points",
    ),
    ("mri", "--sampling points --points 3500", 3, "corners outside the ellipse left out (elliptical = false measures"),
    ("mri", "--sampling points --set acs_partitions=60 --acs-lines 60", 3, "of them are corners of the 64 x 64 matrix"),
    ("mri", "--sampling points --ladder R1", 2, "between R1.2772 and R4; or soft"),
    ("mri", "--sampling points --coils 26", 2, "coils 26: a calibration region of 8 x 8 points tells at most 25 coils"),
    ("mri", "--sampling points --set partitions=2", 2, "partitions 2: should be greater than or equal to 4"),
    ("mri", "--sampling points --points 400 --acceleration 4", 2, "points and acceleration: give one of them"),
    # Ladders.
    ("dmd", "--ladder soft", 2, "ladder soft: use real or 1-bit to 8-bit"),
    ("dmd", "--ladder real,R2", 2, "ladder R2: "),
    ("dmd", "--ladder real@many", 2, "ladder real@many: 'many' after @ is not a number of patterns"),
    ("dmd", "--ladder real@50", 2, "ladder real@50: a teacher of 50 patterns; use 102 (the student's) to 1024"),
    ("dmd", "--ladder real@99999", 2, "use 102 (the student's) to 1024"),
    ("dmd", "--ladder ,", 2, "ladder"),
    ("dmd", "--ladder real,8-bit,4-bit,2-bit --teacher-epochs 3", 2, "4 teachers; each needs an epoch of the 3"),
    ("dmd", "--ladder " + ",".join(["real"] * 11) + " --teacher-epochs 20", 2, "11 teachers"),
    ("aperture", "--ladder grey", 2, "ladder grey: a coded aperture knows the relaxation real"),
    ("mri", "--ladder real", 2, "ladder real: a teacher of an MRI run has a lower acceleration"),
    ("mri", "--ladder R8", 2, "between R1 and R4"),
    ("mri", "--ladder R2,Rnan", 2, "ladder Rnan: "),
    # What all kinds have.
    ("mri", "--side 7", 2, "side 7: between 8 and 512"),
    ("aperture", "--side 1025", 2, "side 1025: between 8 and 1024"),
    ("aperture", "--photoelectrons nan", 2, "photoelectrons nan: "),
    ("aperture", "--device warp", 2, "device warp"),
    ("aperture", "--decoder magic", 2, "decoder"),
    ("mri", "--weighting magic", 2, "--weighting"),
    ("mri", "--teacher-epochs 0", 2, "teacher_epochs 0: optics that are learnt take 1 or more"),
    ("mri", "--strategy kd", 2, "--strategy"),
    ("mri", "--strategy e2e --teacher-epochs 2", 2, "teacher_epochs 2: is about a teacher, and strategy e2e trains"),
    ("aperture", "--strategy e2e --ladder real", 2, "ladder real: is about a teacher"),
    ("dmd", "--strategy e2e --only-teacher", 2, "only_teacher True: is about a teacher"),
    ("dmd", "--strategy e2e --start teacher", 2, "start teacher: is about a teacher"),
    ("dmd", "--strategy e2e --weight-output 0.1", 2, "weight_output 0.1: is about a teacher"),
    ("dmd", "--side 256 --patterns 40000", 3, "sequence length is 80000 entries"),
    ("dmd", "--patterns 2000", 2, "1024 unknowns"),
    ("dmd", "--patterns 0", 2, "patterns 0: "),
    ("dmd", "--exposure-us 100", 3, "at least 235 us"),
    ("dmd", "--exposure-us nan", 2, "exposure_us nan: "),
    ("dmd", "--photoelectrons inf", 2, "photoelectrons inf: "),
    ("dmd", "--threads 0", 2, "threads 0: should be greater than or equal to 1"),
    ("mri", "--threads -3", 2, "threads -3: should be greater than or equal to 1"),
    ("aperture", "--threads 100000", 2, "threads 100000: should be less than or equal to 1024"),
    ("dmd", "--threads 1024", 3, "threads 1024: "),
    ("dmd", "--threads many", 2, "--threads"),
    ("mri", "--set threads=2.5", 2, "threads 2.5: should be a valid integer"),
    ("mri", "--set threads=1 --threads 1", 2, "--set threads: given as --threads too"),
    ("dmd", "--side 3", 2, "side 3"),
    ("dmd", "--side 0", 2, "side 0: "),
]


@pytest.mark.parametrize(("kind", "words", "code", "said"), SETTINGS, ids=[f"{k} {w[:40]}" for k, w, _, _ in SETTINGS])
def test_settings_that_cannot_be_trained(kind: str, words: str, code: int, said: str, cidesign: Command) -> None:
    done = cidesign("distill", "--profile", PROFILES[kind], *words.split())
    assert done.code == code
    assert said in done.err
    _assert_one_line_and_nothing_begun(done)


@pytest.mark.usefixtures("tiny")
def test_any_setting_can_be_set(cidesign: Command) -> None:
    words = [
        "--set",
        "images=40",
        "--set",
        "learning-rate=2e-3",
        "--set",
        "channels=6",
        "--set",
        "ladder=real@20, 4-bit",
    ]
    done = cidesign("distill", "--profile", "dlp4500", *words, "--set", "encoding=offset", "--seed", 5, "--out", "run")
    assert done.code == 0
    settings = Run(Path("run")).settings
    assert (settings.images, settings.learning_rate, settings.seed) == (40, 2e-3, 5)
    assert settings.decoder_settings == {"channels": 6}
    assert settings.ladder == ("real@20", "4-bit")
    assert settings.model_dump()["encoding"] == "offset"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "imges=4"], "imges: no such setting here; did you mean images? Known are channels, seed, side"),
        (["--set", "images=-5"], "images -5: should be greater than or equal to 1"),
        (["--set", "images=many"], "images many: should be a valid integer"),
        (["--set", "images"], "write NAME=VALUE"),
        (["--set", "images=4", "--set", "images=5"], "images is given twice"),
        (["--set", "seed=4", "--seed", "4"], "--set seed: given as --seed too; give it once"),
        (["--set", "bit-depth=2", "--bit-depth", "2"], "--set bit_depth: given as --bit-depth too"),
        (["--set", "photoelectrons_per_frame=1e5", "--photoelectrons", "1e5"], "are the same setting"),
        (["--set", "ladder=real", "--ladder", "real"], "--set ladder: given as --ladder too"),
        (["--set", "preset=paper"], "--set preset: has an option of its own"),
        (["--set", "acs_lines=4"], "acs_lines: is for mri"),
        (["--set", "stages=4"], "stages: no such setting here"),
        (["--decoder", "unrolled", "--set", "stages=40"], "stages 40: should be less than or equal to 20"),
        (["--set", "decoder=magic"], "'magic' is no decoder known here; known are unet, phase-unet, unrolled, linear"),
        (["--set", "patterns=2000"], "patterns 2000: an image of 32 x 32"),
        (["--set", "exposure_us=none"], "exposure_us none: should be a valid number"),
    ],
)
def test_wrong_settings_are_one_line(words: list[str], said: str, cidesign: Command) -> None:
    done = cidesign("distill", "--profile", "dlp4500", *words)
    assert done.code == 2
    assert said in done.err
    _assert_one_line_and_nothing_begun(done)


@pytest.mark.parametrize("kind", PROFILES)
def test_missing_data_is_said(kind: str, cidesign: Command) -> None:
    done = cidesign("distill", "--profile", PROFILES[kind], "--data", "nowhere")
    assert done.code == 5
    assert "nowhere" in done.err
    _assert_one_line_and_nothing_begun(done)


@pytest.mark.parametrize(("kind", "others"), [("dmd", "side, patterns, images"), ("mri", "side, coils, images")])
def test_what_cannot_fit_the_memory_is_refused(
    kind: str, others: str, cidesign: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cidesign.distill.needs.free_bytes", lambda: 700_000_000)
    monkeypatch.setattr("cidesign.distill.needs.held_bytes", lambda: 300_000_000)
    words = ["--side", "64", "--set", "batch=1000", "--set", "images=2000", "--patterns", "400"]
    done = cidesign("distill", "--profile", PROFILES[kind], *(words if kind == "dmd" else words[:-2]))
    assert done.code == 3
    assert "and there are 1 GB for it; lower batch to " in done.err
    assert f", or {others} or channels" in done.err
    _assert_one_line_and_nothing_begun(done)


def test_an_unknown_profile_suggests_a_known_one(cidesign: Command) -> None:
    done = cidesign("distill", "--profile", "dlp4501")
    assert done.code == 2
    assert "did you mean dlp4500" in done.err
    _assert_one_line_and_nothing_begun(done)


@pytest.mark.parametrize(
    "words",
    [
        ["--decoder", "unet"],
        ["--ladder", "R2"],
        ["--profile", "x"],
        ["--lines", "4"],
        ["--set", "images=4"],
        ["--threads", "1"],
    ],
)
def test_a_resumed_run_keeps_its_settings(words: list[str], cidesign: Command) -> None:
    done = cidesign("distill", "--resume", *words)
    assert done.code == 2
    assert f"{words[0]} cannot be given with --resume" in done.err
    assert list(Path().iterdir()) == []


def test_large_requests_are_refused_before_memory_is_taken(cidesign: Command) -> None:
    """Half a terabyte of teacher and 50 GB of patterns: only shapes are looked at."""
    words = ["--side", "512", "--patterns", "200000"]
    done = cidesign("distill", "--profile", PROFILES["dmd"], *words)
    assert done.code == 3
    assert "sequence length is 400000 entries" in done.err
    done = cidesign(
        "distill", "--profile", PROFILES["dmd"], "--side", "512", "--patterns", "9", "--ladder", "real@262144,soft"
    )
    assert done.code == 2
    assert "ladder soft" in done.err
    _assert_one_line_and_nothing_begun(done)

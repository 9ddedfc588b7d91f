"""simulate -> calibrate -> reconstruct as a user types them, and what they say when something is wrong."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.linalg import hadamard

import cidesign as ci
from cidesign.cli.display import waiting
from cidesign.errors import InputError
from cidesign.modalities.single_pixel.run import SinglePixelRun

SIDE, PATTERNS = 16, 40


Command = Callable[..., Any]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Any], finished_run: Callable[..., Any]
) -> Path:
    """A finished run without training: its decoder is the linear first step."""
    path = tmp_path_factory.mktemp("trained") / "run"
    settings = make_settings(side=SIDE, patterns=PATTERNS, read_noise_photoelectrons=50.0)
    finished_run(path, settings, SinglePixelRun)
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "runs" / "mine")
    return Path("runs/mine")


def _error(done: Any, code: int) -> str:
    assert done.code == code
    assert done.out == ""
    (line,) = (line for line in done.err.splitlines() if line.startswith("error: "))
    assert "Traceback" not in done.err
    return line


def test_the_chain(cidesign: Command, run: Path) -> None:
    simulated = cidesign("simulate", run, "--fault", "drift=3", "--out", "cap")
    assert simulated.code == 0
    assert "80 readings" in simulated.out
    assert simulated.err.endswith("next: cidesign calibrate cap --run runs/mine --out calibration\n")
    calibrated = cidesign("calibrate", "cap", "--run", run, "--out", "cal")
    assert calibrated.code == 0
    assert "simulated truth" in calibrated.out
    assert "next: cidesign reconstruct runs/mine cap --calibration cal" in calibrated.err
    done = cidesign("reconstruct", run, "cap", "--calibration", "cal", "--out", "images")
    assert done.code == 0
    assert "student" in done.out
    assert "peak to peak found in the pair sums and divided out" in done.out
    assert "next: cidesign report runs/mine" in done.err
    names = {path.name for path in Path("images").iterdir()}
    stems = {f"{name}.{suffix}" for name in ("student", "lmmse", "tikhonov") for suffix in ("png", "tiff", "npz")}
    assert names >= stems | {"comparison.png", "reconstruction.json"}


def test_who_waits_is_told_beside_the_result(cidesign: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "QUIET_S", 0.0)
    cidesign("simulate", run, "--out", "cap")
    done = cidesign("calibrate", "cap", "--run", run, "--out", "cal", "--json")
    assert re.search(r"^place of the patterns: \d+ %, less than a minute to go$", done.err, re.MULTILINE)
    assert json.loads(done.out)["verdict"] == "not verified"
    done = cidesign("reconstruct", run, "cap", "--calibration", "cal", "--json")
    assert re.search(r"^least variation: \d+ %, less than a minute to go$", done.err, re.MULTILINE)
    assert json.loads(done.out)["verdict"] == "not verified"


def test_json_and_defaults(cidesign: Command, run: Path) -> None:
    """Without names, the newest run is used and named, and everything goes beside it."""
    first = cidesign("simulate", "--json")
    assert json.loads(first.out)["bench"]["simulated_at"] == "super-pixel"
    assert "run: runs/mine (the newest)" in first.err
    second = cidesign("calibrate", run / "capture", "--json")
    value = json.loads(second.out)
    truth = json.loads(first.out)["bench"]
    scale = truth["gain_counts_per_photoelectron"] * truth["photoelectrons_per_frame"]
    assert value["scale_counts"]["value"] == pytest.approx(scale, abs=5 * value["scale_counts"]["standard_error"])
    third = cidesign("reconstruct", run / "capture", "--calibration", run / "calibration", "--json")
    assert "run: runs/mine (the newest)" in third.err
    record = json.loads(third.out)
    assert record["images"]["student"]["psnr_db"] > 12
    assert Path(record["file"]).is_file()


def test_a_scene_of_ones_own(cidesign: Command, run: Path) -> None:
    picture = np.zeros((32, 48), np.uint8)
    picture[4:28, 12:16] = 255
    Image.fromarray(picture).save("scene.png")
    done = cidesign("simulate", run, "--scene", "scene.png", "--out", "cap")
    assert "centred square of 32 x 32 of 48 x 32" in done.out
    truth = np.load("cap/readings.npz")["truth"]
    assert truth.shape == (16, 16)
    assert truth[8].tolist() == [0.0, 0.0, 1.0, 1.0, *[0.0] * 12]
    assert "no such" in _error(cidesign("simulate", run, "--scene", "absent.png", "--out", "c2"), 5).lower()


def test_nothing_is_overwritten(cidesign: Command, run: Path) -> None:
    cidesign("simulate", run, "--out", "cap")
    cidesign("calibrate", "cap", "--out", "cal")
    cidesign("reconstruct", run, "cap", "--calibration", "cal", "--out", "images")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for words in (
        ("simulate", run, "--out", "cap"),
        ("calibrate", "cap", "--out", "cal"),
        ("reconstruct", run, "cap", "--calibration", "cal", "--out", "images"),
    ):
        assert "--force" in _error(cidesign(*words), 5)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert cidesign("simulate", run, "--out", "cap", "--seed", "5", "--force").code == 0
    assert before[Path("cap/readings.npz")] != Path("cap/readings.npz").read_bytes()


def test_what_is_wrong_is_said(cidesign: Command, run: Path) -> None:
    assert "from 0 to 80 % of its light" in _error(cidesign("simulate", run, "--fault", "drift=-1"), 2)
    assert "dark_counts -1: 0 or more is possible" in _error(cidesign("simulate", run, "--set", "dark_counts=-1"), 2)
    assert "no such run folder" in _error(cidesign("simulate", "absent"), 5)
    assert "no such capture" in _error(cidesign("calibrate", "absent"), 5)
    Path("mypat.npy").write_bytes(b"x")
    for command in (("simulate",), ("export",), ("upload", "--dry-run"), ("evaluate",), ("report",)):
        line = _error(cidesign(command[0], "mypat.npy", *command[1:]), 5)
        assert "mypat.npy: is a file, and a folder" in line
        assert "become a design folder by `cidesign design`" in line
        assert "make one" not in line
    assert cidesign("simulate", run, "--set", "gain_counts_per_photoelectron=1", "--out", "bright").code == 0
    assert "at or above the saturation level of 65535" in _error(cidesign("calibrate", "bright"), 5)
    cidesign("simulate", run, "--out", "cap")
    # Without a calibration the bench is taken as designed, which is said.
    done = cidesign("reconstruct", run, "cap", "--out", "nominal")
    assert done.code == 0, done.err
    assert "verification: not verified; NOT LOOKED AT:" in done.out
    assert "makes a calibration of all of them" in done.out
    assert "3 paths" in _error(cidesign("reconstruct", run, "cap", "cap"), 2)
    assert "--region" in _error(cidesign("reconstruct", run, "cap", "--region", "1"), 2)
    cidesign("calibrate", "cap", "--out", "cal")
    np.save("short.npy", np.arange(76.0))
    line = _error(cidesign("reconstruct", run, "short.npy", "--calibration", "cal"), 5)
    assert "scene: 76 readings, but the design shows 80 frames" in line
    assert not (run / "images").exists()


def test_hadamard_captures(cidesign: Command, run: Path) -> None:
    scene = np.outer(np.linspace(0.2, 1, SIDE), np.linspace(1, 0.1, SIDE))
    scene[3:9, 4:7] = 0.0
    np.savez("car.npz", data=np.stack([hadamard(SIDE**2) @ scene.reshape(-1)] * 3), n=SIDE)
    done = cidesign("reconstruct", run, "car.npz", "--reader", "hadamard", "--out", "table")
    assert done.code == 0
    assert len([line for line in done.out.splitlines() if "best linear" in line or "student decoder" in line]) == 6
    assert "region 1 of 3 (the middle one; --region chooses)" in done.out
    record = json.loads(Path("table/reconstruction.json").read_text())
    assert len(record["table"]) == 6
    assert {path.name for path in Path("table").glob("*.png")} >= {"full_basis.png", "student_decoder.png"}
    chosen = cidesign("reconstruct", "car.npz", "--reader", "hadamard", "--region", "2", "--json")
    assert json.loads(chosen.out)["region"] == 2
    assert "hadamard take none" in _error(
        cidesign("reconstruct", run, "car.npz", "--reader", "hadamard", "--calibration", "cal", "--out", "t"), 2
    )
    assert "--reader hadamard" in _error(cidesign("reconstruct", run, "car.npz", "--calibration", "cal"), 5)
    with pytest.raises(InputError, match="hadamard: no reader of this name works without a run"):
        ci.reconstruct(None, "car.npz", reader="hadamard")


def test_faults_by_name(cidesign: Command, run: Path) -> None:
    for name in ("nosuch", "coil-loss"):
        line = _error(cidesign("simulate", run, "--fault", name, "--out", "c"), 2)
        assert f"--fault {name}: this bench has no such fault; known are lost-trigger, record-shift, flicker" in line
    assert "'x' is not a number" in _error(cidesign("simulate", run, "--fault", "shift=x", "--out", "c"), 2)
    assert "given twice" in _error(cidesign("simulate", run, "--fault", "shift", "--fault", "shift=2", "--out", "c"), 2)
    assert "known are dark_counts" in _error(cidesign("simulate", run, "--set", "nosuch=1", "--out", "c"), 2)
    assert not Path("c").exists()


def test_a_bench_file(cidesign: Command, run: Path) -> None:
    """Its settings and faults are used; what is typed overrules it."""
    Path("bench.toml").write_text(
        "[settings]\ndark_counts = 300\nread_noise_counts = 5\n[faults]\nshift = 1\nmirror = 2\n"
    )
    words = ("--set", "read_noise_counts=7", "--fault", "shift=-0.5", "--out", "cap", "--json")
    done = cidesign("simulate", run, "--bench", "bench.toml", *words)
    bench = json.loads(done.out)["bench"]
    assert (bench["dark_counts"], bench["read_noise_counts"]) == (300, 7)
    assert bench["faults"] == {"mirror": 2, "shift": -0.5}
    stored = json.loads(Path("cap/capture.json").read_text())["bench"]
    assert stored == bench


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("[settings", 2, "this bench file is no TOML"),
        ("dark_counts = 3", 2, "a bench file has the tables [settings] and [faults]"),
        ("[other]\na = 1", 2, "found other"),
        ("[faults]\nshift = true", 2, "faults.shift is no number"),
        ('[faults]\nshift = "1"', 2, "faults.shift is no number"),
        ("[faults]\nnosuch = 1", 2, "no such fault; known are"),
        ("[faults]\nshift = nan", 2, "from -4 to 4 super-pixels"),
        ("[settings]\nnosuch = 1", 2, "no such setting here"),
        ('[settings]\ndark_counts = "x"', 2, "a value of the kind float is needed"),
        (b"\xff\xfe", 2, "this bench file is no TOML"),
        (None, 5, "bench.toml"),
    ],
)
def test_wrong_bench_files(cidesign: Command, run: Path, content: str | bytes | None, code: int, said: str) -> None:
    if content is not None:
        Path("bench.toml").write_bytes(content.encode() if isinstance(content, str) else content)
    assert said in _error(cidesign("simulate", run, "--bench", "bench.toml", "--out", "cap"), code)
    assert not Path("cap").exists()


def test_the_plan(cidesign: Command, run: Path) -> None:
    done = cidesign("calibrate", "--plan", "--run", run)
    assert done.code == 0
    titles = [line for line in done.out.splitlines() if line[:1].isdigit()]
    assert [title.split(". ")[1] for title in titles][:3] == [
        "dark frames", "white levels", "the sequence on the white reference (recommended)",
    ]  # fmt: skip
    assert f"card ({2 * PATTERNS},)" in done.out
    steps = json.loads(cidesign("calibrate", "--plan", "--run", run, "--json").out)["steps"]
    assert len(steps) == len(titles)
    assert "it takes no CAPTURE" in cidesign("calibrate", "cap", "--plan", "--run", run).err
    assert "name the CAPTURE" in cidesign("calibrate", "--run", run).err


def test_a_record_completed_from_the_plan(cidesign: Command, run: Path) -> None:
    """--plan --out writes a card and a record; with the arrays beside it, it calibrates and reconstructs."""
    assert cidesign("calibrate", "--plan", "--run", run, "--out", "bench").code == 0
    assert {path.name for path in Path("bench").iterdir()} >= {"card.png", "known.npz", "capture.json"}
    with Image.open("bench/card.png") as picture:
        assert picture.size == (SIDE * 32, SIDE * 32)
        levels = np.asarray(picture)[16::32, 16::32] / 255
    known = np.load("bench/known.npz")
    assert levels == pytest.approx(known["card_picture"], abs=0.5 / 255)
    cidesign("simulate", run, "--out", "cap", "--fault", "shift=0.5", "--set", "photoelectrons=1e7")
    readings = np.load("cap/readings.npz")
    for name in ("dark", "flat", "card", "scene"):
        np.save(f"bench/{name}.npy", readings[name])
    np.save("bench/white.npy", readings["white"][1::2])
    assert np.array_equal(known["time_us"], readings["time_us"])
    done = cidesign("calibrate", "bench", "--run", run, "--out", "cal")
    assert done.code == 0
    assert "verification: passed" in done.out
    record = json.loads(Path("cal/calibration.json").read_text())
    assert record["operator"]["right_px"] == pytest.approx(0.5, abs=0.05)
    assert cidesign("reconstruct", run, "bench", "--calibration", "cal", "--out", "images").code == 0
    assert "--force" in _error(cidesign("calibrate", "--plan", "--run", run, "--out", "bench"), 5)


def test_the_gate(cidesign: Command, run: Path) -> None:
    """A failed verification leaves with 3, is written beside the earlier one, and is refused later."""
    cidesign("simulate", run, "--out", "cap")
    assert cidesign("calibrate", "cap", "--run", run, "--out", "cal").code == 0
    before = {path: path.read_bytes() for path in Path("cal").iterdir()}
    arrays = dict(np.load("cap/readings.npz"))
    arrays["scene"] = arrays["scene"][:-9]
    np.savez("cap/readings.npz", **arrays)
    done = cidesign("calibrate", "cap", "--run", run, "--out", "cal", "--force")
    assert done.code == 3
    assert "verification: failed" in done.out
    assert "failed its verification: scene:" in done.err
    assert "this resembles: lost-trigger" in done.err
    assert {path: path.read_bytes() for path in Path("cal").iterdir()} == before
    assert Path("cal-failed/calibration.json").is_file()
    cidesign("simulate", run, "--out", "later", "--seed", "1")
    words = ("reconstruct", run, "later", "--calibration", "cal-failed", "--out", "images")
    assert "--accept-failed" in _error(cidesign(*words), 3)
    assert not Path("images").exists()
    accepted = cidesign(*words, "--accept-failed")
    assert accepted.code == 0
    assert "ACCEPTED although failed: scene" in accepted.out


def test_a_bench_that_changed(cidesign: Command, run: Path) -> None:
    cidesign("simulate", run, "--out", "cap")
    cidesign("calibrate", "cap", "--run", run, "--out", "cal")
    cidesign("simulate", run, "--out", "later", "--seed", "1", "--fault", "mirror")
    line = _error(cidesign("reconstruct", run, "later", "--calibration", "cal", "--out", "images"), 3)
    assert "this resembles: mirror" in line


def test_a_calibration_that_cannot_be_made_leaves_the_earlier_one(cidesign: Command, run: Path) -> None:
    """Saturated, swapped, too few, another design: one line each, and the earlier folder byte for byte as it was."""
    cidesign("simulate", run, "--out", "cap")
    cidesign("calibrate", "cap", "--run", run, "--out", "cal")
    before = {path: path.read_bytes() for path in Path("cal").iterdir()}
    good = dict(np.load("cap/readings.npz"))
    for change, said in (
        ({"white": np.minimum(good["white"] * 2, 65535)}, "at or above the saturation level"),
        ({"dark": good["dark"][:8]}, "8 dark and 256 white readings per level; at least 16"),
        ({"white": np.tile(good["dark"], (8, 1))}, "are dark and white swapped"),
        ({"flat": good["flat"][:-9]}, "flat: 71 readings, but the design shows 80 frames"),
        ({"card": np.full(80, 7)}, "card: all 80 readings are 7"),
        ({"card_picture": np.ones((16, 16))}, "a card of at least 0.2 between dark and bright"),
        ({"scene": good["scene"], "flat": good["flat"] * 0 + good["dark"][:80]}, "no light reached the detector"),
    ):
        np.savez("cap/readings.npz", **{**good, **change})
        assert said in _error(cidesign("calibrate", "cap", "--run", run, "--out", "cal", "--force"), 5)
    np.savez("cap/readings.npz", **good)
    record = json.loads(Path("cap/capture.json").read_text())
    for field, value, said in (
        ("design_digest", "0" * 64, "was recorded with design 000000000000"),
        ("profile_digest", "0" * 64, "was recorded with profile 000000000000"),
    ):
        Path("cap/capture.json").write_text(json.dumps(record | {field: value}))
        assert said in _error(cidesign("calibrate", "cap", "--run", run, "--out", "cal", "--force"), 5)
    assert {path: path.read_bytes() for path in Path("cal").iterdir()} == before

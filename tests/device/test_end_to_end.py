"""Programs as a user starts them: a virtual DMD in one, an upload in another, and kill -9 in between."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cidesign.constraints.sequence import plan_sequence
from cidesign.device.virtual_frames import SHOWN_NAME, read_shown
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.writer import write_export
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")

CIDESIGN = [sys.executable, "-m", "cidesign"]
WAIT_S = 60


def _export(folder: Path, name: str, count: int, side: int) -> PatternStack:
    """Noise with an F in its middle: hard to compress, and no flip or shift leaves it equal."""
    profile = load_profile(name)
    levels = np.random.default_rng(side).integers(0, 2, (count, side, side), dtype=np.uint8)
    top, left, unit = side // 8, side // 6, side // 10
    levels[:, top : top + 7 * unit, left : left + 5 * unit] = 0
    levels[:, top : top + 7 * unit, left : left + unit] = 1
    levels[:, top : top + unit, left : left + 5 * unit] = 1
    levels[:, top + 3 * unit : top + 4 * unit, left : left + 3 * unit] = 1
    pattern = PatternStack(levels, 1, "complementary", profile.id, profile.digest)
    exporter = exporter_named(profile.controller.value)
    write_export(exporter, pattern, profile, plan_sequence(profile, 2 * count, 1), folder)
    return pattern


@pytest.fixture(scope="module")
def dlp6500(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PatternStack]:
    folder = tmp_path_factory.mktemp("dlp6500") / "export"
    return folder, _export(folder, "dlp6500", 16, 216)


@pytest.fixture(scope="module")
def dlp4500(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PatternStack]:
    folder = tmp_path_factory.mktemp("dlp4500") / "export"
    return folder, _export(folder, "dlp4500", 16, 285)


@contextmanager
def _running(*words: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """A virtual DMD; its port is `link` below the folder of the log, and open when this yields."""
    with log.open("a") as errors:
        process = subprocess.Popen([*CIDESIGN, *words], stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("port: "), log.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)
        if process.stdout is not None:
            process.stdout.close()


def _upload(*words: object) -> dict:
    done = subprocess.run(
        [*CIDESIGN, "upload", *map(str, words), "--json"], capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _killed_upload(folder: Path, port: Path, spool: Path) -> None:
    """Start an upload and kill it with -9 when about a third has arrived."""
    sizes = [path.stat().st_size for path in folder.iterdir() if path.suffix in (".spld", ".png")]
    process = subprocess.Popen(
        [*CIDESIGN, "upload", str(folder), "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + WAIT_S
    while _spooled(spool) < sum(sizes) // 3:
        assert process.poll() is None, "the upload was over before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.005)
    process.kill()
    process.wait(WAIT_S)


def _spooled(spool: Path) -> int:
    return sum(path.stat().st_size for path in spool.glob("*.part")) if spool.is_dir() else 0


def _wait_for(path: Path, frames: int) -> list:
    end = time.monotonic() + WAIT_S
    while not path.exists():
        assert time.monotonic() < end, f"{path} never appeared"
        time.sleep(0.05)
    shown = read_shown(path)
    assert len(shown) == frames
    return shown


def _assert_shown(path: Path, pattern: PatternStack) -> None:
    grid = superpixel_grid(load_profile(pattern.profile_id), pattern.side)
    shown = _wait_for(path, len(pattern.displayed()))
    for number, (frame, levels) in enumerate(zip(shown, pattern.displayed(), strict=True)):
        assert np.array_equal(frame.levels, grid.spread(levels)), number


def _end(process: subprocess.Popen[str], log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S) == 0
    assert log.read_text().splitlines()[-1] == "the device is stopped and idle"


def test_upload_start_status_stop(tmp_path: Path, dlp6500: tuple[Path, PatternStack]) -> None:
    folder, pattern = dlp6500
    link, log = tmp_path / "dmd", tmp_path / "log"
    words = ["emulate", "--profile", "dlp6500", "--link", str(link), "--render", str(tmp_path / "mirrors")]
    with _running(*words, log=log) as process:
        done = _upload(folder, "--port", link, "--start")
        assert done["result"]["verified"]
        assert done["started"]["running"]
        _assert_shown(tmp_path / "mirrors" / SHOWN_NAME, pattern)
        assert _upload("--status", "--port", link)["running"]
        stopped = _upload("--stop", "--port", link)
        assert (stopped["running"], stopped["idle"]) == (False, True)
        _end(process, log)
    assert not link.is_symlink()


def test_a_killed_uploader_is_resumed(tmp_path: Path, dlp6500: tuple[Path, PatternStack]) -> None:
    folder, pattern = dlp6500
    link, log, spool = tmp_path / "dmd", tmp_path / "log", tmp_path / "spool"
    words = ["emulate", "--profile", "dlp6500", "--link", str(link), "--spool", str(spool)]
    with _running(*words, "--render", str(tmp_path / "mirrors"), log=log) as process:
        _killed_upload(folder, link, spool)
        done = _upload(folder, "--port", link, "--resume", "--start")["result"]
        assert done["held_bytes"] > 0
        assert done["sent_bytes"] + done["held_bytes"] == _total(folder)
        _assert_shown(tmp_path / "mirrors" / SHOWN_NAME, pattern)
        _end(process, log)


def test_a_killed_emulator_is_resumed(tmp_path: Path, dlp6500: tuple[Path, PatternStack]) -> None:
    folder, pattern = dlp6500
    link, log, spool = tmp_path / "dmd", tmp_path / "log", tmp_path / "spool"
    words = ["emulate", "--profile", "dlp6500", "--link", str(link), "--spool", str(spool)]
    with _running(*words, log=log) as first:
        upload = subprocess.Popen(
            [*CIDESIGN, "upload", str(folder), "--port", str(link)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        while _spooled(spool) < _total(folder) // 3:
            assert upload.poll() is None, "the upload was over before the emulator could be killed"
            time.sleep(0.005)
        first.kill()
        _, errors = upload.communicate(timeout=WAIT_S)
    assert upload.returncode == 4
    assert b"Traceback" not in errors
    with _running(*words, "--render", str(tmp_path / "mirrors"), log=log) as second:
        done = _upload(folder, "--port", link, "--resume", "--start")["result"]
        assert done["held_bytes"] > 0
        assert done["sent_bytes"] < _total(folder)
        _assert_shown(tmp_path / "mirrors" / SHOWN_NAME, pattern)
        _end(second, log)


def test_the_dlp4500_through_a_bridge(tmp_path: Path, dlp4500: tuple[Path, PatternStack]) -> None:
    folder, pattern = dlp4500
    link, log, spool = tmp_path / "dmd", tmp_path / "log", tmp_path / "spool"
    words = ["bridge", "--backend", "emulator", "--profile", "dlp4500", "--link", str(link), "--spool", str(spool)]
    with _running(*words, "--render", str(tmp_path / "mirrors"), log=log) as process:
        _killed_upload(folder, link, spool)
        done = _upload(folder, "--port", link, "--resume", "--start", "--repeats", "1")
        assert done["result"]["held_bytes"] > 0
        _assert_shown(tmp_path / "mirrors" / SHOWN_NAME, pattern)
        _end(process, log)


def test_a_wrong_decoder_is_caught_by_looking(tmp_path: Path, dlp6500: tuple[Path, PatternStack]) -> None:
    folder, pattern = dlp6500
    link, log = tmp_path / "dmd", tmp_path / "log"
    words = ["emulate", "--profile", "dlp6500", "--link", str(link), "--render", str(tmp_path / "mirrors")]
    with _running(*words, "--fault", "wrong-decoder", log=log) as process:
        assert _upload(folder, "--port", link, "--start")["result"]["verified"], "the device itself reports nothing"
        shown = _wait_for(tmp_path / "mirrors" / SHOWN_NAME, 32)
        grid = superpixel_grid(load_profile("dlp6500"), pattern.side)
        assert not np.array_equal(shown[0].levels, grid.spread(pattern.displayed()[0]))
        _end(process, log)


def test_ending_in_the_middle_of_an_upload_leaves_the_device_idle(
    tmp_path: Path, dlp6500: tuple[Path, PatternStack]
) -> None:
    folder, _ = dlp6500
    link, log, spool = tmp_path / "dmd", tmp_path / "log", tmp_path / "spool"
    words = ["emulate", "--profile", "dlp6500", "--link", str(link), "--spool", str(spool)]
    with _running(*words, log=log) as process:
        upload = subprocess.Popen(
            [*CIDESIGN, "upload", str(folder), "--port", str(link)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not _spooled(spool):
            time.sleep(0.005)
        _end(process, log)
        assert upload.wait(WAIT_S) == 4


def _total(folder: Path) -> int:
    """The bytes of an upload: the images, and 16 bytes for each of the 32 entries."""
    return 32 * 16 + sum(os.path.getsize(path) for path in folder.glob("*.spld"))

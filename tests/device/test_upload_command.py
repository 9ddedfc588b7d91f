"""`cidesign upload` as a user runs it, against a bridge in a thread on a pseudo-terminal."""

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from cidesign.cli import main
from cidesign.constraints.sequence import plan_sequence
from cidesign.device.link.server import LinkServer
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.writer import write_export
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def cidesign(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run the command line."""

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["cidesign", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as leave:
            code = int(leave.code or 0)
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of 25 asymmetric patterns and one all-on frame for a DLP6500: two images."""
    profile = load_profile("dlp6500")
    levels = np.random.default_rng(4).integers(0, 2, (25, 32, 32), dtype=np.uint8)
    pattern = PatternStack(levels, 1, "offset", profile.id, profile.digest)
    target = tmp_path_factory.mktemp("command") / "out"
    write_export(exporter_named("dlpc900"), pattern, profile, plan_sequence(profile, 26, 1), target)
    return target


@pytest.fixture
def port(strict_dmd: Any) -> Iterator[str]:
    """A bridge around the strict device, on a pseudo-terminal."""
    from cidesign.device.link.transport import open_pty

    device_end, path = open_pty()
    stop = threading.Event()
    server = LinkServer(strict_dmd)
    thread = threading.Thread(target=server.serve, args=(device_end, stop))
    thread.start()
    yield path
    stop.set()
    thread.join()
    server.close()
    device_end.close()


def image_files(folder: Path) -> dict[tuple[int, int], bytes]:
    return {(index, 0): (folder / f"dlp6500_{index:02d}.spld").read_bytes() for index in (0, 1)}


def test_a_dry_run_opens_no_port(cidesign: Callable[..., Outcome], folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    done = cidesign("upload", folder, "--dry-run")
    assert done.code == 0
    assert "26; the device holds 400 at full rate (6 %)" in done.out
    assert "dry run: nothing was sent" in done.out
    assert f"next: cidesign upload {folder} --port URL" in done.err


def test_an_upload_is_verified_and_started(
    cidesign: Callable[..., Outcome], folder: Path, port: str, strict_dmd: Any
) -> None:
    done = cidesign("upload", folder, "--port", port, "--start", "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert strict_dmd.images == image_files(folder)
    assert len(strict_dmd.table) == 26
    assert value["result"]["verified"]
    assert value["result"]["sent_bytes"] == value["plan"]["bytes"]
    assert value["started"]["running"]
    assert value["started"]["upload_digest"] == value["plan"]["upload_digest"]
    assert strict_dmd.calls[-1] == ("start", 0)
    assert f"next: cidesign upload --port {port} --stop" in done.err
    asked = json.loads(cidesign("upload", "--port", port, "--status", "--json").out)
    assert asked["running"]
    assert asked["complete"]
    stopped = cidesign("upload", "--port", port, "--stop")
    assert "stopped, idle" in stopped.out
    assert not strict_dmd.running


def test_resume_sends_nothing_twice(cidesign: Callable[..., Outcome], folder: Path, port: str, strict_dmd: Any) -> None:
    assert cidesign("upload", folder, "--port", port).code == 0
    strict_dmd.calls.clear()
    done = cidesign("upload", folder, "--port", port, "--resume", "--start", "--repeats", 3)
    assert done.code == 0, done.err
    assert "3 objects: 0 B sent" in done.out
    assert strict_dmd.calls == [("start", 3)]


def test_an_interrupt_leaves_the_device_stopped_and_says_how_to_go_on(
    cidesign: Callable[..., Outcome], folder: Path, port: str, strict_dmd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Any) -> None:
        if progress.done_bytes > 0.6 * progress.total_bytes:
            raise KeyboardInterrupt

    monkeypatch.setattr("cidesign.cli.upload._progress_bar", lambda: contextlib.nullcontext(interrupt))
    done = cidesign("upload", folder, "--port", port, "--start")
    assert done.code == 130
    assert "not finished: the device is stopped and idle" in done.err
    assert f"next: cidesign upload {folder} --port {port} --resume" in done.err
    assert strict_dmd.calls[-1] == "stop"
    monkeypatch.undo()
    again = cidesign("upload", folder, "--port", port, "--resume", "--json")
    value = json.loads(again.out)
    assert value["result"]["held_bytes"] > 0.5 * value["plan"]["bytes"]
    assert value["result"]["held_bytes"] + value["result"]["sent_bytes"] == value["plan"]["bytes"]
    assert strict_dmd.images == image_files(folder)


def test_an_error_of_the_device_leaves_it_stopped(
    cidesign: Callable[..., Outcome], folder: Path, port: str, strict_dmd: Any
) -> None:
    strict_dmd.fail_at_image = 0
    done = cidesign("upload", folder, "--port", port, "--start")
    assert done.code == 4
    assert "error: image 0: the bridge refused COMMIT (device): error 9: bad compression" in done.err
    assert "not finished: the device is stopped and idle" in done.err
    assert strict_dmd.calls[-1] == "stop"
    assert "Traceback" not in done.err


def test_a_device_that_is_not_ours_is_left_alone(
    cidesign: Callable[..., Outcome], folder: Path, port: str, strict_dmd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    other = replace(strict_dmd.info(), profile_id="dlp9000", columns=2560, rows=1600)
    monkeypatch.setattr(strict_dmd, "info", lambda: other)
    done = cidesign("upload", folder, "--port", port)
    assert done.code == 4
    assert "the device is a dlp9000" in done.err
    assert "the device was left as it was" in done.err
    assert "--resume" not in done.err
    assert strict_dmd.calls == []


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "no export folder is named"),
        (["FOLDER"], 2, "--port is missing"),
        (["FOLDER", "--port", "x", "--repeats", "2"], 2, "it needs --start"),
        (["FOLDER", "--status", "--port", "x"], 2, "without DIR"),
        (["--status", "--stop", "--port", "x"], 2, "use one of them"),
        (["--stop"], 2, "--port is missing"),
        (["nothing-here", "--dry-run"], 5, "no such export folder"),
        (["FOLDER", "--dry-run", "--profile", "dlp2000"], 2, "no pattern mode"),
        (["FOLDER", "--dry-run", "--profile", "dlp4500"], 3, "designed for dlp6500, not for dlp4500"),
        (["FOLDER", "--dry-run", "--images-in-flash"], 3, "images-in-flash is for devices"),
        (["FOLDER", "--port", "/dev/ttyNONE"], 4, "there is no such port"),
        (["--status", "--port", "nonsense://x"], 2, "name a port such as"),
    ],
)
def test_bad_input_is_one_line(
    cidesign: Callable[..., Outcome], folder: Path, words: list[str], code: int, text: str
) -> None:
    done = cidesign("upload", *(folder if word == "FOLDER" else word for word in words))
    assert done.code == code
    [line] = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert text in line

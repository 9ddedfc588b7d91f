"""The HDMI way into a DLP4500: every pattern once and in order, on a screen of exactly the right size."""

import os
import shutil
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cidesign.device.dlpc350.display import HdmiDlpc350, TkCanvas, frame_of
from cidesign.device.dlpc350.virtual_display import VirtualCanvas
from cidesign.device.dmd import Half, TableEntry
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import DeviceError

FRAME_US = 16_667


def _file(words: np.ndarray, form: str = "PNG") -> bytes:
    """A file of 24-bit words: green planes 0-7, red 8-15, blue 16-23."""
    rgb = np.stack([words >> 8 & 0xFF, words & 0xFF, words >> 16 & 0xFF], axis=-1).astype(np.uint8)
    stream = BytesIO()
    Image.fromarray(rgb).save(stream, form)
    return stream.getvalue()


def _rig(virtual_350, size=(912, 1140), **options: object):
    rig = virtual_350(**options)
    player = HdmiDlpc350(rig.dmd, VirtualCanvas(rig.controller, *size), rig.clock, FRAME_US)
    player.tick()  # the first frame, black, is what the controller locks on
    return rig, player


def _play(rig, player) -> None:
    for _ in range(2000):
        if not player.tick():
            return
        rig.clock.wait_us(2_000)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("form", ["PNG", "BMP"])
def test_every_pattern_once_and_in_order(virtual_350, f_words, form: str) -> None:
    """Pitfall 23: also proves plane order, rows and columns of both file formats."""
    rig, player = _rig(virtual_350)
    words = [f_words(rig.profile, seed) for seed in range(3)]
    entries = [TableEntry(n // 24, n % 24, 1, n % 24 == 0, 235, 0) for n in range(60)]
    player.prepare()
    player.load_sequence(entries)
    for index in (2, 1, 0):
        player.load_image(index, Half.PRIMARY, _file(words[index], form))
    assert player.status().images_loaded == 3
    rig.controller.forget_shown()
    player.start(1)
    assert player.status().running
    _play(rig, player)
    frames = list(rig.controller.shown_frames())
    assert len(frames) == 60
    for number, frame in enumerate(frames):
        assert (frame.levels == (words[number // 24] >> (number % 24) & 1)).all(), number
        assert frame.exposure_us == 235
    status = player.status()
    assert not status.running
    assert status.error == ""
    player.tick()
    assert not rig.controller._frame.any(), "the screen is dark afterwards"


def test_a_table_longer_than_a_video_frame_is_cut(virtual_350, f_words) -> None:
    rig, player = _rig(virtual_350)
    words = f_words(rig.profile, 9)
    player.prepare()
    player.load_sequence([TableEntry(0, slot, 8, slot == 0, 8333, 0) for slot in range(3)])
    player.load_image(0, Half.PRIMARY, _file(words))
    rig.controller.forget_shown()
    player.start(2)
    _play(rig, player)
    frames = list(rig.controller.shown_frames())
    assert len(frames) == 6
    for number, frame in enumerate(frames):
        assert (frame.levels == (words >> 8 * (number % 3) & 0xFF)).all()
    # 2 x 8333 + 230 us are more than a frame of 16667 us: one at a time.
    assert [len(step.entries) for step in player._steps] == [1, 1, 1]
    with pytest.raises(DeviceError, match=r"entry 0: 16438 us are longer than a video frame \(16667 us\) leaves"):
        player.load_sequence([TableEntry(0, 0, 1, True, 16_438, 0)])


def test_until_stopped(virtual_350, f_words) -> None:
    rig, player = _rig(virtual_350)
    player.prepare()
    player.load_sequence([TableEntry(0, slot, 1, slot == 0, 235, 0) for slot in range(4)])
    player.load_image(0, Half.PRIMARY, _file(f_words(rig.profile, 1)))
    player.start(0)
    for _ in range(300):
        assert player.tick()
        rig.clock.wait_us(2_000)
    assert player.passes > 3
    player.stop()
    assert not player.tick()
    assert not rig.controller._frame.any()
    assert rig.controller.on_read(0x1A0C, b"") == b"\0"
    with pytest.raises(DeviceError, match="start before prepare"):
        player.start(0)


@pytest.mark.parametrize("size", [(1280, 800), (1140, 912), (912, 1141), (2832, 1140)])
def test_another_screen_mode_is_refused(virtual_350, size: tuple[int, int]) -> None:
    _, player = _rig(virtual_350, size)
    with pytest.raises(DeviceError, match=f"the screen is {size[0]} x {size[1]}; it must be 912 x 1140"):
        player.prepare()


def test_what_the_controller_sees_counts_too(virtual_350) -> None:
    rig, player = _rig(virtual_350)
    rig.controller.show_video(np.zeros((800, 1280, 3), dtype=np.uint8))
    with pytest.raises(DeviceError, match="sees a video signal of 1280 x 800"):
        player.prepare()
    rig.controller.show_video(None)
    with pytest.raises(DeviceError, match="sees a video signal of 0 x 0"):
        player.prepare()


def test_what_is_missing_is_said(virtual_350, f_words) -> None:
    rig, player = _rig(virtual_350)
    image = _file(f_words(rig.profile, 1))
    with pytest.raises(DeviceError, match="load_image before prepare"):
        player.load_image(0, Half.PRIMARY, image)
    player.prepare()
    with pytest.raises(DeviceError, match="there is no sequence table"):
        player.start(0)
    with pytest.raises(DeviceError, match="it is empty"):
        player.load_sequence([])
    player.load_sequence([TableEntry(n, 0, 1, True, 235, 0) for n in range(2)])
    player.load_image(1, Half.PRIMARY, image)
    with pytest.raises(DeviceError, match="image 0 is not loaded"):
        player.start(0)
    with pytest.raises(DeviceError, match="no secondary controller"):
        player.load_image(0, Half.SECONDARY, image)
    with pytest.raises(DeviceError, match="image 65535; it takes 65535 images"):
        player.load_image(65_535, Half.PRIMARY, image)


@pytest.mark.parametrize(
    ("mode", "size", "text"),
    [("L", (912, 1140), "in mode L"), ("RGBA", (912, 1140), "in mode RGBA"), ("RGB", (1140, 912), "1140 x 912")],
)
def test_files_that_do_not_fit_the_mirrors(virtual_350, mode: str, size: tuple[int, int], text: str) -> None:
    _, player = _rig(virtual_350)
    player.prepare()
    player.load_sequence([TableEntry(0, 0, 1, True, 235, 0)])
    stream = BytesIO()
    Image.new(mode, size).save(stream, "PNG")
    with pytest.raises(DeviceError, match=f"dlp4500: image 0: image of .*{text}"):
        player.load_image(0, Half.PRIMARY, stream.getvalue())


@given(st.binary(max_size=200))
def test_no_file_crashes_the_reader(content: bytes) -> None:
    for head in (b"", b"BM", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(DeviceError):
            frame_of(head + content, 912, 1140)


def test_a_failure_while_showing_stops_and_is_remembered(virtual_350, f_words) -> None:
    faults = DeviceFaults()
    rig, player = _rig(virtual_350, faults=faults)
    player.prepare()
    player.load_sequence([TableEntry(0, slot, 1, slot == 0, 235, 0) for slot in range(4)])
    player.load_image(0, Half.PRIMARY, _file(f_words(rig.profile, 1)))
    player.start(0)
    for _ in range(60):
        player.tick()
        rig.clock.wait_us(2_000)
    rig.controller._readers[0x1A0A] = lambda: b"\x81"
    with pytest.raises(DeviceError, match="sequence error"):
        _play(rig, player)
    rig.controller._readers[0x1A0A] = lambda: b"\x01"
    status = player.status()
    assert not status.running
    assert "sequence error" in status.error
    assert not player.tick()
    assert not rig.controller._frame.any()


def test_the_first_start_after_video_mode_is_spent_before_it_matters(virtual_350, f_words) -> None:
    rig, player = _rig(virtual_350)
    assert rig.controller.on_read(0x1A1B, b"") == b"\0", "a signal on HDMI puts the board into video mode"
    player.prepare()
    assert rig.controller._start_ignored
    player.load_sequence([TableEntry(0, 0, 1, True, 235, 0)])
    assert not rig.controller._start_ignored


def test_closing_gives_the_screen_back(virtual_350) -> None:
    rig, player = _rig(virtual_350)
    player.close()
    assert rig.controller._frame is None
    assert rig.port.closed
    assert rig.controller.on_read(0x1A0C, b"") == b"\0"


def test_no_screen_and_no_tkinter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(DeviceError, match="apt install python3-tk"):
        TkCanvas()
    monkeypatch.undo()
    pytest.importorskip("tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    if sys.platform.startswith("linux"):
        with pytest.raises(DeviceError, match="no screen"):
            TkCanvas()


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb, an X server without a screen")
def test_the_real_screen_shows_exact_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["Xvfb", "-screen", "0", "912x1140x24", "-fbdir", str(tmp_path), "-nolisten", "tcp", "-displayfd"]
    reader, writer = os.pipe()
    server = subprocess.Popen([*command, str(writer)], pass_fds=[writer], stderr=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("DISPLAY", f":{int(os.read(reader, 16))}")
        canvas = TkCanvas()
        with ThreadPoolExecutor(1) as other:  # the link's worker thread asks, and tkinter bears only its own
            assert other.submit(canvas.size).result() == (912, 1140)
        source = np.random.default_rng(3)
        for _ in range(2):
            frame = source.integers(0, 256, (1140, 912, 3), dtype=np.uint8)
            canvas.show(frame)
            for _ in range(200):  # the server draws when it likes
                if np.array_equal(_framebuffer(tmp_path / "Xvfb_screen0"), frame):
                    break
                time.sleep(0.02)
            else:
                raise AssertionError("the screen never showed the frame")
        canvas.close()
    finally:
        server.terminate()
        server.wait()
        os.close(reader)
        os.close(writer)


def _framebuffer(path: Path) -> np.ndarray:
    """RGB of an XWD file: 25 big-endian words of header, the window's name, the colours, then B,G,R,x pixels."""
    raw = path.read_bytes()
    header = struct.unpack(">25I", raw[:100])
    start, row_bytes, colours = header[0], header[12], header[19]
    pixels = np.frombuffer(raw, dtype=np.uint8, count=row_bytes * 1140, offset=start + 12 * colours)
    return pixels.reshape(1140, -1)[:, : 4 * 912].reshape(1140, 912, 4)[..., 2::-1]

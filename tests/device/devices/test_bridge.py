"""The bridge: which device it opens, ports that come and go, and a device that is always left stopped."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from cidesign.cli import main
from cidesign.cli.bridge import ends_on_signals
from cidesign.device.bridge import open_backend, pty_port, serve
from cidesign.device.controllers import Backend, BackendOptions
from cidesign.device.emulator import Emulation
from cidesign.device.link.transport import TransportClosed
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import CidesignError, DeviceError, FileError, InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.testing.virtual_clock import VirtualClock


class ScriptedTransport:
    """Runs one action per read."""

    def __init__(self, actions: list) -> None:
        self.name = "script"
        self.actions = actions
        self.closed = False

    def read(self, timeout_s: float) -> bytes:
        if self.actions:
            self.actions.pop(0)()
        return b""

    def write(self, content: bytes) -> None:
        pass

    def drain(self) -> None:
        pass

    def set_baud(self, baud: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def _emulation(name: str = "dlp6500") -> Emulation:
    return Emulation(load_profile(name), VirtualClock(), DeviceFaults(), None)


def _gone() -> None:
    raise TransportClosed("script: unplugged")


def test_it_ends_with_the_device_stopped_and_idle() -> None:
    emulation, stop, notes = _emulation(), threading.Event(), []
    transport = ScriptedTransport([lambda: None, stop.set])
    assert emulation.controller.on_read(0x1A0C, b"") == b"\x02", "boards start up running"
    serve(Backend(emulation.dmd, emulation.tick, emulation.finish), lambda: transport, stop, notes.append)
    assert transport.closed
    assert emulation.controller.on_read(0x0201, b"") == b"\x01"
    assert notes[0] == "dlp6500: dlpc900, firmware 6.1.0"
    assert notes[-1] == "the device is stopped and idle"


def test_a_port_that_goes_away_is_opened_again() -> None:
    emulation, stop, notes = _emulation(), threading.Event(), []
    stop.wait = lambda timeout=None: False  # type: ignore[method-assign]
    ports = [
        ScriptedTransport([_gone]),
        DeviceError("script: there is no such port"),
        DeviceError("script: there is no such port"),
        ScriptedTransport([stop.set]),
    ]

    def open_port() -> ScriptedTransport:
        port = ports.pop(0)
        if isinstance(port, DeviceError):
            raise port
        return port

    serve(Backend(emulation.dmd), open_port, stop, notes.append)
    assert "script: unplugged; waiting for it to come back" in notes
    assert "script: the port is back" in notes
    assert emulation.controller.on_read(0x0201, b"") == b"\x01"


def test_a_port_that_never_opens_is_an_error_and_the_device_is_stopped() -> None:
    emulation = _emulation()

    def no_port() -> ScriptedTransport:
        raise DeviceError("/dev/ttyUSB9: there is no such port")

    with pytest.raises(DeviceError, match="ttyUSB9: there is no such port"):
        serve(Backend(emulation.dmd), no_port, threading.Event(), lambda _: None)
    assert emulation.controller.on_read(0x0201, b"") == b"\x01"


def test_a_failure_of_ours_leaves_the_device_idle_too() -> None:
    emulation = _emulation()

    def broken() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        serve(Backend(emulation.dmd), lambda: ScriptedTransport([broken]), threading.Event(), lambda _: None)
    assert emulation.controller.on_read(0x0201, b"") == b"\x01"


def test_a_device_that_cannot_be_stopped_is_said() -> None:
    emulation, stop, notes = _emulation(), threading.Event(), []

    def lock_up() -> None:
        emulation.controller.silent = True
        stop.set()

    with pytest.raises(DeviceError, match="no answer"):
        serve(Backend(emulation.dmd), lambda: ScriptedTransport([lock_up]), stop, notes.append)
    assert "the device is stopped and idle" not in notes


def test_a_failing_show_is_noted_and_the_link_goes_on() -> None:
    emulation, stop, notes = _emulation(), threading.Event(), []
    ticks = iter([DeviceError("image load failed")])

    def tick() -> bool:
        error = next(ticks, None)
        if error:
            raise error
        return False

    transport = ScriptedTransport([lambda: None, lambda: None, stop.set])
    serve(Backend(emulation.dmd, tick), lambda: transport, stop, notes.append)
    assert "the sequence ended: image load failed" in notes
    assert transport.actions == []


def test_the_wrong_device_is_noticed_at_once() -> None:
    emulation, other = _emulation(), _emulation("dlp670s")
    emulation.dmd._link._port = other.dmd._link._port
    opened = []
    with pytest.raises(DeviceError, match="answers as a DLP670S"):
        serve(Backend(emulation.dmd), lambda: opened.append(1), threading.Event(), lambda _: None)
    assert not opened, "no port is offered for a device that is not there"


@pytest.mark.parametrize(
    ("backend", "profile", "text"),
    [
        ("hid", "dlp7000", "no back end drives this controller.*vendor's library"),
        ("display", "dlp7000", "no back end drives this controller"),
        ("display", "dlp6500", "back end display is for the DLPC350"),
        ("i2c", "dlp4500", "back end i2c: not every I2C code of the DLPC350"),
        ("emulator", "dlp7000", "there is no virtual dlpc410"),
        ("hid", "dlp6500", "the package hidapi is missing"),
        ("hid", "dlp4500", "the package hidapi is missing"),
        ("i2c", "dlp6500", "the package smbus2 is missing"),
    ],
)
def test_back_ends_that_cannot_be(backend: str, profile: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hid", None)
    monkeypatch.setitem(sys.modules, "smbus2", None)
    with pytest.raises(InputError, match=text):
        open_backend(backend, load_profile(profile), BackendOptions(), threading.Event())


def test_a_screen_faster_than_the_device_is_refused() -> None:
    with pytest.raises(InputError, match="--frame-hz 144: dlp4500 takes at most 120 Hz"):
        open_backend("display", load_profile("dlp4500"), BackendOptions(frame_hz=144), threading.Event())


def test_the_emulator_back_end_is_a_whole_device() -> None:
    backend = open_backend("emulator", load_profile("dlp4500"), BackendOptions(), threading.Event())
    assert backend.dmd.info().image_upload
    assert backend.tick() is False
    backend.dmd.close()
    backend.finish()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_a_link_stays_while_the_terminal_changes(tmp_path: Path) -> None:
    link, said = tmp_path / "dmd", []
    with pty_port(link, said.append) as open_port:
        first = open_port()
        target = os.readlink(link)
        second = open_port()
        assert os.readlink(link) != target
        assert said == [str(link), str(link)]
        first.close()
        second.close()
    assert not link.is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_a_file_in_the_place_of_the_link_is_kept(tmp_path: Path) -> None:
    link = tmp_path / "dmd"
    link.write_text("precious")
    with pty_port(link, lambda _: None) as open_port, pytest.raises(FileError, match="is no symbolic link"):
        open_port()
    assert link.read_text() == "precious"
    assert issubclass(FileError, CidesignError)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("bridge --profile dlp6500 --backend hid", 2, "--port: name the serial port to answer on"),
        ("bridge --profile dlp6500 --backend hid --port a --listen b:1", 2, "--port and --listen: give one of them"),
        ("bridge --profile dlp6500 --backend emulator --listen 127.0.0.1", 2, "write HOST:PORT"),
        ("bridge --profile dlp6500 --backend emulator --listen :70000", 2, "write HOST:PORT"),
        ("bridge --profile dlp6500 --backend hid --port a --link b", 2, "--link: is for the pseudo-terminal"),
        ("bridge --profile dlp6500 --backend i2c --port a --render b", 2, "--render: back end i2c has real mirrors"),
        ("bridge --profile dlp65000 --backend hid --port a", 2, "unknown profile 'dlp65000'"),
        ("bridge --profile dlp6500 --backend emulator --port /dev/no-such-port", 4, "there is no such port"),
        ("emulate --profile dlp6500 --link a --listen 127.0.0.1:0", 2, "--link and --listen"),
        ("emulate --profile dlp6500 --fault flop", 2, "known are drop, flip"),
        ("emulate --profile dlp7000", 2, "there is no virtual dlpc410"),
        ("emulate --profile dlp6500 --render rendered", 5, "shown.npz: exists already"),
    ],
)
def test_wrong_words_are_one_line(
    words: str, code: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rendered").mkdir()
    (tmp_path / "rendered" / "shown.npz").write_bytes(b"precious")
    monkeypatch.setattr(sys, "argv", ["cidesign", *words.split()])
    with pytest.raises(SystemExit) as leave:
        main()
    said = capsys.readouterr().err.splitlines()
    assert leave.value.code == code
    assert said[-1].startswith("error: ")
    assert text in said[-1]
    assert (tmp_path / "rendered" / "shown.npz").read_bytes() == b"precious"


def test_ctrl_c_ends_the_loop_and_is_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ends_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
    assert signal.getsignal(signal.SIGINT) is before

"""The bridge as a context of a program: served in a thread, and the device left stopped and idle."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cidesign as ci
from cidesign.device import serving
from cidesign.device.controllers import Backend, BackendOptions
from cidesign.device.emulator import Emulation
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import DeviceError, InputError
from cidesign.hardware_profiles.loader import load_dmd
from cidesign.testing.controllers import export
from cidesign.testing.virtual_clock import VirtualClock

LOCAL = "127.0.0.1:0"


def test_a_program_uploads_to_its_own_bridge(tmp_path: Path) -> None:
    export(load_dmd("dlp6500"), tmp_path / "export", "dlpc900")
    notes: list[str] = []
    with ci.bridge("dlp6500", "emulator", listen=LOCAL, spool=tmp_path / "spool", on_note=notes.append) as port:
        assert port.startswith("socket://127.0.0.1:")
        done = ci.upload(tmp_path / "export", port, start=True)
        assert done.started is not None
        assert done.started.running
        assert not ci.stop(port).running
        again = ci.upload(tmp_path / "export", port, resume=True)
        assert again.result.transfer.sent_bytes == 0
    assert notes[0].startswith("dlp6500: dlpc900, firmware")
    assert notes[-1] == "the device is stopped and idle"
    with pytest.raises(DeviceError):
        ci.status(port)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Emulation:
    """What stands where the device of a back end would be."""
    emulation = Emulation(load_dmd("dlp6500"), VirtualClock(), DeviceFaults(), None)

    def opened(name: str, profile: Any, options: BackendOptions, stop: Any) -> Backend:
        assert (name, profile.id) == ("i2c", "dlp6500")
        assert options == BackendOptions(i2c_bus=3, count_reading="patterns")
        return Backend(emulation.dmd, emulation.tick, emulation.finish)

    monkeypatch.setattr(serving, "open_backend", opened)
    return emulation


def idle(emulation: Emulation) -> bool:
    return emulation.controller.on_read(0x0201, b"") == b"\x01"


def test_an_error_of_the_program_leaves_the_device_idle(real: Emulation) -> None:
    assert not idle(real)
    seen = []
    with (
        pytest.raises(ZeroDivisionError),
        ci.bridge("dlp6500", "i2c", listen=LOCAL, i2c_bus=3, count_means="patterns") as port,
    ):
        seen.append(1 / len(ci.status(port).error))
    assert idle(real)


def test_a_port_that_does_not_open_is_said_at_once_and_the_device_left_idle(real: Emulation) -> None:
    absent = "COM99" if sys.platform == "win32" else "/dev/absent"
    with (
        pytest.raises(DeviceError, match=absent),
        ci.bridge("dlp6500", "i2c", port=absent, i2c_bus=3, count_means="patterns"),
    ):
        pytest.fail("there is no such port")
    assert idle(real)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ci.bridge("dlp6500", "hid"), "port: name the serial port that back end hid answers on"),
        (lambda: ci.bridge("dlp6500", "hid", port="a", listen="b:1"), "give one of them"),
        (lambda: ci.bridge("dlp6500", "emulator", listen="b"), "write HOST:PORT"),
        (lambda: ci.bridge("dlp4500", "i2c", listen=LOCAL), "use --backend display"),
        (lambda: ci.bridge("dlp4500", "display", listen=LOCAL, frame_hz=999), "at most 120 Hz"),
        (lambda: ci.bridge("dlp650", "hid", listen=LOCAL), "did you mean"),
    ],
)
def test_what_cannot_be_is_one_line(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(InputError, match=text) as caught, call():
        pytest.fail("nothing is served")
    assert "\n" not in str(caught.value)

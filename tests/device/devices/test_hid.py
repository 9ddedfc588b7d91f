"""USB-HID framing byte by byte, and a link that is not fooled by stale, wrong or missing answers."""

import contextlib
import sys
from collections import deque
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidesign.device.commands import CommandRefused
from cidesign.device.hid import HidLink, open_hid, pack_message, parse_reply, split_reports
from cidesign.errors import CidesignError, DeviceError, InputError


class ScriptedPort:
    """Answers every complete request with the next scripted reports; `waiting` is there from the start."""

    def __init__(self, answers: list[list[bytes]], waiting: list[bytes] | None = None) -> None:
        self.written: list[bytes] = []
        self.queue = deque(waiting or [])
        self.answers = deque(answers)

    def write(self, report: bytes) -> int:
        self.written.append(report)
        if self.answers:
            self.queue.extend(self.answers.popleft())
        return len(report)

    def read(self, max_length: int, timeout_ms: int) -> list[int]:
        assert timeout_ms > 0, "hidapi takes 0 for blocking in some builds"
        return list(self.queue.popleft()) if self.queue else []

    def close(self) -> None:
        pass


def _reply(flags: int, sequence: int, data: bytes) -> bytes:
    return (bytes([flags, sequence]) + len(data).to_bytes(2, "little") + data).ljust(64, b"\0")


def test_messages_of_the_programmers_guide() -> None:
    # TI DLPU018J tables 1-5 and 1-7: read the curtain colour; set it to 511 in each colour.
    assert pack_message(0xC0, 0x11, 0x1100, b"") == bytes.fromhex("C0 11 02 00 00 11")
    expected = bytes.fromhex("00 12 08 00 00 11 FF 01 FF 01 FF 01")
    assert pack_message(0x00, 0x12, 0x1100, bytes.fromhex("FF01FF01FF01")) == expected
    # Pattern-on-the-fly mode, with a reply.
    assert pack_message(0x40, 0x01, 0x1A1B, b"\x03") == bytes.fromhex("40 01 03 00 1B 1A 03")


def test_an_image_packet_is_eight_full_reports() -> None:
    message = pack_message(0, 7, 0x1A2B, (504).to_bytes(2, "little") + bytes(range(252)) * 2)
    assert len(message) == 512
    assert message[:8] == bytes.fromhex("00 07 FC 01 2B 1A F8 01")
    reports = split_reports(message)
    assert [len(report) for report in reports] == [64] * 8
    assert b"".join(reports) == message  # only the first report has a header
    with pytest.raises(DeviceError, match="507 bytes of data, a message holds 506"):
        pack_message(0, 7, 0x1A2B, bytes(507))


def test_reports_are_padded_and_carry_the_report_id() -> None:
    port = ScriptedPort([])
    HidLink(port, "test").write(0x1A24, b"\x02", reply=False)
    assert port.written == [b"\0" + bytes.fromhex("00 01 03 00 24 1A 02").ljust(64, b"\0")]


def test_answers_longer_than_a_report() -> None:
    text = bytes(range(128))
    whole = bytes([0xC0, 1]) + (128).to_bytes(2, "little") + text
    reports = [whole[0:64], whole[64:128], whole[128:].ljust(64, b"\0")]
    assert HidLink(ScriptedPort([reports]), "test").read(0x0101, b"") == text


def test_stale_answers_are_thrown_away() -> None:
    """Pitfall 10: an answer that nobody read must not pass for the next one."""
    port = ScriptedPort([[_reply(0xC0, 9, b"\xff"), _reply(0xC0, 1, b"\x03")]], waiting=[_reply(0x40, 1, b"\xee")])
    assert HidLink(port, "test").read(0x1A1B, b"") == b"\x03"


def test_the_error_flag_is_a_refusal() -> None:
    port = ScriptedPort([[_reply(0x60, 1, b"")]])
    with pytest.raises(CommandRefused, match="0x1A1B was refused"):
        HidLink(port, "test").write(0x1A1B, b"\x03", reply=True)


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ([], "no answer to command 0x1A1B within 3 s"),
        ([[_reply(0xC0, 44, b"")] * 300], "only answers to other commands"),
        ([[bytes([0xC0, 1]) + (400).to_bytes(2, "little") + bytes(60)]], "cut short"),
        ([[bytes([0xC0, 1, 0xFF, 0xFF]).ljust(64, b"\0")]], "claims 65535 bytes"),
        ([[b"\xc0\x01"]], "cut short"),
    ],
)
def test_bad_answers_end_in_one_clear_error(answers: list[list[bytes]], text: str) -> None:
    with pytest.raises(DeviceError, match=text):
        HidLink(ScriptedPort(answers), "test").read(0x1A1B, b"")


def test_a_device_that_talks_unasked() -> None:
    with pytest.raises(DeviceError, match="talks without being asked"):
        HidLink(ScriptedPort([], waiting=[_reply(0, 0, b"")] * 400), "test").read(0x1A1B, b"")


def test_an_unplugged_device() -> None:
    port = ScriptedPort([])
    port.write = lambda report: -1  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="takes no data any more"):
        HidLink(port, "test").write(0x1A24, b"\0", reply=False)

    def gone(*_: object) -> int:
        raise OSError("read error")

    port.write = gone  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="the USB device is gone"):
        HidLink(port, "test").write(0x1A24, b"\0", reply=False)


@given(st.lists(st.binary(min_size=0, max_size=64), max_size=12))
def test_no_answer_crashes_the_link(reports: list[bytes]) -> None:
    with contextlib.suppress(CidesignError):
        assert len(HidLink(ScriptedPort([reports]), "fuzz").read(0x1A0A, b"")) <= 508


@given(st.binary(max_size=64))
def test_reply_headers_of_any_bytes(report: bytes) -> None:
    with contextlib.suppress(CidesignError):
        assert parse_reply(report).length <= 508


def _fake_hidapi(monkeypatch: pytest.MonkeyPatch, found: list[dict[str, object]], error: str | None = None) -> list:
    opened = []

    class Device:
        def open_path(self, path: bytes) -> None:
            if error:
                raise OSError(error)
            opened.append(path)

    module = SimpleNamespace(device=Device, enumerate=lambda vendor, product: found if vendor == 0x0451 else [])
    monkeypatch.setitem(sys.modules, "hid", module)
    return opened


def test_opening_takes_interface_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitfall 13: the DLP4500 shows two HID interfaces; commands go to interface 0."""
    found = [{"interface_number": 1, "path": b"one"}, {"interface_number": 0, "path": b"zero"}]
    opened = _fake_hidapi(monkeypatch, found)
    open_hid(0x6401, "dlp4500")
    assert opened == [b"zero"]


def test_opening_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_hidapi(monkeypatch, [])
    with pytest.raises(DeviceError, match="no USB device 0451:c900"):
        open_hid(0xC900, "dlp6500")
    two = [{"interface_number": -1, "path": b"a"}, {"interface_number": -1, "path": b"b"}]
    _fake_hidapi(monkeypatch, two)
    with pytest.raises(DeviceError, match="2 USB devices"):
        open_hid(0xC900, "dlp6500")
    _fake_hidapi(monkeypatch, two[:1], "open failed")
    with pytest.raises(DeviceError, match=r'udev rule.*ATTRS{idProduct}=="c900"'):
        open_hid(0xC900, "dlp6500")
    monkeypatch.setitem(sys.modules, "hid", SimpleNamespace())
    with pytest.raises(InputError, match="another package named hid"):
        open_hid(0xC900, "dlp6500")
    monkeypatch.setitem(sys.modules, "hid", None)
    with pytest.raises(InputError, match=r"pip install 'cidesign\[hid\]'"):
        open_hid(0xC900, "dlp6500")

"""I2C framing, and a whole upload over it to the virtual DLPC900."""

import sys
from types import SimpleNamespace

import pytest

from cidesign.device.dlpc900.driver import Dlpc900
from cidesign.device.dlpc900.tables import I2C_CODES
from cidesign.device.i2c import I2cCode, I2cLink, open_i2c
from cidesign.errors import DeviceError, InputError
from cidesign.testing.virtual_i2c import VirtualI2cBus


class RecordingBus:
    def __init__(self, answer: bytes = b"") -> None:
        self.calls: list[tuple[str, int, bytes | int]] = []
        self.answer = answer

    def write(self, address: int, content: bytes) -> None:
        self.calls.append(("write", address, content))

    def read(self, address: int, count: int) -> bytes:
        self.calls.append(("read", address, count))
        return self.answer

    def close(self) -> None:
        self.calls.append(("close", 0, b""))


def test_writes_set_bit_7_of_the_sub_address() -> None:
    """Pitfall 21, and the most frequent error of users: without the bit the write is taken for a read."""
    bus = RecordingBus()
    link = I2cLink(bus, I2C_CODES, "test")
    link.write(0x1A1B, b"\x03", reply=True)
    link.write(0x1A34, bytes.fromhex("0000C80000100000 00000000"), reply=True)
    assert bus.calls == [
        ("write", 0x1A, bytes.fromhex("E9 03")),
        ("write", 0x1A, bytes.fromhex("F8 00 00 C8 00 00 10 00 00 00 00 00 00")),
    ]


def test_reads_are_two_transactions() -> None:
    bus = RecordingBus(b"\x01")
    assert I2cLink(bus, I2C_CODES, "test").read(0x1A0A, b"") == b"\x01"
    assert bus.calls == [("write", 0x1A, b"\x20"), ("read", 0x1A, 1)]


def test_codes_of_the_command_table() -> None:
    # TI DLPU018F: (USB command, sub-address of writes) as printed there.
    for command, written in (
        (0x0200, 0x87), (0x0201, 0x8D), (0x1008, 0x88), (0x1009, 0x89), (0x1A1B, 0xE9), (0x1A24, 0xE5), (0x1A30, 0xF4),
        (0x1A31, 0xF5), (0x1A34, 0xF8), (0x1A2A, 0xAA), (0x1A2B, 0xAB), (0x1A2C, 0xAC), (0x1A2D, 0xAD),
    ):  # fmt: skip
        assert I2C_CODES[command].code | 0x80 == written
    for command, code in (
        (0x0205, 0x11),
        (0x0206, 0x12),
        (0x0100, 0x32),
        (0x0101, 0x33),
        (0x1A0C, 0x22),
        (0x1A42, 0x63),
    ):
        assert I2C_CODES[command].code == code


def test_a_whole_upload_over_i2c(virtual_900, erle_block, f_words) -> None:
    rig = virtual_900()
    bus = VirtualI2cBus(rig.controller, I2C_CODES)
    rig.dmd = Dlpc900(I2cLink(bus, I2C_CODES, "dlp6500"), rig.profile, rig.clock)
    words = f_words(rig.profile, 6)
    rig.upload([erle_block(words)], rig.table(24))
    rig.dmd.start(0)
    assert all((frame.levels == (words >> p & 1)).all() for p, frame in enumerate(rig.controller.shown_frames()))
    assert max(len(content) for content in bus.trace) == 1 + 2 + 504


def test_errors_are_found_without_an_acknowledgement(virtual_900) -> None:
    rig = virtual_900(reports_exposures=False, firmware=(2, 0, 0))
    rig.dmd = Dlpc900(I2cLink(VirtualI2cBus(rig.controller, I2C_CODES), I2C_CODES, "i"), rig.profile, rig.clock)
    assert rig.dmd.info().min_exposure_us[1] == 120, "zeros are no exposures"
    rig.dmd.prepare()
    rig.controller._exposures_us[1] = 500
    with pytest.raises(DeviceError, match=r"command 0x1A34: device error 14 \(exposure\): exposure 120 us at 1 bit"):
        rig.dmd.load_sequence(rig.table(1, exposure_us=120))


def test_missing_answers_say_what_to_check(virtual_900) -> None:
    rig = virtual_900()
    bus = VirtualI2cBus(rig.controller, I2C_CODES)
    with pytest.raises(DeviceError, match=r"no answer on I2C address 0x1D .*clock stretching"):
        I2cLink(bus, I2C_CODES, "test", address=0x1D).read(0x0206, b"")
    rig.controller.silent = True
    with pytest.raises(DeviceError, match="no answer on I2C address 0x1A"):
        I2cLink(bus, I2C_CODES, "test").write(0x1A24, b"\0", reply=True)
    with pytest.raises(DeviceError, match="0x1A24 cannot be read"):
        I2cLink(RecordingBus(), I2C_CODES, "test").read(0x1A24, b"")
    with pytest.raises(DeviceError, match="0x9999 has no I2C code"):
        I2cLink(RecordingBus(), {0x1A24: I2cCode(0x65)}, "test").write(0x9999, b"", reply=True)


def test_opening_a_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smbus2", None)
    with pytest.raises(InputError, match=r"pip install 'cidesign\[i2c\]'"):
        open_i2c(1, I2C_CODES, "dlp6500")
    sent = []

    class Message:
        def __init__(self, kind: str, address: int, content: object) -> None:
            self.fields = kind, address, content

        def __iter__(self):
            return iter(b"\x01")

    class Bus:
        def __init__(self, number: int) -> None:
            if number == 7:
                raise PermissionError(13, "Permission denied")
            if number == 8:
                raise FileNotFoundError(2, "No such file or directory")

        def i2c_rdwr(self, message: Message) -> None:
            sent.append(message.fields)

        def close(self) -> None:
            sent.append("closed")

    messages = SimpleNamespace(
        write=lambda address, content: Message("write", address, content),
        read=lambda address, count: Message("read", address, count),
    )
    monkeypatch.setitem(sys.modules, "smbus2", SimpleNamespace(SMBus=Bus, i2c_msg=messages))
    link = open_i2c(1, I2C_CODES, "dlp6500")
    assert link.read(0x1A0A, b"") == b"\x01"
    link.close()
    assert sent == [("write", 0x1A, b"\x20"), ("read", 0x1A, 1), "closed"]
    with pytest.raises(DeviceError, match="join the group i2c"):
        open_i2c(7, I2C_CODES, "dlp6500")
    with pytest.raises(DeviceError, match=r"No such file or directory.*raspi-config"):
        open_i2c(8, I2C_CODES, "dlp6500")

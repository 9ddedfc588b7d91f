"""The virtual DMD as the command line offers it: rendering, faults, and what it cannot be."""

import itertools
import random
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cidesign.cli.emulate import FAULTS, parse_faults
from cidesign.device.clock import SkippingClock
from cidesign.device.dmd import Half, TableEntry
from cidesign.device.emulator import Emulation
from cidesign.device.link.faulty_transport import FaultyTransport, LineFaults
from cidesign.device.link.transport import TransportClosed
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.device.virtual_frames import SHOWN_NAME, read_shown
from cidesign.errors import CidesignError, DeviceError, FileError, InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.testing.virtual_clock import VirtualClock


def test_a_started_sequence_is_rendered(tmp_path: Path, erle_block, f_words) -> None:
    profile = load_profile("dlp6500")
    emulation = Emulation(profile, VirtualClock(), DeviceFaults(), tmp_path / "mirrors")
    words = f_words(profile, 2)
    entries = [TableEntry(0, 0, 1, True, 105, 7), TableEntry(0, 2, 4, False, 900, 0)]
    emulation.dmd.prepare()
    emulation.dmd.load_sequence(entries)
    emulation.dmd.load_image(0, Half.PRIMARY, erle_block(words))
    emulation.tick()
    emulation.dmd.start(0)
    emulation.tick()
    emulation.finish()
    first, second = read_shown(tmp_path / "mirrors" / SHOWN_NAME)
    assert (first.levels == (words & 1)).all()
    assert (first.exposure_us, first.dark_us) == (105, 7)
    assert (second.levels == (words >> 8 & 15)).all()
    assert second.levels.max() > 1
    names = sorted(path.name for path in (tmp_path / "mirrors").iterdir())
    assert names == ["frame_0000.png", "frame_0001.png", SHOWN_NAME]
    with Image.open(tmp_path / "mirrors" / "frame_0001.png") as picture:
        assert (np.asarray(picture) == second.levels * 17).all()


def test_a_shorter_sequence_leaves_no_old_frames(tmp_path: Path, erle_block, f_words) -> None:
    profile = load_profile("dlp6500")
    emulation = Emulation(profile, VirtualClock(), DeviceFaults(), tmp_path)
    block = erle_block(f_words(profile, 2))
    for frames in (5, 2):
        emulation.dmd.prepare()
        emulation.dmd.load_sequence([TableEntry(0, slot, 1, not slot, 105, 0) for slot in range(frames)])
        emulation.dmd.load_image(0, Half.PRIMARY, block)
        emulation.dmd.start(0)
        emulation.tick()
    emulation.finish()
    assert len(list(tmp_path.glob("frame_*.png"))) == len(read_shown(tmp_path / SHOWN_NAME)) == 2


def test_a_disk_that_takes_nothing_is_an_error(tmp_path: Path, erle_block, f_words) -> None:
    (tmp_path / "file").write_text("in the way")
    profile = load_profile("dlp6500")
    emulation = Emulation(profile, VirtualClock(), DeviceFaults(), tmp_path / "file")
    emulation.dmd.prepare()
    emulation.dmd.load_sequence([TableEntry(0, 0, 1, True, 105, 0)])
    emulation.dmd.load_image(0, Half.PRIMARY, erle_block(f_words(profile, 2)))
    emulation.dmd.start(0)
    emulation.tick()
    with pytest.raises(FileError, match="file"):
        emulation.finish()


@given(st.binary(max_size=300))
def test_a_damaged_record_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("shown") / SHOWN_NAME
    path.write_bytes(content)
    with pytest.raises(FileError):
        read_shown(path)


def test_a_wrong_decoder_shows(erle_block, f_words) -> None:
    profile = load_profile("dlp6500")
    emulation = Emulation(profile, VirtualClock(), DeviceFaults(wrong_decoder=True), None)
    words = f_words(profile, 2)
    emulation.dmd.prepare()
    emulation.dmd.load_sequence([TableEntry(0, 0, 1, True, 105, 0)])
    emulation.dmd.load_image(0, Half.PRIMARY, erle_block(words))
    emulation.dmd.start(0)
    assert emulation.dmd.status().error == "", "the device says that all is well"
    shown = emulation.controller.shown()[0].frame().levels
    assert (shown == (words >> 16 & 1)).all()
    assert not (shown == (words & 1)).all()


def test_the_dlp4500_comes_with_or_without_hdmi() -> None:
    profile = load_profile("dlp4500")
    assert Emulation(profile, VirtualClock(), DeviceFaults(), None).dmd.info().image_upload
    bare = Emulation(profile, VirtualClock(), DeviceFaults(), None, hdmi=False)
    assert not bare.dmd.info().image_upload
    with pytest.raises(DeviceError, match="takes no images over its control link"):
        bare.dmd.load_image(0, Half.PRIMARY, b"")


def test_there_is_no_virtual_alp_board() -> None:
    with pytest.raises(InputError, match=r"dlp7000: there is no virtual dlpc410.*vendor's library"):
        Emulation(load_profile("dlp7000"), VirtualClock(), DeviceFaults(), None)


def test_waits_take_no_time_but_time_goes_on() -> None:
    clock = SkippingClock()
    before_us = clock.now_us()
    clock.wait_us(3_600_000_000)
    assert clock.now_us() - before_us >= 3_600_000_000


def test_fault_names_and_rates() -> None:
    assert parse_faults(("flip=0.25", "wrong-decoder", "delay")) == {"flip": 0.25, "wrong-decoder": 1.0, "delay": 0.05}
    for text, says in (
        (
            "flop",
            "known are drop, flip, duplicate, delay, disconnect, power-cut, full-memory, nak-storm, wrong-decoder",
        ),
        ("flip=often", "the rate is not a number; write flip=0.01"),
        ("flip=1.5", "a chance between 0 and 1"),
        ("flip=nan", "a chance between 0 and 1"),
        ("full-memory=0.5", "it takes no rate"),
    ):
        with pytest.raises(InputError, match=says):
            parse_faults((text,))
    assert all(rate is None or 0 < rate < 1 for rate, _ in FAULTS.values())


class QueueTransport:
    """The inner end of a faulty transport: what was written, and what there is to read."""

    name = "queue"

    def __init__(self, incoming: list[bytes]) -> None:
        self.incoming = deque(incoming)
        self.written = b""
        self.closed = 0

    def read(self, timeout_s: float) -> bytes:
        return self.incoming.popleft() if self.incoming else b""

    def write(self, content: bytes) -> None:
        self.written += content

    def drain(self) -> None:
        pass

    def set_baud(self, baud: int) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


def _through(pieces: list[bytes], seed: int = 1, disconnect: float = 0.0, **rates: float) -> tuple[bytes, bytes]:
    source = random.Random(seed)
    inner = QueueTransport(pieces)
    ticks = itertools.count()
    line = FaultyTransport(inner, LineFaults(source, **rates), disconnect, source, lambda: next(ticks) * 0.001)
    inward = b"".join(line.read(0) for _ in range(len(pieces)))
    for piece in pieces:
        line.write(piece)
    while next(ticks) < 5000:
        inward += line.read(0)
    return inward, inner.written


PIECES = [bytes([number]) * 20 for number in range(40)]
WHOLE = b"".join(PIECES)


def test_a_line_without_faults_is_the_line() -> None:
    assert _through(PIECES) == (WHOLE, WHOLE)


def test_each_fault_does_what_it_says() -> None:
    for inward, outward in [_through(PIECES, flip=1.0)]:
        for got in (inward, outward):
            assert len(got) == len(WHOLE)
            assert sum((a ^ b).bit_count() for a, b in zip(got, WHOLE, strict=True)) == len(PIECES)
    assert len(_through(PIECES, drop_byte=1.0)[1]) == len(WHOLE) - len(PIECES)
    assert len(_through(PIECES, duplicate=1.0, max_delay_s=0.0)[0]) == 2 * len(WHOLE)


def test_delayed_bytes_keep_their_order_and_arrive() -> None:
    assert _through(PIECES, delay=0.5, max_delay_s=0.05) == (WHOLE, WHOLE)


def test_unplugging_closes_the_port() -> None:
    inner = QueueTransport([b"x"])
    source = random.Random(0)
    line = FaultyTransport(inner, LineFaults(source), 1.0, source)
    with pytest.raises(TransportClosed, match="unplugged by the fault disconnect"):
        line.read(0)
    line.close()
    assert inner.closed == 1, "closing twice would close somebody else's file"


def test_the_same_seed_gives_the_same_faults() -> None:
    assert _through(PIECES, seed=4, flip=0.3, drop_byte=0.3) == _through(PIECES, seed=4, flip=0.3, drop_byte=0.3)
    assert _through(PIECES, seed=4, flip=0.3) != _through(PIECES, seed=5, flip=0.3)
    assert issubclass(TransportClosed, CidesignError)

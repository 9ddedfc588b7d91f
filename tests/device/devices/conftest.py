"""Profiles, virtual devices with their drivers, and image blocks coded independently of the export."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from cidesign.device.dlpc350.driver import Dlpc350
from cidesign.device.dlpc350.virtual import VirtualDlpc350
from cidesign.device.dlpc900.driver import Dlpc900
from cidesign.device.dlpc900.virtual import VirtualDlpc900
from cidesign.device.dmd import Half, TableEntry
from cidesign.device.hid import HidLink
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.device.virtual_hid import VirtualHidPort
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.testing.virtual_clock import VirtualClock

Words = NDArray[np.uint32]


def _length(count: int) -> bytes:
    return bytes([count]) if count < 128 else bytes([count & 0x7F | 0x80, count >> 7])


@pytest.fixture(scope="session")
def erle_block() -> Callable[[Words], bytes]:
    """An enhanced run-length block of 24-bit words, worked out from TI DLPU018F Table 2-109 alone."""

    def encode(words: Words) -> bytes:
        rows, columns = words.shape
        out = bytearray()
        for row in range(rows):
            if row and (words[row] == words[row - 1]).all():
                out += b"\x00\x01" + _length(columns)
                continue
            starts = np.flatnonzero(np.diff(words[row], prepend=words[row][0] ^ 1))
            for start, end in zip(starts, [*starts[1:], columns], strict=True):
                out += _length(int(end - start)) + int(words[row, start]).to_bytes(3, "big")
        out += b"\x00\x01\x00"
        out += bytes(-len(out) % 4)
        header = struct.pack("<4sHHI8s4sBBB21s", b"Spld", columns, rows, len(out), b"\xff" * 8, b"", 0, 2, 1, b"")
        return header + bytes(out)

    return encode


@pytest.fixture(scope="session")
def f_words() -> Callable[[DmdProfile, int], Words]:
    """Words whose planes each hold an F of another size at another place: no flip, shift or swap leaves them equal."""

    def draw(profile: DmdProfile, seed: int) -> Words:
        rows, columns = profile.mirrors.rows.value, profile.mirrors.columns.value
        source = np.random.default_rng(seed)
        words = np.zeros((rows, columns), dtype=np.uint32)
        for plane in range(24):
            unit = int(source.integers(8, rows // 12))
            top = int(source.integers(0, rows - 7 * unit))
            left = int(source.integers(0, columns - 5 * unit))
            bit = np.uint32(1 << plane)
            words[top : top + 7 * unit, left : left + unit] |= bit
            words[top : top + unit, left : left + 5 * unit] |= bit
            words[top + 3 * unit : top + 4 * unit, left : left + 3 * unit] |= bit
        return words

    return draw


@dataclass
class Rig900:
    """A virtual DLPC900, its USB port and its driver."""

    profile: DmdProfile
    clock: VirtualClock
    controller: VirtualDlpc900
    port: VirtualHidPort
    dmd: Dlpc900

    def table(self, frames: int, exposure_us: int = 105, dark_us: int = 0) -> list[TableEntry]:
        """1-bit entries over as many images as needed."""
        return [TableEntry(n // 24, n % 24, 1, n % 24 == 0, exposure_us, dark_us) for n in range(frames)]

    def upload(self, images: list[bytes], entries: list[TableEntry]) -> None:
        """All of a single-controller upload but the start."""
        self.dmd.prepare()
        self.dmd.load_sequence(entries)
        for index in reversed(range(len(images))):
            self.dmd.load_image(index, Half.PRIMARY, images[index])


@pytest.fixture
def virtual_900() -> Callable[..., Rig900]:
    """Makes a rig: profile name, device faults, and options of the virtual device."""

    def make(name: str = "dlp6500", faults: DeviceFaults | None = None, reading=None, **options: object) -> Rig900:
        profile = load_profile(name)
        clock = VirtualClock()
        controller = VirtualDlpc900(profile, clock, faults, **options)  # type: ignore[arg-type]
        port = VirtualHidPort(controller)
        return Rig900(profile, clock, controller, port, Dlpc900(HidLink(port, name), profile, clock, reading))

    return make


@dataclass
class Rig350:
    """A virtual DLPC350, its USB port and its driver."""

    profile: DmdProfile
    clock: VirtualClock
    controller: VirtualDlpc350
    port: VirtualHidPort
    dmd: Dlpc350


@pytest.fixture
def virtual_350() -> Callable[..., Rig350]:
    """Makes a rig; the options are those of the virtual device."""

    def make(faults: DeviceFaults | None = None, **options: object) -> Rig350:
        profile = load_profile("dlp4500")
        clock = VirtualClock()
        controller = VirtualDlpc350(profile, clock, faults, **options)  # type: ignore[arg-type]
        port = VirtualHidPort(controller)
        return Rig350(profile, clock, controller, port, Dlpc350(HidLink(port, "dlp4500"), profile, clock))

    return make


@pytest.fixture(scope="session")
def transcript() -> Callable[[list[bytes]], list[str]]:
    """Messages as hex lines: sequence number as `..`, data beyond 20 bytes cut, repeats of a line written once."""

    def lines(trace: list[bytes]) -> list[str]:
        found: list[str] = []
        for message in trace:
            shown = message[:26]
            parts = shown.hex(" ").upper().split(" ")
            line = " ".join([parts[0], "..", *parts[2:]]) + (" ..." if len(message) > 26 else "")
            if not found or found[-1] != line:
                found.append(line)
        return found

    return lines

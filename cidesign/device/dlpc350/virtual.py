"""A DLPC350 that exists only in memory, at the level of its commands: what passes it should pass the real one.

Sources: TI DLPU010, TI DLPU011E, ALC SDK, TI LightCrafter 4500 GUI, pyCrafter4500, TI forum 466576 (a start without
validation and the reading of its result does nothing).  It starts up running, as the boards do.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cidesign.device.clock import Clock
from cidesign.device.virtual_faults import DeviceFaults, Refused
from cidesign.device.virtual_frames import PackedWords, ShownEntry, ShownFrame
from cidesign.hardware_profiles.dmd.schema import DmdProfile

_VALIDATION_US = 20_000
# One run an image over HDMI; a design may have hundreds.
_MAX_RUNS_KEPT = 4096
# Planes of pattern number n at 1..8 bits: n * stride + offset and upwards (TI LUT_Entry_Helper sheet).
_LAYOUT = {1: (1, 0), 2: (2, 0), 3: (3, 0), 4: (4, 0), 5: (6, 1), 6: (6, 0), 7: (8, 1), 8: (8, 0)}
_FLASH, _VIDEO = 3, 0
_FIXED_MODES, _VSYNC_MODES = (0, 1), (0, 4)

Words = NDArray[np.uint32]


class _Entry(NamedTuple):
    """A line of the table as the controller understands it."""

    trigger: int
    number: int
    bit_depth: int
    invert: bool
    black: bool
    swap: bool
    share: bool
    exposure_us: int
    period_us: int

    @property
    def planes(self) -> range:
        stride, offset = _LAYOUT[self.bit_depth]
        return range(self.number * stride + offset, self.number * stride + offset + self.bit_depth)


def _parse_word(word: int, exposure_us: int, period_us: int) -> _Entry:
    return _Entry(
        trigger=word & 3,
        number=word >> 2 & 0x3F,
        bit_depth=word >> 8 & 0xF,
        invert=bool(word >> 16 & 1),
        black=bool(word >> 17 & 1),
        swap=bool(word >> 18 & 1),
        share=bool(word >> 19 & 1),
        exposure_us=exposure_us,
        period_us=period_us,
    )


def rgb_words(frame: NDArray[np.uint8]) -> Words:
    """The 24-bit words of an RGB frame (rows, columns, 3): green planes 0-7, red 8-15, blue 16-23."""
    red, green, blue = (frame[..., channel].astype(np.uint32) for channel in range(3))
    words: Words = green | red << np.uint32(8) | blue << np.uint32(16)
    return words


class VirtualDlpc350:
    """One DLPC350 with its flash and its HDMI input (`show_video`); `shown_frames` says what the mirrors showed.

    `flash` holds the 24-bit words of each stored image, `frame_us` is the period of the video input.
    """

    def __init__(
        self,
        profile: DmdProfile,
        clock: Clock,
        faults: DeviceFaults | None = None,
        *,
        flash: Sequence[Words] = (),
        frame_us: int = 16_667,
        firmware: tuple[int, int, int] = (4, 0, 0),
    ) -> None:
        self._profile = profile
        self._clock = clock
        self._faults = faults or DeviceFaults()
        self._flash = list(flash)
        self._frame_us = frame_us
        self._firmware = firmware
        self._shape = (profile.mirrors.rows.value, profile.mirrors.columns.value)
        self._frame: NDArray[np.uint8] | None = None
        self._runs: deque[list[ShownEntry]] = deque(maxlen=_MAX_RUNS_KEPT)
        self.starts = 0
        self._writers: dict[int, Callable[[bytes], None]] = {
            0x0200: lambda data: self._set("power", data, 1, anytime=True),
            0x1008: lambda data: self._set("flip_long", data, 1),
            0x1009: lambda data: self._set("flip_short", data, 1),
            0x1A1A: self._validate,
            0x1A1B: self._set_mode,
            0x1A22: lambda data: self._set("source", data, 3),
            0x1A23: lambda data: self._set("trigger_mode", data, 4),
            0x1A24: self._start_stop,
            0x1A29: self._set_times,
            0x1A30: lambda data: self._set("invert", data, 1),
            0x1A31: lambda data: self._configure(data, "<BBBB"),
            0x1A32: lambda data: self._set_address(data, 1),
            0x1A33: self._open_mailbox,
            0x1A34: self._fill_mailbox,
            0x1A3E: self._fill_variable,
            0x1A3F: lambda data: self._set_address(data, 2),
            0x1A40: lambda data: self._configure(data, "<HHBB"),
        }
        self._readers: dict[int, Callable[[], bytes]] = {
            0x0200: lambda: bytes([self._state["power"]]),
            0x0205: lambda: struct.pack("<HBB", *reversed(self._firmware)) * 4,
            0x071C: self._video_status,
            0x1A0A: lambda: bytes([self._state["power"] ^ 1 | self._sequence_error << 7]),
            0x1A0B: lambda: b"\1",
            0x1A0C: lambda: bytes([self._running() << 1]),
            0x1A1A: self._validation,
            0x1A1B: lambda: bytes([self._state["mode"]]),
            0x1A22: lambda: bytes([self._state["source"]]),
            0x1A42: lambda: bytes([len(self._flash)]),
        }
        self._boot()

    def _boot(self) -> None:
        self.silent = False
        self._state = dict.fromkeys(("power", "flip_long", "flip_short", "source", "trigger_mode", "invert"), 0)
        self._state["mode"] = 0 if self._frame is not None else 1
        self._times_us = (0, 0)
        self._mailbox, self._address = 0, 0
        self._image_table = bytearray(256)
        self._fixed_table = bytearray(3 * 128)
        self._variable_table: dict[int, bytes] = {}
        self._config: tuple[int, int, int] | None = None  # entries, images, repeat
        self._validated_us: int | None = None
        self._result, self._result_read = 0, False
        self._start_ignored = False
        self._sequence_error = False
        self._started_us: int | None = self._clock.now_us()
        self._total_us: int | None = None

    # -- what the links and the HDMI cable call

    def on_write(self, command: int, data: bytes, replied: bool) -> bool:
        """Execute a write; False when it is refused (the error flag of an answer)."""
        if self._faults.power_cut():
            self._boot()
        try:
            if command not in self._writers:
                raise Refused(3, f"unknown command 0x{command:04X}")
            self._writers[command](data)
        except Refused:
            return False
        return True

    def on_read(self, command: int, data: bytes) -> bytes | None:
        """Execute a read; None when it is refused."""
        reader = self._readers.get(command)
        return None if reader is None or data else reader()

    def show_video(self, frame: NDArray[np.uint8] | None) -> None:
        """What the HDMI input carries from now on: RGB (rows, columns, 3), or None without a signal.

        Boards switch to video mode when a signal appears.
        """
        if self._frame is None and frame is not None:
            self._started_us = None
            self._state["mode"], self._start_ignored = 0, True
            self._change()
        self._frame = frame

    def shown(self) -> list[ShownEntry]:
        """Everything shown since `forget_shown`, one pass for each start, the last 4096 starts at most."""
        return [entry for run in self._runs for entry in run]

    def shown_frames(self) -> Iterator[ShownFrame]:
        """What the mirrors showed since `forget_shown`."""
        return (entry.frame() for entry in self.shown())

    def forget_shown(self) -> None:
        """Start the record of shown frames anew."""
        self._runs.clear()

    # -- state

    def _running(self) -> bool:
        if self._started_us is None:
            return False
        return self._total_us is None or self._clock.now_us() < self._started_us + self._total_us

    def _change(self) -> None:
        """Every change needs a stopped sequence and a new validation."""
        if self._running():
            raise Refused(5, "a sequence is running")
        self._validated_us, self._result_read = None, False

    def _set(self, name: str, data: bytes, highest: int, anytime: bool = False) -> None:
        if not anytime:
            self._change()
        if len(data) != 1 or data[0] > highest:
            raise Refused(6, f"{name} {data.hex(' ')}")
        self._state[name] = data[0]

    def _set_mode(self, data: bytes) -> None:
        before = self._state["mode"]
        self._set("mode", data, 1)
        self._start_ignored = self._start_ignored or before == 0

    def _set_times(self, data: bytes) -> None:
        self._change()
        if len(data) != 8:
            raise Refused(6, "exposure and period")
        self._times_us = struct.unpack("<II", data)

    def _configure(self, data: bytes, form: str) -> None:
        self._change()
        if len(data) != struct.calcsize(form):
            raise Refused(6, "configuration")
        fields = struct.unpack(form, data)
        if len(data) == 4:
            entries, repeat, _, images = fields
        else:
            entries, _, images, repeat = fields
        if repeat > 1:
            raise Refused(6, "configuration")
        self._config = entries + 1, images + 1, repeat

    def _open_mailbox(self, data: bytes) -> None:
        self._change()
        if len(data) != 1 or data[0] > 3:
            raise Refused(6, "mailbox")
        self._mailbox = data[0]

    def _set_address(self, data: bytes, size: int) -> None:
        if len(data) != size or not self._mailbox:
            raise Refused(5, "address without an open mailbox")
        self._address = int.from_bytes(data, "little")

    def _fill_mailbox(self, data: bytes) -> None:
        self._change()
        table, width = {1: (self._image_table, 1), 2: (self._fixed_table, 3)}.get(self._mailbox, (None, 0))
        if table is None:
            raise Refused(5, "data without an open mailbox")
        start = width * self._address
        if not data or len(data) % width or start + len(data) > len(table):
            raise Refused(6, f"mailbox data of {len(data)} bytes")
        table[start : start + len(data)] = data

    def _fill_variable(self, data: bytes) -> None:
        self._change()
        if self._mailbox != 3 or len(data) != 12 or self._address > 1823:
            raise Refused(6, "variable exposure data")
        self._variable_table[self._address] = data

    def _entries(self) -> list[_Entry]:
        """The configured table; words that were never sent are zero."""
        count = self._config[0] if self._config else 0
        if self._state["trigger_mode"] in _FIXED_MODES:
            words = [int.from_bytes(self._fixed_table[3 * index : 3 * index + 3], "little") for index in range(count)]
            return [_parse_word(word, *self._times_us) for word in words]
        lines = [self._variable_table.get(index, bytes(12)) for index in range(count)]
        return [_parse_word(*struct.unpack("<III", line)) for line in lines]

    def _images(self) -> list[Words]:
        """The images in the order in which buffer swaps bring them; two entries are used swapped."""
        if self._state["source"] == _VIDEO:
            return [rgb_words(self._frame)] if self._frame is not None and self._frame.shape[:2] == self._shape else []
        count = self._config[1] if self._config else 0
        indices = list(self._image_table[:count])
        indices = indices[::-1] if count == 2 else indices
        return [self._flash[index] for index in indices if index < len(self._flash)]

    def _validate(self, data: bytes) -> None:
        self._change()
        self._validated_us = self._clock.now_us()
        self._result = self._problems()

    def _problems(self) -> int:
        entries, images = self._entries(), self._images()
        video = self._state["trigger_mode"] in _VSYNC_MODES
        limits = {int(depth): value.min_exposure_us.value for depth, value in self._profile.bit_depths.items()}
        longest, gap = self._profile.timing.max_exposure_us, self._profile.timing.min_period_gap_us
        longest_us, shortest_gap_us = longest.value if longest else 2**32, gap.value if gap else 0
        result = 0
        if video != (self._state["source"] == _VIDEO) or not entries:
            result |= 1 << 1
        if sum(entry.swap for entry in entries) > (1 if video else len(images)) or not (entries and entries[0].swap):
            result |= 1 << 1
        for entry, before in zip(entries, [*entries[-1:], *entries[:-1]], strict=True):
            gap_us = entry.period_us - entry.exposure_us
            if entry.bit_depth not in limits or entry.planes.stop > 24:
                result |= 1 << 1
            elif not limits[entry.bit_depth] <= entry.exposure_us <= entry.period_us <= longest_us:
                result |= 1 << 0
            if entry.share and before.black:
                result |= 1 << 2
            if (gap_us > 0 and not entry.black) or (entry.trigger in (1, 2) and not before.black):
                result |= 1 << 3
            if 0 < gap_us < shortest_gap_us:
                result |= 1 << 4
        if video and sum(entry.period_us for entry in entries) + 230 > self._frame_us:
            result |= 1 << 0
        return result

    def _validation(self) -> bytes:
        if self._validated_us is None:
            return b"\0"
        if self._clock.now_us() < self._validated_us + _VALIDATION_US:
            return bytes([0x80 | self._result])
        self._result_read = True
        return bytes([self._result])

    def _start_stop(self, data: bytes) -> None:
        if len(data) != 1 or data[0] > 2:
            raise Refused(6, "start")
        if data[0] != 2:
            self._started_us = None
            return
        if self._running():
            return
        if self._start_ignored:
            self._start_ignored = False
            return
        # Without a validation, without reading its result, or with a bad one, a start does nothing, silently.
        if self._state["mode"] != 1 or self._config is None or not self._result_read or self._result:
            return
        self._run()

    def _run(self) -> None:
        entries, images = self._entries(), self._images()
        waiting_for_vsync = self._state["trigger_mode"] in _VSYNC_MODES
        if (entries[0].trigger in (1, 2)) != waiting_for_vsync or not images:
            return  # waits for a trigger that never comes
        shown, current = [], -1
        for entry in entries:
            current += entry.swap
            shown.append((entry, images[current]))
        packed = {id(words): PackedWords(self._decoded(words)) for words in images}
        self._runs.append([self._as_shown(entry, packed[id(words)]) for entry, words in shown])
        self.starts += 1
        total_us = sum(entry.period_us for entry in entries)
        repeat = self._config is not None and self._config[2]
        self._total_us = None if repeat else total_us + (self._frame_us if waiting_for_vsync else 0)
        self._started_us = self._clock.now_us()
        self._sequence_error = self._tears(shown, len(images))

    def _decoded(self, words: Words) -> Words:
        return words[:, ::-1] if self._faults.wrong_decoder else words

    def _as_shown(self, entry: _Entry, words: PackedWords) -> ShownEntry:
        return ShownEntry(
            words,
            entry.planes,
            entry.invert ^ bool(self._state["invert"]),
            bool(self._state["flip_long"]),
            bool(self._state["flip_short"]),
            entry.exposure_us,
            entry.period_us - entry.exposure_us,
        )

    def _tears(self, shown: list[tuple[_Entry, Words]], images: int) -> bool:
        """Whether a third image would be needed before it can be read from flash."""
        load_us = self._profile.timing.image_load_us
        if load_us is None or images <= self._profile.timing.image_buffers.value or self._state["source"] == _VIDEO:
            return False
        times_us: list[int] = []
        for entry, _ in shown:
            if entry.swap:
                times_us.append(0)
            times_us[-1] += entry.period_us
        return min(times_us) < load_us.value

    def _video_status(self) -> bytes:
        rows, columns = self._frame.shape[:2] if self._frame is not None else (0, 0)
        return struct.pack("<BHH", 2 if rows else 0, columns, rows).ljust(28, b"\0")

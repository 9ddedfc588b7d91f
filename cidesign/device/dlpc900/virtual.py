"""A DLPC900 that exists only in memory, at the level of its commands: what passes it should pass the real one.

Where TI's documents (DLPU018F, DLPU018J) or field reports leave a choice, the stricter reading is taken: it starts
up running, locks up when the mode is changed while it runs, wants a stop after the mode change, the table before the
images, the images from the last to the first, the configuration once more after them, and at least 3 s of idle mode.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Literal

from cidesign.device.clock import Clock
from cidesign.device.dlpc900.virtual_lut import LutEntry, parse_entry, with_trigger_dark
from cidesign.device.dlpc900.virtual_memory import ImageMemory
from cidesign.device.virtual_faults import DeviceFaults, Refused
from cidesign.device.virtual_frames import ShownEntry, ShownFrame
from cidesign.hardware_profiles.dmd.schema import DmdProfile

MODE_CHANGE_US = 500_000
_IDLE_HOLD_US = 3_000_000
_TRIGGER_DARK_US = 105
_STANDBY_WRITES = {0x0200}
# Hardware type by array size (TI DLPU018J, command 0x0206).
_TYPES = {(1920, 1080): 1, (2560, 1600): 2, (2716, 1600): 3, (2048, 1200): 4, (1024, 768): 5}


class VirtualDlpc900:
    """The controller (or the two) of one board; `shown_frames` says what the mirrors show of the running sequence.

    `reports_exposures` False is firmware that does not know command 0x1A42.  `count_reading` is how this firmware
    reads the repeat field (the documents differ).  `secondary_missing` is a board whose second controller is dead.
    """

    def __init__(
        self,
        profile: DmdProfile,
        clock: Clock,
        faults: DeviceFaults | None = None,
        *,
        firmware: tuple[int, int, int] = (6, 1, 0),
        reports_exposures: bool = True,
        count_reading: Literal["repeats", "patterns"] = "patterns",
        secondary_missing: bool = False,
    ) -> None:
        mirrors = profile.mirrors
        self._profile = profile
        self._clock = clock
        self._faults = faults or DeviceFaults()
        self._firmware = firmware
        self._reports_exposures = reports_exposures
        self._count_reading = count_reading
        self._secondary_missing = secondary_missing
        self._columns, self._rows = mirrors.columns.value, mirrors.rows.value
        self._type = _TYPES.get((self._columns, self._rows), 0)
        self._halves = 2 if profile.dual_controller.value else 1
        mode = max(profile.sequence_modes, key=lambda mode: mode.max_entries.value)
        self._max_entries, self._max_images = mode.max_entries.value, mode.max_images.value
        half_columns = self._columns // self._halves
        self._memory = ImageMemory(half_columns, self._rows, self._halves, self._max_images, self._faults)
        self._shown: list[ShownEntry] = []
        self.starts = 0
        self._exposures_us = {int(depth): limits.min_exposure_us.value for depth, limits in profile.bit_depths.items()}
        self._writers = self._write_commands()
        self._readers = self._read_commands()
        self._boot()

    def _write_commands(self) -> dict[int, Callable[[bytes], None]]:
        return {
            0x0200: self._set_power,
            0x0201: self._set_idle,
            0x1008: lambda data: self._set_flag("flip_long", data),
            0x1009: lambda data: self._set_flag("flip_short", data),
            0x1A1B: self._set_mode,
            0x1A24: self._start_stop,
            0x1A30: self._set_invert,
            0x1A31: self._configure,
            0x1A34: self._define,
            0x1A2A: lambda data: self._begin_image(0, data),
            0x1A2B: lambda data: self._image_data(0, data),
            0x1A2C: lambda data: self._begin_image(1, data),
            0x1A2D: lambda data: self._image_data(1, data),
        }

    def _read_commands(self) -> dict[int, Callable[[], bytes | None]]:
        return {
            0x0100: lambda: bytes([self._error[0]]),
            0x0101: lambda: self._error[1].encode()[:127].ljust(128, b"\0"),
            0x0200: lambda: bytes([self._power]),
            0x0201: lambda: bytes([self._idle_since_us is not None]),
            0x0205: self._version,
            0x0206: lambda: bytes([self._type]) + b"VIRTUAL".ljust(32, b"\0"),
            0x1008: lambda: bytes([self._flags["flip_long"]]),
            0x1009: lambda: bytes([self._flags["flip_short"]]),
            0x1A0A: self._hardware_status,
            0x1A0B: lambda: b"\1",
            0x1A0C: lambda: bytes([self._running() << 1]),
            0x1A1B: lambda: bytes([self._mode_now()]),
            0x1A30: lambda: bytes([self._flags["invert"]]),
            0x1A31: lambda: struct.pack("<HI", self._configured, self._count),
            0x1A42: self._read_exposures,
        }

    def _boot(self) -> None:
        self.silent = False
        self._error = (0, "")
        self._power = 0
        self._mode, self._mode_ready_us = 1, 0
        self._idle_since_us: int | None = None
        self._flags = {"flip_long": 0, "flip_short": 0, "invert": 0}
        self._needs_stop = False
        # Boards start with the default pattern of their firmware, running.
        self._started_us: int | None = self._clock.now_us()
        self._total_us: int | None = None
        self._lut: dict[int, LutEntry] = {}
        self._configured, self._count, self._config_is_last = 0, 0, False
        self._memory.lose()

    # -- what the links call

    def on_write(self, command: int, data: bytes, replied: bool) -> bool:
        """Execute a write; False when it is refused (the error flag of an answer)."""
        if self._faults.power_cut():
            self._boot()
        try:
            if command in (0x1A2B, 0x1A2D) and replied:
                # The field report this models: asking for replies to data packets corrupts the decoding.
                data = data[:-1] + bytes([data[-1] ^ 0xFF])
            self._allowed(command)
            self._writers[command](data)
        except Refused as refusal:
            self._error = (refusal.code, refusal.text)
            return False
        self._error = (0, "")
        return True

    def on_read(self, command: int, data: bytes) -> bytes | None:
        """Execute a read; None when it is refused.  The error code is that of the last executed command."""
        reader = self._readers.get(command)
        if reader is None or data:
            self._error = (3, f"unknown command 0x{command:04X}")
            return None
        answer = reader()
        if command not in (0x0100, 0x0101):
            self._error = (0, "")
        return answer

    def shown(self) -> list[ShownEntry]:
        """One pass of the sequence that was started last; empty when none was."""
        return list(self._shown)

    def shown_frames(self) -> Iterator[ShownFrame]:
        """What the mirrors show in one pass of the sequence that was started last."""
        return (entry.frame() for entry in self._shown)

    # -- state

    def _mode_now(self) -> int:
        return self._mode if self._clock.now_us() >= self._mode_ready_us else 1

    def _running(self) -> bool:
        if self._idle_since_us is not None:
            return True  # idle mode is a sequence of its own, and reported as one
        if self._started_us is None:
            return False
        return self._total_us is None or self._clock.now_us() < self._started_us + self._total_us

    def _allowed(self, command: int) -> None:
        if command not in self._writers:
            raise Refused(3, f"unknown command 0x{command:04X}")
        if self._power == 1 and command not in _STANDBY_WRITES:
            raise Refused(5, "in standby")
        if self._clock.now_us() < self._mode_ready_us:
            raise Refused(5, "mode change in progress")
        if self._idle_since_us is not None and command not in (0x0200, 0x0201):
            raise Refused(5, "in idle mode")
        if self._needs_stop and command not in (0x1A24, 0x0200, 0x0201):
            raise Refused(5, "a stop is needed after a mode change")

    def _stopped(self) -> None:
        if self._running():
            raise Refused(5, "a sequence is running")

    def _set_power(self, data: bytes) -> None:
        state = _one_byte(data, 2)
        if state == 2:
            self._boot()
            return
        if state == 1:
            self._stopped()
        self._power = state

    def _set_idle(self, data: bytes) -> None:
        if _one_byte(data, 1):
            self._stopped()
            self._idle_since_us = self._clock.now_us()
            return
        if self._idle_since_us is not None and self._clock.now_us() - self._idle_since_us < _IDLE_HOLD_US:
            raise Refused(5, "idle mode must last 3 s")
        self._idle_since_us = None

    def _set_flag(self, name: str, data: bytes) -> None:
        self._stopped()
        self._flags[name] = _one_byte(data, 1)

    def _set_invert(self, data: bytes) -> None:
        self._set_flag("invert", data)
        self._lut.clear()
        self._configured = 0
        self._memory.lose()

    def _set_mode(self, data: bytes) -> None:
        mode = _one_byte(data, 3)
        if self._running():
            self.silent = True  # the controller locks up until its power is switched
            return
        self._mode, self._mode_ready_us = mode, self._clock.now_us() + MODE_CHANGE_US
        self._needs_stop = True
        self._lut.clear()
        self._configured = 0
        self._memory.lose()

    def _start_stop(self, data: bytes) -> None:
        action = _one_byte(data, 2)
        if action != 2:
            self._started_us = None
            self._needs_stop = False
            return
        self._stopped()
        if self._mode_now() != 3:
            raise Refused(11, "no pattern in flash")
        if not self._configured or not self._config_is_last:
            raise Refused(16, "the table is not configured since the last image")
        entries = [self._lut[index] for index in range(self._configured)]
        words = {image: self._memory.words(image) for image in {entry.image for entry in entries}}
        self._shown = [
            ShownEntry(
                words[entry.image],
                entry.planes,
                bool(self._flags["invert"]),
                bool(self._flags["flip_long"]),
                bool(self._flags["flip_short"]),
                entry.exposure_us,
                entry.dark_us,
            )
            for entry in with_trigger_dark(entries, _TRIGGER_DARK_US)
        ]
        self.starts += 1
        self._started_us, self._total_us = self._clock.now_us(), self._duration_us(entries)

    def _duration_us(self, entries: list[LutEntry]) -> int | None:
        if not self._count:
            return None
        times_us = [entry.exposure_us + entry.dark_us for entry in with_trigger_dark(entries, _TRIGGER_DARK_US)]
        if self._count_reading == "repeats":
            return sum(times_us) * self._count
        passes, rest = divmod(self._count, len(times_us))
        return passes * sum(times_us) + sum(times_us[:rest])

    def _define(self, data: bytes) -> None:
        self._stopped()
        if self._mode_now() != 3:
            raise Refused(5, "not in pattern-on-the-fly mode")
        index, entry = parse_entry(data, extended_depths=self._firmware >= (6, 0, 0))
        if index >= self._max_entries:
            raise Refused(15, f"pattern index {index}")
        if entry.exposure_us < self._exposures_us.get(entry.bit_depth, 1 << 24):
            raise Refused(14, f"exposure {entry.exposure_us} us at {entry.bit_depth} bit")
        if entry.image >= self._max_images:
            raise Refused(17, f"image index {entry.image}")
        before = self._lut.get(index)
        if before is None or before.source != entry.source:
            self._memory.lose()
        self._lut[index] = entry
        self._config_is_last = False

    def _configure(self, data: bytes) -> None:
        self._stopped()
        if self._mode_now() != 3:
            raise Refused(5, "not in pattern-on-the-fly mode")
        if len(data) != 6:
            raise Refused(6, f"table configuration of {len(data)} bytes")
        entries, count = struct.unpack("<HI", data)
        if not 1 <= entries <= self._max_entries:
            raise Refused(15, f"{entries} table entries")
        if any(index not in self._lut for index in range(entries)):
            raise Refused(16, "an entry is not defined")
        used = {(self._lut[index].image, plane) for index in range(entries) for plane in self._lut[index].planes}
        if len(used) > self._profile.memory.full_rate_planes.value:
            raise Refused(8, f"{len(used)} bit planes")
        if entries != self._configured:
            self._memory.lose()
        self._configured, self._count, self._config_is_last = entries, count, True

    def _begin_image(self, half: int, data: bytes) -> None:
        self._stopped()
        if self._mode_now() != 3 or not self._configured:
            raise Refused(5, "no configured table")
        self._memory.begin(half, data)

    def _image_data(self, half: int, data: bytes) -> None:
        if self._memory.data(half, data):
            self._config_is_last = False

    # -- answers

    def _version(self) -> bytes:
        major, minor, patch = self._firmware
        return struct.pack("<HBB", patch, minor, major) * 4

    def _hardware_status(self) -> bytes:
        secondary = self._halves == 2 and not self._secondary_missing
        return bytes([(self._power != 1) | secondary << 4])

    def _read_exposures(self) -> bytes | None:
        if not self._reports_exposures:
            return None
        return struct.pack("<8H", *(self._exposures_us.get(depth, 0xFFFF) for depth in range(1, 9)))


def _one_byte(data: bytes, highest: int) -> int:
    if len(data) != 1 or data[0] > highest:
        raise Refused(6, f"parameter {data.hex(' ')}")
    return data[0]

"""Driver of the DLPC350 (DLP4500): the sequence table, start and stop over USB-HID.

No command of this controller takes an image: pixels reach it by HDMI (see `display`) or are in its flash already.
Commands and layouts: TI DLPU010, TI DLPU011E, ALC SDK dlpc350_api, TI LightCrafter 4500 GUI.  Never run on a real
device.
"""

import struct

from cidesign.device.clock import Clock
from cidesign.device.commands import CommandLink, poll, stopped_on_error
from cidesign.device.dlpc350 import tables
from cidesign.device.dlpc350.tables import Source
from cidesign.device.dmd import DeviceInfo, DeviceStatus, Half, TableEntry
from cidesign.errors import DeviceError, InputError
from cidesign.hardware_profiles.dmd.schema import DmdProfile

_WAIT_US = 2_000_000
_MODE_CHANGE_US = 5_000_000
# A run shorter than this can begin and end between two looks at the status.
_OBSERVABLE_US = 20_000


class Dlpc350:
    """A DLPC350 on a `CommandLink`; images come from its flash, or from HDMI under `display.HdmiDlpc350`."""

    def __init__(self, link: CommandLink, profile: DmdProfile, clock: Clock) -> None:
        if profile.on_exit.value == "stop_then_idle":
            raise InputError(f"{profile.id}: on_exit stop_then_idle; the DLPC350 has no idle mode, use stop")
        self._link = link
        self._profile = profile
        self._clock = clock
        self._info: DeviceInfo | None = None
        self._after_video = False
        self._forget()

    def _forget(self) -> None:
        self._prepared = False
        self._entries: list[TableEntry] = []
        self._repeats_set = False

    def info(self) -> DeviceInfo:
        """Identify the device; its exposure table is the profile's, for it cannot be asked."""
        if self._info is None:
            patch, minor, major = struct.unpack_from("<HBB", self._read(tables.VERSION, 4))
            mirrors, profile = self._profile.mirrors, self._profile
            self._check_hardware()
            self._info = DeviceInfo(
                profile_id=profile.id,
                controller="dlpc350",
                firmware=(major, minor, patch),
                columns=mirrors.columns.value,
                rows=mirrors.rows.value,
                image_upload=False,
                max_entries=max(mode.max_entries.value for mode in profile.sequence_modes),
                max_images=max(mode.max_images.value for mode in profile.sequence_modes),
                min_exposure_us={
                    int(depth): limits.min_exposure_us.value for depth, limits in profile.bit_depths.items()
                },
            )
        return self._info

    def prepare(self) -> None:
        """Stop what runs and enter pattern mode without flips or inversion."""
        self._forget()
        self.info()
        with stopped_on_error(self.stop):
            if self._read(tables.POWER, 1)[0] & 3:
                self._link.write(tables.POWER, b"\0", reply=True)
            self._stop_sequence()
            if self._read(tables.MODE, 1)[0] != tables.PATTERN_MODE:
                self._after_video = True
                self._link.write(tables.MODE, bytes([tables.PATTERN_MODE]), reply=True)
                poll(
                    self._clock,
                    _MODE_CHANGE_US,
                    lambda: self._read(tables.MODE, 1)[0] == tables.PATTERN_MODE,
                    f"{self._profile.id}: the controller does not enter pattern mode",
                )
                self._stop_sequence()
            for command in (tables.FLIP_LONG, tables.FLIP_SHORT, tables.INVERT):
                self._link.write(command, b"\0", reply=True)
            self._check_hardware()
            self._prepared = True

    def load_image(self, index: int, half: Half, content: bytes) -> None:
        """Always raises `DeviceError`: no command of the DLPC350 takes an image."""
        raise DeviceError(
            f"{self._profile.id}: image {index}: this controller takes no images over its control link (TI DLPU010); "
            "start `cidesign bridge --backend display` on the computer at its HDMI input, or put the images into its "
            "flash with TI's GUI and send the table alone"
        )

    def load_sequence(self, entries: list[TableEntry]) -> None:
        """Load and validate a table over images 0, 1, ... of the flash."""
        available = self._read(tables.FLASH_IMAGES, 1)[0]
        needed = max((entry.image for entry in entries), default=0) + 1
        if needed > available:
            raise DeviceError(
                f"{self._profile.id}: the table uses {needed} images, its flash holds {available}; "
                "put the exported images into the flash with TI's GUI first"
            )
        self.program(entries, Source.FLASH, repeat=True)

    def program(self, entries: list[TableEntry], source: Source, repeat: bool) -> None:
        """Send a table with its exposures and validate it, in the order of TI's tools; raises `DeviceError`."""
        if not self._prepared:
            raise DeviceError(f"{self._profile.id}: a table before prepare; the device was stopped, upload again")
        fixed = self._check_entries(entries)
        with stopped_on_error(self.stop):
            self._stop_sequence()
            self._link.write(tables.SOURCE, bytes([source]), reply=True)
            self._link.write(tables.TRIGGER_MODE, bytes([tables.TRIGGER_MODES[source, fixed]]), reply=True)
            if fixed:
                self._link.write(tables.EXPOSURE_PERIOD, tables.pack_times(entries[0]), reply=True)
            if source is Source.FLASH:
                images = tables.image_table([entry.image for entry in entries if entry.loads_image])
                self._fill(tables.MAILBOX_IMAGES, images, variable=not fixed)
            words = tables.lut_words(entries, source)
            if fixed:
                self._fill(tables.MAILBOX_FIXED, b"".join(word.to_bytes(3, "little") for word in words), variable=False)
            else:
                self._send_variable(entries, words)
            self._entries = list(entries)
            if self._after_video:
                # The first start after video mode is ignored (pyCrafter4500); spend it before it matters.
                self._configure(fixed, repeat=True)
                self.run()
                self._stop_sequence()
                self._after_video = False
            self._configure(fixed, repeat)

    def start(self, repeats: int) -> None:
        """Show the sequence until stopped (0) or once (1); the controller cannot count further."""
        if not self._entries:
            raise DeviceError(f"{self._profile.id}: cannot start: there is no sequence table; upload again")
        if repeats > 1:
            raise DeviceError(
                f"{self._profile.id}: cannot show the sequence {repeats} times: this controller shows it once or until "
                "stopped; repeat the start"
            )
        with stopped_on_error(self.stop):
            if self._repeats_set != (repeats == 0):
                self._stop_sequence()
                self._configure(self._check_entries(self._entries), repeats == 0)
            self.run()

    def run(self) -> None:
        """Start the programmed table and see that it runs; a second start is tried, as TI's users found necessary."""
        total_us = sum(entry.exposure_us + entry.dark_us for entry in self._entries)
        self._check_hardware()
        for _ in range(2):
            self._link.write(tables.START_STOP, bytes([tables.START]), reply=True)
            if self.running() or (not self._repeats_set and total_us < _OBSERVABLE_US):
                self._check_hardware()
                return
        raise DeviceError(f"{self._profile.id}: the sequence does not start; switch the device off and on")

    def running(self) -> bool:
        """Whether a sequence runs."""
        return bool(self._read(tables.STATUS_MAIN, 1)[0] & tables.RUNNING)

    def check_video(self) -> None:
        """Raise `DeviceError` unless the controller sees a video signal of exactly its own mirrors."""
        info = self.info()
        status = self._read(tables.VIDEO_STATUS, 28)
        columns, rows = struct.unpack_from("<HH", status, 1)
        if (columns, rows) != (info.columns, info.rows):
            raise DeviceError(
                f"{info.profile_id}: the controller sees a video signal of {columns} x {rows}; it must be exactly "
                f"{info.columns} x {info.rows}, or the controller scales the patterns"
            )

    def stop(self) -> None:
        """Stop showing; standby too where the profile's `on_exit` says so."""
        self._forget()
        self._stop_sequence()
        if self._profile.on_exit.value == "stop_then_standby":
            self._link.write(tables.POWER, b"\1", reply=True)

    def status(self) -> DeviceStatus:
        """Ask the device; images in flash count as loaded."""
        images = len({entry.image for entry in self._entries})
        running = self.running()
        return DeviceStatus(running, not running, images, len(self._entries), "; ".join(self._faults()))

    def close(self) -> None:
        """Stop the device and release the link."""
        try:
            self.stop()
        finally:
            self._link.close()

    def _check_entries(self, entries: list[TableEntry]) -> bool:
        """Raise `DeviceError` for what the controller cannot show; True when the fixed-exposure table holds it."""
        info = self.info()
        images = sum(entry.loads_image for entry in entries)
        if not 1 <= len(entries) <= info.max_entries or images > info.max_images:
            raise DeviceError(
                f"{info.profile_id}: {len(entries)} entries and {images} images; the table takes 1 to "
                f"{info.max_entries} entries and {info.max_images} images; use fewer patterns"
            )
        if not entries[0].loads_image:
            raise DeviceError(f"{info.profile_id}: entry 0 loads no image; export again")
        longest, gap = self._profile.timing.max_exposure_us, self._profile.timing.min_period_gap_us
        longest_us = longest.value if longest else tables.MAX_TIME_US
        gap_us = gap.value if gap else 0
        for index, entry in enumerate(entries):
            where = f"{info.profile_id}: entry {index}"
            shortest_us = info.min_exposure_us.get(entry.bit_depth)
            if shortest_us is None:
                raise DeviceError(f"{where}: {entry.bit_depth} bit; this device shows {sorted(info.min_exposure_us)}")
            if entry.exposure_us < shortest_us or entry.exposure_us + entry.dark_us > longest_us:
                raise DeviceError(
                    f"{where}: exposure {entry.exposure_us} us, dark time {entry.dark_us} us; exposures are at least "
                    f"{shortest_us} us at {entry.bit_depth} bit and periods at most {longest_us} us; export again"
                )
            if 0 < entry.dark_us < gap_us:
                raise DeviceError(
                    f"{where}: dark time {entry.dark_us} us; it is 0 or at least {gap_us} us; export again"
                )
        same_times = len({(entry.exposure_us, entry.dark_us) for entry in entries}) == 1
        return same_times and any(
            mode.name == "fixed_exposure" and len(entries) <= mode.max_entries.value and images <= mode.max_images.value
            for mode in self._profile.sequence_modes
        )

    def _send_variable(self, entries: list[TableEntry], words: list[int]) -> None:
        self._link.write(tables.MAILBOX, bytes([tables.MAILBOX_VARIABLE]), reply=True)
        for address, (entry, word) in enumerate(zip(entries, words, strict=True)):
            self._link.write(tables.VARIABLE_ADDRESS, address.to_bytes(2, "little"), reply=True)
            data = word.to_bytes(4, "little") + tables.pack_times(entry)
            self._link.write(tables.VARIABLE_DATA, data, reply=True)
        self._link.write(tables.MAILBOX, bytes([tables.MAILBOX_CLOSE]), reply=True)

    def _fill(self, mailbox: int, content: bytes, variable: bool) -> None:
        self._link.write(tables.MAILBOX, bytes([mailbox]), reply=True)
        address, zero = (tables.VARIABLE_ADDRESS, b"\0\0") if variable else (tables.MAILBOX_ADDRESS, b"\0")
        self._link.write(address, zero, reply=True)
        self._link.write(tables.MAILBOX_DATA, content, reply=True)
        self._link.write(tables.MAILBOX, bytes([tables.MAILBOX_CLOSE]), reply=True)

    def _configure(self, fixed: bool, repeat: bool) -> None:
        """Send counts and repeat flag; then the validation without which a start does nothing."""
        images = max(1, sum(entry.loads_image for entry in self._entries))
        command, data = tables.pack_config(len(self._entries), images, fixed, repeat)
        self._link.write(command, data, reply=True)
        self._repeats_set = repeat
        self._link.write(tables.VALIDATE, b"\0", reply=True)
        poll(
            self._clock,
            _WAIT_US,
            lambda: not self._read(tables.VALIDATE, 1)[0] & tables.VALIDATION_BUSY,
            f"{self._profile.id}: the validation of the table does not end",
        )
        found = self._read(tables.VALIDATE, 1)[0]
        problems = [text for bit, text in enumerate(tables.VALIDATION) if found >> bit & 1]
        if problems:
            raise DeviceError(
                f"{self._profile.id}: the controller refuses the table: {', '.join(problems)}; export again"
            )
        self._check_hardware()

    def _stop_sequence(self) -> None:
        self._link.write(tables.START_STOP, bytes([tables.STOP]), reply=True)
        poll(self._clock, _WAIT_US, lambda: not self.running(), f"{self._profile.id}: the sequence does not stop")

    def _read(self, command: int, count: int) -> bytes:
        data = self._link.read(command, b"")
        if len(data) < count:
            raise DeviceError(
                f"{self._profile.id}: command 0x{command:04X} answered {len(data)} bytes, {count} are needed; "
                "is this a DLPC350?"
            )
        return data

    def _faults(self) -> list[str]:
        status = self._read(tables.STATUS_HARDWARE, 1)[0]
        faults = [text for bit, text in tables.HARDWARE_FAULTS.items() if status >> bit & 1]
        return faults if status & tables.INIT_OK else [*faults, "not initialised"]

    def _check_hardware(self) -> None:
        faults = self._faults()
        if faults:
            raise DeviceError(f"{self._profile.id}: the device reports {', '.join(faults)}; switch it off and on")

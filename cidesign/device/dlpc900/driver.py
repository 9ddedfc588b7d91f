"""Driver of the DLPC900 (DLP6500, DLP9000, DLP670S, DLP500YX): pattern on the fly over USB-HID or I2C.

Commands, layouts and the order of the calls: TI DLPU018F and DLPU018J; where they leave a choice, the order that
also satisfies QI2lab mcSIM.  Never run on a real device.
"""

import struct
from collections.abc import Callable
from typing import Literal

from cidesign.device.clock import Clock
from cidesign.device.commands import CommandLink, CommandRefused, poll, stopped_on_error
from cidesign.device.dlpc900 import tables
from cidesign.device.dmd import DeviceInfo, DeviceStatus, Half, TableEntry
from cidesign.errors import DeviceError
from cidesign.hardware_profiles.dmd.schema import DmdProfile

_MODE_CHANGE_US = 5_000_000
_START_STOP_US = 2_000_000


class Dlpc900:
    """A DLPC900 on a `CommandLink`: `prepare`, `load_sequence`, `load_image` from the highest index down, `start`.

    `count_reading` says how the firmware reads the repeat field of command 0x1A31: DLPU018F calls it the number of
    repeats, DLPU018J the number of patterns.  While it is None, only endless display is started.  `interrupted` is
    asked between the packets of an image, which can take minutes; once it is true, the image is given up.
    """

    def __init__(
        self,
        link: CommandLink,
        profile: DmdProfile,
        clock: Clock,
        count_reading: Literal["repeats", "patterns"] | None = None,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._link = link
        self._profile = profile
        self._clock = clock
        self._count_reading = count_reading
        self._interrupted = interrupted
        self._info: DeviceInfo | None = None
        self._dual = profile.dual_controller.value
        self._idle_since_us: int | None = None
        self._forget()

    def _forget(self) -> None:
        self._prepared = False
        self._entries: list[TableEntry] = []
        self._to_load: list[tuple[int, Half]] = []
        self._images = 0

    def info(self) -> DeviceInfo:
        """Identify the device; raises `DeviceError` when it is not the one of the profile."""
        if self._info is None:
            self._info = self._identify()
        return self._info

    def _identify(self) -> DeviceInfo:
        profile, mirrors = self._profile, self._profile.mirrors
        kind = self._read(tables.HARDWARE, 1)[0]
        board = tables.BOARDS.get(kind)
        if board is None or (board.columns, board.rows) != (mirrors.columns.value, mirrors.rows.value):
            found = f"a {board.name} ({board.columns} x {board.rows})" if board else f"unknown hardware type {kind}"
            raise DeviceError(
                f"{profile.id}: the device answers as {found}, the profile has {mirrors.columns.value} x "
                f"{mirrors.rows.value} mirrors; choose the profile of this device with --profile"
            )
        patch, minor, major = struct.unpack_from("<HBB", self._read(tables.VERSION, 4))
        firmware = (major, minor, patch)
        if board.dual != profile.dual_controller.value:
            raise DeviceError(
                f"{profile.id}: a {board.name} has {'two controllers' if board.dual else 'one controller'}, "
                f"dual_controller in the profile says otherwise; correct it, or use the shipped profile"
            )
        mode = max(profile.sequence_modes, key=lambda mode: mode.max_entries.value)
        return DeviceInfo(
            profile_id=profile.id,
            controller="dlpc900",
            firmware=firmware,
            columns=board.columns,
            rows=board.rows,
            image_upload=True,
            max_entries=mode.max_entries.value,
            max_images=mode.max_images.value,
            min_exposure_us=self._shortest_exposures(board, firmware),
        )

    def _shortest_exposures(self, board: tables.Board, firmware: tuple[int, int, int]) -> dict[int, int]:
        try:
            values = struct.unpack_from("<8H", self._read(tables.MIN_EXPOSURE, 16))
        except CommandRefused:
            values = (0,) * 8
        # Without an error flag (I2C) firmware that does not know the command answers zeros.
        if not all(values):
            if board.name != "DLP6500":
                raise DeviceError(
                    f"{self._profile.id}: firmware {'.'.join(map(str, firmware))} does not report its shortest "
                    "exposures (command 0x1A42); update the firmware with TI's GUI"
                )
            values = tables.OLD_DLP6500_EXPOSURES_US
        return {depth: value for depth, value in enumerate(values, start=1) if str(depth) in self._profile.bit_depths}

    def prepare(self) -> None:
        """Stop what runs, leave idle and standby, and enter pattern-on-the-fly mode without flips or inversion.

        The sequence is stopped before *and* after the mode change: leaving out either can lock the controller up.
        """
        self._forget()
        self.info()
        with stopped_on_error(self.stop):
            self._wake()
            self._stop_sequence()
            if self._read(tables.MODE, 1)[0] & 3 != tables.ON_THE_FLY:
                self._write(tables.MODE, bytes([tables.ON_THE_FLY]))
                poll(
                    self._clock,
                    _MODE_CHANGE_US,
                    lambda: self._read(tables.MODE, 1)[0] & 3 == tables.ON_THE_FLY,
                    f"{self._profile.id}: the controller does not enter pattern-on-the-fly mode",
                )
            self._stop_sequence()
            for command in (tables.FLIP_LONG, tables.FLIP_SHORT, tables.INVERT):
                self._write(command, b"\0")
            self._check_hardware()
            self._prepared = True

    def load_sequence(self, entries: list[TableEntry]) -> None:
        """Load the sequence table; every image must be loaded (again) afterwards."""
        self._require_prepared("load_sequence")
        self._check_entries(entries)
        with stopped_on_error(self.stop):
            for index, entry in enumerate(entries):
                self._write(tables.LUT_ENTRY, tables.pack_lut_entry(index, entry))
            self._write(tables.LUT_CONFIG, tables.pack_lut_config(len(entries), 0))
        self._entries = list(entries)
        images = sorted({entry.image for entry in entries}, reverse=True)
        halves = (Half.PRIMARY, Half.SECONDARY) if self._dual else (Half.PRIMARY,)
        self._images = len(images)
        self._to_load = [(image, half) for image in images for half in halves]

    def load_image(self, index: int, half: Half, content: bytes) -> None:
        """Load one image block (48-byte header and data); images go from the highest index down to 0."""
        self._require_prepared("load_image")
        where = f"{self._profile.id}: image {index}" + (f" {half.name.lower()} half" if self._dual else "")
        if not self._entries:
            raise DeviceError(f"{where}: load the sequence table first; a change of the table loses all images")
        if not self._to_load or self._to_load[0] != (index, half):
            wanted = f"image {self._to_load[0][0]} {self._to_load[0][1].name.lower()}" if self._to_load else "no more"
            raise DeviceError(f"{where}: the controller takes images from the last to the first; {wanted} is next")
        if content[:4] != b"Spld" or len(content) <= 48:
            raise DeviceError(f"{where}: is not a DLPC900 image block (it must start with 'Spld'); export again")
        with stopped_on_error(self.stop):
            self._write(tables.IMAGE_INIT[half], tables.pack_image_init(index, len(content)))
            for start in range(0, len(content), tables.PACKET_BYTES):
                if self._interrupted():
                    raise DeviceError(f"{where}: given up, for the bridge is ending; upload again")
                packet = content[start : start + tables.PACKET_BYTES]
                # A reply to a data packet corrupts the decoding (TI's own code clears the flag for it).
                self._link.write(tables.IMAGE_DATA[half], len(packet).to_bytes(2, "little") + packet, reply=False)
            self._check_error(where)
            self._check_hardware()
        self._to_load.pop(0)

    def start(self, repeats: int) -> None:
        """Show the sequence until stopped (0), or `repeats` times where `count_reading` is known."""
        self._require_prepared("start")
        if not self._entries or self._to_load:
            missing = f"{len(self._to_load)} image parts are missing" if self._entries else "there is no sequence table"
            raise DeviceError(f"{self._profile.id}: cannot start: {missing}; upload again")
        if repeats and self._count_reading is None:
            raise DeviceError(
                f"{self._profile.id}: cannot show the sequence {repeats} times: TI's documents contradict each other "
                "on how firmware counts (DLPU018F repeats, DLPU018J patterns); start without a count and stop it, or "
                "start the bridge with --count-means after a bench check"
            )
        count = repeats * len(self._entries) if self._count_reading == "patterns" else repeats
        with stopped_on_error(self.stop):
            self._write(tables.LUT_CONFIG, tables.pack_lut_config(len(self._entries), count))
            self._check_hardware()
            self._write(tables.START_STOP, bytes([tables.START]))
            poll(
                self._clock,
                _START_STOP_US,
                lambda: count > 0 or self._running(),
                f"{self._profile.id}: the sequence does not run; is it waiting for a trigger?",
            )
            self._check_hardware()

    def stop(self) -> None:
        """Stop showing and leave the mirrors as the profile's `on_exit` says (idle mode flips them all)."""
        self._forget()
        if self._read(tables.IDLE, 1)[0] & 1:
            return
        self._stop_sequence()
        on_exit = self._profile.on_exit.value
        if on_exit == "stop_then_idle":
            self._write(tables.IDLE, b"\1")
            self._idle_since_us = self._clock.now_us()
        elif on_exit == "stop_then_standby":
            self._write(tables.POWER, b"\1")

    def status(self) -> DeviceStatus:
        """Ask the device; a controller that has left pattern-on-the-fly mode has started anew and holds nothing."""
        if self._prepared and self._read(tables.MODE, 1)[0] & 3 != tables.ON_THE_FLY:
            self._forget()
        idle = bool(self._read(tables.IDLE, 1)[0] & 1)
        code = self._read(tables.ERROR_CODE, 1)[0]
        faults = self._faults()
        if code:
            faults.append(f"error {code}: {tables.ERROR_MEANING.get(code, 'unknown')}")
        loaded = self._images - len({image for image, _ in self._to_load})
        return DeviceStatus(self._running() and not idle, idle, loaded, len(self._entries), "; ".join(faults))

    def close(self) -> None:
        """Stop the device and release the link."""
        try:
            self.stop()
        finally:
            self._link.close()

    def _wake(self) -> None:
        if self._read(tables.POWER, 1)[0] & 1:
            self._write(tables.POWER, b"\0")
            poll(
                self._clock,
                _MODE_CHANGE_US,
                lambda: bool(self._read(tables.STATUS_HARDWARE, 1)[0] & tables.INIT_OK),
                f"{self._profile.id}: the controller does not come out of standby",
            )
        if self._read(tables.IDLE, 1)[0] & 1:
            now_us = self._clock.now_us()
            since_us = now_us if self._idle_since_us is None else self._idle_since_us
            self._clock.wait_us(max(0, since_us + tables.IDLE_HOLD_US - now_us))
            self._write(tables.IDLE, b"\0")
        self._idle_since_us = None

    def _stop_sequence(self) -> None:
        self._write(tables.START_STOP, bytes([tables.STOP]))
        poll(
            self._clock,
            _START_STOP_US,
            lambda: not self._running(),
            f"{self._profile.id}: the sequence does not stop",
        )

    def _check_entries(self, entries: list[TableEntry]) -> None:
        info = self.info()
        if not 1 <= len(entries) <= info.max_entries:
            raise DeviceError(f"{info.profile_id}: {len(entries)} entries; its table takes 1 to {info.max_entries}")
        for index, entry in enumerate(entries):
            where = f"{info.profile_id}: entry {index}"
            shortest_us = info.min_exposure_us.get(entry.bit_depth)
            if shortest_us is None:
                raise DeviceError(f"{where}: {entry.bit_depth} bit; this device shows {sorted(info.min_exposure_us)}")
            if not shortest_us <= entry.exposure_us <= tables.MAX_24_BIT:
                raise DeviceError(
                    f"{where}: exposure {entry.exposure_us} us; this device takes {shortest_us} to "
                    f"{tables.MAX_24_BIT} us at {entry.bit_depth} bit; export again with another --exposure-us"
                )
            if entry.dark_us > tables.MAX_24_BIT:
                raise DeviceError(
                    f"{where}: dark time {entry.dark_us} us; at most {tables.MAX_24_BIT} us; export again"
                )
            if entry.image >= info.max_images:
                raise DeviceError(f"{where}: image {entry.image}; this device takes {info.max_images} images")

    def _require_prepared(self, call: str) -> None:
        if not self._prepared:
            raise DeviceError(f"{self._profile.id}: {call} before prepare; the device was stopped, upload again")

    def _write(self, command: int, data: bytes) -> None:
        """Write and look at the error code, which is that of the last executed command."""
        where = f"{self._profile.id}: command 0x{command:04X}"
        try:
            self._link.write(command, data, reply=True)
        except CommandRefused:
            self._check_error(where)
            raise
        self._check_error(where)

    def _read(self, command: int, count: int) -> bytes:
        data = self._link.read(command, b"")
        if len(data) < count:
            raise DeviceError(
                f"{self._profile.id}: command 0x{command:04X} answered {len(data)} bytes, {count} are needed; "
                "is this a DLPC900?"
            )
        return data

    def _check_error(self, where: str) -> None:
        code = self._read(tables.ERROR_CODE, 1)[0]
        if code:
            text = self._read(tables.ERROR_TEXT, 1).split(b"\0")[0].decode("ascii", "replace")
            raise DeviceError(f"{where}: device error {code} ({tables.ERROR_MEANING.get(code, 'unknown')}): {text}")

    def _running(self) -> bool:
        return bool(self._read(tables.STATUS_MAIN, 1)[0] & tables.RUNNING)

    def _faults(self) -> list[str]:
        status = self._read(tables.STATUS_HARDWARE, 1)[0]
        faults = [text for bit, text in tables.HARDWARE_FAULTS.items() if status >> bit & 1]
        if not status & tables.INIT_OK:
            faults.append("not initialised")
        if self._dual and not status & tables.SECONDARY_PRESENT:
            faults.append("the secondary controller is missing")
        return faults

    def _check_hardware(self) -> None:
        faults = self._faults()
        if faults:
            raise DeviceError(f"{self._profile.id}: the device reports {', '.join(faults)}; switch it off and on")

"""The DLPC900 as the bridge, the emulator and the upload see it."""

import threading
from typing import ClassVar

from cidesign.device.clock import Clock, SystemClock
from cidesign.device.commands import CommandLink
from cidesign.device.controllers import Backend, BackendOptions, Controller, VirtualDevice
from cidesign.device.dlpc900 import tables
from cidesign.device.dlpc900.driver import Dlpc900
from cidesign.device.dlpc900.virtual import VirtualDlpc900
from cidesign.device.dmd import TableEntry
from cidesign.device.hid import HidLink, open_hid
from cidesign.device.i2c import open_i2c
from cidesign.device.link.way import Way
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.device.virtual_hid import VirtualHidPort
from cidesign.export.dmd.manifest import Manifest
from cidesign.hardware_profiles.dmd.schema import DmdProfile

LONG_EXPOSURE_US = 2_000_000


class ControlLink(Way):
    """Images at run time, in pattern-on-the-fly mode; the order is the one that TI's firmware needs."""

    def warnings(self, manifest: Manifest, profile: DmdProfile, entries: tuple[TableEntry, ...]) -> list[str]:
        """What the user should know before anything is sent."""
        found = super().warnings(manifest, profile, entries)
        if max(entry.exposure_us for entry in entries) > LONG_EXPOSURE_US:
            found.append(
                "exposures above 2 s: a user of this controller reports frames going dark after 3 to 6 s; check yours"
            )
        return found


class Dlpc900Controller(Controller):
    """DLP6500, DLP9000, DLP670S, DLP500YX: images and table over USB or I2C."""

    name = "dlpc900"
    title = "DLPC900 (DLP6500 and its relatives)"
    backends: ClassVar[dict[str, str]] = {"hid": "USB", "i2c": "DLPC900"}
    upload_way = ControlLink()

    def _open(self, backend: str, profile: DmdProfile, options: BackendOptions, stop: threading.Event) -> Backend:
        link: CommandLink
        if backend == "i2c":
            link = open_i2c(options.i2c_bus, tables.I2C_CODES, profile.id)
        else:
            link = open_hid(tables.USB_PRODUCT_ID, profile.id)
        return Backend(Dlpc900(link, profile, SystemClock(), options.count_reading, stop.is_set))

    def virtual(self, profile: DmdProfile, clock: Clock, faults: DeviceFaults, hdmi: bool) -> VirtualDevice:
        """A virtual board, with one or two controllers."""
        # The emulated firmware counts patterns; for it the question of the real one's reading is settled.
        controller = VirtualDlpc900(profile, clock, faults, count_reading="patterns")
        link = HidLink(VirtualHidPort(controller), f"virtual {profile.id}")
        dmd = Dlpc900(link, profile, clock, "patterns")
        return VirtualDevice(dmd, controller, lambda: controller.starts)


CONTROLLER = Dlpc900Controller()

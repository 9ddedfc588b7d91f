"""The DLPC350 as the bridge, the emulator and the upload see it."""

import threading
from typing import ClassVar

from cidesign.device.clock import Clock, SystemClock
from cidesign.device.controllers import Backend, BackendOptions, Controller, VirtualDevice
from cidesign.device.dlpc350 import tables
from cidesign.device.dlpc350.display import HdmiDlpc350, TkCanvas
from cidesign.device.dlpc350.driver import Dlpc350
from cidesign.device.dlpc350.virtual import VirtualDlpc350
from cidesign.device.dlpc350.virtual_display import FRAME_US, EmulatedHdmi, VirtualCanvas
from cidesign.device.dlpc350.ways import Flash, Hdmi
from cidesign.device.hid import HidLink, open_hid
from cidesign.device.link.way import Way
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.device.virtual_hid import VirtualHidPort
from cidesign.errors import InputError
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.units import US_PER_S


class Dlpc350Controller(Controller):
    """DLP4500: no command takes an image, so they come over HDMI or are in the flash."""

    name = "dlpc350"
    title = "DLPC350 (DLP4500)"
    backends: ClassVar[dict[str, str]] = {"hid": "USB", "display": "HDMI and USB, for the DLP4500"}
    refused_backends: ClassVar[dict[str, str]] = {
        "i2c": (
            "not every I2C code of the DLPC350 that is needed is confirmed by a source; use --backend display or "
            "--backend hid"
        )
    }

    def _open(self, backend: str, profile: DmdProfile, options: BackendOptions, stop: threading.Event) -> Backend:
        if backend == "hid":
            return Backend(Dlpc350(open_hid(tables.USB_PRODUCT_ID, profile.id), profile, SystemClock()))
        longest_hz = profile.timing.video_max_frame_hz
        if longest_hz is not None and options.frame_hz > longest_hz.value:
            raise InputError(f"--frame-hz {options.frame_hz:g}: {profile.id} takes at most {longest_hz.value:g} Hz")
        canvas = TkCanvas()
        clock = SystemClock()
        device = Dlpc350(open_hid(tables.USB_PRODUCT_ID, profile.id), profile, clock)
        dmd = HdmiDlpc350(device, canvas, clock, int(US_PER_S / options.frame_hz))
        return Backend(dmd, dmd.tick)

    def virtual(self, profile: DmdProfile, clock: Clock, faults: DeviceFaults, hdmi: bool) -> VirtualDevice:
        """A virtual DLP4500, with the computer at its HDMI input unless `hdmi` is False."""
        controller = VirtualDlpc350(profile, clock, faults, frame_us=FRAME_US)
        dmd = Dlpc350(HidLink(VirtualHidPort(controller), f"virtual {profile.id}"), profile, clock)
        if not hdmi:
            return VirtualDevice(dmd, controller, lambda: controller.starts)
        canvas = VirtualCanvas(controller, profile.mirrors.columns.value, profile.mirrors.rows.value)
        player = EmulatedHdmi(dmd, canvas, clock, controller)
        return VirtualDevice(player, controller, lambda: player.showings, player.tick)

    def way(self, profile: DmdProfile, images_in_flash: bool) -> Way:
        """Over HDMI, or from the flash where the images are there already."""
        return Flash() if images_in_flash else Hdmi()


CONTROLLER = Dlpc350Controller()

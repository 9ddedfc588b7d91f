"""Its device: real ones are never on the wire, and the virtual one keeps what it is sent."""

import threading
from typing import ClassVar

from cidesign.device.clock import Clock
from cidesign.device.controllers import Backend, BackendOptions, Controller, VirtualDevice
from cidesign.device.dmd import DeviceInfo, DeviceStatus, Half, TableEntry
from cidesign.device.link.way import Way
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.device.virtual_frames import ShownEntry
from cidesign.errors import DeviceError
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from toy_controller.files import first_plane, planes


class VirtualToy:
    """A `Dmd` and its mirrors in one."""

    def __init__(self, profile: DmdProfile) -> None:
        self._profile = profile
        self._entries: list[TableEntry] = []
        self._images: dict[int, bytes] = {}
        self._running = False
        self._shown: list[ShownEntry] = []
        self.starts = 0

    def info(self) -> DeviceInfo:
        profile, mirrors, mode = self._profile, self._profile.mirrors, self._profile.sequence_modes[0]
        exposures = {int(depth): limits.min_exposure_us.value for depth, limits in profile.bit_depths.items()}
        size = mirrors.columns.value, mirrors.rows.value
        return DeviceInfo(
            profile.id, "toy", (1, 0, 0), *size, True, mode.max_entries.value, mode.max_images.value, exposures
        )

    def prepare(self) -> None:
        self.stop()

    def load_sequence(self, entries: list[TableEntry]) -> None:
        self._entries = entries

    def load_image(self, index: int, half: Half, content: bytes) -> None:
        if index != len(self._images):
            raise DeviceError(f"toy: image {index} comes before image {len(self._images)}")
        try:
            shape = planes(content).shape
        except ValueError as error:
            raise DeviceError(f"toy: image {index}: {error}") from error
        if shape != (self._profile.mirrors.rows.value, self._profile.mirrors.columns.value):
            raise DeviceError(f"toy: image {index} is for {shape[1]} x {shape[0]} mirrors")
        self._images[index] = content

    def start(self, repeats: int) -> None:
        if not self._entries or {entry.image for entry in self._entries} != set(self._images):
            raise DeviceError("toy: there is nothing whole to show")
        self._running = repeats == 0
        self.starts += 1
        words = {index: planes(content) for index, content in self._images.items()}
        self._shown = []
        for entry in self._entries:
            first = first_plane(entry.bit_depth, entry.slot)
            shown = range(first, first + entry.bit_depth)
            times = entry.exposure_us, entry.dark_us
            self._shown.append(ShownEntry(words[entry.image], shown, False, False, False, *times))

    def stop(self) -> None:
        self._running, self._entries, self._images = False, [], {}

    def status(self) -> DeviceStatus:
        return DeviceStatus(self._running, not self._running, len(self._images), len(self._entries), "")

    def close(self) -> None:
        self.stop()

    def shown(self) -> list[ShownEntry]:
        return self._shown


class ToyWire(Way):
    """Images from the first to the last."""

    name = "toy wire"
    role = "toy-image"

    def order(self, image: int, half: int) -> tuple[int, int]:
        return image, half


class ToyController(Controller):
    """Everything that cidesign asks of a controller."""

    name = "toy"
    title = "toy"
    backends: ClassVar[dict[str, str]] = {"toy-wire": "the wire of the toy"}
    upload_way = ToyWire()

    def _open(self, backend: str, profile: DmdProfile, options: BackendOptions, stop: threading.Event) -> Backend:
        raise DeviceError(f"{profile.id}: no toy is on the wire")

    def virtual(self, profile: DmdProfile, clock: Clock, faults: DeviceFaults, hdmi: bool) -> VirtualDevice:
        toy = VirtualToy(profile)
        return VirtualDevice(toy, toy, lambda: toy.starts)


CONTROLLER = ToyController()

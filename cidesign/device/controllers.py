"""What a controller of micromirrors says of itself.  Bridge, emulator and upload ask it, and know none by name.

The table of controllers is `cidesign.hardware_profiles.dmd.controllers`; docs/hardware.md says how to add one.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from cidesign.device.clock import Clock
from cidesign.device.dmd import Dmd
from cidesign.device.link.way import Way
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.device.virtual_frames import ShownEntry
from cidesign.errors import InputError, LimitError
from cidesign.hardware_profiles.dmd.controllers import GROUP, MODULES
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.plugins import known_names, load


@dataclass(frozen=True)
class Backend:
    """A device; `tick` is called all the time and says whether it is showing frames, `finish` at the very end."""

    dmd: Dmd
    tick: Callable[[], bool] = lambda: False
    finish: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class BackendOptions:
    """What a back end needs to know beside its name; see `cidesign bridge --help`."""

    i2c_bus: int = 1
    frame_hz: float = 60.0
    count_reading: Literal["repeats", "patterns"] | None = None
    render: Path | None = None


class VirtualMirrors(Protocol):
    """A virtual controller, as far as what its mirrors show is concerned."""

    def shown(self) -> list[ShownEntry]:
        """What the mirrors show, or showed, of the sequence that was started last."""


@dataclass(frozen=True)
class VirtualDevice:
    """A virtual controller behind the driver of the real one.

    `tick` as in `Backend`.  `showings` counts the sequences that are there to be rendered: those that were started, or,
    where the host shows each frame, those that were shown once.
    """

    dmd: Dmd
    controller: VirtualMirrors
    showings: Callable[[], int]
    tick: Callable[[], bool] = lambda: False


class Controller:
    """One kind of controller: how it is reached, what stands in for it, and how an upload goes to it."""

    # The name in profiles, and the name for people.
    name: ClassVar[str]
    title: ClassVar[str]
    # Back ends of `cidesign bridge` -> what they go through, for its help page; the usual one first.
    backends: ClassVar[Mapping[str, str]] = {}
    # Back ends that one would look for, and why they are not there.
    refused_backends: ClassVar[Mapping[str, str]] = {}
    upload_way: ClassVar[Way] = Way()
    # Why no back end drives it, nothing stands in for it, and nothing is uploaded to it, where that is so.
    no_backend: ClassVar[str] = "it has no driver"
    no_virtual: ClassVar[str] = "nobody has written one"
    no_upload: ClassVar[str] = ""

    def open(self, backend: str, profile: DmdProfile, options: BackendOptions, stop: threading.Event) -> Backend:
        """Open the device of a profile; raises `InputError` for a back end that it cannot have, with the reason."""
        if not self.backends:
            raise InputError(f"{profile.id}: no back end drives this controller: {self.no_backend}")
        if backend not in self.backends:
            raise InputError(f"{profile.id}: back end {backend}{self._not_mine(backend)}")
        return self._open(backend, profile, options, stop)

    def _not_mine(self, backend: str) -> str:
        if backend in self.refused_backends:
            return f": {self.refused_backends[backend]}"
        known = [one for _, one in each_controller() if isinstance(one, Controller)]
        owners = " and the ".join(one.title for one in known if backend in one.backends)
        return f" is for the {owners}; use --backend {next(iter(self.backends))}"

    def _open(self, backend: str, profile: DmdProfile, options: BackendOptions, stop: threading.Event) -> Backend:
        """Open the device through one of `backends`; `stop` is set when the bridge is to end."""
        raise NotImplementedError

    def virtual(self, profile: DmdProfile, clock: Clock, faults: DeviceFaults, hdmi: bool) -> VirtualDevice:
        """A virtual device with its driver; `hdmi` False: without the computer at its video input, if it has one.

        Raises `InputError` where there is none.
        """
        raise InputError(f"{profile.id}: there is no virtual {self.name}: {self.no_virtual}")

    def way(self, profile: DmdProfile, images_in_flash: bool) -> Way:
        """How an export reaches the device; `images_in_flash`: its images are there already.

        Raises `LimitError` for what cannot be sent to it, with the reason.
        """
        if self.no_upload:
            raise LimitError(f"{profile.id}: {self.no_upload}")
        if not profile.interfaces.image_upload_at_run_time.value:
            raise LimitError(
                f"{profile.id}: its profile says image_upload_at_run_time = false, so it takes no images; use the "
                "files of the export with the tools of its maker"
            )
        if images_in_flash:
            raise LimitError(
                f"{profile.id}: --images-in-flash is for devices that take no images at run time; leave it out"
            )
        return self.upload_way


@cache
def controller(name: str) -> Controller:
    """The controller of a name in a profile; raises `InputError` for one that is not known, or cannot be imported."""
    found = load(name, MODULES, GROUP, Controller)
    if found.name != name:
        raise InputError(f"controller {name}: its package calls it {found.name!r}; both names must be the same")
    return found


def each_controller() -> Iterator[tuple[str, Controller | InputError]]:
    """Every known name with its controller, or with the error of a package that cannot be imported."""
    for name in known_names(MODULES, GROUP):
        try:
            yield name, controller(name)
        except InputError as error:
            yield name, error
